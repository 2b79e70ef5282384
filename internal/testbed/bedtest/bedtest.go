// Package bedtest makes beds whose device fails on request: with EIO, because
// the file system below its image is shut down, or with ENOSPC, because what
// its image lies on is full. The faults are real, from the block layer up.
//
// Only tests import it. It never simulates an error, and leaves nothing behind
// when the test ends.
package bedtest

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"diostress/internal/kernel"
	"diostress/internal/need"
	"diostress/internal/testbed"

	"golang.org/x/sys/unix"
)

// open opens a bed and closes it when the test ends.
func open(t testing.TB, s testbed.Spec) *testbed.Bed {
	t.Helper()
	b, err := testbed.Open(context.Background(), s)
	if errors.Is(err, testbed.ErrUnsupported) {
		need.Skip(t, need.Tool, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// sized gives a Spec for an image a size, as the place for the image is made
// first.
func sized(t testing.TB, s testbed.Spec) testbed.Spec {
	t.Helper()
	need.RootUser(t)
	if s.ImageDir != "" || s.Directory != "" || s.Device != "" {
		t.Fatalf("bedtest: %+v: the place of the image is chosen here", s)
	}
	if s.Size == 0 {
		s.Size = 80<<20 + s.Need/8*9
	}
	return s
}

// ShutdownUnder opens a bed whose image lies on an ext4 of its own, and returns
// a function that shuts that one down (kernel.Shutdown): from then on the
// bed's device answers every read and every write with EIO, for good.
//
// The bed's journal aborts with its next transaction, and the bed becomes
// read-only; it can be unmounted and closed, but neither checked nor mounted
// again. The caller holds need.Alone. s may set everything but the place of
// the image.
func ShutdownUnder(t testing.TB, s testbed.Spec) (bed *testbed.Bed, shutdown func()) {
	t.Helper()
	s = sized(t, s)
	outer := open(t, testbed.Spec{Need: s.Size + 1<<20})
	s.ImageDir = outer.Dir()
	return open(t, s), func() {
		t.Helper()
		if err := kernel.Shutdown(outer.Dir(), kernel.ShutdownNoFlushLog); err != nil {
			t.Fatal(err)
		}
	}
}

// slack is what a tmpfs needs beyond the image, bytes.
const slack = 1 << 20

// ownTmpfs mounts a tmpfs for the test.
func ownTmpfs(t testing.TB, size string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The loop driver closes the image a moment after the bed is closed.
		err := unix.Unmount(dir, 0)
		for end := time.Now().Add(5 * time.Second); err == unix.EBUSY && time.Now().Before(end); err = unix.Unmount(dir, 0) {
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fillUp writes a file until there is no space left, to the last page.
func fillUp(t testing.TB, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for buf := make([]byte, 1<<20); len(buf) >= os.Getpagesize(); {
		if _, err = f.Write(buf); errors.Is(err, unix.ENOSPC) {
			buf = buf[:len(buf)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
