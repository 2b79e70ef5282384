package harness

import "time"

// The loop driver's worker belongs to the kernel, and the scheduler wakes it on
// the processor where it ran last. If that is a dirtier's, every write costs two
// wake-ups of another processor, for as long as the run lasts. Nobody but the
// kernel can move that worker, so the threads of the run go after it: the engine
// threads and the dirtiers change places. Where several workers take turns on
// different processors that is in vain, so the next time is put off.

// follower sees from the dirtiers' own count of preemptions whether somebody
// shares their processors.
type follower struct {
	preempted, completed uint64 // when it looked last
	crowded              int    // looks in a row that found somebody
	patience             int    // so many of them are enough for an exchange; 0: followFirst
}

const (
	followEvery = 50 * time.Millisecond
	// Fewer than so many in followEvery are not a worker of the kernel.
	followLeast = 50
	// How many looks in a row have to find somebody: the scheduler often mends it
	// by itself. Each exchange that has not helped doubles it.
	followFirst, followLast = 2, 64
)

// follow exchanges the places of engine threads and dirtiers if somebody shares
// the dirtiers' processors.
func (r *run) follow() {
	p := r.places.Load()
	if r.dirt.group == nil || p.dirtiers == nil {
		return
	}
	var completed uint64
	for _, w := range r.workers {
		completed += w.completed.Load()
	}
	if r.follower.look(r.dirt.group.Preempted(), completed) {
		swapped := &places{engines: p.dirtiers, dirtiers: p.engines}
		r.places.Store(swapped)
		r.dirt.group.Move(swapped.dirtiers)
	}
}

// look takes the counts and says whether to exchange. A write that collides goes
// to the device twice: somebody is there if nearly all of that has preempted the
// dirtiers since the last look.
func (f *follower) look(preempted, completed uint64) bool {
	times, writes := preempted-f.preempted, completed-f.completed
	first := f.completed == 0
	f.preempted, f.completed = preempted, completed
	if first || times < followLeast || 2*times < 3*writes {
		f.crowded, f.patience = 0, 0
		return false
	}
	patience := max(f.patience, followFirst)
	if f.crowded++; f.crowded < patience {
		return false
	}
	f.crowded, f.patience = 0, min(2*patience, followLast)
	return true
}
