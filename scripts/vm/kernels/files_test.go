package kernels

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// image is the head of a bzImage with a version text.
func image(version string) []byte {
	b := make([]byte, 0x1000)
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x20e:], 0x600)
	copy(b[0x800:], version+"\x00")
	return b
}

func TestBzImageVersion(t *testing.T) {
	dir := t.TempDir()
	p := filepath.Join(dir, "bzImage")
	if err := os.WriteFile(p, image("6.12.3-mine (me@here) #1 SMP"), 0o644); err != nil {
		t.Fatal(err)
	}
	k, err := bzImage(p)
	if err != nil || k.Series != "6.12" || !strings.HasPrefix(k.Version, "6.12.3-mine") || k.Image != p {
		t.Errorf("%+v, %v", k, err)
	}
	for name, b := range map[string][]byte{"short": []byte("HdrS"), "text": []byte(strings.Repeat("no kernel ", 200))} {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := bzImage(p); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzBzImageVersion(f *testing.F) {
	f.Add(image("6.1"))
	f.Add([]byte("HdrS"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := bzImageVersion(strings.NewReader(string(b))); err == nil && len(s) > 256 {
			t.Fatalf("a version of %d bytes", len(s))
		}
	})
}

func TestKernelIsStoredWithRelativePaths(t *testing.T) {
	dir := t.TempDir()
	want := Kernel{Image: "boot/vmlinuz", Series: "6.1", ABI: "6.1.0-1-amd64", Version: "6.1.1-1", Modules: "lib/modules/x"}
	if err := writeKernel(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := readKernel(dir)
	if err != nil {
		t.Fatal(err)
	}
	want.Dir, want.Image, want.Modules = dir, filepath.Join(dir, want.Image), filepath.Join(dir, want.Modules)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if _, err := readKernel(t.TempDir()); err == nil {
		t.Error("an incomplete directory was read")
	}
}

func TestKeptKernelStandsInForTheMirror(t *testing.T) {
	c := &Cache{Dir: t.TempDir()}
	for _, k := range []Kernel{
		{Series: "6.1", ABI: "6.1.0-9-cloud-amd64", Version: "6.1.27-1", Headers: []string{"h=1"}},
		{Series: "6.1", ABI: "6.1.0-56-cloud-amd64", Version: "6.1.192-2"},
		{Series: "6.1", ABI: "6.1.0-99-amd64", Version: "6.1.999-1"},
		{Series: "6.12", ABI: "6.12.1-cloud-amd64", Version: "6.12.1-1"},
	} {
		dir := filepath.Join(c.Dir, "kernels", k.ABI)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := writeKernel(dir, k); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct {
		r    Request
		want string
	}{
		{Request{Spec: "6.1", Flavour: Cloud}, "6.1.192-2"}, {Request{Spec: "6.1", Flavour: Cloud, Headers: true}, "6.1.27-1"},
		{Request{Spec: Newest, Flavour: Cloud}, "6.12.1-1"}, {Request{Spec: "5.10", Flavour: Cloud}, ""},
	} {
		if k, ok := c.kept(x.r); k.Version != x.want || ok != (x.want != "") {
			t.Errorf("%+v: %q", x.r, k.Version)
		}
	}
}

func TestLoadOrderWithoutModules(t *testing.T) {
	k := Kernel{Version: "6.1 bzImage"}
	if _, err := k.LoadOrder(t.Context(), "xfs"); err == nil || !strings.Contains(err.Error(), "xfs") {
		t.Errorf("%v", err)
	}
	if m, err := k.LoadOrder(t.Context()); m != nil || err != nil {
		t.Errorf("nothing wanted: %v, %v", m, err)
	}
}

func TestConfigHeld(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	have := write("have", "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=8\n")
	if err := configHeld(have, write("ok", "# comment\nCONFIG_A=y\nCONFIG_C=8\n")); err != nil {
		t.Error(err)
	}
	if err := configHeld(have, write("lost", "CONFIG_A=y\nCONFIG_B=y\n")); err == nil || !strings.Contains(err.Error(), "CONFIG_B=y") {
		t.Errorf("%v", err)
	}
}

func TestCompilerNamesOfHeaders(t *testing.T) {
	in := "override CC = $(if $(DEBIAN_KERNEL_NO_CC_VERSION_CHECK),,x86_64-linux-gnu-gcc-14)\nHOSTCC=gcc-13\n"
	if got := gccName.ReplaceAllString(in, "gcc-12"); strings.Contains(got, "14") || strings.Contains(got, "13") || strings.Contains(got, "gnu-gcc") {
		t.Errorf("%s", got)
	}
}
