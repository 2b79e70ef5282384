package kernels

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

// list is a cut-out of what `apt-cache show` says, in both layouts.
const list = `Package: linux-image-6.1.0-56-cloud-amd64
Source: linux-signed-amd64 (6.1.192+2)
Version: 6.1.192-2
Depends: kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool
Description: Linux 6.1 for x86-64 cloud (signed)
 Version: of a description is none

Package: linux-image-6.1.0-56-amd64
Version: 6.1.192-2

Package: linux-image-6.1.0-56-rt-amd64
Version: 6.1.192-2

Package: linux-image-6.1.0-9-cloud-amd64
Version: 6.1.27-1

Package: linux-image-6.1-cloud-amd64
Version: 6.1.192-2

Package: linux-headers-6.1.0-56-cloud-amd64
Version: 6.1.192-2
Depends: linux-headers-6.1.0-56-common (= 6.1.192-2), linux-kbuild-6.1 (>= 6.1.192-2), linux-compiler-gcc-12-x86

Package: linux-headers-6.1.0-56-common
Version: 6.1.192-2

Package: linux-kbuild-6.1
Version: 6.1.190-1

Package: linux-kbuild-6.1
Version: 6.1.192-2

Package: linux-image-6.12.117+deb12-cloud-amd64
Version: 6.12.117-1~deb12u1

Package: linux-headers-6.12.117+deb12-cloud-amd64
Version: 6.12.117-1~deb12u1

Package: linux-image-6.12.117+deb13-cloud-amd64
Version: 6.12.117-1

Package: linux-headers-6.12.117+deb13-cloud-amd64
Version: 6.12.117-1

Package: linux-image-6.12.118+deb13-cloud-amd64
Version: 6.12.118-1

Package: linux-headers-6.12.118+deb13-cloud-amd64
Version: 6.12.118-1

Package: linux-image-7.3.4+deb13-cloud-amd64
Version: 7.3.4-1~bpo13+1

Package: linux-binary-7.3.4+deb13-cloud-amd64
Version: 7.3.4-1~bpo13+1

Package: linux-modules-7.3.4+deb13-cloud-amd64
Version: 7.3.4-1~bpo13+1

Package: linux-base-7.3.4+deb13-cloud-amd64
Version: 7.3.4-1~bpo13+1

Package: linux-binary-7.4.1+deb13-cloud-amd64
Version: 7.4.1-1~bpo13+1

`

func choices(t *testing.T, release string) []Choice {
	t.Helper()
	all, err := ParsePackages(strings.NewReader(list))
	if err != nil {
		t.Fatal(err)
	}
	return Choose(all, Cloud, release)
}

func TestParsePackages(t *testing.T) {
	all, err := ParsePackages(strings.NewReader(list))
	if err != nil || len(all) != strings.Count(list, "Package: ") {
		t.Fatalf("%d packages, %v", len(all), err)
	}
	if want := (Package{"linux-image-6.1.0-56-cloud-amd64", "6.1.192-2", []string{"kmod", "linux-base", "initramfs-tools"}}); !reflect.DeepEqual(all[0], want) {
		t.Errorf("%+v", all[0])
	}
	if got, err := ParsePackages(strings.NewReader("Package: a\n\nVersion: 1\n\nPackage: b\nVersion: 2")); err != nil || !reflect.DeepEqual(got, []Package{{Name: "b", Version: "2"}}) {
		t.Errorf("half paragraphs: %+v, %v", got, err)
	}
}

