package testbed

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseMount(t *testing.T) {
	for _, c := range []struct {
		text  string
		flags uintptr
		data  []string
		err   string
	}{
		{"", 0, nil, ""},
		{"defaults,rw", 0, nil, ""},
		{"noatime,data=journal", unix.MS_NOATIME, []string{"data=journal"}, ""},
		{"-o noatime,nodev ", unix.MS_NOATIME | unix.MS_NODEV, nil, ""},
		{"-onodelalloc", 0, []string{"nodelalloc"}, ""},
		{"sync,async,dirsync", unix.MS_DIRSYNC, nil, ""},
		{"noatime,,atime,commit=1,commit=2", 0, []string{"commit=1", "commit=2"}, ""},
		{`x="a,b c",y`, 0, []string{`x="a,b c"`, "y"}, ""},
		{"ro", 0, nil, `"ro" does not fit`},
		{"remount,noatime", 0, nil, `"remount"`},
		{"loop=/dev/loop3", 0, nil, `"loop=/dev/loop3"`},
		{"a b", 0, nil, "by commas"},
		{`x="a`, 0, nil, "not closed"},
		{"a\x00", 0, nil, "control character"},
		{"a\tb", 0, nil, "control character"},
	} {
		m, err := parseMount(c.text)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: error %v, want %q", c.text, err, c.err)
		}
		if err == nil && (m.flags != c.flags || !slices.Equal(m.data, c.data)) {
			t.Errorf("%q: %#x %q, want %#x %q", c.text, m.flags, m.data, c.flags, c.data)
		}
	}
	own, _ := parseMount("noatime,nodev,data=journal")
	user, _ := parseMount("atime,sync,data=ordered")
	sum := own.add(user)
	if sum.flags != unix.MS_NODEV|unix.MS_SYNCHRONOUS || !sum.has("data=ordered") || sum.has("data=journal") || sum.has("data") || own.has("data=ordered") {
		t.Errorf("%+v and %+v: %+v", own, user, sum)
	}
}

func FuzzParseMount(f *testing.F) {
	for _, s := range []string{"", "-o noatime", "data=journal,sync", `x="a,b"`, "atime,noatime", "-o-o", ",,", ",\v0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseMount(text)
		if err != nil {
			return
		}
		data := strings.Join(m.data, ",")
		if strings.ContainsAny(data, "\x00\n") || m.flags&m.clear != 0 || m.flags&unix.MS_RDONLY != 0 {
			t.Fatalf("%q: %+v", text, m)
		}
		for _, o := range m.data {
			if o == "" || mountFlags()[o] != 0 {
				t.Fatalf("%q: option %q for the file system", text, o)
			}
		}
		again, err := parseMount("-o " + data)
		if err != nil || !slices.Equal(again.data, m.data) || again.flags != 0 {
			t.Fatalf("%q: options %q, and those %+v, %v", text, m.data, again, err)
		}
	})
}

