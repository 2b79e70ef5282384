package enginetest

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

// Fake returns an Opener of scripted engines. Each engine it opens plays the
// script from the start, and the same calls give the same completions, but for
// Rule.Delay. Nothing is done behind the caller's back: data and completions
// move only inside its calls.
//
// A lost or swallowed request stays in flight, so that Close refuses for ever,
// as it would over a real engine.
func Fake(script Script) ioengine.Opener {
	return func(o ioengine.Options) (ioengine.Engine, error) {
		if o.Depth < 1 || o.Depth > ioengine.MaxDepth {
			return nil, fmt.Errorf("fake: depth %d: must be 1 to %d", o.Depth, ioengine.MaxDepth)
		}
		files := len(o.Files)
		if script.Memory != nil {
			files = len(script.Memory)
		}
		if files == 0 && !script.NoIO {
			return nil, errors.New("fake: 0 files: must be 1 or more")
		}
		e := &fake{
			script: script, files: append([]int(nil), o.Files...), nfiles: files, depth: o.Depth,
			rng: rng(script.Seed), ready: make([]item, ceilPow2(2*o.Depth)), base: time.Now(),
		}
		for _, r := range script.Rules {
			if r.Do == 0 || r.Do > SubmitError || r.N < 0 && r.Do != Stray && r.Do != Misplaced {
				return nil, fmt.Errorf("fake: rule %+v: not an act, or a negative N", r)
			}
			e.rules = append(e.rules, schedule{Rule: r, next: r.Op})
		}
		e.soonest = e.earliest()
		if script.SubmitReap {
			return combined{e}, nil
		}
		return e, nil
	}
}

// item is a completion to be handed out.
type item struct {
	c     ioengine.Completion
	own   bool // the one that ends its request
	after *landing
}

type heldItem struct {
	item
	reaps uint64        // not before this Reap call
	at    time.Duration // nor this time
}

type fake struct {
	script   Script
	files    []int
	nfiles   int
	depth    int
	inflight int
	closed   bool
	rng      rng
	base     time.Time

	rules   []schedule
	soonest uint64 // request on which the next rule fires
	op      uint64 // number of the next request to be accepted
	refused int64  // Submit calls that have refused it
	failed  bool   // it has met its submit error

	ready    []item // ring, a power of two long
	head     uint32
	tail     uint32
	held     []heldItem
	calls    uint64 // Submit and Reap
	reaps    uint64
	landings []*landing
	scratch  []byte // page-aligned
}

func (e *fake) earliest() uint64 {
	op := never
	for i := range e.rules {
		op = min(op, e.rules[i].next)
	}
	return op
}

// Features names the engine.
func (e *fake) Features() []string { return []string{"fake"} }

// Submit does the requests, as the script has it.
func (e *fake) Submit(reqs []ioengine.Request) (int, error) {
	if e.closed {
		return 0, fmt.Errorf("fake: engine: %w", os.ErrClosed)
	}
	e.calls++
	e.land(e.calls)
	for i := range reqs {
		if e.inflight >= e.depth {
			return i, nil
		}
		r := &reqs[i]
		if err := e.valid(r); err != nil {
			return i, err
		}
		if e.op == e.soonest {
			f, stop, err := e.scripted(r)
			if err != nil || stop {
				return i, err
			}
			e.carryOut(r, f)
			if f.last {
				return i + 1, nil
			}
			continue
		}
		e.op++
		e.inflight++
		e.push(item{c: ioengine.Completion{Tag: r.Tag, Res: e.do(r)}, own: true})
	}
	return len(reqs), nil
}

func (e *fake) valid(r *ioengine.Request) error {
	if int(r.File) >= e.nfiles && !e.script.NoIO {
		return fmt.Errorf("fake: request for file %d: there are %d", r.File, e.nfiles)
	}
	if r.Off < 0 {
		return fmt.Errorf("fake: request at offset %d: must not be negative", r.Off)
	}
	if r.Op > ioengine.OpFsync {
		return fmt.Errorf("fake: unknown operation %d", r.Op)
	}
	return nil
}

// scripted gathers what the rules say about the next request. stop or an error
// leaves it for another call.
func (e *fake) scripted(r *ioengine.Request) (f fate, stop bool, err error) {
	for i := range e.rules {
		s := &e.rules[i]
		if s.next != e.op {
			continue
		}
		switch s.Do {
		case BackPressure:
			if e.refused < or(s.N, 1) {
				e.refused++
				e.fired(s.Do, r)
				return f, true, nil
			}
		case SubmitError:
			if !e.failed {
				e.failed = true
				e.fired(s.Do, r)
				return f, true, fmt.Errorf("fake: submit: %w", unix.Errno(or(s.N, int64(unix.EIO))))
			}
		default:
			f.add(&s.Rule, r)
		}
	}
	for i := range e.rules {
		if s := &e.rules[i]; s.next == e.op {
			if s.Do != BackPressure && s.Do != SubmitError {
				e.fired(s.Do, r)
			}
			s.advance(e.op, &e.rng)
		}
	}
	e.soonest = e.earliest()
	e.refused, e.failed = 0, false
	return f, false, nil
}

