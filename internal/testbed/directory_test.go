package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"diostress/internal/need"

	"golang.org/x/sys/unix"
)

// TestDirectory: a subdirectory, no more, and that goes again.
func TestDirectory(t *testing.T) {
	tidy(t)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "mine"), []byte("x"), 0o600))
	s := Spec{Directory: dir, Need: 1 << 20}
	must(t, Check(s))
	if n := len(entriesWith(dir, "")); n != 1 {
		t.Errorf("Check made something: %d entries", n)
	}
	b := open(t, s)
	m, err := mountOf(dir)
	must(t, err)
	i := b.Info()
	if i.FS != m.fs || i.Config != "" || i.MkfsOptions != nil || i.MountPoint != m.point || i.Available <= 0 || b.CanRemount() || filepath.Dir(b.Dir()) != dir {
		t.Errorf("%s: info %+v on %+v", b.Dir(), i, m)
	}
	must(t, os.MkdirAll(filepath.Join(b.Dir(), "a/b"), 0o700))
	must(t, os.WriteFile(filepath.Join(b.Dir(), "a/b/file"), make([]byte, 100), 0o600))
	must(t, b.Sync())
	for what, err := range map[string]error{"unmount": b.Unmount(), "remount": b.Remount()} {
		if err == nil || !strings.Contains(err.Error(), "is not ours") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if res, err := b.Fsck(t.Context()); err != nil || res.Ran || res.Clean || !strings.Contains(res.Why, "is not ours to check") {
		t.Errorf("fsck: %+v, %v", res, err)
	}
	must(t, b.Close())
	if left := entriesWith(dir, ""); len(left) != 1 || filepath.Base(left[0]) != "mine" {
		t.Errorf("left: %q", left)
	}
	if err := b.Sync(); !errors.Is(err, ErrClosed) {
		t.Errorf("sync after Close: %v", err)
	}
}

// TestDirectoryUnprivileged: it works without any right, also killed and
// cleaned, and root's runs are none of its business.
func TestDirectoryUnprivileged(t *testing.T) {
	machine(t)
	top := t.TempDir()
	must(t, os.Chmod(filepath.Dir(top), 0o755)) // nobody must get there
	must(t, os.Chmod(top, 0o755))
	dir, run := filepath.Join(top, "theirs"), filepath.Join(top, "run")
	for _, d := range []string{dir, run} {
		must(t, errors.Join(os.Mkdir(d, 0o700), os.Chown(d, 65534, 65534)))
	}
	must(t, os.Mkdir(filepath.Join(top, "roots"), 0o755))
	as := func(cmd *exec.Cmd) {
		nobody(cmd)
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+run, "TMPDIR="+top)
	}
	rootBed := open(t, Spec{Config: "nojournal"})

	ours := start(t, order{Act: "open", Spec: Spec{Directory: dir, Need: 1 << 20}}, as)
	wantsText(t, ours.Err, ours.Class, "")
	if filepath.Dir(ours.Dir) != dir || len(entriesWith(filepath.Join(run, "diostress"), "")) != 1 {
		t.Errorf("works in %s, records %q", ours.Dir, entriesWith(filepath.Join(run, "diostress"), ""))
	}
	ours.finish(t)
	for _, d := range []string{dir, run} {
		if left := entriesWith(d, ""); len(left) != 0 {
			t.Errorf("left in %s: %q", d, left)
		}
	}

	dead := start(t, order{Act: "open", Spec: Spec{Directory: dir}}, as)
	live := start(t, order{Act: "open", Spec: Spec{Directory: dir}}, as)
	dead.kill()
	a := once(t, order{Act: "clean"}, as)
	wantsText(t, a.Text+a.Err, a.Class, "", fmt.Sprintf("pid %d: removed the directory %s", dead.pid(), dead.Dir), fmt.Sprintf("pid %d: left alone", live.pid()))
	if strings.Contains(a.Text, fmt.Sprintf("pid %d:", os.Getpid())) {
		t.Errorf("clean as another user touches root's run: %s", a.Text)
	}
	if left := entriesWith(dir, ""); len(left) != 1 || left[0] != live.Dir {
		t.Errorf("left: %q, want %s of the live run", left, live.Dir)
	}
	live.finish(t)
	if left := append(entriesWith(dir, ""), entriesWith(run, "")...); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	must(t, rootBed.Sync())

	// What it may not do, in the class it belongs to.
	for _, c := range []struct {
		spec  Spec
		class string
		words []string
	}{
		{Spec{}, "unsupported", []string{"root", "65534", "a directory on a mounted file system works without"}},
		{Spec{FS: "ext5"}, "usage", []string{`"ext5"`}}, // typed wrongly comes first
		{Spec{Directory: filepath.Join(top, "roots")}, "usage", []string{filepath.Join(top, "roots"), "permission denied"}},
	} {
		a := once(t, order{Act: "check", Spec: c.spec}, as)
		wantsText(t, a.Err, a.Class, c.class, c.words...)
	}
}

