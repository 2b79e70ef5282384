package kernel

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"diostress/internal/need"

	"golang.org/x/sys/unix"
)

const blockSize = 4096

// ext4Dir is a directory on an ext4 of the test's own, on a loop device where
// the tools for it are there, else the temporary directory if that is ext4.
func ext4Dir(t *testing.T) string {
	t.Helper()
	need.RootUser(t)
	need.Alone(t)
	for _, tool := range []string{"losetup", "mkfs.ext4", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			dir := t.TempDir()
			var st unix.Statfs_t
			if err := unix.Statfs(dir, &st); err != nil {
				t.Fatal(err)
			}
			if st.Type != unix.EXT4_SUPER_MAGIC {
				need.Skip(t, need.Tool, tool+" is missing, and the temporary directory is not ext4")
			}
			return dir
		}
	}
	where := "/dev/shm"
	if _, err := os.Stat(where); err != nil {
		where = t.TempDir()
	}
	img := filepath.Join(where, fmt.Sprintf("diostress-kernel-test-%d.img", os.Getpid()))
	if err := os.WriteFile(img, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(img) })
	if err := os.Truncate(img, 64<<20); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v: %s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("mkfs.ext4", "-q", "-b", "4096", img)
	loop := run("losetup", "--find", "--show", img)
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "-d", loop).CombinedOutput(); err != nil {
			t.Errorf("losetup -d %s: %v: %s", loop, err, out)
		}
	})
	dir := t.TempDir()
	run("mount", loop, dir)
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("umount %s: %v", dir, err)
		}
	})
	return dir
}

// testFile is a fully written file with a direct and a buffered descriptor.
type testFile struct {
	TraceFile
	path     string
	direct   int
	buffered int
	size     int64
}

func newTestFile(t *testing.T, dir, name string, size int64) *testFile {
	t.Helper()
	f := &testFile{path: filepath.Join(dir, name), size: size}
	if err := os.WriteFile(f.path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if f.direct, err = unix.Open(f.path, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(f.direct) })
	if f.buffered, err = unix.Open(f.path, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(f.buffered) })
	if err := unix.Fsync(f.buffered); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.direct, &st); err != nil {
		t.Fatal(err)
	}
	f.TraceFile = TraceFile{Dev: uint64(st.Dev), Ino: st.Ino}
	return f
}

func mapped(t *testing.T, fd int, size int64) []byte {
	t.Helper()
	flags := unix.MAP_SHARED
	if fd < 0 {
		flags |= unix.MAP_ANONYMOUS
	}
	m, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	return m
}

func pwrite(t *testing.T, fd int, b []byte, off int64) {
	t.Helper()
	for {
		n, err := unix.Pwrite(fd, b, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n != len(b) {
			t.Fatalf("pwrite of %d at %d: %d, %v", len(b), off, n, err)
		}
		return
	}
}

// collide makes direct writes against mmap stores to the same pages until enough
// says so, for at most 10 s.
func collide(t *testing.T, f *testFile, enough func() bool) {
	t.Helper()
	m := mapped(t, f.buffered, f.size)
	buf := mapped(t, -1, 64<<10)
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		rng := rand.New(rand.NewPCG(1, 1))
		for !stop.Load() {
			p := rng.IntN(len(m)/blockSize) * blockSize
			atomic.AddUint32((*uint32)(unsafe.Pointer(&m[p])), 1)
		}
	})
	defer wg.Wait()
	defer stop.Store(true)
	end := time.Now().Add(10 * time.Second)
	for i := int64(0); !enough(); i++ {
		if time.Now().After(end) {
			t.Fatal("no collisions in 10 s")
		}
		pwrite(t, f.direct, buf, i*int64(len(buf))%f.size)
	}
}