func TestChooseKnowsBothLayouts(t *testing.T) {
	var got []string
	for _, c := range choices(t, "12") {
		names := []string{}
		for _, p := range c.Image {
			names = append(names, strings.TrimSuffix(p.Name, "-"+c.ABI))
		}
		got = append(got, c.Series+" "+c.Version+" "+strings.Join(names, "+"))
	}
	want := []string{
		"7.4 7.4.1-1~bpo13+1 linux-binary",
		"7.3 7.3.4-1~bpo13+1 linux-binary+linux-modules+linux-base",
		"6.12 6.12.118-1 linux-image",
		"6.12 6.12.117-1~deb12u1 linux-image", // the host's own before its equal
		"6.12 6.12.117-1 linux-image",
		"6.1 6.1.192-2 linux-image",
		"6.1 6.1.27-1 linux-image",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPick(t *testing.T) {
	all := choices(t, "12")
	for _, c := range []struct{ series, headers, version string }{
		{"6.1", "", "6.1.192-2"},
		{"6.12", "", "6.12.118-1"},
		{"6.12", "12", "6.12.117-1~deb12u1"}, // programs of kbuild for a newer release do not run
		{"6.12", "13", "6.12.118-1"},
		{Newest, "", "7.4.1-1~bpo13+1"},
	} {
		got, err := Pick(all, c.series, c.headers)
		if err != nil || got.Version != c.version {
			t.Errorf("%s, headers for %q: %s, %v; want %s", c.series, c.headers, got.Version, err, c.version)
		}
	}
	if _, err := Pick(all, "5.10", ""); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "5.10") || !strings.Contains(err.Error(), "7.4, 7.3, 6.12, 6.1") {
		t.Errorf("5.10: %v", err)
	}
	if _, err := Pick(all, "7.3", "12"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("7.3 without headers: %v", err)
	}
}

func TestHeadersTakeTheNewestKbuild(t *testing.T) {
	c, err := Pick(choices(t, "12"), "6.1", "12")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range c.Headers {
		got = append(got, p.Name+"="+p.Version)
	}
	want := []string{"linux-headers-6.1.0-56-cloud-amd64=6.1.192-2", "linux-headers-6.1.0-56-common=6.1.192-2", "linux-kbuild-6.1=6.1.192-2"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}

func TestConcerns(t *testing.T) {
	keep := Concerns(Cloud)
	for name, want := range map[string]bool{
		"linux-image-6.1.0-56-cloud-amd64": true, "linux-modules-7.3.4+deb13-cloud-amd64": true, "linux-headers-6.1.0-56-common": true,
		"linux-kbuild-6.1": true, "linux-image-6.1.0-56-amd64": false, "linux-image-6.1.0-56-cloud-amd64-dbg": false,
		"linux-headers-6.1.0-56-rt-amd64": false, "linux-source-6.1": false, "linux-libc-dev": false,
	} {
		if keep(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	ascending := []string{
		"5.10.218-1", "5.10.262-1", "6.1.9-1", "6.1.192-1", "6.1.192-2", "6.12.117-1~bpo12+1", "6.12.117-1~deb12u1", "6.12.117-1",
		"7.3~rc7-1~exp1", "7.3-1", "7.3.4-1~bpo13+1", "7.3.4-1", "1:1.0-1",
	}
	for i, a := range ascending {
		for j, b := range ascending {
			got := CompareVersions(a, b)
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s against %s: %d", a, b, got)
			}
		}
	}
}

func TestParseSources(t *testing.T) {
	oneLine := "# deb http://no/debian x main\ndeb [arch=amd64 signed-by=/k] http://m/debian bookworm main\ndeb-src http://s/debian x main\ndeb http://m/debian-security/ bookworm-security main\n"
	if got := parseSources(oneLine, false); !reflect.DeepEqual(got, []string{"http://m/debian", "http://m/debian-security/"}) {
		t.Errorf("one line: %q", got)
	}
	if got := parseSources("Types: deb\nURIs: http://a/debian http://b/debian\nSuites: x\n\nTypes: deb\nuris: http://c/debian-security\n", true); len(got) != 3 || got[2] != "http://c/debian-security" {
		t.Errorf("deb822: %q", got)
	}
	etc := t.TempDir()
	if _, err := FindMirrors(etc); !errors.Is(err, ErrUnavailable) {
		t.Errorf("no sources: %v", err)
	}
	if err := os.WriteFile(etc+"/sources.list", []byte(oneLine), 0o644); err != nil {
		t.Fatal(err)
	}
	if m, err := FindMirrors(etc); err != nil || m != (Mirrors{"http://m/debian", "http://m/debian-security"}) {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestCheckSpec(t *testing.T) {
	for _, s := range []string{"6.1", "6.12", Newest} {
		if err := CheckSpec(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "6", "6.1.2", "latest", "/no/such/file", t.TempDir()} {
		if err := CheckSpec(s); err == nil || !strings.Contains(err.Error(), "newest") {
			t.Errorf("%q: %v", s, err)
		}
	}
}
