package harness

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/internal/ledger"
	"diostress/internal/pattern"
	"diostress/internal/plan"
	"diostress/ioengine"
	"diostress/mmapdirty"
)

// worker is one job: one thread, one engine. Everything but the atomics and
// channels belongs to that thread.
type worker struct {
	r      *run
	job    int
	eng    ioengine.Engine
	both   ioengine.SubmitReaper // not nil: one call submits and reaps
	acct   *ledger.Account
	stream *plan.Stream
	bufs   *buffers
	look   *looker
	round  uint64 // planned writes until every block had its turn; 0: not counted
	bs     int
	stamp  bool
	key    pattern.Key
	writer pattern.Writer
	flags  uint32
	table  *mmapdirty.Table // nil without dirtiers
	ring   *ledger.Ring     // nil if nobody wants entries
	free   []int
	reqs   []ioengine.Request // offered, not yet accepted
	begun  int                // of these, shown to the dirtiers and the watchdog
	waits  bool               // one of these is held back
	cqes   []ioengine.Completion
	held   plan.Write
	isHeld bool
	hold   time.Duration // how long a write may wait to be dirtied before it is submitted; 0: not at all
	now    int64
	pub    []pubSlot
	tries  []uint16 // by slot, for pub
	audit  *auditor
	place  *places // where the thread is
	err    error
	alive  bool
	activeNS,
	userNS, sysNS int64

	control
	tid       atomic.Int32
	beat      atomic.Int64 // last time the loop came round
	completed atomic.Uint64
	bytes     atomic.Uint64
	maxLat    atomic.Int64
	retries   retryQueue
}

// pubSlot lets others see what is in flight. at is 0 when the slot is free.
type pubSlot struct {
	at    atomic.Int64  // submitted, ns
	where atomic.Uint64 // file << 48 | block
	gen   atomic.Uint64 // try << 48 | generation
	_     [40]byte
}

const reapWait = 50 * time.Millisecond

// startPaused runs the job on a thread of its own until it is stopped. It
// begins parked, with its engine open.
func (w *worker) startPaused() {
	runtime.LockOSThread()
	defer close(w.done)
	w.tid.Store(int32(unix.Gettid()))
	name := append([]byte(fmt.Sprintf("job%d", w.job)), 0)
	unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(arenaPtr(name)), 0)
	if err := w.open(); err != nil {
		w.ready <- err
		return
	}
	w.ready <- nil
	if w.park() {
		w.loop()
	}
	w.finish()
}