func TestDirectoryPointedAtWrongly(t *testing.T) {
	need.RootUser(t)
	tidy(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	small := ownTmpfs(t, "tmpfs", "size=1m")
	readOnly := ownTmpfs(t, "tmpfs", "size=1m")
	must(t, unix.Mount("", readOnly, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	refuses := ownTmpfs(t, "ramfs", "") // O_DIRECT
	for _, c := range []struct {
		spec  Spec
		class string
		words []string
	}{
		{Spec{Directory: filepath.Join(dir, "none")}, "usage", []string{filepath.Join(dir, "none"), "no such file"}},
		{Spec{Directory: file}, "usage", []string{file, "is not a directory"}},
		{Spec{Directory: "/dev/null"}, "usage", []string{"/dev/null", "is not a directory"}},
		{Spec{Directory: readOnly}, "usage", []string{readOnly, "read-only"}},
		{Spec{Directory: dir, FS: "ext4"}, "usage", []string{dir, `file system "ext4"`}},
		{Spec{Directory: dir, Config: "1k"}, "usage", []string{dir, `"1k"`}},
		{Spec{Directory: dir, MkfsOptions: "-q"}, "usage", []string{dir, `"-q"`}},
		{Spec{Directory: dir, MountOptions: "noatime"}, "usage", []string{dir, `"noatime"`}},
		{Spec{Directory: dir, ImageDir: "/tmp"}, "usage", []string{dir, `"/tmp"`}},
		{Spec{Directory: dir, Device: "/dev/null"}, "usage", []string{dir, `"/dev/null"`}},
		{Spec{Directory: dir, Size: 1 << 20}, "usage", []string{dir, "size"}},
		{Spec{Directory: dir, LoopDirectIO: true}, "usage", []string{dir, "direct I/O"}},
		{Spec{Directory: small, Need: 2 << 20}, "unsupported", []string{small, "1048576 bytes available", "2097152"}},
		{Spec{Directory: refuses}, "unsupported", []string{refuses, "O_DIRECT"}},
	} {
		wants(t, Check(c.spec), c.class, c.words...)
		_, err := Open(t.Context(), c.spec)
		wants(t, err, c.class, c.words...)
	}
	for _, d := range []string{dir, small, refuses} {
		if left := entriesWith(d, ".diostress"); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	}
}

// TestDirectoryWhoseDirectIOIsALie: it says so.
func TestDirectoryWhoseDirectIOIsALie(t *testing.T) {
	machine(t)
	for config, want := range map[string]string{"data_journal": "no: data=journal", "4k": "yes"} {
		outer := open(t, Spec{Config: config})
		b := open(t, Spec{Directory: outer.Dir()})
		if i := b.Info(); i.DirectIO != want || i.DataJournal != (config == "data_journal") || i.FS != "ext4" || i.Device != outer.device || i.MountPoint != outer.Dir() {
			t.Errorf("in a directory of %s: %+v", config, i)
		}
		must(t, b.Close())
		must(t, outer.Close())
	}
	dir := ownTmpfs(t, "tmpfs", "size=8m")
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_DIRECT, 0o600)
	if err == unix.EINVAL { // tmpfs up to 6.5, mm/shmem.c
		_, err := Open(t.Context(), Spec{Directory: dir})
		wants(t, err, "unsupported", "refuses O_DIRECT")
		return
	}
	must(t, err)
	must(t, unix.Close(fd))
	memory := open(t, Spec{Directory: dir})
	if i := memory.Info(); !strings.HasPrefix(i.DirectIO, "no: ") {
		t.Errorf("direct I/O on a tmpfs: %+v", i)
	}
	must(t, memory.Close())
}
