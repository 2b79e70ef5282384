package initramfs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

type entry struct {
	mode         uint64
	data         string
	major, minor uint64
}

// read takes a newc archive apart as the kernel does (init/initramfs.c): a
// header of 13 fields, name and data at multiples of 4.
func read(t *testing.T, b []byte) map[string]entry {
	t.Helper()
	out := map[string]entry{}
	r := bytes.NewReader(b)
	take := func(n int) []byte {
		p := make([]byte, n)
		if _, err := io.ReadFull(r, p); err != nil {
			t.Fatalf("archive ends at %d: %v", len(b)-r.Len(), err)
		}
		return p
	}
	align := func() {
		for (len(b)-r.Len())%4 != 0 {
			if take(1)[0] != 0 {
				t.Fatal("padding is not zero")
			}
		}
	}
	for {
		h := string(take(110))
		if !strings.HasPrefix(h, "070701") {
			t.Fatalf("magic %q at %d", h[:6], len(b)-r.Len()-110)
		}
		field := func(i int) uint64 {
			v, err := strconv.ParseUint(h[6+8*i:14+8*i], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		name := string(bytes.TrimRight(take(int(field(11))), "\x00"))
		align()
		data := string(take(int(field(6))))
		align()
		if name == "TRAILER!!!" {
			if r.Len() != 0 {
				t.Fatalf("%d bytes after the trailer", r.Len())
			}
			return out
		}
		if _, twice := out[name]; twice {
			t.Fatalf("%s comes twice", name)
		}
		dir := filepath.Dir(name)
		if _, ok := out[dir]; !ok && dir != "." {
			t.Fatalf("%s comes before its directory", name)
		}
		out[name] = entry{field(1), data, field(9), field(10)}
	}
}

func archive(t *testing.T, a *Archive) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := a.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d of %d bytes, %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	a := New()
	want := map[string]string{}
	for n := range 9 { // every remainder of 4, twice
		name := "deep/er/" + strings.Repeat("n", n+1)
		want[name] = strings.Repeat("d", n)
		a.File("/"+name, 0o640, []byte(want[name]))
	}
	a.File("twice", 0o600, []byte("old"))
	a.File("./twice", 0o755, []byte("new"))
	a.Link("/bin/link", "target")
	b := archive(t, a)
	got := read(t, b)
	for name, data := range want {
		if e := got[name]; e.data != data || e.mode != typeReg|0o640 {
			t.Errorf("%s: mode %o, %q", name, e.mode, e.data)
		}
	}
	if e := got["twice"]; e.data != "new" || e.mode != typeReg|0o755 {
		t.Errorf("twice: %+v", e)
	}
	if e := got["bin/link"]; e.data != "target" || e.mode != typeLink|0o777 {
		t.Errorf("link: %+v", e)
	}
	if e := got["dev/console"]; e.mode != typeChar|0o600 || e.major != 5 || e.minor != 1 {
		t.Errorf("console: %+v", e)
	}
	for _, d := range []string{"deep", "deep/er", "proc", "sys", "tmp", "mnt", "out"} {
		if e := got[d]; e.mode != typeDir|0o755 {
			t.Errorf("directory %s: %+v", d, e)
		}
	}
	if !bytes.Equal(b, archive(t, a)) {
		t.Error("the same members give other bytes")
	}
	if !a.Has("/deep/er/n") || a.Has("/nothing") {
		t.Error("Has does not know what is there")
	}
}

func TestProgramBringsItsLoaderAndLibraries(t *testing.T) {
	host, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	a := New()
	if err := a.Program(host, "/bin/true"); err != nil {
		t.Fatal(err)
	}
	got := read(t, archive(t, a))
	data, err := os.ReadFile(host)
	if err != nil {
		t.Fatal(err)
	}
	if got["bin/true"].data != string(data) {
		t.Errorf("bin/true has %d bytes of %d", len(got["bin/true"].data), len(data))
	}
	var names []string
	for n := range got {
		names = append(names, n)
	}
	all := fmt.Sprint(names)
	if bytes.Contains(data, []byte("libc.so.6")) && (!strings.Contains(all, "libc.so.6") || !strings.Contains(all, "ld-linux")) {
		t.Errorf("neither loader nor C library: %s", all)
	}
	if err := a.Program(filepath.Join(t.TempDir(), "gone"), "/x"); err == nil {
		t.Error("a program that is not there was added")
	}
}

func TestScriptIsTakenAsItIs(t *testing.T) {
	p := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(p, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	a := New()
	if err := a.Program(p, "/s"); err != nil || !a.Has("/s") {
		t.Error(err)
	}
}