func (w *worker) open() error {
	c := w.r.cfg
	var fds []int
	for _, f := range w.r.files {
		fds = append(fds, f.direct)
	}
	eng, err := w.openEngine(ioengine.Options{
		Files: fds, Depth: c.IODepth, Arena: w.bufs.mem, BufSize: w.bufs.stride,
		FixedBufs: c.FixedBufs, RegisterFiles: c.RegisterFiles, ForceAsync: c.ForceAsync, UringFlags: c.UringFlags, SQPollIdle: 50 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	w.eng = eng
	w.both, _ = eng.(ioengine.SubmitReaper)
	w.takePlace()
	return nil
}

// openEngine opens the engine. A run without dirtiers is about what the way
// costs: unless told otherwise it has the ring set up as it costs least, where
// the kernel can do that (since 6.1).
func (w *worker) openEngine(o ioengine.Options) (ioengine.Engine, error) {
	if len(o.UringFlags) == 0 && len(w.r.cfg.Dirty) == 0 {
		lean := o
		lean.UringFlags = []string{"defer_taskrun"}
		if eng, err := w.r.Open(lean); err == nil {
			return eng, nil
		}
	}
	return w.r.Open(o)
}

// loop submits and reaps until it is told to stop.
func (w *worker) loop() {
	w.now = w.r.clock.Now()
	began := w.now
	for w.err == nil {
		switch w.command() {
		case cmdPause:
			w.drain()
			w.activeNS += w.now - began
			if !w.park() {
				return
			}
			w.now = w.r.clock.Now()
			began = w.now
			continue
		case cmdStop:
			w.drain()
			w.activeNS += w.now - began
			return
		}
		// As long as more can be submitted nothing is waited for.
		least := 1
		if w.prepare() {
			least = 0
		}
		w.turn(least, reapWait)
		w.look.look(w)
		w.takePlace()
	}
	w.drain()
	w.activeNS += w.now - began
}

// turn submits what is prepared and reaps at least min completions, if so many
// are in flight.
func (w *worker) turn(min int, wait time.Duration) {
	w.publish()
	t0 := w.now
	if w.both != nil {
		if w.acct.Live()+len(w.reqs) < min {
			min = w.acct.Live() + len(w.reqs)
		}
		n, got, err := w.both.SubmitReap(w.reqs, w.cqes, min, wait)
		w.now = w.r.clock.Now()
		w.accept(n, t0, 0, err)
		w.acct.C.Reaps++
		w.reaped(got)
		return
	}
	if len(w.reqs) > 0 {
		n, err := w.eng.Submit(w.reqs)
		w.now = w.r.clock.Now()
		w.accept(n, t0, w.now, err)
	}
	if w.acct.Live() < min {
		min = w.acct.Live()
	}
	got, err := w.eng.Reap(w.cqes, min, wait)
	w.now = w.r.clock.Now()
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("%s: reap: %w", w.r.Engine, err)
	}
	w.acct.C.Reaps++
	w.reaped(got)
}

// prepare offers writes until the engine is full, a batch is, or there is none
// to be had. It says whether only the batch is full.
func (w *worker) prepare() (more bool) {
	for len(w.free) > 0 {
		if len(w.reqs) >= w.batch() {
			return true
		}
		wr, try, ok := w.next()
		if !ok {
			return false
		}
		w.offer(wr, try, false)
	}
	return false
}

func (w *worker) batch() int {
	if b := w.r.cfg.Batch; b > 0 {
		return b
	}
	depth := w.r.cfg.IODepth
	switch {
	case len(w.r.cfg.Dirty) > 0:
		return depth
	case depth < 32:
		return max(1, depth/8)
	}
	return depth / 4
}

// next returns the next write whose block is free: a collided one first, then
// what the plan says, in its order.
func (w *worker) next() (wr plan.Write, try uint16, ok bool) {
	if wr, try, ok = w.retries.take(w); ok {
		return wr, try, true
	}
	if w.audit != nil {
		w.went()
		return w.stream.On(w.nextSlot()), 0, true
	}
	if !w.isHeld {
		w.held, w.isHeld = w.stream.Next(), true
	}
	if !w.r.cfg.Overlap && w.acct.Busy(w.held.File, w.held.Block*int64(w.bs)) {
		return plan.Write{}, 0, false
	}
	w.isHeld = false
	w.went()
	return w.held, 0, true
}

// nextSlot is the slot that the next offer takes.
func (w *worker) nextSlot() int { return w.free[len(w.free)-1] }

// mayWrite says whether a write may be in flight beside those that are: none
// on its block, and in audit none on its file, which belongs to the slot.
func (w *worker) mayWrite(wr plan.Write) bool {
	if w.audit != nil {
		return wr.File == w.stream.MainFile(w.nextSlot())
	}
	return !w.acct.Busy(wr.File, wr.Block*int64(w.bs))
}

func (w *worker) offer(wr plan.Write, try uint16, paused bool) {
	slot := w.nextSlot()
	w.free = w.free[:len(w.free)-1]
	off := wr.Block * int64(w.bs)
	tag, gen := w.acct.Offer(slot, wr.File, off, uint32(w.bs), try, paused)
	buf := w.bufs.at(slot, wr.File)
	w.tries[slot] = try
	w.reqs = append(w.reqs, ioengine.Request{Tag: tag, Buf: unsafe.Pointer(&buf[0]), Off: off, Len: uint32(w.bs), File: uint16(wr.File), RWFlags: w.flags})
	if w.hold > 0 {
		w.show() // the dirtier is at it while the buffer is filled
	}
	w.fill(buf, wr.File, off, gen)
}

// publish shows what is about to be submitted, and gives the dirtiers the time
// to be there first.
func (w *worker) publish() {
	w.show()
	w.beat.Store(w.now)
	if w.waits {
		w.waits = false
		w.table.Await(w.hold)
		w.now = w.r.clock.Now()
	}
}

// show lets the dirtiers and the watchdog see what they have not seen yet.
func (w *worker) show() {
	for i := w.begun; i < len(w.reqs); i++ {
		q := &w.reqs[i]
		slot, gen := ledger.SplitTag(q.Tag)
		p := &w.pub[slot]
		p.gen.Store(uint64(w.tries[slot])<<48 | gen)
		p.where.Store(uint64(q.File)<<48 | uint64(q.Off)/uint64(w.bs))
		p.at.Store(w.now)
		if w.table != nil {
			if w.hold > 0 && w.r.files[q.File].Role == plan.Main {
				w.table.BeginHeld(slot, int(q.File), q.Off, int(q.Len))
				w.waits = true
			} else {
				w.table.Begin(slot, int(q.File), q.Off, int(q.Len))
			}
		}
	}
	w.begun = len(w.reqs)
}

// accept enters what the engine took; the rest is offered again.
func (w *worker) accept(n int, before, after int64, err error) {
	for i := range w.reqs[:n] {
		slot, _ := ledger.SplitTag(w.reqs[i].Tag)
		w.acct.Accepted(slot, before, after)
	}
	if len(w.reqs) > 0 {
		w.acct.C.Submits++
		if n < len(w.reqs) && err == nil {
			w.acct.C.BackPressure++
		}
	}
	if n > 0 {
		w.reqs = w.reqs[:copy(w.reqs, w.reqs[n:])]
		w.begun = len(w.reqs)
	}
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("%s: submit: %w", w.r.Engine, err)
	}
}

// reaped enters n completions.
func (w *worker) reaped(n int) {
	var e ledger.Entry
	for i := range w.cqes[:n] {
		c := &w.cqes[i]
		slot, o, matched := w.acct.Complete(c.Tag, c.Res, c.Res2, c.Flags, w.now, &e)
		if !matched {
			w.r.rec.unmatched(w.job, c, w.now, o == ledger.Duplicate)
			continue
		}
		w.poison(slot, &e)
		if w.table != nil {
			w.table.End(slot)
		}
		w.pub[slot].at.Store(0)
		w.free = append(w.free, slot)
		if w.look.files[e.File].control {
			w.acct.C.Control++
		}
		w.look.after(w, &e)
		if lat := e.ReapNS - e.SubmitNS; lat > w.maxLat.Load() {
			w.maxLat.Store(lat)
		}
		if w.ring != nil {
			w.ring.Push(&e)
		}
		if w.audit != nil {
			w.audit.sample(w, &e)
		}
	}
	w.completed.Store(w.acct.C.Completed)
	w.bytes.Store(w.acct.C.Bytes)
}
