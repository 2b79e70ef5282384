package testbed

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// writeDirect makes a file of so many blocks by direct writes and returns what
// it holds.
func writeDirect(t *testing.T, path string, blocks int) []byte {
	t.Helper()
	const block = 4096
	mem, err := unix.Mmap(-1, 0, blocks*block, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	must(t, err)
	defer unix.Munmap(mem)
	for i := range mem {
		mem[i] = byte(i/block + i)
	}
	fd, err := openRetry(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_DIRECT|unix.O_CLOEXEC, 0o600)
	must(t, err)
	defer unix.Close(fd)
	if n, err := unix.Pwrite(fd, mem, 0); n != len(mem) || err != nil {
		t.Fatalf("direct write of %d bytes: %d, %v", len(mem), n, err)
	}
	return bytes.Clone(mem)
}

func holds(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, %v; want the %d bytes written", path, len(got), err, len(want))
	}
}

func TestLife(t *testing.T) {
	for _, fs := range FSNames() {
		t.Run(fs, func(t *testing.T) {
			machine(t)
			b := open(t, Spec{FS: fs, Need: 8 << 20})
			i := b.Info()
			if i.FS != fs || i.MountPoint != b.Dir() || i.Available < 8<<20 || i.BlockSize != 4096 || i.DirectIO != "yes" || i.Device != b.device || !b.CanRemount() {
				t.Errorf("info %+v", i)
			}
			if m, err := mountOf(b.Dir()); err != nil || m.fs != fs || m.source != b.device {
				t.Errorf("%s lies on %+v, %v", b.Dir(), m, err)
			}
			path := filepath.Join(b.Dir(), "file")
			want := writeDirect(t, path, 100)
			must(t, b.Sync())
			if res, err := b.Fsck(context.Background()); err == nil || res.Ran || res.Clean || !strings.Contains(res.Why, "is mounted") {
				t.Errorf("fsck of a mounted file system: %+v, %v", res, err)
			}
			must(t, b.Remount()) // it is mounted: no effect
			holds(t, path, want)

			res := unmounted(t, b)
			if !res.Ran || !res.Clean || res.ExitCode != 0 || res.Unreplayed || res.Why != "" {
				t.Errorf("fsck after a clean unmount: %+v", res)
			}
			must(t, b.Unmount()) // it is not: no effect
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s while unmounted: %v", path, err)
			}
			if err := b.Sync(); err == nil || !strings.Contains(err.Error(), "not mounted") {
				t.Errorf("sync while unmounted: %v", err)
			}
			must(t, b.Remount())
			holds(t, path, want)
			if again := b.Info(); again.Dev != i.Dev || again.MountOptions != i.MountOptions {
				t.Errorf("remounted as %+v, was %+v", again, i)
			}

			must(t, b.Close())
			nothingLeft(t, os.Getpid())
			must(t, b.Close())
			_, fsck := b.Fsck(context.Background())
			for what, err := range map[string]error{"sync": b.Sync(), "unmount": b.Unmount(), "remount": b.Remount(), "fsck": fsck} {
				if !errors.Is(err, ErrClosed) {
					t.Errorf("%s after Close: %v", what, err)
				}
			}
		})
	}
}

// superblock reads the first superblock of a device.
func superblock(t *testing.T, device string) []byte {
	t.Helper()
	f, err := os.Open(device)
	must(t, err)
	defer f.Close()
	sb := make([]byte, 1024)
	_, err = f.ReadAt(sb, 1024)
	must(t, err)
	return sb
}

