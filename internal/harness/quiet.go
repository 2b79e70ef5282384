package harness

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"

	"diostress/internal/plan"
)

// quietRuntime sets Go's scheduler up for a run and returns the way back.
//
// Every dirtier and engine thread gets a P of its own, since a page fault holds
// one. The collector is kept quiet. And the runtime's monitor thread, which
// looks for Ps that are held up in system calls every 20 us as long as it finds
// some, is slowed down to its other end, some milliseconds: at iodepth 1 it
// took an eighth of all processor time, for Ps that nobody waits for.
func quietRuntime(c *plan.Config) (undo func()) {
	threads := c.NumJobs + 2
	for _, d := range c.Dirty {
		threads += d.Count
	}
	procs := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(max(procs, threads))
	gc := debug.SetGCPercent(200)
	setTimerSlack(monitorSlack)
	return func() {
		setTimerSlack(0)
		runtime.GOMAXPROCS(procs)
		debug.SetGCPercent(gc)
	}
}

const monitorSlack = 2e6 // ns

// setTimerSlack lets the sleeps of the threads there are, and of those that
// they start, last so much longer than asked (ns; 0 for the default of 50 us).
// Dirtiers set their own. Where it cannot be set all stays as it is: it is a
// matter of cost only.
func setTimerSlack(ns int) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, t := range tasks {
		// It is a file of processes, but they are found by thread as well
		// (fs/proc/base.c, since 4.6).
		os.WriteFile("/proc/"+t.Name()+"/timerslack_ns", strconv.AppendInt(nil, int64(ns), 10), 0)
	}
}
