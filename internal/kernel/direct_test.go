package kernel

import (
	"os/exec"
	"path/filepath"
	"testing"

	"diostress/internal/need"
)

func TestOpenFlags(t *testing.T) {
	if n, ok := openFlags("pos:\t0\nflags:\t02140002\nmnt_id:\t30\n"); !ok || n != 0o2140002 {
		t.Errorf("%#o %v", n, ok)
	}
	for _, bad := range []string{"", "flags:\tx\n", "pos:\t0\n"} {
		if n, ok := openFlags(bad); ok {
			t.Errorf("%q: %#o", bad, n)
		}
	}
}

func TestOtherDirectWriters(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	file := filepath.Join(t.TempDir(), "f")
	c := exec.Command("dd", "if=/dev/zero", "of="+file, "oflag=direct", "bs=4k")
	c.Args = append(c.Args, "count=100000000")
	if err := c.Start(); err != nil {
		need.Skip(t, need.Tool, "dd: "+err.Error())
	}
	defer func() { c.Process.Kill(); c.Wait() }()
	var err error
	for range 1000 {
		var found bool
		if found, err = OtherDirectWriters(); found {
			return
		}
	}
	t.Errorf("a process that writes with O_DIRECT was not seen: %v", err)
}
