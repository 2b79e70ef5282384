// Package harness runs a plan: it makes the files, opens the engine, sets the
// dirtiers loose, watches the kernel, cuts the run into epochs and enters what
// happened into the ledger. It is the only room that knows all the others.
//
// It never judges what it sees, and knows no engine by name: cmd hands one in.
package harness

import (
	"errors"
	"sync/atomic"
	"time"

	"diostress/internal/kernel"
	"diostress/internal/ledger"
	"diostress/internal/plan"
	"diostress/internal/testbed"
	"diostress/ioengine"
)

// ErrUnsupported wraps what this machine lacks for the run: the kernel was
// not tested, and nothing is wrong with it.
var ErrUnsupported = errors.New("cannot run here")

// Setup is what a run needs.
type Setup struct {
	Plan    *plan.Plan
	Run     string // name of the run in the report
	Engine  string
	Open    ioengine.Opener
	Dir     string       // where the files go
	Bed     *testbed.Bed // nil: the file system is not ours to unmount and check
	Sink    ledger.Sink
	Entries bool          // hand every completion to the sink
	Facts   ledger.Facts  // what is known before the start
	Header  ledger.Header // report's part of the header: environment, repro, start
	Live    *Live
	Late    time.Duration // how long to reap on after the last completion
	Marker  string        // line for the kernel log
	Dump    func(string)  // receives the watchdog's dump
}

// Live is what can be seen of a run while it goes on. The engine threads store
// into it; anybody may read it.
type Live struct {
	Completed, Bytes, Collisions, FsyncEIO atomic.Uint64
	InFlight                               atomic.Int64
	OldestNS                               atomic.Int64 // age of the oldest write in flight
	DeadlineNS, StartNS, NowNS             atomic.Int64 // CLOCK_MONOTONIC
	CollisionsKnown                        atomic.Bool
	run                                    atomic.Pointer[run]
}

// Pending lists what is in flight, as far as it can be seen from outside the
// engine threads.
func (l *Live) Pending() []ledger.InFlight {
	if r := l.run.Load(); r != nil {
		return r.pending()
	}
	return nil
}

// FileName names a file of the running plan.
func (l *Live) FileName(i int) string {
	if r := l.run.Load(); r != nil && i >= 0 && i < len(r.plan.Files) {
		return r.plan.Files[i].Name
	}
	return ""
}

// run is the state of one run, shared by its threads.
type run struct {
	Setup
	cfg      *plan.Config
	plan     *plan.Plan
	clock    kernel.Clock
	files    []*file
	workers  []*worker
	rec      *recorder
	obs      *observer
	dog      *watchdog
	dirt     *dirt
	places   atomic.Pointer[places]
	follower follower
	trailer  ledger.Trailer
	startNS  int64
	epoch    int
	series   series
	reader   *reader
	rounds   chan struct{} // a worker has been through its files

	lastEpochNS int64
	readTook    time.Duration
}

// sizes returns the size of every file, bytes.
func (r *run) sizes() []int64 {
	var s []int64
	for _, f := range r.plan.Files {
		s = append(s, f.Size)
	}
	return s
}
