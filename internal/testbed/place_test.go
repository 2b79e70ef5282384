package testbed

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"diostress/internal/need"

	"golang.org/x/sys/unix"
)

func TestPlaceImage(t *testing.T) {
	need.RootUser(t)
	small := ownTmpfs(t, "tmpfs", "size=8m")
	for _, c := range []struct {
		dir   string
		size  int64
		where string
		class string
		words []string
	}{
		{small, 8 << 20, small, "", nil}, // named: to the last byte
		{small, 8<<20 + 1, "", "unsupported", []string{small, "8388608 bytes available", "8388609"}},
		{"", 1 << 59, "", "unsupported", []string{"/dev/shm", os.TempDir(), "name another image directory"}},
	} {
		dir, err := placeImage(c.dir, c.size)
		if c.class != "" {
			wants(t, err, c.class, c.words...)
		} else if err != nil || dir != c.where {
			t.Errorf("image of %d bytes in %q: %q, %v", c.size, c.dir, dir, err)
		}
	}
	if dir, err := placeImage("", 1<<20); dir != "/dev/shm" && fitsMemory("/dev/shm", 1<<20) == nil || err != nil && dir != "" {
		t.Errorf("a small image: %q, %v", dir, err)
	}

	// Where /dev/shm is small, the directory for temporary files comes next.
	temp := t.TempDir()
	must(t, os.Chmod(temp, 0o777))
	cover := []string{"/dev/shm"} // by a tmpfs of 16 MiB
	if a := once(t, order{Cover: cover, Act: "place", Size: 32 << 20}, setenv("TMPDIR", temp)); a.Text != temp {
		t.Errorf("with a small /dev/shm: %+v, want %s", a, temp)
	}
	a := once(t, order{Cover: cover, Act: "place", Size: 32 << 20}, setenv("TMPDIR", filepath.Join(temp, "none")))
	wantsText(t, a.Err, a.Class, "unsupported", "/dev/shm has", filepath.Join(temp, "none"))
	if err := fitsMemory(temp, 1); err == nil {
		var st unix.Statfs_t
		if must(t, unix.Statfs(temp, &st)); int64(st.Type) != unix.TMPFS_MAGIC {
			t.Errorf("%s is taken for memory", temp)
		}
	}
}

// TestReserve: the space is there, or it is said in time.
func TestReserve(t *testing.T) {
	need.RootUser(t)
	for _, fs := range []string{"tmpfs", "ramfs"} { // with fallocate and without
		dir := ownTmpfs(t, fs, "")
		f, err := os.Create(filepath.Join(dir, "image"))
		must(t, err)
		const size = 5<<20 + 4096
		must(t, reserve(t.Context(), f, size))
		var st unix.Stat_t
		must(t, errors.Join(unix.Fstat(int(f.Fd()), &st), f.Close()))
		if st.Size != size || fs == "tmpfs" && st.Blocks*512 < size {
			t.Errorf("%s: %d bytes in %d sectors, want %d", fs, st.Size, st.Blocks, size)
		}
	}
	dir := ownTmpfs(t, "tmpfs", "size=1m")
	f, err := os.Create(filepath.Join(dir, "image"))
	must(t, err)
	defer f.Close()
	wants(t, reserve(t.Context(), f, 2<<20), "unsupported", f.Name(), "no space for 2097152 bytes", "1048576 available")
	err = writeZeros(t.Context(), f, 2<<20)
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("zeros beyond the space: %v", err)
	}
}

// TestNoSpaceAtOpen: what was there at Check is gone at Open.
func TestNoSpaceAtOpen(t *testing.T) {
	machine(t)
	dir := ownTmpfs(t, "tmpfs", "size=24m")
	must(t, Check(Spec{ImageDir: dir, Size: 16 << 20}))
	must(t, os.WriteFile(filepath.Join(dir, "other"), make([]byte, 12<<20), 0o600))
	_, err := Open(t.Context(), Spec{ImageDir: dir, Size: 16 << 20})
	wants(t, err, "unsupported", dir, "the image needs 16777216")
	nothingLeft(t, os.Getpid(), dir)
	// Too small for the files, which shows once it is made.
	must(t, os.Remove(filepath.Join(dir, "other")))
	_, err = Open(t.Context(), Spec{ImageDir: dir, Size: 16 << 20, Need: 15 << 20, Config: "1k"})
	wants(t, err, "unsupported", "the files need 15728640", "ask for a larger one")
	nothingLeft(t, os.Getpid(), dir)
}
