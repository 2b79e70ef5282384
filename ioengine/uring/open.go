// Package uring submits direct writes through io_uring. It is the only room
// that imports giouring, and it uses the part of it that was found sound: ring
// set-up and tear-down, GetSQE, the Prepare calls for write and fsync, Submit,
// SubmitAndWaitTimeout, Enter2, PeekBatchCQE, CQAdvance, the buffer
// registration and the raw Register.
//
// It never retries, splits or rewrites a request, starts no goroutine, and
// lends the kernel no Go heap memory. It never uses giouring's Setup, its path
// helpers, its timeout preparations, RegisterFiles or RegisterRingFd: they
// hand the kernel wrong addresses or drop its errors.
package uring

import (
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

// Engine is one io_uring instance. It belongs to the OS thread that opened it
// and is not safe for concurrent use: rings with single_issuer or
// defer_taskrun answer EEXIST to any other thread (since 6.0 and 6.1,
// io_uring/io_uring.c).
//
// What is in flight is counted as accepted minus reaped; a kernel that
// completes one request twice makes that count one too small.
type Engine struct {
	ring     *giouring.Ring
	params   rawParams
	files    []int32 // sqe.fd of each Options.Files entry
	sqeFlags uint8   // IOSQE_FIXED_FILE with registered files, IOSQE_ASYNC
	sqpoll   bool
	depth    int
	inflight int
	closed   bool
	base     time.Time // origin of the engine's clock

	fixed regions // registered buffers; none without FixedBufs

	// placed are the SQEs that lie in the SQ ring and the kernel has not
	// consumed. After an EAGAIN or EBUSY they stay there; the next Submit
	// writes its requests over them. Not used with SQPOLL.
	placed []*giouring.SubmissionQueueEntry

	cqes    []*giouring.CompletionQueueEvent // scratch for PeekBatchCQE
	view    view
	dropped uint32 // completions known to be dropped
	lent    []byte // the mapping behind wait
	wait    *waitArgs
}

// waitArgs is what io_uring_enter reads while it waits.
type waitArgs struct {
	arg getEventsArg
	ts  syscall.Timespec
}

// getEventsArg is struct io_uring_getevents_arg (include/uapi/linux/io_uring.h,
// since 5.11).
type getEventsArg struct {
	sigmask   uint64
	sigmaskSz uint32
	minWait   uint32
	ts        uint64
}

var (
	_ ioengine.Engine       = (*Engine)(nil)
	_ ioengine.SubmitReaper = (*Engine)(nil)
	_ ioengine.Describer    = (*Engine)(nil)
	_ ioengine.Placer       = (*Engine)(nil)
)

// Open sets up a ring on the calling thread, which must be locked to its
// goroutine. The descriptors and the arena stay the caller's and must outlive
// the engine. The error wraps ioengine.ErrUnsupported if this kernel or its
// settings rule io_uring, or what o asks of it, out.
func Open(o ioengine.Options) (ioengine.Engine, error) {
	// A nil *Engine must not become a non-nil interface.
	e, err := open(o, maxRegion)
	if err != nil {
		return nil, fmt.Errorf("io_uring: %w", err)
	}
	return e, nil
}

func open(o ioengine.Options, regionMax uintptr) (_ *Engine, err error) {
	if err := check(o); err != nil {
		return nil, err
	}
	flags, err := setupFlags(o.UringFlags)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		ring:   giouring.NewRing(),
		files:  make([]int32, len(o.Files)),
		sqpoll: flags&giouring.SetupSQPoll != 0,
		depth:  o.Depth,
		base:   time.Now(),
		placed: make([]*giouring.SubmissionQueueEntry, 0, o.Depth),
	}
	for i, fd := range o.Files {
		e.files[i] = int32(fd)
	}
	if o.ForceAsync {
		e.sqeFlags = giouring.SqeAsync
	}
	// giouring keeps the fields of Params to itself, and there is no other
	// way to set the idle time or to learn the features.
	params := &giouring.Params{}
	raw := (*rawParams)(unsafe.Pointer(params))
	raw.flags = flags
	if e.sqpoll {
		// Rounded up: 0 would mean the kernel's default of one second.
		raw.sqThreadIdle = uint32((o.SQPollIdle + time.Millisecond - 1) / time.Millisecond)
	}
	if err := e.ring.QueueInitParams(uint32(o.Depth), params); err != nil {
		return nil, setupError(err, o)
	}
	defer func() {
		if err != nil {
			e.release()
		}
	}()
	e.params = *raw
	if raw.features&giouring.FeatExtArg == 0 {
		return nil, unsupported("the kernel lacks IORING_FEAT_EXT_ARG, so no wait could have a timeout: run Linux 5.11 or newer, or use libaio or psync")
	}
	e.cqes = make([]*giouring.CompletionQueueEvent, raw.cqEntries)
	if e.view, err = mapView(e.ring.RingFd(), raw); err != nil {
		return nil, err
	}
	e.lent, err = unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("mmap of one page: %w", err)
	}
	e.wait = (*waitArgs)(unsafe.Pointer(&e.lent[0]))
	if o.FixedBufs {
		if err := e.registerBuffers(o, regionMax); err != nil {
			return nil, err
		}
	}
	if o.RegisterFiles {
		if err := e.registerFiles(); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func check(o ioengine.Options) error {
	if o.Depth < 1 || o.Depth > ioengine.MaxDepth {
		return fmt.Errorf("depth %d: must be 1 to %d", o.Depth, ioengine.MaxDepth)
	}
	if len(o.Files) == 0 || len(o.Files) > math.MaxUint16+1 {
		return fmt.Errorf("%d files: must be 1 to %d", len(o.Files), math.MaxUint16+1)
	}
	if o.FixedBufs && len(o.Arena) == 0 {
		return errors.New("fixed buffers asked for, but the arena is empty: pass the mapping that holds the buffers")
	}
	if o.SQPollIdle < 0 || o.SQPollIdle/time.Millisecond >= math.MaxUint32 {
		return fmt.Errorf("SQPOLL idle time %v: must be 0 to %d ms", o.SQPollIdle, uint32(math.MaxUint32-1))
	}
	return nil
}

// Features lists the set-up flags, the registrations and the kernel's
// features, for the report.
func (e *Engine) Features() []string {
	var out []string
	for _, f := range flagTable() {
		if e.params.flags&f.bit != 0 {
			out = append(out, f.name)
		}
	}
	if e.params.flags&giouring.SetupTaskrunFlag != 0 {
		out = append(out, "taskrun_flag")
	}
	if e.fixed.count > 0 {
		out = append(out, "fixed_buffers")
	}
	if e.sqeFlags&giouring.SqeFixedFile != 0 {
		out = append(out, "fixed_files")
	}
	if e.sqeFlags&giouring.SqeAsync != 0 {
		out = append(out, "force_async")
	}
	for _, f := range featureTable() {
		if e.params.features&f.bit != 0 {
			out = append(out, f.name)
		}
	}
	return out
}

// Close gives back the registrations and the ring. With requests in flight it
// changes nothing and returns ioengine.ErrInFlight: the kernel would go on
// reading their buffers after the ring is gone. A second Close does nothing.
func (e *Engine) Close() error {
	if e.closed {
		return nil
	}
	if e.inflight > 0 {
		return ioengine.ErrInFlight
	}
	e.closed = true
	// A closed ring is torn down later, by a kernel worker; unregistering
	// drops the pages and files now, so that they can be unmapped, accounted
	// and unmounted.
	var errs []error
	if e.fixed.count > 0 {
		if err := e.register(giouring.UnregisterBuffers, nil, 0); err != nil {
			errs = append(errs, fmt.Errorf("io_uring: unregister buffers: %w", err))
		}
	}
	if e.sqeFlags&giouring.SqeFixedFile != 0 {
		if err := e.register(giouring.UnregisterFiles, nil, 0); err != nil {
			errs = append(errs, fmt.Errorf("io_uring: unregister files: %w", err))
		}
	}
	return errors.Join(append(errs, e.release())...)
}

func (e *Engine) release() error {
	var errs []error
	if err := e.view.unmap(); err != nil {
		errs = append(errs, fmt.Errorf("io_uring: munmap of the ring view: %w", err))
	}
	if e.lent != nil {
		if err := unix.Munmap(e.lent); err != nil {
			errs = append(errs, fmt.Errorf("io_uring: munmap of the wait arguments: %w", err))
		}
		e.lent, e.wait = nil, nil
	}
	e.ring.QueueExit()
	e.closed = true
	return errors.Join(errs...)
}
