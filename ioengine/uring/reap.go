package uring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

// forever is one kernel wait when the caller set no timeout; the wait is then
// repeated.
const forever = time.Hour

// errDropped says that the kernel had no memory to keep completions that did
// not fit into the CQ ring (io_uring/io_uring.c: cq_overflow, and EBADR from
// the wait since 5.18). Those requests stay in flight for ever.
var errDropped = errors.New("completions dropped by the kernel")

// Reap copies completions from the CQ ring. It enters the kernel only if fewer
// than min are there, or to fetch those that wait outside the ring.
func (e *Engine) Reap(dst []ioengine.Completion, min int, timeout time.Duration) (int, error) {
	if e.closed {
		return 0, errClosed()
	}
	if min > len(dst) {
		min = len(dst)
	}
	return e.reap(dst, min, timeout, e.start(min, timeout))
}

// start reads the clock if a timeout will have to be held against it.
func (e *Engine) start(min int, timeout time.Duration) time.Duration {
	if min <= 0 || timeout <= 0 {
		return 0
	}
	return time.Since(e.base)
}

func (e *Engine) reap(dst []ioengine.Completion, min int, timeout, start time.Duration) (int, error) {
	n, err := e.collect(dst)
	for n < min && err == nil {
		left := timeout
		if timeout > 0 {
			if left -= time.Since(e.base) - start; left <= 0 {
				return n, nil
			}
		}
		e.setTimeout(left)
		_, err = e.ring.Enter2(0, uint32(min-n), giouring.EnterGetEvents|giouring.EnterExtArg,
			unsafe.Pointer(&e.wait.arg), int(unsafe.Sizeof(e.wait.arg)))
		err = waitError(err)
		// Also after an error: completions may have come before it.
		k, cerr := e.collect(dst[n:])
		n += k
		if err == nil {
			err = cerr
		}
	}
	return n, err
}

// setTimeout writes the wait's arguments; 0 or less means for ever.
func (e *Engine) setTimeout(d time.Duration) {
	if d <= 0 {
		d = forever
	}
	e.wait.ts = syscall.NsecToTimespec(int64(d))
	e.wait.arg = getEventsArg{sigmaskSz: 8, ts: uint64(uintptr(unsafe.Pointer(&e.wait.ts)))}
}

// collect copies what the CQ ring holds, without waiting.
func (e *Engine) collect(dst []ioengine.Completion) (n int, err error) {
	for n < len(dst) {
		// Only as many pointers as there are completions: PeekBatchCQE fills
		// the whole slice, and on an empty ring it enters the kernel and
		// drops the error.
		k := min(int(e.ring.CQReady()), len(dst)-n, len(e.cqes))
		if k > 0 {
			k = int(e.ring.PeekBatchCQE(e.cqes[:k]))
			for i, c := range e.cqes[:k] {
				dst[n+i] = ioengine.Completion{Tag: c.UserData, Res: int64(c.Res), Flags: c.Flags}
			}
			e.ring.CQAdvance(uint32(k))
			n += k
			if e.inflight -= k; e.inflight < 0 {
				e.inflight = 0 // more completions than requests: the caller's finding
			}
		}
		sq := atomic.LoadUint32(e.view.sqFlags)
		if sq&giouring.SQCQOverflow == 0 && (n > 0 || sq&giouring.SQTaskrun == 0) {
			break
		}
		if n == len(dst) {
			break
		}
		_, err := e.ring.Enter2(0, 0, giouring.EnterGetEvents, nil, 0)
		if err = waitError(err); err != nil {
			return n, err
		}
		if e.ring.CQReady() == 0 {
			break
		}
	}
	if lost := atomic.LoadUint32(e.view.overflow); lost != e.dropped {
		count := lost - e.dropped
		e.dropped = lost
		return n, fmt.Errorf("io_uring: %d %w", count, errDropped)
	}
	return n, nil
}

// waitError leaves what merely ends a wait early to the caller's loop.
func waitError(err error) error {
	switch {
	case err == nil, isWaitEnd(err):
		return nil
	case errors.Is(err, unix.EBADR):
		return fmt.Errorf("io_uring: %w: io_uring_enter: %w", errDropped, err)
	default:
		return fmt.Errorf("io_uring: wait: io_uring_enter: %w", err)
	}
}
