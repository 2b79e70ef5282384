// Package psync is the synchronous control: each request is one pwritev2(2) or
// fsync(2), done before Submit returns.
//
// It never retries or splits a write; an interrupted or short one is reported
// as such. It starts no goroutine, and lends the kernel no Go heap memory.
package psync

import (
	"errors"
	"fmt"
	"math"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

// Engine does requests at once and keeps their completions for Reap. It is not
// safe for concurrent use. A request is in flight until it was reaped.
type Engine struct {
	files  []int
	queue  []ioengine.Completion // ring of Depth entries
	head   int                   // oldest
	count  int
	closed bool
	lent   []byte // the mapping behind iov
	iov    *unix.Iovec
}

var (
	_ ioengine.Engine    = (*Engine)(nil)
	_ ioengine.Describer = (*Engine)(nil)
)

// Open makes a synchronous engine. The io_uring fields of o are ignored. The
// descriptors stay the caller's and must outlive the engine. The error wraps
// ioengine.ErrUnsupported if the kernel has no pwritev2 (before 4.6).
func Open(o ioengine.Options) (ioengine.Engine, error) {
	if o.Depth < 1 || o.Depth > ioengine.MaxDepth {
		return nil, fmt.Errorf("psync: depth %d: must be 1 to %d", o.Depth, ioengine.MaxDepth)
	}
	if len(o.Files) == 0 || len(o.Files) > math.MaxUint16+1 {
		return nil, fmt.Errorf("psync: %d files: must be 1 to %d", len(o.Files), math.MaxUint16+1)
	}
	// No descriptor is -1, so this writes nothing.
	if _, _, errno := unix.Syscall6(unix.SYS_PWRITEV2, ^uintptr(0), 0, 0, 0, 0, 0); errno == unix.ENOSYS {
		return nil, fmt.Errorf("psync: %w: pwritev2 is not there (ENOSYS): run Linux 4.6 or newer, or lift the seccomp filter that hides it", ioengine.ErrUnsupported)
	}
	mem, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("psync: mmap of one page: %w", err)
	}
	return &Engine{
		files: append([]int(nil), o.Files...),
		queue: make([]ioengine.Completion, o.Depth),
		lent:  mem,
		iov:   (*unix.Iovec)(unsafe.Pointer(&mem[0])),
	}, nil
}

// Features names the system call.
func (e *Engine) Features() []string { return []string{"pwritev2"} }

// Submit does the requests one after the other, as many as there is room for
// completions. What the kernel returned, EINTR too, is in the completion.
func (e *Engine) Submit(reqs []ioengine.Request) (int, error) {
	if e.closed {
		return 0, errClosed()
	}
	for i := range reqs {
		if e.count == len(e.queue) {
			return i, nil
		}
		r := &reqs[i]
		if int(r.File) >= len(e.files) {
			return i, fmt.Errorf("psync: request for file %d: there are %d", r.File, len(e.files))
		}
		var res int64
		switch r.Op {
		case ioengine.OpWrite:
			// -1 is the file position to pwritev2 (fs/read_write.c).
			if r.Off < 0 {
				return i, fmt.Errorf("psync: request at offset %d: must not be negative", r.Off)
			}
			res = e.write(r)
		case ioengine.OpFsync:
			res = result(unix.Syscall(unix.SYS_FSYNC, uintptr(e.files[r.File]), 0, 0))
		default:
			return i, fmt.Errorf("psync: unknown operation %d", r.Op)
		}
		at := e.head + e.count
		if at >= len(e.queue) {
			at -= len(e.queue)
		}
		e.queue[at] = ioengine.Completion{Tag: r.Tag, Res: res}
		e.count++
	}
	return len(reqs), nil
}

func (e *Engine) write(r *ioengine.Request) int64 {
	*e.iov = unix.Iovec{Base: (*byte)(r.Buf)}
	e.iov.SetLen(int(r.Len))
	// The offset comes in halves of a long; a 64-bit kernel reads the first.
	low, high := uintptr(r.Off), uintptr(uint64(r.Off)>>32>>(unsafe.Sizeof(uintptr(0))*8-32))
	return result(unix.Syscall6(unix.SYS_PWRITEV2, uintptr(e.files[r.File]), uintptr(unsafe.Pointer(e.iov)), 1, low, high, uintptr(r.RWFlags)))
}

func result(r, _ uintptr, errno unix.Errno) int64 {
	if errno != 0 {
		return -int64(errno)
	}
	return int64(r)
}

// errIdle is what a wait without end comes to when nothing can arrive.
var errIdle = errors.New("psync: waiting for ever for more completions than there are: every request is done when Submit returns")

// Reap copies the completions of what was submitted. If they are fewer than
// min, it lets the timeout pass: none will come. Without a timeout that is an
// error.
func (e *Engine) Reap(dst []ioengine.Completion, min int, timeout time.Duration) (int, error) {
	if e.closed {
		return 0, errClosed()
	}
	n := 0
	for n < len(dst) && e.count > 0 {
		dst[n] = e.queue[e.head]
		if e.head++; e.head == len(e.queue) {
			e.head = 0
		}
		e.count--
		n++
	}
	if min > len(dst) {
		min = len(dst)
	}
	if n < min {
		if timeout <= 0 {
			return n, errIdle
		}
		time.Sleep(timeout)
	}
	return n, nil
}

// Close frees the engine. With completions not yet reaped it changes nothing
// and returns ioengine.ErrInFlight. A second Close does nothing.
func (e *Engine) Close() error {
	if e.closed {
		return nil
	}
	if e.count > 0 {
		return ioengine.ErrInFlight
	}
	e.closed = true
	mem := e.lent
	e.lent, e.iov = nil, nil
	if err := unix.Munmap(mem); err != nil {
		return fmt.Errorf("psync: munmap: %w", err)
	}
	return nil
}

func errClosed() error { return fmt.Errorf("psync: engine: %w", os.ErrClosed) }
