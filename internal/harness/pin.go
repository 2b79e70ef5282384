package harness

import (
	"math/bits"
	"time"

	"golang.org/x/sys/unix"

	"diostress/internal/plan"
)

// places says which processors the threads of a run are put on; nil for any.
type places struct {
	engines, dirtiers []int
	others            []int // to be kept busy, if the strategy asks for that
}

// newPlaces divides the processors that this process may use.
//
// With Pin the engine threads have the first half and the dirtiers the other.
// With Pack all share the first: then no page that is unmapped or cleaned
// interrupts another processor, and whoever is woken runs without one having to
// be. The kernel's workers still go to any processor that is idle.
func newPlaces(s *plan.Strategy) (p places) {
	cpus := usable()
	switch n := len(cpus); {
	case s.Pack && n > 0:
		p.engines, p.dirtiers, p.others = cpus[:1], cpus[:1], cpus[1:]
	case s.Pin && n > 1:
		p.engines, p.dirtiers = cpus[:n/2], cpus[n/2:]
	}
	return p
}

// usable lists the processors that this process may use; nil if that cannot be
// told.
func usable() (cpus []int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	for w, word := range set {
		for b := uint64(word); b != 0; b &= b - 1 {
			cpus = append(cpus, w*64+bits.TrailingZeros64(b))
		}
	}
	return cpus
}

// pin puts the engine thread, which calls it, in its place. Failing to is no
// error: the machine may not let us.
func (w *worker) pin() {
	cpus := w.r.places.engines
	if len(cpus) == 0 {
		return
	}
	var set unix.CPUSet
	set.Set(cpus[w.job%len(cpus)])
	unix.SchedSetaffinity(0, &set)
}

// workerCPUs is where the kernel's workers for io_uring are to run.
func (r *run) workerCPUs() []int {
	if r.cfg.Strategy.Pack {
		return r.places.engines
	}
	return nil
}

// holdSpin is how long an engine thread looks for a dirtier to come before it
// yields the processor: a microsecond is enough for one elsewhere, and one that
// shares the processor cannot come meanwhile.
func (r *run) holdSpin() time.Duration {
	if r.cfg.Strategy.Pack {
		return 0
	}
	return time.Microsecond
}
