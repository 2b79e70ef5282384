package mmapdirty

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// pinnedNice is the nice value of a dirtier with CPUs of its own.
const pinnedNice = -10

// pin puts a thread of the group, 0 for the one that calls, on the CPU of cpus
// that is its dirtier's turn.
func (d *dirtier) pin(tid int, cpus []int) error {
	cpu := cpus[d.nth%len(cpus)]
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(tid, &set); err != nil {
		return fmt.Errorf("pin thread to CPU %d of Strategy.CPUs: %w", cpu, err)
	}
	return nil
}

// Move puts the dirtiers of every set that has Strategy.CPUs on these CPUs in
// turn instead. cpus must not be empty. A thread that cannot be moved stays
// where it is.
func (g *Group) Move(cpus []int) {
	for _, d := range g.dirtiers {
		if tid := int(d.tid.Load()); tid > 0 && len(d.how.CPUs) > 0 {
			d.pin(tid, cpus)
		}
	}
}

// Preempted returns how often the threads of the sets with Strategy.CPUs have
// had to leave their CPU to others (nonvoluntary_ctxt_switches of proc(5)).
func (g *Group) Preempted() (n uint64) {
	for _, d := range g.dirtiers {
		if tid := d.tid.Load(); tid > 0 && len(d.how.CPUs) > 0 {
			n += involuntary(int(tid))
		}
	}
	return n
}

// involuntary is 0 for a thread that has ended.
func involuntary(tid int) uint64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", tid))
	_, rest, _ := bytes.Cut(status, []byte("\nnonvoluntary_ctxt_switches:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, _ := strconv.ParseUint(string(bytes.TrimSpace(line)), 10, 64)
	return n
}
