package uring

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

const (
	maxRegion  = 1 << 30 // bytes of one registered buffer (io_uring/rsrc.c, SZ_1G)
	maxRegions = 1 << 14 // IORING_MAX_REG_BUFFERS (io_uring/rsrc.c, since 5.13; 1024 before)
)

// regions maps an address to the registered buffer that holds it. All regions
// have the same size but the last.
type regions struct {
	base  uintptr
	size  uintptr // bytes, a multiple of the buffer size
	count int
}

func (r *regions) index(addr uintptr) int { return int((addr - r.base) / r.size) }

// split cuts an arena of length bytes so that no buffer lies in two regions.
func split(base, length, bufSize, limit uintptr) (regions, error) {
	size := limit
	if bufSize > 0 {
		if bufSize > limit {
			return regions{}, fmt.Errorf("buffers of %d bytes cannot be registered: the limit is %d", bufSize, limit)
		}
		size = limit / bufSize * bufSize
	}
	count := (length + size - 1) / size
	if count > maxRegions {
		return regions{}, fmt.Errorf("arena of %d bytes needs %d registered buffers: the limit is %d", length, count, maxRegions)
	}
	return regions{base: base, size: size, count: int(count)}, nil
}

func (e *Engine) registerBuffers(o ioengine.Options, limit uintptr) error {
	if o.BufSize < 0 {
		return fmt.Errorf("buffer size %d: must not be negative", o.BufSize)
	}
	length := uintptr(len(o.Arena))
	r, err := split(uintptr(unsafe.Pointer(&o.Arena[0])), length, uintptr(o.BufSize), limit)
	if err != nil {
		return err
	}
	iovecs := make([]syscall.Iovec, r.count)
	for i := range iovecs {
		from := uintptr(i) * r.size
		iovecs[i] = syscall.Iovec{Base: &o.Arena[from], Len: uint64(min(r.size, length-from))}
	}
	if err := e.register(giouring.RegisterBuffers, unsafe.Pointer(&iovecs[0]), uint32(len(iovecs))); err != nil {
		if errors.Is(err, unix.ENOMEM) {
			if text, hit := memlock(fmt.Sprintf("registering %d bytes of buffers", length)); hit {
				return unsupported("%s, or run without fixed buffers", text)
			}
		}
		return fmt.Errorf("register %d bytes of buffers: %w", length, err)
	}
	e.fixed = r
	return nil
}

func (e *Engine) registerFiles() error {
	// giouring's RegisterFiles passes 64-bit numbers where the kernel reads
	// __s32 and loses the errno.
	err := e.register(giouring.RegisterFiles, unsafe.Pointer(&e.files[0]), uint32(len(e.files)))
	if err == unix.EMFILE {
		// rsrc.c: more than RLIMIT_NOFILE, or than IORING_MAX_FIXED_FILES.
		return unsupported("registering %d files: over RLIMIT_NOFILE: raise it (ulimit -n) or run without registered files", len(e.files))
	}
	if err != nil {
		return fmt.Errorf("register %d files: %w", len(e.files), err)
	}
	for i := range e.files {
		e.files[i] = int32(i)
	}
	e.sqeFlags |= giouring.SqeFixedFile
	return nil
}

// register is io_uring_register(2) on the ring, with the errno as it is, whatever
// signals come.
func (e *Engine) register(op uint32, arg unsafe.Pointer, n uint32) error {
	return resumed(func() error {
		if _, errno := e.ring.Register(e.ring.RingFd(), op, arg, n); errno != 0 {
			return errno
		}
		return nil
	})
}

// resumed makes a registration call again that a signal interrupted, and the
// runtime sends signals all the time: the kernel waits for the requests that use
// what is given back, and takes it out of use only then (io_uring/rsrc.c,
// io_rsrc_ref_quiesce, up to 6.12).
func resumed(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// PlaceWorkers tells the kernel where to run the workers that take what cannot
// be issued without blocking (IORING_REGISTER_IOWQ_AFF, since 5.14). It concerns
// all rings of the thread.
func (e *Engine) PlaceWorkers(cpus []int) {
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	e.register(giouring.RegisterIOWQAff, unsafe.Pointer(&set), uint32(unsafe.Sizeof(set)))
}
