package mmapdirty

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"diostress/internal/need"

	"golang.org/x/sys/unix"
)

// mountExt4 mounts a new ext4 on a loop device until the test ends.
func mountExt4(t testing.TB) (dir string) {
	t.Helper()
	need.RootUser(t)
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		need.Skip(t, need.Tool, err.Error())
	}
	need.Alone(t)
	img := filepath.Join(t.TempDir(), "img")
	if fi, err := os.Stat("/dev/shm"); err == nil && fi.IsDir() {
		shm, err := os.MkdirTemp("/dev/shm", "mmapdirty")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(shm) })
		img = filepath.Join(shm, "img")
	}
	dir = t.TempDir()
	for _, args := range [][]string{
		{"truncate", "-s", "64M", img},
		{"mkfs.ext4", "-q", "-F", img},
		{"mount", "-o", "loop", img, dir},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

func fileOn(t testing.TB, dir string, size int64) File {
	t.Helper()
	path := filepath.Join(dir, "data")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	return File{Path: path, Size: size}
}

func TestStuckInTheKernel(t *testing.T) {
	dir := mountExt4(t)
	f := fileOn(t, dir, blk*blocks)
	g := start(t, config("write,read", []File{f}, oneInFlight()))
	untilOps(t, g, 10)

	// Writers wait in the kernel while the file system is frozen.
	const fifreeze, fithaw = 0xC0045877, 0xC0045878
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := unix.IoctlSetInt(int(root.Fd()), fifreeze, 0); err != nil {
		t.Fatal(err)
	}
	thaw := func() {
		if err := unix.IoctlSetInt(int(root.Fd()), fithaw, 0); err != nil {
			t.Fatal(err)
		}
	}
	frozen := true
	defer func() {
		if frozen {
			thaw()
		}
	}()
	for name, f := range map[string]func(time.Duration) error{"Pause": g.Pause, "Stop": g.Stop} {
		err := f(50 * time.Millisecond)
		var stuck *StuckError
		if !errors.As(err, &stuck) {
			t.Fatalf("%s of a dirtier on a frozen file system: %v", name, err)
		}
		w := g.Writers()[0]
		if len(stuck.Dirtiers) != 1 || stuck.Dirtiers[0].Writer != w || w.Kind != Write {
			t.Errorf("%s: stuck are %+v, want only %+v", name, stuck.Dirtiers, w)
		}
		for _, want := range []string{"write writer 100", "thread " + strconv.Itoa(w.TID), "50ms"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q lacks %q", name, err, want)
			}
		}
	}
	thaw()
	frozen = false
	if err := g.Stop(patient); err != nil {
		t.Errorf("Stop after the thaw: %v", err)
	}
}

// failures counts iomap:iomap_dio_invalidate_fail on all CPUs.
type failures []int

// countFailures counts those of one file: others may collide elsewhere.
func countFailures(t testing.TB, f File) failures {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(f.Path, &st); err != nil {
		t.Fatal(err)
	}
	// The kernel's own numbers have 20 bits for the minor (include/linux/kdev_t.h).
	filter, err := unix.BytePtrFromString(fmt.Sprintf("dev == %d && ino == %d", unix.Major(st.Dev)<<20|unix.Minor(st.Dev), st.Ino))
	if err != nil {
		t.Fatal(err)
	}
	tracefs := t.TempDir()
	if err := unix.Mount("tracefs", tracefs, "tracefs", 0, ""); err != nil {
		need.Skip(t, need.Tracepoints, "mount tracefs: "+err.Error())
	}
	b, err := os.ReadFile(filepath.Join(tracefs, "events/iomap/iomap_dio_invalidate_fail/id"))
	if uerr := unix.Unmount(tracefs, 0); uerr != nil {
		t.Fatal(uerr)
	}
	if err != nil {
		need.Skip(t, need.Tracepoints, err.Error())
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var fs failures
	for cpu := range runtime.NumCPU() {
		attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Config: id}
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			need.Skip(t, need.Tracepoints, "perf_event_open: "+err.Error())
		}
		t.Cleanup(func() { unix.Close(fd) })
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_SET_FILTER, uintptr(unsafe.Pointer(filter))); errno != 0 {
			t.Fatalf("filter of iomap_dio_invalidate_fail: %v", errno)
		}
		fs = append(fs, fd)
	}
	return fs
}

func (fs failures) count(t testing.TB) (n uint64) {
	t.Helper()
	for _, fd := range fs {
		var b [8]byte
		if _, err := unix.Read(fd, b[:]); err != nil {
			t.Fatal(err)
		}
		n += binary.NativeEndian.Uint64(b[:])
	}
	return n
}

