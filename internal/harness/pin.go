package harness

import (
	"math/bits"

	"golang.org/x/sys/unix"

	"diostress/internal/plan"
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
func newPlaces(s *plan.Strategy) (p places) {
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