// mustTrace opens a trace with the wanted source, or skips where the machine
// has neither.
func mustTrace(t *testing.T, o Options) *Trace {
	t.Helper()
	tr, err := OpenTrace(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	if tr.Source() == SourceUnavailable {
		need.Skip(t, need.Tracepoints, tr.Why())
	}
	if !tr.Has(InvalidateFail) {
		need.Skip(t, need.Tracepoints, tr.Reason(InvalidateFail))
	}
	return tr
}

// independent counts a tracepoint on one device with perf events of its own.
type independent struct{ fds []int }

func newIndependent(t *testing.T, system, event string, dev uint64) *independent {
	t.Helper()
	fs, err := openTracefs()
	if err != nil {
		t.Fatal(err)
	}
	defer fs.close()
	f, err := fs.format(source{system: system, event: event})
	if err != nil {
		t.Fatal(err)
	}
	in := &independent{}
	cpus, _, err := onlineCPUs()
	if err != nil {
		t.Fatal(err)
	}
	for _, cpu := range cpus {
		attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Config: uint64(f.ID)}
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		if err := setPerfFilter(fd, fmt.Sprintf("dev == %d", kernelDev(dev))); err != nil {
			t.Fatal(err)
		}
		in.fds = append(in.fds, fd)
	}
	return in
}

func (in *independent) count(t *testing.T) (sum uint64) {
	t.Helper()
	for _, fd := range in.fds {
		var b [8]byte
		if _, err := unix.Read(fd, b[:]); err != nil {
			t.Fatal(err)
		}
		sum += binary.NativeEndian.Uint64(b[:])
	}
	return sum
}

func sources(t *testing.T, fn func(t *testing.T, source string)) {
	for _, s := range []string{SourcePerf, SourceTracefs} {
		t.Run(s, func(t *testing.T) { fn(t, s) })
	}
}

// aioWrite queues one direct write per offset with libaio and waits for all.
func aioWrite(t *testing.T, fd int, buf []byte, offs []int64) {
	t.Helper()
	type iocb struct {
		data         uint64
		key, rwf     uint32
		op           uint16
		prio         int16
		fd           uint32
		buf, n       uint64
		off          int64
		reserved     uint64
		flags, resfd uint32
	}
	mem := mapped(t, -1, 64<<10)
	cbs := unsafe.Slice((*iocb)(unsafe.Pointer(&mem[0])), len(offs))
	ptrs := unsafe.Slice((*uintptr)(unsafe.Pointer(&mem[16<<10])), len(offs))
	for i, off := range offs {
		cbs[i] = iocb{op: 1, fd: uint32(fd), buf: uint64(uintptr(unsafe.Pointer(&buf[0]))), n: uint64(len(buf)), off: off}
		ptrs[i] = uintptr(unsafe.Pointer(&cbs[i]))
	}
	var ctx uintptr
	if _, _, e := unix.Syscall(unix.SYS_IO_SETUP, uintptr(len(offs)), uintptr(unsafe.Pointer(&ctx)), 0); e != 0 {
		t.Fatal("io_setup:", e)
	}
	defer unix.Syscall(unix.SYS_IO_DESTROY, ctx, 0, 0)
	n, _, e := unix.Syscall(unix.SYS_IO_SUBMIT, ctx, uintptr(len(offs)), uintptr(unsafe.Pointer(&ptrs[0])))
	if e != 0 || int(n) != len(offs) {
		t.Fatalf("io_submit: %d, %v", n, e)
	}
	for done := 0; done < len(offs); {
		got, _, e := unix.Syscall6(unix.SYS_IO_GETEVENTS, ctx, 1, uintptr(len(offs)), uintptr(unsafe.Pointer(&mem[32<<10])), 0, 0)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			t.Fatal("io_getevents:", e)
		}
		for i := range int(got) {
			if res := int64(binary.NativeEndian.Uint64(mem[32<<10+32*i+16:])); res != int64(len(buf)) {
				t.Fatalf("io_event res %d, want %d", res, len(buf))
			}
		}
		done += int(got)
	}
}
