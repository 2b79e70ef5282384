package uring

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	"diostress/internal/need"
	"diostress/ioengine"
)

// ringFor opens an engine over a new file of 1 MiB on a locked thread, and
// closes it at the end of the test.
func ringFor(t *testing.T, o ioengine.Options, regionMax uintptr) *Engine {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	if len(o.Arena) == 0 {
		o.Arena = mapping(t, 64*4096)
		o.BufSize = 4096
	}
	if o.Files == nil {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if err := f.Truncate(1 << 20); err != nil {
			t.Fatal(err)
		}
		o.Files = []int{int(f.Fd())}
	}
	e, err := open(o, regionMax)
	if errors.Is(err, ioengine.ErrUnsupported) {
		need.Skip(t, need.IOUring, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func mapping(t *testing.T, size int) []byte {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	return mem
}

// TestOverflow posts far more completions than the CQ ring holds, as a kernel
// that completes twice would.
func TestOverflow(t *testing.T) {
	for _, v := range variants() {
		t.Run(v.name, func(t *testing.T) {
			var o ioengine.Options
			v.apply(&o)
			o.Depth, o.Arena, o.BufSize = 8, mapping(t, 64*4096), 4096
			e := ringFor(t, o, maxRegion)
			const nops = 200
			for sent := 0; sent < nops; {
				sqe := e.ring.GetSQE()
				for sqe == nil {
					if !e.sqpoll {
						t.Fatal("the SQ ring is full right after a submit")
					}
					time.Sleep(time.Millisecond)
					sqe = e.ring.GetSQE()
				}
				*sqe = giouring.SubmissionQueueEntry{}
				sqe.PrepareNop()
				sqe.UserData = uint64(1000 + sent)
				if _, err := e.ring.Submit(); err != nil {
					t.Fatal(err)
				}
				sent++
			}
			seen := map[uint64]int{}
			dst := make([]ioengine.Completion, 7)
			for total := 0; total < nops; {
				n, err := e.Reap(dst, 1, 2*time.Second)
				if err != nil || n == 0 {
					t.Fatalf("after %d of %d: %d, %v", total, nops, n, err)
				}
				for _, c := range dst[:n] {
					seen[c.Tag]++
				}
				total += n
			}
			for i := range nops {
				if seen[uint64(1000+i)] != 1 {
					t.Errorf("completion %d came %d times", i, seen[uint64(1000+i)])
				}
			}
			if n, err := e.Reap(dst, 1, 10*time.Millisecond); n != 0 || err != nil {
				t.Errorf("afterwards: %d, %v", n, err)
			}
			if e.inflight != 0 {
				t.Errorf("%d in flight after surplus completions", e.inflight)
			}
		})
	}
}

// TestDroppedIsReported: the kernel's count of dropped completions, wound up by
// hand.
func TestDroppedIsReported(t *testing.T) {
	e := ringFor(t, ioengine.Options{Depth: 4}, maxRegion)
	count := uint32(3)
	real := e.view.overflow
	e.view.overflow = &count
	defer func() { e.view.overflow = real }()
	dst := make([]ioengine.Completion, 4)
	if n, err := e.Reap(dst, 1, 10*time.Millisecond); n != 0 || !errors.Is(err, errDropped) || !strings.Contains(err.Error(), "3") {
		t.Errorf("reap: %d, %v; want the error about 3 dropped", n, err)
	}
	if n, err := e.Reap(dst, 0, 0); n != 0 || err != nil {
		t.Errorf("reported again: %d, %v", n, err)
	}
}

// TestLeftovers: requests that stay in the SQ ring after a refusal are given
// back to the caller and never sent behind its back.
func TestLeftovers(t *testing.T) {
	e := ringFor(t, ioengine.Options{Depth: 8}, maxRegion)
	arena := mapping(t, 8*4096)
	req := func(tag uint64) ioengine.Request {
		return ioengine.Request{Tag: tag, Buf: unsafe.Pointer(&arena[tag%8*4096]), Off: int64(tag%8) * 4096, Len: 4096}
	}
	reqs := func(from, n uint64) (out []ioengine.Request) {
		for i := range n {
			out = append(out, req(from+i))
		}
		return out
	}
	// Placed and published, as Submit leaves it, but consumed only in part.
	placed, err := e.place(reqs(0, 6))
	if placed != 6 || err != nil {
		t.Fatal(placed, err)
	}
	publish(t, e)
	if _, err := e.ring.Enter2(2, 0, 0, nil, 0); err != nil {
		t.Fatal(err)
	}
	if n, err := e.settle(placed, unix.EAGAIN); n != 2 || err != nil {
		t.Fatalf("settle: %d, %v; want 2, nil", n, err)
	}
	if len(e.placed) != 4 || e.inflight != 2 {
		t.Fatalf("%d left, %d in flight; want 4, 2", len(e.placed), e.inflight)
	}
	dst := make([]ioengine.Completion, 16)
	var tags []uint64
	reap := func(min int) {
		t.Helper()
		n, err := e.Reap(dst, min, 2*time.Second)
		if n != min || err != nil {
			t.Fatalf("reap of %d: %d, %v", min, n, err)
		}
		for _, c := range dst[:n] {
			if c.Res != 4096 {
				t.Errorf("%+v", c)
			}
			tags = append(tags, c.Tag)
		}
	}
	reap(2)
	if n, err := e.Reap(dst, 1, 20*time.Millisecond); n != 0 || err != nil {
		t.Fatalf("a leftover was sent: %d, %v, %+v", n, err, dst[:n])
	}
	// Fewer than are left, other ones; then by the combined call; then more.
	if n, err := e.Submit(reqs(100, 1)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	reap(1)
	s, n, err := e.SubmitReap(reqs(101, 2), dst, 2, 2*time.Second)
	if s != 2 || n != 2 || err != nil {
		t.Fatal(s, n, err)
	}
	tags = append(tags, dst[0].Tag, dst[1].Tag)
	if len(e.placed) != 1 {
		t.Fatalf("%d left, want 1", len(e.placed))
	}
	if n, err := e.Submit(reqs(103, 5)); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	reap(5)
	slices.Sort(tags)
	if want := []uint64{0, 1, 100, 101, 102, 103, 104, 105, 106, 107}; !slices.Equal(tags, want) {
		t.Errorf("completed %v, want %v", tags, want)
	}
	if len(e.placed) != 0 || e.inflight != 0 {
		t.Errorf("%d left, %d in flight", len(e.placed), e.inflight)
	}
}

// publish moves the SQ ring's tail without letting the kernel consume: the
// descriptor is not that of a ring, and giouring publishes first.
func publish(t *testing.T, e *Engine) {
	t.Helper()
	p := (*rawParams)(unsafe.Pointer(&e.params))
	mem, err := unix.Mmap(e.ring.RingFd(), 0, len(e.view.mem), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	*word(mem, p.sqOff.tail) += uint32(len(e.placed))
	if err := unix.Munmap(mem); err != nil {
		t.Fatal(err)
	}
}

// TestRegions: every buffer of the arena is written through the registered
// region that holds it.
func TestRegions(t *testing.T) {
	const bufs, bufSize = 21, 4096
	arena := mapping(t, bufs*bufSize)
	e := ringFor(t, ioengine.Options{Depth: 32, Arena: arena, BufSize: bufSize, FixedBufs: true}, 5*bufSize+100)
	if e.fixed.count != 5 || e.fixed.size != 5*bufSize {
		t.Fatalf("regions %+v, want 5 of 5 buffers", e.fixed)
	}
	for i := range bufs {
		arena[i*bufSize] = byte(1 + i)
		n, err := e.Submit([]ioengine.Request{{Tag: uint64(i), Buf: unsafe.Pointer(&arena[i*bufSize]), Off: int64(i) * bufSize, Len: bufSize}})
		if n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	dst := make([]ioengine.Completion, bufs)
	if n, err := e.Reap(dst, bufs, 2*time.Second); n != bufs || err != nil {
		t.Fatal(n, err)
	}
	for _, c := range dst {
		if c.Res != bufSize {
			t.Errorf("%+v", c)
		}
	}
	// A buffer outside is the kernel's to refuse: the opcode is the fixed one.
	outside := mapping(t, bufSize)
	if n, err := e.Submit([]ioengine.Request{{Buf: unsafe.Pointer(&outside[0]), Len: bufSize}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := e.Reap(dst, 1, 2*time.Second); n != 1 || err != nil || dst[0].Res >= 0 {
		t.Errorf("a buffer outside the arena: %d, %v, %+v; want an errno", n, err, dst[0])
	}
}

func TestSplit(t *testing.T) {
	const g = maxRegion
	for _, c := range []struct {
		length, buf, limit uintptr
		size               uintptr
		count              int // 0: an error
	}{
		{4096, 4096, g, g, 1},
		{g, 4096, g, g, 1},
		{g + 4096, 4096, g, g, 2},
		{3 * g, 3 << 20, g, 341 * 3 << 20, 4},
		{g, g, g, g, 1},
		{2 * g, g + 4096, g, 0, 0},
		{10000, 0, 4096, 4096, 3},
		{(maxRegions + 1) * 4096, 4096, 4096, 0, 0},
	} {
		r, err := split(0, c.length, c.buf, c.limit)
		if (err == nil) != (c.count > 0) || r.count != c.count || err == nil && r.size != c.size {
			t.Errorf("split of %d by %d within %d: %+v, %v; want %d of %d", c.length, c.buf, c.limit, r, err, c.count, c.size)
		}
	}
}

func TestFeatures(t *testing.T) {
	e := ringFor(t, ioengine.Options{Depth: 4, FixedBufs: true, RegisterFiles: true, UringFlags: []string{"defer_taskrun"}}, maxRegion)
	got := e.Features()
	for _, want := range []string{"defer_taskrun", "single_issuer", "taskrun_flag", "fixed_buffers", "fixed_files", "ext_arg", "nodrop"} {
		if !slices.Contains(got, want) {
			t.Errorf("features %v lack %q", got, want)
		}
	}
	if slices.Contains(got, "sqpoll") {
		t.Errorf("features %v", got)
	}
}

// TestResumed: only a signal makes a registration call be made again.
func TestResumed(t *testing.T) {
	answers := []error{os.NewSyscallError("io_uring_register", unix.EINTR), unix.EINTR, unix.EBUSY}
	calls := 0
	err := resumed(func() error { calls++; return answers[calls-1] })
	if err != unix.EBUSY || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
}
