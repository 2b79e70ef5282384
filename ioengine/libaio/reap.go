package libaio

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

// Reap takes events from the ring in user space and calls io_getevents only
// if fewer than min are there.
func (e *Engine) Reap(dst []ioengine.Completion, min int, timeout time.Duration) (int, error) {
	if e.closed {
		return 0, fmt.Errorf("libaio: engine: %w", os.ErrClosed)
	}
	if min > len(dst) {
		min = len(dst)
	}
	n := 0
	if e.ring != nil {
		n = e.peek(dst)
	} else if len(dst) > 0 && min <= 0 {
		// No other way to look: a wait for nothing.
		*e.ts = unix.Timespec{}
		return e.getevents(dst, 0, e.ts)
	}
	if n >= min {
		return n, nil
	}
	var start time.Duration
	var ts *unix.Timespec
	if timeout > 0 {
		start = time.Since(e.base)
		ts = e.ts
	}
	for left := timeout; n < min; {
		if timeout > 0 {
			*ts = unix.NsecToTimespec(int64(left))
		}
		k, err := e.getevents(dst[n:], min-n, ts)
		n += k
		if err != nil || n >= min {
			return n, err
		}
		if timeout > 0 {
			if left = timeout - (time.Since(e.base) - start); left <= 0 {
				return n, nil
			}
		}
	}
	return n, nil
}

// peek copies what the ring holds.
func (e *Engine) peek(dst []ioengine.Completion) int {
	k := e.ring.ready()
	if k == 0 {
		return 0
	}
	k = min(k, uint32(len(dst)))
	head := e.ring.head
	for i := range dst[:k] {
		ev := e.ring.event(head)
		dst[i] = ioengine.Completion{Tag: ev.data, Res: ev.res, Res2: ev.res2}
		if head++; head == e.ring.nr {
			head = 0
		}
	}
	atomic.StoreUint32(&e.ring.head, head)
	e.reaped(int(k))
	return int(k)
}

// getevents is one io_getevents; EINTR, which comes only without events, is
// not an error.
func (e *Engine) getevents(dst []ioengine.Completion, min int, ts *unix.Timespec) (int, error) {
	room := len(dst)
	if room > len(e.events) {
		room = len(e.events)
	}
	if min > room {
		min = room
	}
	r, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, uintptr(e.ctx), uintptr(min), uintptr(room),
		uintptr(unsafe.Pointer(&e.events[0])), uintptr(unsafe.Pointer(ts)), 0)
	if errno != 0 {
		if errno == unix.EINTR {
			return 0, nil
		}
		return 0, fmt.Errorf("libaio: io_getevents: %w", errno)
	}
	n := int(r)
	for i, ev := range e.events[:n] {
		dst[i] = ioengine.Completion{Tag: ev.data, Res: ev.res, Res2: ev.res2}
	}
	e.reaped(n)
	return n, nil
}

func (e *Engine) reaped(n int) {
	if e.inflight -= n; e.inflight < 0 {
		e.inflight = 0 // more completions than requests: the caller's finding
	}
}
