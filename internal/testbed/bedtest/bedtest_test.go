package bedtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diostress/internal/kernel"
	"diostress/internal/need"
	"diostress/internal/testbed"

	"golang.org/x/sys/unix"
)

const block = 4096

// whole makes a fully written, synced file and opens it for direct I/O.
func whole(t *testing.T, b *testbed.Bed, name string, size int) (path string, fd int) {
	t.Helper()
	path = filepath.Join(b.Dir(), name)
	if err := os.WriteFile(path, bytes.Repeat([]byte{0xee}, size), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return path, fd
}

// page is memory for direct I/O.
func page(t *testing.T) []byte {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, block, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	return mem
}

// answers checks what direct writes to some blocks of a file get.
func answers(t *testing.T, what string, fd int, mem []byte, want ...error) {
	t.Helper()
	for _, at := range []int64{0, 7 * block, 3 * block} {
		n, err := unix.Pwrite(fd, mem, at)
		if !slices.Contains(want, err) || err == nil && n != block || err != nil && n != -1 {
			t.Errorf("direct write to %s at %d: %d, %v; want %v", what, at, n, err, want)
		}
	}
}

func specs() []testbed.Spec {
	return []testbed.Spec{{Need: 4 << 20}, {FS: "ext3", Need: 4 << 20}, {Need: 4 << 20, LoopDirectIO: true}}
}

func name(s testbed.Spec) string { return fmt.Sprintf("%s,direct=%v", s.FS, s.LoopDirectIO) }

// alone runs a test of beds and checks that it leaves nothing.
func alone(t *testing.T, s testbed.Spec, test func(*testing.T)) {
	t.Run(name(s), func(t *testing.T) {
		need.RootUser(t)
		need.Alone(t)
		before := made(t)
		t.Run("bed", test)
		if after := made(t); !slices.Equal(before, after) {
			t.Errorf("left: %q, before: %q", after, before)
		}
	})
}

// made lists mounts and loop devices of this process.
func made(t *testing.T) (list []string) {
	t.Helper()
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(info)) {
		if strings.Contains(line, fmt.Sprintf("/%d-", os.Getpid())) || strings.Contains(line, os.TempDir()+"/Test") {
			list = append(list, line)
		}
	}
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), fmt.Sprintf("diostress-%d-", os.Getpid())) {
			list = append(list, string(b))
		}
	}
	return list
}

func TestShutdownUnder(t *testing.T) {
	for _, s := range specs() {
		alone(t, s, func(t *testing.T) {
			b, shutdown := ShutdownUnder(t, s)
			_, fd := whole(t, b, "file", 16*block)
			mem := page(t)
			answers(t, "the file before", fd, mem, nil)
			shutdown()
			answers(t, "the file after", fd, mem, unix.EIO)
			if n, err := unix.Pread(fd, mem, 0); err != unix.EIO {
				t.Errorf("direct read: %d, %v; want EIO", n, err)
			}
			// Buffered data is taken, and lost on the way.
			buffered, err := unix.Open(filepath.Join(b.Dir(), "file"), unix.O_RDWR|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(buffered)
			if _, err := unix.Pwrite(buffered, mem, 0); err == nil {
				if err := unix.Fsync(buffered); err != unix.EIO {
					t.Errorf("fsync: %v, want EIO", err)
				}
			}
			unix.Close(buffered)
			unix.Close(fd)
			if err := b.Unmount(); err != nil {
				t.Errorf("unmount: %v", err)
			}
			if res, err := b.Fsck(context.Background()); err == nil || res.Ran || res.Clean {
				t.Errorf("fsck of a device that cannot be read: %+v, %v", res, err)
			}
			if err := b.Remount(); err == nil {
				t.Error("a device that cannot be read is mounted")
			}
		})
	}
}

func TestFullBacking(t *testing.T) {
	for _, s := range specs() {
		alone(t, s, func(t *testing.T) {
			b, fill := FullBacking(t, s)
			_, kept := whole(t, b, "kept", 16*block)
			path, given := whole(t, b, "given", 16*block)
			mem := page(t)
			answers(t, "both before", kept, mem, nil)
			answers(t, "both before", given, mem, nil)
			fill(path)
			answers(t, "the file that was not named", kept, mem, nil)
			// EIO comes from loop drivers that swallow the errno.
			answers(t, "the file that was given back", given, mem, unix.ENOSPC, unix.EIO)
			if n, err := unix.Pread(given, mem, 7*block); n != block || err != nil || !bytes.Equal(mem, make([]byte, block)) {
				t.Errorf("the file that was given back reads %d, %v, %x...; want zeros", n, err, mem[:8])
			}
			// Blocks that were free when the space ran out.
			fresh, err := os.OpenFile(filepath.Join(b.Dir(), "fresh"), os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			defer fresh.Close()
			if _, err := fresh.Write(bytes.Repeat([]byte{1}, 1<<20)); err == nil {
				err = fresh.Sync()
				if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EIO) {
					t.Errorf("fsync of a new file: %v, want ENOSPC or EIO", err)
				}
			}
			answers(t, "the file that was not named, once more", kept, mem, nil)
			fresh.Close()
			unix.Close(kept)
			unix.Close(given)
			if err := b.Unmount(); err != nil {
				t.Errorf("unmount: %v", err)
			}
		})
	}
}

// TestJournalThatWasNotReplayed is neither clean, whatever e2fsck's exit status,
// nor damage: the next mount replays it.
func TestJournalThatWasNotReplayed(t *testing.T) {
	alone(t, testbed.Spec{}, func(t *testing.T) {
		b := open(t, testbed.Spec{Need: 4 << 20})
		for i := range 20 {
			if err := os.WriteFile(filepath.Join(b.Dir(), fmt.Sprint(i)), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := kernel.Shutdown(b.Dir(), kernel.ShutdownFlushLog); err != nil {
			t.Fatal(err)
		}
		if err := b.Unmount(); err != nil {
			t.Fatal(err)
		}
		res, err := b.Fsck(context.Background())
		if err != nil || res.Ran || res.Clean || !res.Unreplayed || !strings.Contains(res.Why, "is not replayed yet") {
			t.Errorf("after the shutdown: %+v, %v", res, err)
		}
		if err := errors.Join(b.Remount(), b.Unmount()); err != nil {
			t.Fatal(err)
		}
		if res, err := b.Fsck(context.Background()); err != nil || !res.Clean || res.Unreplayed {
			t.Errorf("after a mount: %+v, %v", res, err)
		}
	})
}
