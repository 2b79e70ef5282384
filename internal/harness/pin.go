package harness

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// pin puts the engine threads on the first half of the processors, where the
// strategy asks for it; the dirtiers have the other half. Failing to is no
// error: the machine may not let us.
func (w *worker) pin() {
	n := runtime.NumCPU()
	if !w.r.cfg.Strategy.Pin || n < 2 {
		return
	}
	var set unix.CPUSet
	set.Set(w.job % (n / 2))
	unix.SchedSetaffinity(0, &set)
}