// TestExt3IsExt3: block-mapped files, and none of the features that ext3 does
// not know.
func TestExt3IsExt3(t *testing.T) {
	const (
		incompatExtents = 0x40
		inodeExtents    = 0x80000                            // FS_EXTENT_FL
		ext3Incompat    = 0x2 | 0x4                          // filetype, recover
		ext3ROCompat    = 0x1 | 0x2                          // sparse_super, large_file
		ext3Compat      = 0x4 | 0x8 | 0x10 | 0x20            // has_journal, ext_attr, resize_inode, dir_index
		fsIOCGetFlags   = 2<<30 | 8<<16 | int('f')<<8 | 1<<0 // _IOR('f', 1, long)
	)
	for _, c := range []struct {
		spec Spec
		ext3 bool
	}{
		{Spec{FS: "ext3"}, true}, {Spec{Config: "ext3"}, true}, {Spec{FS: "ext4", Config: "ext3"}, true},
		{Spec{FS: "ext3", Config: "1k"}, true}, {Spec{}, false},
	} {
		machine := t.Run(c.spec.FS+"/"+c.spec.Config, func(t *testing.T) {
			machine(t)
			b := open(t, c.spec)
			sb := superblock(t, b.device)
			le := binary.LittleEndian
			compat, incompat, ro := le.Uint32(sb[0x5c:]), le.Uint32(sb[0x60:]), le.Uint32(sb[0x64:])
			if foreign := compat&^ext3Compat | incompat&^ext3Incompat | ro&^ext3ROCompat; (foreign == 0) != c.ext3 || (incompat&incompatExtents == 0) != c.ext3 {
				t.Errorf("features compat %#x incompat %#x ro_compat %#x: format of ext3 must be %v", compat, incompat, ro, c.ext3)
			}
			path := filepath.Join(b.Dir(), "file")
			writeDirect(t, path, 4)
			f, err := os.Open(path)
			must(t, err)
			defer f.Close()
			flags, err := unix.IoctlGetInt(int(f.Fd()), uint(uint32(fsIOCGetFlags)))
			if err != nil || (flags&inodeExtents == 0) != c.ext3 {
				t.Errorf("flags of a file %#x, %v: block-mapped must be %v", flags, err, c.ext3)
			}
			f.Close()
			if !unmounted(t, b).Clean {
				t.Error("not clean")
			}
		})
		if !machine {
			return
		}
	}
}

// TestSeveralBeds of one process do not get in each other's way.
func TestSeveralBeds(t *testing.T) {
	machine(t)
	a, b := open(t, Spec{}), open(t, Spec{FS: "ext3"})
	if a.Dir() == b.Dir() || a.device == b.device {
		t.Fatalf("%s on %s and %s on %s", a.Dir(), a.device, b.Dir(), b.device)
	}
	want := writeDirect(t, filepath.Join(b.Dir(), "file"), 1)
	must(t, a.Close())
	holds(t, filepath.Join(b.Dir(), "file"), want)
	if !unmounted(t, b).Clean {
		t.Error("not clean")
	}
	must(t, b.Close())
}

// TestCloseInTheMiddleOfAnything: from many goroutines, against every other
// method.
func TestCloseInTheMiddleOfAnything(t *testing.T) {
	machine(t)
	for delay := range 6 {
		b := open(t, Spec{Config: "nojournal"})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for {
					err := b.Unmount()
					_, ferr := b.Fsck(context.Background())
					rerr := b.Remount()
					_ = b.Info()
					if errors.Is(err, ErrClosed) && errors.Is(ferr, ErrClosed) && errors.Is(rerr, ErrClosed) {
						return
					}
				}
			})
			wg.Go(func() {
				time.Sleep(time.Duration(delay) * 2 * time.Millisecond)
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		nothingLeft(t, os.Getpid())
	}
}

// TestImageKeepsItsSpace: nothing that mke2fs or the mount does gives back
// what fallocate took, and the image has no name.
func TestImageKeepsItsSpace(t *testing.T) {
	machine(t)
	for _, direct := range []bool{false, true} {
		dir := ownTmpfs(t, "tmpfs", "size=256m")
		b, err := Open(context.Background(), Spec{ImageDir: dir, LoopDirectIO: direct})
		if direct && errors.Is(err, ErrUnsupported) {
			t.Logf("only without direct I/O of the loop device: %v", err)
			continue
		}
		must(t, err)
		if got, want := b.Info().LoopDirectIO, map[bool]string{false: "no", true: "yes"}[direct]; got != want {
			t.Errorf("direct I/O of the loop device: %s, want %s", got, want)
		}
		writeDirect(t, filepath.Join(b.Dir(), "file"), 10)
		must(t, b.Sync())
		if names := entriesWith(dir, ""); len(names) != 0 {
			t.Errorf("the image has a name: %v", names)
		}
		free, err := available(dir)
		must(t, err)
		if used := 256<<20 - free; used < b.plan.size {
			t.Errorf("%d bytes of an image of %d are there", used, b.plan.size)
		}
		must(t, b.Close())
		until(t, "the space of the image comes back", func() bool {
			free, err := available(dir)
			return err == nil && free == 256<<20
		})
	}
}
