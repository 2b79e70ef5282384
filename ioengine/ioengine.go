// Package ioengine is the seam between the harness and the ways of submitting
// direct writes: the request, the completion and the engine that turns the
// first into the second.
//
// It makes no system call and knows no engine. An engine reports verbatim: it
// never retries, splits or requeues a request, and never changes what the
// kernel returned.
package ioengine

import (
	"errors"
	"time"
	"unsafe"
)

// ErrUnsupported says that this machine or kernel cannot run the engine at
// all (io_uring disabled, no AIO slots, memlock limit). It is conclusive: the
// wrapped text names what is missing and what to do about it. Every other
// error of an Opener means that something broke.
var ErrUnsupported = errors.New("engine not supported here")

// ErrInFlight is returned by Close while requests are still in flight.
var ErrInFlight = errors.New("requests still in flight")

// Op is what a Request asks for.
type Op uint8

// The operations of a Request.
const (
	OpWrite Op = iota // write Len bytes of Buf at Off
	OpFsync           // fsync the file; Buf, Off and Len are unused
)

// Request is one operation to submit. It is a value; the engine keeps no
// reference to it after Submit returned, but the memory at Buf is lent to the
// kernel from Submit until the matching Completion was reaped.
type Request struct {
	Tag     uint64         // returned verbatim in the Completion; slot plus reuse generation, never a pointer
	Buf     unsafe.Pointer // start of the data, inside Options.Arena (mmap memory, never the Go heap)
	Off     int64          // file offset, bytes
	Len     uint32         // bytes
	File    uint16         // index into Options.Files
	Op      Op
	RWFlags uint32 // RWF_DSYNC, RWF_NOWAIT, RWF_ATOMIC ...; 0 for none
}

// Completion is one cqe or io_event, as the kernel wrote it.
type Completion struct {
	Tag   uint64 // sqe.user_data or iocb.aio_data
	Res   int64  // bytes written or -errno; the kernel's number, never normalised
	Res2  int64  // io_event.res2; always 0 from io_uring and psync
	Flags uint32 // cqe.flags; always 0 from libaio and psync
}

// Engine submits requests and reaps completions. It is used by one goroutine,
// locked to its OS thread, for its whole life, and it is opened there too.
type Engine interface {
	// Submit offers reqs in order and returns how many the kernel accepted
	// (placed in the SQ ring, taken by io_submit). n < len(reqs) with a nil
	// error is back-pressure: reqs[n:] are untouched and may be offered
	// again. A non-nil error concerns reqs[n], which was not accepted.
	Submit(reqs []Request) (n int, err error)

	// Reap copies up to len(dst) completions. It waits until at least min are
	// there or timeout has passed; min 0 never waits. timeout 0 with min > 0
	// means to wait for ever. Fewer than min with a nil error is a timeout.
	// An interrupted wait goes on with the time that remains.
	Reap(dst []Completion, min int, timeout time.Duration) (n int, err error)

	// Close frees what Open made. With requests in flight it changes nothing
	// and returns ErrInFlight.
	Close() error
}

// Options is what an engine is opened with.
type Options struct {
	Files         []int    // open descriptors; Request.File indexes them
	Depth         int      // most requests in flight, 1..MaxDepth
	Arena         []byte   // the mmap memory that holds every buffer
	BufSize       int      // bytes of one buffer; buffers lie back to back in Arena
	FixedBufs     bool     // io_uring: register Arena, use WRITE_FIXED
	RegisterFiles bool     // io_uring: register Files
	ForceAsync    bool     // io_uring: IOSQE_ASYNC, no attempt to issue without blocking: a worker of the kernel takes every request
	UringFlags    []string // names of UringFlagNames
	SQPollIdle    time.Duration
}

// MaxDepth is the largest Options.Depth any engine takes (the io_uring limit
// on SQ entries, IORING_MAX_ENTRIES in io_uring/io_uring.c).
const MaxDepth = 32768

// UringFlagNames lists what Options.UringFlags may hold.
func UringFlagNames() []string {
	return []string{"sqpoll", "defer_taskrun", "single_issuer", "coop_taskrun"}
}

// Opener makes an engine ready on the calling thread.
type Opener func(Options) (Engine, error)

// Describer is implemented by engines that can say which kernel features they
// run with ("single_issuer", "fixed_buffers", "ext_arg"); for the report only.
type Describer interface {
	Features() []string
}
