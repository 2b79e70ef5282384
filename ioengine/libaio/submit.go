package libaio

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

// Submit hands reqs to one io_submit, which takes the ones before the first it
// refuses; its error is that of the next call, where the refused one comes
// first. EAGAIN is back-pressure. A buffered, extending or hole-filling write
// is done inside the call (fs/aio.c, aio_write).
func (e *Engine) Submit(reqs []ioengine.Request) (int, error) {
	if e.closed {
		return 0, fmt.Errorf("libaio: engine: %w", os.ErrClosed)
	}
	want := min(len(reqs), e.depth-e.inflight)
	var bad error
	for i := range reqs[:max(want, 0)] {
		if bad = e.fill(&e.iocbs[i], &reqs[i]); bad != nil {
			want = i
			break
		}
	}
	if want <= 0 {
		return 0, bad
	}
	r, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, uintptr(e.ctx), uintptr(want), uintptr(unsafe.Pointer(&e.ptrs[0])))
	switch errno {
	case 0:
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	default:
		return 0, fmt.Errorf("libaio: io_submit: %w", errno)
	}
	n := int(r)
	e.inflight += n
	if n < want {
		bad = nil // it concerns a later request
	}
	return n, bad
}

func (e *Engine) fill(cb *iocb, r *ioengine.Request) error {
	if int(r.File) >= len(e.files) {
		return fmt.Errorf("libaio: request for file %d: there are %d", r.File, len(e.files))
	}
	switch r.Op {
	case ioengine.OpWrite:
		*cb = iocb{
			data: r.Tag, opcode: cmdPwrite, fd: e.files[r.File],
			buf: uint64(uintptr(r.Buf)), nbytes: uint64(r.Len), offset: r.Off,
		}
		cb.keyFlags[flagsHalf] = r.RWFlags
	case ioengine.OpFsync:
		// Anything but zero in the other fields is EINVAL (fs/aio.c, aio_fsync).
		*cb = iocb{data: r.Tag, opcode: cmdFsync, fd: e.files[r.File]}
	default:
		return fmt.Errorf("libaio: unknown operation %d", r.Op)
	}
	return nil
}
