// Package libaio submits direct writes through the kernel's AIO, by its system
// calls: io_setup, io_submit, io_getevents, io_destroy. Events are taken from
// the ring in user space where its layout is the known one.
//
// It is not a binding of the C library of that name. It never retries, splits
// or rewrites a request, starts no goroutine, and lends the kernel no Go heap
// memory.
package libaio

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

// Engine is one AIO context. It is used by the goroutine that opened it and is
// not safe for concurrent use: with two reapers the ring's head would be lost.
//
// What is in flight is counted as accepted minus reaped; a kernel that
// completes one iocb twice makes that count one too small.
type Engine struct {
	ctx      unsafe.Pointer // *ring, where readable; also the context's number
	ring     *ring          // nil: reap by io_getevents alone
	files    []uint32
	depth    int
	inflight int
	closed   bool
	base     time.Time // origin of the engine's clock

	lent   []byte    // the mapping behind what follows
	iocbs  []iocb    // depth; the kernel copies them in io_submit
	ptrs   []uintptr // ptrs[i] is the address of iocbs[i]
	events []event   // depth
	ts     *unix.Timespec
}

var (
	_ ioengine.Engine    = (*Engine)(nil)
	_ ioengine.Describer = (*Engine)(nil)
)

// Open makes a context for o.Depth requests. The io_uring fields of o are
// ignored. The descriptors stay the caller's and must outlive the engine. The
// error wraps ioengine.ErrUnsupported if the machine has no AIO or no free
// slots.
func Open(o ioengine.Options) (ioengine.Engine, error) {
	e, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("libaio: %w", err)
	}
	return e, nil
}

func open(o ioengine.Options) (*Engine, error) {
	if o.Depth < 1 || o.Depth > ioengine.MaxDepth {
		return nil, fmt.Errorf("depth %d: must be 1 to %d", o.Depth, ioengine.MaxDepth)
	}
	if len(o.Files) == 0 || len(o.Files) > math.MaxUint16+1 {
		return nil, fmt.Errorf("%d files: must be 1 to %d", len(o.Files), math.MaxUint16+1)
	}
	e := &Engine{depth: o.Depth, base: time.Now(), files: make([]uint32, len(o.Files))}
	for i, fd := range o.Files {
		e.files[i] = uint32(fd)
	}
	if err := e.carve(); err != nil {
		return nil, err
	}
	// The place of the context must hold zero; io_submit writes over it later.
	ctx := (*unsafe.Pointer)(unsafe.Pointer(&e.lent[0]))
	_, _, errno := unix.Syscall(unix.SYS_IO_SETUP, uintptr(o.Depth), uintptr(unsafe.Pointer(ctx)), 0)
	if errno != 0 {
		return nil, errors.Join(setupError(errno, o.Depth), unix.Munmap(e.lent))
	}
	e.ctx = *ctx
	if r := (*ring)(e.ctx); r.readable() {
		e.ring = r
	}
	return e, nil
}

// carve maps the memory the kernel reads and writes, and divides it.
func (e *Engine) carve() error {
	n := uintptr(e.depth)
	iocbs := n * unsafe.Sizeof(iocb{})
	events := iocbs + n*unsafe.Sizeof(event{})
	ptrs := events + n*unsafe.Sizeof(uintptr(0))
	size := int(ptrs + unsafe.Sizeof(unix.Timespec{}))
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("mmap of %d bytes: %w", size, err)
	}
	e.lent = mem
	base := unsafe.Pointer(&mem[0])
	e.iocbs = unsafe.Slice((*iocb)(base), e.depth)
	e.events = unsafe.Slice((*event)(unsafe.Add(base, iocbs)), e.depth)
	e.ptrs = unsafe.Slice((*uintptr)(unsafe.Add(base, events)), e.depth)
	e.ts = (*unix.Timespec)(unsafe.Add(base, ptrs))
	for i := range e.ptrs {
		e.ptrs[i] = uintptr(unsafe.Pointer(&e.iocbs[i]))
	}
	return nil
}

const (
	maxPath = "/proc/sys/fs/aio-max-nr"
	nowPath = "/proc/sys/fs/aio-nr"
)

func setupError(errno unix.Errno, depth int) error {
	switch errno {
	case unix.ENOSYS:
		return fmt.Errorf("%w: io_setup is not there (ENOSYS): the kernel was built without CONFIG_AIO, or a seccomp filter hides it: use io_uring or psync", ioengine.ErrUnsupported)
	case unix.EAGAIN:
		return fmt.Errorf("%w: io_setup for depth %d: no AIO slots left: fs.aio-nr is %s of fs.aio-max-nr %s, for the whole machine: raise it (sysctl -w fs.aio-max-nr=1048576), end other users of AIO, or use a smaller iodepth",
			ioengine.ErrUnsupported, depth, sysctl(nowPath), sysctl(maxPath))
	}
	return fmt.Errorf("io_setup for depth %d: %w", depth, errno)
}

func sysctl(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "(not known: " + err.Error() + ")"
	}
	return strings.TrimSpace(string(b))
}

// Features says how events are reaped.
func (e *Engine) Features() []string {
	if e.ring != nil {
		return []string{"userspace_reap"}
	}
	return []string{"io_getevents"}
}

// Close destroys the context. With requests in flight it changes nothing and
// returns ioengine.ErrInFlight. A second Close does nothing.
func (e *Engine) Close() error {
	if e.closed {
		return nil
	}
	if e.inflight > 0 {
		return ioengine.ErrInFlight
	}
	e.closed = true
	var errs []error
	if _, _, errno := unix.Syscall(unix.SYS_IO_DESTROY, uintptr(e.ctx), 0, 0); errno != 0 {
		errs = append(errs, fmt.Errorf("libaio: io_destroy: %w", errno))
	}
	e.ctx, e.ring = nil, nil
	if err := unix.Munmap(e.lent); err != nil {
		errs = append(errs, fmt.Errorf("libaio: munmap: %w", err))
	}
	e.lent, e.iocbs, e.events, e.ptrs, e.ts = nil, nil, nil, nil, nil
	return errors.Join(errs...)
}
