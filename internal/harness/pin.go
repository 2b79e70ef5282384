package harness

import (
	"math/bits"

	"golang.org/x/sys/unix"

	"diostress/internal/plan"
	"diostress/ioengine"
)

// places says which processors the threads of a run are put on; nil for any.
type places struct {
	engines, dirtiers []int
}

// newPlaces divides the processors that this process may use. With Pin the
// engine threads have the first half and the dirtiers the other: the kernel's
// workers then stay with the engine threads that wake them, for the dirtiers
// leave no processor idle, and to wake an idle one costs more than half a write
// does in a virtual machine.
func newPlaces(s *plan.Strategy) *places {
	p := &places{}
	if cpus := usable(); s.Pin && len(cpus) > 1 {
		n := len(cpus) / 2
		p.engines, p.dirtiers = cpus[:n], cpus[n:]
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

// takePlace puts the engine thread, which calls it, and the kernel's workers for
// it in their place, if that is another than before. Failing to is no error: the
// machine may not let us.
func (w *worker) takePlace() {
	p := w.r.places.Load()
	if p == w.place {
		return
	}
	w.place = p
	if len(p.engines) == 0 {
		return
	}
	var set unix.CPUSet
	set.Set(p.engines[w.job%len(p.engines)])
	unix.SchedSetaffinity(0, &set)
	if e, ok := w.eng.(ioengine.Placer); ok {
		e.PlaceWorkers(p.engines)
	}
}