// directWrites keeps depth O_DIRECT writes (libaio) of bs bytes in flight until
// stop is set, and publishes them in tab. It returns how many completed in full.
func directWrites(f File, tab *Table, bs int, stop *atomic.Bool) (done uint64, err error) {
	type iocb struct {
		data             uint64
		key, rwFlags     uint32
		opcode           uint16
		prio             int16
		fd               uint32
		buf, nbytes, off uint64
		_                uint64
		flags, resfd     uint32
	}
	type event struct {
		data, obj  uint64
		res, extra int64
	}
	const pwrite = 1
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	depth := tab.Slots()
	fd, err := unix.Open(f.Path, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	mem, err := unix.Mmap(-1, 0, depth*bs+depth*64+os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return 0, err
	}
	defer unix.Munmap(mem)
	cbs := unsafe.Slice((*iocb)(unsafe.Pointer(&mem[depth*bs])), depth)
	var ctx uint64
	if _, _, e := unix.Syscall(unix.SYS_IO_SETUP, uintptr(depth), uintptr(unsafe.Pointer(&ctx)), 0); e != 0 {
		return 0, e
	}
	defer unix.Syscall(unix.SYS_IO_DESTROY, uintptr(ctx), 0, 0)
	rnd := uint64(1)
	submit := func(s int) error {
		rnd = rnd*6364136223846793005 + 1442695040888963407
		off := int64(rnd>>33) % (f.Size / int64(bs)) * int64(bs)
		cbs[s] = iocb{data: uint64(s), opcode: pwrite, fd: uint32(fd), buf: uint64(uintptr(unsafe.Pointer(&mem[s*bs]))), nbytes: uint64(bs), off: uint64(off)}
		p := &cbs[s]
		tab.Begin(s, 0, off, bs)
		for {
			_, _, e := unix.Syscall(unix.SYS_IO_SUBMIT, uintptr(ctx), 1, uintptr(unsafe.Pointer(&p)))
			if e == 0 {
				return nil
			}
			if e != unix.EINTR && e != unix.EAGAIN {
				return e
			}
		}
	}
	inFlight := 0
	for s := range depth {
		if err := submit(s); err != nil {
			return 0, err
		}
		inFlight++
	}
	events := make([]event, depth)
	for inFlight > 0 {
		n, _, e := unix.Syscall6(unix.SYS_IO_GETEVENTS, uintptr(ctx), 1, uintptr(depth), uintptr(unsafe.Pointer(&events[0])), 0, 0)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return done, e
		}
		for _, ev := range events[:n] {
			tab.End(int(ev.data))
			inFlight--
			if ev.res == int64(bs) {
				done++
			}
			if !stop.Load() {
				if err := submit(int(ev.data)); err != nil {
					return done, err
				}
				inFlight++
			}
		}
	}
	return done, nil
}

type collided struct {
	writes, failed uint64
	stats          []KindStats
}

// collide runs direct writes against dirtiers for a while.
func collide(t testing.TB, fails failures, f File, sets []Set, bs, depth int, span time.Duration) collided {
	t.Helper()
	tab := NewTable(depth)
	cfg := config("none", []File{f}, tab)
	cfg.Sets = sets
	g := start(t, cfg)
	before := fails.count(t)
	var stop atomic.Bool
	time.AfterFunc(span, func() { stop.Store(true) })
	writes, err := directWrites(f, tab, bs, &stop)
	if err != nil {
		t.Fatal(err)
	}
	c := collided{writes: writes, failed: fails.count(t) - before, stats: g.Stats()}
	if err := g.Stop(patient); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDirtiersMakeDirectWritesCollide(t *testing.T) {
	dir := mountExt4(t)
	f := fileOn(t, dir, 256<<10)
	fails := countFailures(t, f)
	c := collide(t, fails, f, DefaultSets(Spec{}.With(Mmap, 2).With(Fsync, 1)), 4096, 16, time.Second)
	t.Logf("%d of %d direct writes failed to invalidate; %+v", c.failed, c.writes, c.stats)
	switch {
	case c.failed > 0 && c.failed < 10 && need.Emulated():
		need.Skip(t, need.Speed, fmt.Sprintf("%d of %d direct writes failed to invalidate in a second of emulation", c.failed, c.writes))
	case c.writes == 0 || c.failed < 10:
		t.Errorf("%d of %d direct writes failed to invalidate, want at least 10", c.failed, c.writes)
	}
	if c.stats[0].Overlaps == 0 {
		t.Error("no overlap counted")
	}
	// A failure after the write shows at the next fsync of each description.
	if s := c.stats[1]; s.EIO == 0 || s.Errnos[unix.EIO] != s.EIO || s.EIO > s.Syncs {
		t.Errorf("%+v: want some fsync calls to return EIO", s)
	}
	if none := collide(t, fails, f, nil, 4096, 16, 200*time.Millisecond); none.failed != 0 || none.writes == 0 {
		t.Errorf("%d of %d direct writes failed to invalidate without dirtiers", none.failed, none.writes)
	}
}
