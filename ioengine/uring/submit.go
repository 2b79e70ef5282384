package uring

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

// Submit writes reqs into the SQ ring and enters the kernel once (with sqpoll:
// only to wake its thread). Accepted means consumed by io_uring_enter, with
// sqpoll placed in the ring. EAGAIN and EBUSY from the kernel are
// back-pressure.
func (e *Engine) Submit(reqs []ioengine.Request) (int, error) {
	if e.closed {
		return 0, errClosed()
	}
	placed, bad := e.place(reqs)
	if placed == 0 {
		return 0, bad
	}
	n, err := e.settle(placed, e.flush(placed))
	if err == nil && n == placed {
		err = bad
	}
	return n, err
}

// place writes as many of reqs into the SQ ring as fit. The error concerns
// reqs[placed].
func (e *Engine) place(reqs []ioengine.Request) (placed int, err error) {
	room := e.depth - e.inflight
	for i := range reqs {
		if placed >= room {
			break
		}
		r := &reqs[i]
		if err := e.valid(r); err != nil {
			return placed, err
		}
		var sqe *giouring.SubmissionQueueEntry
		if placed < len(e.placed) {
			sqe = e.placed[placed]
		} else {
			if sqe = e.ring.GetSQE(); sqe == nil {
				break
			}
			if !e.sqpoll {
				e.placed = append(e.placed, sqe)
			}
		}
		e.fill(sqe, r)
		placed++
	}
	return placed, nil
}

// valid refuses what the kernel would take for something else: an offset of -1
// means the file position to it (io_uring/rw.c, fs/read_write.c).
func (e *Engine) valid(r *ioengine.Request) error {
	if int(r.File) >= len(e.files) {
		return fmt.Errorf("io_uring: request for file %d: there are %d", r.File, len(e.files))
	}
	if r.Off < 0 {
		return fmt.Errorf("io_uring: request at offset %d: must not be negative", r.Off)
	}
	if r.Op > ioengine.OpFsync {
		return fmt.Errorf("io_uring: unknown operation %d", r.Op)
	}
	return nil
}

func (e *Engine) fill(sqe *giouring.SubmissionQueueEntry, r *ioengine.Request) {
	// Prepare leaves rw_flags and addr3 of the slot's last user in place.
	*sqe = giouring.SubmissionQueueEntry{}
	fd := int(e.files[r.File])
	switch {
	case r.Op == ioengine.OpFsync:
		sqe.PrepareFsync(fd, 0)
	case e.fixed.count > 0:
		sqe.PrepareWriteFixed(fd, uintptr(r.Buf), r.Len, uint64(r.Off), e.fixed.index(uintptr(r.Buf)))
		sqe.OpcodeFlags = r.RWFlags
	default:
		sqe.PrepareWrite(fd, uintptr(r.Buf), r.Len, uint64(r.Off))
		sqe.OpcodeFlags = r.RWFlags
	}
	sqe.Flags = e.sqeFlags
	sqe.UserData = r.Tag
}

// flush makes the kernel take the first placed SQEs of the ring.
func (e *Engine) flush(placed int) error {
	if placed < len(e.placed) {
		// Left from an earlier refusal, and already behind the ring's tail:
		// giouring's Submit would send all of them.
		_, err := e.ring.Enter2(uint32(placed), 0, 0, nil, 0)
		return err
	}
	_, err := e.ring.Submit()
	return err
}

// settle counts what the kernel took of placed SQEs, whatever the call
// returned: the ring's head knows it better.
func (e *Engine) settle(placed int, err error) (int, error) {
	n := placed
	if !e.sqpoll {
		// The call's return value does not survive giouring's combined call.
		n = len(e.placed) - int(e.ring.SQReady())
		e.placed = e.placed[:copy(e.placed, e.placed[n:])]
	}
	e.inflight += n
	switch {
	case err == nil, errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EBUSY), errors.Is(err, unix.EINTR):
		return n, nil
	case errors.Is(err, unix.EOWNERDEAD):
		return n, fmt.Errorf("io_uring: the SQPOLL thread is gone: io_uring_enter: %w", err)
	default:
		return n, fmt.Errorf("io_uring: submit: io_uring_enter: %w", err)
	}
}

// SubmitReap submits and waits with one io_uring_enter, if the wait is not
// interrupted.
func (e *Engine) SubmitReap(reqs []ioengine.Request, dst []ioengine.Completion, min int, timeout time.Duration) (submitted, reaped int, err error) {
	if e.closed {
		return 0, 0, errClosed()
	}
	if min > len(dst) {
		min = len(dst)
	}
	placed, bad := e.place(reqs)
	if placed < len(reqs) && min > e.inflight+placed {
		min = e.inflight + placed
	}
	start := e.start(min, timeout)
	if placed > 0 {
		// What lies in the CQ ring counts towards the kernel's minimum.
		if bad == nil && placed >= len(e.placed) && int(e.ring.CQReady()) < min {
			e.setTimeout(timeout)
			_, err = e.ring.SubmitAndWaitTimeout(uint32(min), &e.wait.ts, nil)
			if isWaitEnd(err) {
				err = nil
			}
		} else {
			err = e.flush(placed)
		}
		submitted, err = e.settle(placed, err)
	}
	if err == nil && submitted == placed {
		err = bad
	}
	if err != nil {
		// The first error is the one that says what broke.
		reaped, _ = e.collect(dst)
		return submitted, reaped, err
	}
	if submitted < len(reqs) && min > e.inflight {
		min = e.inflight
	}
	reaped, err = e.reap(dst, min, timeout, start)
	return submitted, reaped, err
}

// isWaitEnd tells the ends of a wait that are no error; the engine's own clock
// decides whether it was a timeout. giouring says ETIME for any early return.
func isWaitEnd(err error) bool {
	errno, ok := err.(syscall.Errno)
	return ok && (errno == unix.ETIME || errno == unix.EINTR)
}

func errClosed() error { return fmt.Errorf("io_uring: engine: %w", os.ErrClosed) }