func TestParseMountinfo(t *testing.T) {
	list, err := parseMountinfo(`22 27 0:21 / /proc rw,relatime - proc proc rw
36 35 98:0 /mnt1 /a\040b\134c rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue
40 27 259:1 / /x rw shared:7 - btrfs /dev/nvme0n1p1 rw,subvol=/a - b
41 27 0:55 / /empty rw -  fuse  rw
`)
	want := []mount{
		{22, 0, 21, "/proc", "rw,relatime", "proc", "proc", "rw"},
		{36, 98, 0, `/a b\c`, "rw,noatime", "ext3", "/dev/root", "rw,errors=continue"},
		{40, 259, 1, "/x", "rw", "btrfs", "/dev/nvme0n1p1", "rw,subvol=/a - b"},
	}
	if err != nil || len(list) != 4 || !reflect.DeepEqual(list[:3], want) {
		t.Errorf("%+v, %v", list, err)
	}
	for _, line := range []string{
		"x", "22 27 0:21 / /proc rw,relatime proc proc rw", "x 27 0:21 / /proc rw - proc proc rw", "22 27 0 / /proc rw - proc proc rw",
		"22 27 0:x / /proc rw - proc proc rw", "22 27 0:99999999999 / /proc rw - proc proc rw", "22 27 0:21 / /proc rw - proc proc",
	} {
		if list, err := parseMountinfo("22 27 0:21 / /proc rw - proc proc rw\n" + line + "\n"); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", line)) {
			t.Errorf("%q: %+v, %v; a line that is not understood must not be passed over", line, list, err)
		}
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "/a": "/a", `/a\040b`: "/a b", `\011\012\134`: "\t\n\\", `a\`: `a\`, `a\04`: `a\04`, `\777`: `\777`, `\08x`: `\08x`, `\134040`: `\040`,
	} {
		if got := unescape(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// mangled writes a field as the kernel does.
func mangled(s string) string {
	return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(s)
}

func FuzzMountinfo(f *testing.F) {
	f.Add("22 27 0:21 / /proc rw,relatime - proc proc rw\n", "/a b", uint64(1), uint32(8), uint32(1))
	f.Add("36 35 98:0 / /x rw master:1 - ext3 /dev/root rw", `/a\040`, uint64(0), uint32(0), uint32(0))
	f.Add("1 1 1:1 - - - -", "-", uint64(7), uint32(1), uint32(2))
	f.Fuzz(func(t *testing.T, text, point string, id uint64, major, minor uint32) {
		if list, err := parseMountinfo(text); err == nil {
			lines := 0
			for line := range strings.SplitSeq(text, "\n") {
				if line != "" {
					lines++
				}
			}
			if lines != len(list) {
				t.Fatalf("%d mounts of %d lines: %q", len(list), lines, text)
			}
		}
		// What the kernel writes is read back.
		want := mount{id, major, minor, point, "rw", "ext4", point, "rw,x=" + point}
		line := fmt.Sprintf("%d 1 %d:%d / %s rw shared:1 - ext4 %s rw,x=%s\n", id, major, minor, mangled(point), mangled(point), mangled(point))
		if list, err := parseMountinfo(line); err != nil || len(list) != 1 || list[0] != want {
			t.Fatalf("%q: %+v, %v; want %+v", line, list, err, want)
		}
	})
}

// TestMountOf agrees with the device number of the path, through links too.
func TestMountOf(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink("/proc/self", link))
	for path, fs := range map[string]string{"/proc": "proc", "/proc/self": "proc", link: "proc", "/sys/class": "sysfs"} {
		if m, err := mountOf(path); err != nil || m.fs != fs {
			t.Errorf("%s: %+v, %v; want %s", path, m, err, fs)
		}
	}
	if _, err := mountOf("/no such path"); err == nil {
		t.Error("a path that is not there lies on a mount")
	}
}

func TestParseStat(t *testing.T) {
	letter, start, err := parseStat("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21\n")
	if letter != 'S' || start != 4711 || err != nil {
		t.Errorf("%c, %d, %v", letter, start, err)
	}
	for _, bad := range []string{"", "7 (a", "7 (a) S", "7 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x", "7 (a) SS 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 1"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if letter, start, err := procStart(os.Getpid()); err != nil || letter != 'R' && letter != 'S' || start == 0 {
		t.Errorf("this process: %c, %d, %v", letter, start, err)
	}
}

func FuzzParseEntryName(f *testing.F) {
	for _, s := range []string{"1-2", "1-2-3", "01-2", "1--2", "-1-2", "1-2-", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		pid, start, ok := parseEntryName(name)
		if !ok {
			return
		}
		if pid <= 0 || strings.Trim(name, "0123456789-") != "" {
			t.Fatalf("%q: %d, %d", name, pid, start)
		}
		if p, s, ok := parseEntryName(fmt.Sprintf("%d-%d", pid, start)); !ok || p != pid || s != start {
			t.Fatalf("%q: %d, %d, and those not again", name, pid, start)
		}
	})
}
