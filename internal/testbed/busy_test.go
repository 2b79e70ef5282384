package testbed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestBusyUnmountNamesTheHolder, whatever way it holds on.
func TestBusyUnmountNamesTheHolder(t *testing.T) {
	machine(t)
	b := open(t, Spec{Config: "nojournal"})
	b.patience = 50 * time.Millisecond
	path := filepath.Join(b.Dir(), "file")
	want := writeDirect(t, path, 4)
	hold := func(edit func(*exec.Cmd), path string, flags int) *child {
		return start(t, order{Act: "hold", Path: path, Flags: flags}, edit)
	}
	for _, c := range []struct {
		how string
		by  *child
	}{
		{"fd ", hold(nil, path, unix.O_RDONLY)},
		{"cwd", hold(func(cmd *exec.Cmd) { cmd.Dir = b.Dir() }, "/dev/null", unix.O_RDONLY)},
	} {
		err := b.Unmount()
		wants(t, err, "broken", b.Dir(), fmt.Sprintf("pid %d (", c.by.pid()), c.how, "busy")
		if res, err := b.Fsck(t.Context()); err == nil || res.Ran {
			t.Errorf("fsck while it is still mounted: %+v, %v", res, err)
		}
		holds(t, path, want) // as it was
	}
	mapped := mapFile(t, path)
	wants(t, b.Unmount(), "broken", fmt.Sprintf("pid %d (", os.Getpid()), "1 mappings")
	must(t, unix.Munmap(mapped))
}

func mapFile(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	must(t, err)
	return m
}

// TestCloseOfABusyBed: it vanishes at once, and ends with its last user.
func TestCloseOfABusyBed(t *testing.T) {
	machine(t)
	b := open(t, Spec{})
	b.patience = 50 * time.Millisecond
	path := filepath.Join(b.Dir(), "file")
	writeDirect(t, path, 4)
	holder := start(t, order{Act: "hold", Path: path, Flags: unix.O_RDWR}, nil)
	wants(t, b.Close(), "broken", fmt.Sprintf("pid %d (", holder.pid()), "ends with its last user", b.device)
	if _, there, err := mountedAt(b.Dir()); there || err != nil {
		t.Errorf("still mounted: %v", err)
	}
	if left := leftovers(t, os.Getpid()); len(left) != 1 || !strings.HasPrefix(left[0], "loop device ") {
		t.Errorf("left beside the loop device that is in use: %q", left)
	}
	must(t, b.Close())
	holder.kill()
	until(t, "the loop device ends with its last user", func() bool { return len(leftovers(t, os.Getpid())) == 0 })
}

// TestMountCopiedToAnotherNamespace: it is unmounted here and yet not gone.
func TestMountCopiedToAnotherNamespace(t *testing.T) {
	machine(t)
	b := open(t, Spec{Config: "nojournal"})
	b.patience = 50 * time.Millisecond
	other := start(t, order{Cover: []string{"/mnt"}, Act: "hold", Path: "/dev/null"}, nil)
	wants(t, b.Unmount(), "broken", b.device, "does not open exclusively", fmt.Sprintf("pid %d (", other.pid()), "mount namespace")
	if res, err := b.Fsck(t.Context()); err == nil || res.Ran {
		t.Errorf("fsck while it is mounted elsewhere: %+v, %v", res, err)
	}
	wants(t, b.Close(), "broken", "not removed", b.device)
	other.kill()
	until(t, "it can be closed", func() bool { return b.Close() == nil })
}
