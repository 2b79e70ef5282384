package enginetest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

// checkCloseInFlight: Close refuses, and has changed nothing.
func checkCloseInFlight(k *kit) error {
	return k.with(8, 1, 8, func(r *rig) error {
		var reqs []ioengine.Request
		for i := range 8 {
			reqs = append(reqs, r.write(uint64(i), i, 0, i, uint64(40+i)))
		}
		if n, err := r.eng.Submit(reqs); n != 8 || err != nil {
			return fmt.Errorf("submit: %d, %v", n, err)
		}
		for range 3 {
			if err := r.eng.Close(); !errors.Is(err, ioengine.ErrInFlight) {
				return fmt.Errorf("close with 8 in flight: %v, want ErrInFlight", err)
			}
		}
		if n, err := r.eng.Reap(r.cqes, 7, r.patience); n < 7 || err != nil {
			return fmt.Errorf("reap after a refused close: %d, %v", n, err)
		} else if n == 7 {
			if err := r.eng.Close(); !errors.Is(err, ioengine.ErrInFlight) {
				return fmt.Errorf("close with one in flight: %v, want ErrInFlight", err)
			}
			if n, err := r.eng.Reap(r.cqes, 1, r.patience); n != 1 || err != nil {
				return fmt.Errorf("reap of the last: %d, %v", n, err)
			}
		}
		for i := range 8 {
			if err := r.holds(0, i, uint64(40+i)); err != nil {
				return err
			}
		}
		return r.works(0)
	})
}

func checkAfterClose(k *kit) error {
	r, err := k.rig(4, 1, 4)
	if err != nil {
		return err
	}
	err = errors.Join(r.works(0), r.eng.Close())
	if n, e := r.eng.Submit([]ioengine.Request{r.write(1, 0, 0, 1, 1)}); n != 0 || !errors.Is(e, os.ErrClosed) {
		err = errors.Join(err, fmt.Errorf("submit after close: %d, %v; want 0, os.ErrClosed", n, e))
	}
	if n, e := r.eng.Reap(r.cqes, 1, 10*time.Millisecond); n != 0 || !errors.Is(e, os.ErrClosed) {
		err = errors.Join(err, fmt.Errorf("reap after close: %d, %v; want 0, os.ErrClosed", n, e))
	}
	if both, ok := r.eng.(ioengine.SubmitReaper); ok {
		if s, n, e := both.SubmitReap(nil, r.cqes, 0, 0); s != 0 || n != 0 || !errors.Is(e, os.ErrClosed) {
			err = errors.Join(err, fmt.Errorf("submit and reap after close: %d, %d, %v; want os.ErrClosed", s, n, e))
		}
	}
	return errors.Join(err, r.close())
}

// footprint is what engines could leave behind in this process and machine.
type footprint struct {
	fds   int
	named int // mappings of rings
	bytes int // of address space
	aio   int // slots, machine-wide
}

func measure() (f footprint, err error) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return f, err
	}
	f.fds = len(fds)
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return f, err
	}
	f.named = strings.Count(string(maps), "io_uring") + strings.Count(string(maps), "[aio]")
	for _, line := range strings.Split(strings.TrimSpace(string(maps)), "\n") {
		var from, to int
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil && !strings.Contains(line, "[vsyscall]") {
			return f, fmt.Errorf("/proc/self/maps: %q: %w", line, err)
		}
		f.bytes += to - from
	}
	nr, err := os.ReadFile("/proc/sys/fs/aio-nr")
	if errors.Is(err, os.ErrNotExist) {
		return f, nil // no CONFIG_AIO
	}
	if err != nil {
		return f, err
	}
	f.aio, err = strconv.Atoi(strings.TrimSpace(string(nr)))
	return f, err
}

// checkLeaks: many engines, and nothing left of them. The Go heap may grow
// beside it, so what grew must grow every time to be called a leak.
func checkLeaks(k *kit) error {
	const cycles = 40
	for range 3 {
		if err := k.cycle(); err != nil {
			return err
		}
	}
	var last error
	for range 3 {
		runtime.GC()
		before, err := measure()
		if err != nil {
			return err
		}
		for range cycles {
			if err := k.cycle(); err != nil {
				return err
			}
		}
		after, err := measure()
		if err != nil {
			return err
		}
		last = nil
		if after.fds > before.fds || after.named > before.named || after.aio > before.aio || after.bytes-before.bytes >= cycles*os.Getpagesize() {
			last = fmt.Errorf("after %d engines: %+v, before: %+v", cycles, after, before)
			continue
		}
		break
	}
	return last
}

// cycle opens, uses and closes an engine, and has one refuse to open.
func (k *kit) cycle() error {
	if eng, err := k.open(ioengine.Options{Files: []int{0}, Depth: -1}); err == nil {
		return errors.Join(errors.New("depth -1 was accepted"), eng.Close())
	}
	fd, err := unix.Open(k.path(), unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	r, err := k.rigOn(64, fd)
	if err != nil {
		return err
	}
	return errors.Join(r.works(0), r.close())
}

// checkNoAllocation: Submit and Reap, alone and combined, allocate nothing.
func checkNoAllocation(k *kit) error {
	return k.with(8, 1, 8, func(r *rig) error {
		reqs := make([]ioengine.Request, 0, 8)
		for i := range 8 {
			reqs = append(reqs, r.write(uint64(i), i, 0, i, uint64(i)))
		}
		var failed error
		fail := func(n int, err error) {
			if failed == nil {
				failed = fmt.Errorf("%d of 8: %w", n, errors.Join(err, errors.New("too few")))
			}
		}
		allocs := testing.AllocsPerRun(100, func() {
			if n, err := r.eng.Submit(reqs); n != 8 || err != nil {
				fail(n, err)
			}
			if n, err := r.eng.Reap(r.cqes, 8, r.patience); n != 8 || err != nil {
				fail(n, err)
			}
		})
		if failed != nil {
			return failed
		}
		if allocs != 0 {
			return fmt.Errorf("%v allocations for one Submit and Reap", allocs)
		}
		both, ok := r.eng.(ioengine.SubmitReaper)
		if !ok {
			return nil
		}
		allocs = testing.AllocsPerRun(100, func() {
			if s, n, err := both.SubmitReap(reqs, r.cqes, 8, r.patience); s != 8 || n != 8 || err != nil {
				fail(n, err)
			}
		})
		if failed != nil {
			return failed
		}
		if allocs != 0 {
			return fmt.Errorf("%v allocations for one SubmitReap", allocs)
		}
		return nil
	})
}
