package harness

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// A kernel worker that takes over half of a write, such as the loop device's,
// goes to a processor that is idle, and in a virtual machine it costs more to
// wake that than the whole write does. So the other processors are kept busy.
// That takes processes: a thread of ours there would be interrupted whenever a
// page is unmapped here.

// maxCrowded is how many processors are kept busy at most: a machine with more
// has idle ones all the same.
const maxCrowded = 7

// crowd keeps the processors beside the packed one busy until the returned
// function is called.
func (r *run) crowd() (disperse func()) {
	var procs []*exec.Cmd
	if n := len(r.places.others); n <= maxCrowded && r.KeepBusy != nil {
		for _, cpu := range r.places.others {
			for range r.cfg.Strategy.Crowd {
				c := r.KeepBusy(cpu)
				if c.Start() == nil { // without it the run is slower, and no less right
					procs = append(procs, c)
				}
			}
		}
	}
	return func() {
		for _, c := range procs {
			c.Process.Kill()
			c.Wait()
		}
		procs = nil
	}
}

// KeepBusy is what a process of a crowd does: it keeps a processor busy, and
// nothing else, as long as its parent lives. It returns only if it cannot.
func KeepBusy(cpu string) error {
	n, err := strconv.Atoi(cpu)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	parent := os.Getppid()
	var set unix.CPUSet
	set.Set(n)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return os.NewSyscallError("sched_setaffinity", err)
	}
	for os.Getppid() == parent {
		for range 1 << 18 { // some 100 us
		}
	}
	os.Exit(0)
	return nil
}
