package harness

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/internal/ledger"
	"diostress/internal/plan"
)

// control is how a worker is paused and stopped from outside.
type control struct {
	want   atomic.Uint32
	ready  chan error
	parked chan struct{}
	resume chan bool // false: stop
	done   chan struct{}
	giveUp atomic.Bool // do not wait for what is in flight any more
	orders chan []order
	acks   chan struct{}
}

const (
	cmdRun uint32 = iota
	cmdPause
	cmdStop
)

func newControl() control {
	return control{ready: make(chan error, 1), parked: make(chan struct{}, 1), resume: make(chan bool), done: make(chan struct{}), orders: make(chan []order), acks: make(chan struct{})}
}

func (c *control) command() uint32 { return c.want.Load() }

// order is a write that the coordinator wants done while all else rests.
type order struct {
	write plan.Write
	try   uint16
}

// park waits for the coordinator, doing what it orders in the meantime; false
// means to stop.
func (w *worker) park() bool {
	select {
	case w.parked <- struct{}{}:
	default: // the coordinator has given up waiting
	}
	for {
		select {
		case goOn := <-w.resume:
			return goOn
		case list := <-w.orders:
			w.now = w.r.clock.Now()
			hold := w.hold
			w.hold = 0 // the dirtiers stand still
			for _, o := range list {
				for len(w.free) == 0 {
					w.turn(1, reapWait)
				}
				w.offer(o.write, o.try, true)
			}
			w.drain()
			w.hold = hold
			w.acks <- struct{}{}
		}
	}
}

// drain submits what was offered and reaps until nothing is in flight, or the
// watchdog gives up.
func (w *worker) drain() {
	for (w.acct.Live() > 0 || len(w.reqs) > 0 && w.err == nil) && !w.giveUp.Load() {
		if w.err != nil {
			w.withdraw()
		}
		w.turn(1, reapWait)
	}
	w.withdraw()
}

// withdraw takes back what the engine has not accepted.
func (w *worker) withdraw() {
	for i := range w.reqs {
		slot, _ := ledger.SplitTag(w.reqs[i].Tag)
		w.acct.Withdraw(slot)
		if w.table != nil {
			w.table.End(slot)
		}
		w.pub[slot].at.Store(0)
		w.free = append(w.free, slot)
	}
	w.reqs, w.begun = w.reqs[:0], 0
}

// finish reaps on for a while: a completion that comes now comes twice, or
// belongs to nobody.
func (w *worker) finish() {
	for end := time.Now().Add(w.r.Late); w.err == nil && !w.giveUp.Load(); {
		left := time.Until(end)
		if left <= 0 {
			break
		}
		n, err := w.eng.Reap(w.cqes, 1, min(left, reapWait))
		w.now = w.r.clock.Now()
		if err != nil {
			w.err = fmt.Errorf("%s: reap: %w", w.r.Engine, err)
		}
		w.reaped(n)
	}
	if w.acct.Live() == 0 {
		if err := w.eng.Close(); err != nil && w.err == nil {
			w.err = fmt.Errorf("%s: close: %w", w.r.Engine, err)
		}
	}
	var ru unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &ru) == nil {
		w.userNS, w.sysNS = ru.Utime.Nano(), ru.Stime.Nano()
	}
}

// pause makes every worker stand still with nothing in flight. False means
// that one did not within the time: the watchdog has found it stuck, or it
// ended with an error.
func (r *run) pause() bool {
	for _, w := range r.workers {
		w.want.Store(cmdPause)
	}
	ok := true
	for _, w := range r.workers {
		select {
		case <-w.parked:
			ok = ok && w.acct.Live() == 0 && w.err == nil
		case <-w.done:
			ok = false
		case <-r.dog.stuck:
			select {
			case <-w.parked:
			case <-w.done:
			case <-time.After(time.Second):
			}
			ok = false
		}
	}
	return ok
}

// goOn lets paused workers run again, or ends them.
func (r *run) goOn(run bool) {
	for _, w := range r.workers {
		if run {
			w.want.Store(cmdRun)
		} else {
			w.want.Store(cmdStop)
		}
		select {
		case w.resume <- run:
		case <-w.done:
		case <-time.After(time.Second):
		}
	}
}

// pending lists what is in flight, seen from outside.
func (r *run) pending() (out []ledger.InFlight) {
	for _, w := range r.workers {
		for s := range w.pub {
			at := w.pub[s].at.Load()
			if at == 0 {
				continue
			}
			where, gen := w.pub[s].where.Load(), w.pub[s].gen.Load()
			out = append(out, ledger.InFlight{Job: w.job, Slot: s, Gen: gen & (1<<48 - 1), Try: int(gen >> 48), File: int(where >> 48), Off: int64(where&(1<<48-1)) * int64(w.bs), Len: int64(w.bs), SubmitNS: at})
		}
	}
	return out
}

// retryQueue holds collided writes that are to be submitted again. The
// recorder puts, the worker takes.
type retryQueue struct {
	some atomic.Bool
	mu   sync.Mutex
	list []order
}

func (q *retryQueue) put(o order) {
	q.mu.Lock()
	q.list = append(q.list, o)
	q.mu.Unlock()
	q.some.Store(true)
}

func (q *retryQueue) take(w *worker) (plan.Write, uint16, bool) {
	if !q.some.Load() {
		return plan.Write{}, 0, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, o := range q.list {
		if w.mayWrite(o.write) {
			q.list = append(q.list[:i], q.list[i+1:]...)
			q.some.Store(len(q.list) > 0)
			return o.write, o.try, true
		}
	}
	return plan.Write{}, 0, false
}

func arenaPtr(b []byte) unsafe.Pointer { return unsafe.Pointer(&b[0]) }