func (e *fake) fired(do Act, r *ioengine.Request) {
	if e.script.Fired != nil {
		e.script.Fired(e.op, do, *r)
	}
}

func (e *fake) push(it item) {
	if e.tail-e.head == uint32(len(e.ready)) {
		e.grow()
	}
	mask := uint32(len(e.ready) - 1)
	e.ready[e.tail&mask] = it
	if e.script.Shuffle {
		other := e.head + uint32(e.rng.below(uint64(e.tail-e.head)+1))
		e.ready[e.tail&mask], e.ready[other&mask] = e.ready[other&mask], e.ready[e.tail&mask]
	}
	e.tail++
}

func (e *fake) grow() {
	old, mask := e.ready, uint32(len(e.ready)-1)
	e.ready = make([]item, 2*len(old))
	n := uint32(0)
	for i := e.head; i != e.tail; i++ {
		e.ready[n] = old[i&mask]
		n++
	}
	e.head, e.tail = 0, n
}

// take hands out what is ready.
func (e *fake) take(dst []ioengine.Completion) int {
	n := min(int(e.tail-e.head), len(dst))
	mask := uint32(len(e.ready) - 1)
	for i := range dst[:n] {
		it := &e.ready[e.head&mask]
		e.head++
		dst[i] = it.c
		if it.own {
			e.inflight--
		}
		if it.after != nil {
			it.after.call = e.calls + it.after.delay
			e.landings = append(e.landings, it.after)
			it.after = nil
		}
	}
	return n
}

// release makes ready what is no longer held back.
func (e *fake) release() {
	now := time.Since(e.base)
	kept := e.held[:0]
	for _, h := range e.held {
		if h.reaps <= e.reaps && h.at <= now {
			e.push(h.item)
		} else {
			kept = append(kept, h)
		}
	}
	e.held = kept
}

// Reap hands out completions.
func (e *fake) Reap(dst []ioengine.Completion, min int, timeout time.Duration) (int, error) {
	if e.closed {
		return 0, fmt.Errorf("fake: engine: %w", os.ErrClosed)
	}
	e.calls++
	e.reaps++
	e.land(e.calls)
	if len(e.held) > 0 {
		e.release()
	}
	n := e.take(dst)
	if min > len(dst) {
		min = len(dst)
	}
	if n >= min {
		return n, nil
	}
	deadline := time.Now().Add(timeout)
	for n < min {
		if timeout > 0 && !time.Now().Before(deadline) {
			return n, nil
		}
		wait, coming := e.nextHeld()
		if timeout <= 0 && !coming {
			return n, errors.New("fake: waiting for ever for completions that never come")
		}
		if timeout > 0 {
			if left := time.Until(deadline); !coming || wait > left {
				wait = left
			}
		}
		if wait > 0 {
			time.Sleep(wait)
		}
		e.reaps++
		e.release()
		n += e.take(dst[n:])
	}
	return n, nil
}

// nextHeld returns the time until the first held completion may come, and
// whether there is one.
func (e *fake) nextHeld() (wait time.Duration, coming bool) {
	for i, h := range e.held {
		if d := h.at - time.Since(e.base); i == 0 || d < wait {
			wait = d
		}
	}
	return wait, len(e.held) > 0
}

// Close lands what has not landed yet.
func (e *fake) Close() error {
	if e.closed {
		return nil
	}
	if e.inflight > 0 {
		return ioengine.ErrInFlight
	}
	e.land(never)
	e.closed = true
	if e.scratch != nil {
		return unix.Munmap(e.scratch)
	}
	return nil
}

// combined is a fake that is a SubmitReaper as well.
type combined struct{ *fake }

func (c combined) SubmitReap(reqs []ioengine.Request, dst []ioengine.Completion, min int, timeout time.Duration) (int, int, error) {
	submitted, err := 0, error(nil)
	if len(reqs) > 0 {
		submitted, err = c.Submit(reqs)
	}
	if err != nil {
		n := c.take(dst)
		return submitted, n, err
	}
	if submitted < len(reqs) && min > c.inflight {
		min = c.inflight
	}
	n, err := c.Reap(dst, min, timeout)
	return submitted, n, err
}

func or(n, def int64) int64 {
	if n != 0 {
		return n
	}
	return def
}

func ceilPow2(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}
