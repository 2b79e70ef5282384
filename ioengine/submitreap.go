package ioengine

import "time"

// SubmitReaper is implemented by engines that can submit and wait in one
// system call. A caller that has no use for the moment between the two saves
// one kernel entry per round.
type SubmitReaper interface {
	// SubmitReap does what Submit(reqs) followed by Reap(dst, min, timeout)
	// does. dst[:reaped] is valid whatever err says. A min above what is in
	// flight waits for the timeout, as Reap does; only when fewer than
	// len(reqs) were accepted is min lowered to what is in flight, so that
	// back-pressure on an idle engine returns at once. An err with submitted <
	// len(reqs) concerns reqs[submitted] or the engine, any other the engine.
	SubmitReap(reqs []Request, dst []Completion, min int, timeout time.Duration) (submitted, reaped int, err error)
}
