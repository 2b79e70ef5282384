package mmapdirty

import (
	"time"

	"golang.org/x/sys/unix"
)

// wait passes the time until the next look, the longer it was in vain the more
// gently.
func (d *dirtier) wait() {
	d.idle++
	switch {
	case d.idle <= d.how.Spin:
		spin(20)
		return
	case d.idle <= d.how.Spin+d.how.Yields || d.how.Sleep == 0:
		schedYield()
	default:
		doublings := min(d.idle-d.how.Spin-d.how.Yields-1, 20)
		d.nap(min(d.how.Sleep<<doublings, max(d.how.Sleep, d.how.MaxSleep)))
	}
	d.count.looks.Store(d.looks)
}

// rest leaves the CPU after a visit, as the Strategy says.
func (d *dirtier) rest() {
	if d.how.Rest > 0 {
		d.nap(d.how.Rest)
	}
	if d.how.YieldEvery > 0 {
		if d.visits++; d.visits >= d.how.YieldEvery && !d.awaited() {
			d.visits = 0
			schedYield()
		}
	}
}

// awaited says whether an engine thread waits for a dirtier: to yield to it
// would be in vain.
func (d *dirtier) awaited() bool {
	if !d.kind.Dirties() || d.place != Same {
		return false
	}
	for _, t := range d.g.cfg.Tables {
		if t.holding() {
			return true
		}
	}
	return false
}

// nap sleeps in the kernel; a signal may end it early, which does no harm.
func (d *dirtier) nap(t time.Duration) {
	ts := unix.NsecToTimespec(t.Nanoseconds())
	unix.Nanosleep(&ts, nil)
}

// schedYield keeps the P: handing it over costs more than the call.
func schedYield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
