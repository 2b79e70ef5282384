package enginetest

import (
	"time"

	"diostress/ioengine"
)

// Act is one way in which a scripted engine departs from doing a request
// properly. Zero is none.
type Act uint8

// The acts. "Written" says what reaches the file. N is Rule.N.
const (
	_             Act = iota
	Short             // res N, or half the length in whole sectors; so much is written
	Zero              // res 0; nothing written
	Overlong          // res = length + N, or + 512; written
	Torn              // res = length; only N bytes, or half of it in whole sectors, written
	Duplicate         // written, and the completion posted N more times, or once more
	Stray             // written, and a completion posted besides whose tag is N, or this one's with all bits flipped
	Early             // completion posted; its data lands at the start of the Nth call (or first) after the one that handed it out
	Poison            // as Early, but what lands is what the buffer holds by then
	Late              // written; the completion is held back for N Reap calls (or one) and for Rule.Delay. A waiting Reap lets the calls pass
	Lost              // written; never completed
	Swallowed         // neither written nor completed
	Errno             // res = -N, or -EIO; nothing written
	ErrnoWritten      // res = -N, or -EIO; written
	TwoResults        // completions -N, or -EIO, and then the true one; written
	Res2              // written; res2 = N, or 1
	Flags             // written; flags = N, or 1
	DataLost          // res = length; nothing written
	WrongData         // res = length; N bytes, or one sector, are written wrong
	Misplaced         // res = length; written N bytes (or its length) further on
	BackPressure      // not accepted by N Submit calls (or one), which stop before it
	PartialAccept     // accepted, but nothing behind it in the same Submit call
	SubmitError       // Submit stops before it with errno N, or EIO, once
)

// Values for Rule.N with Errno and TwoResults.
const (
	ENOTBLK     = 15  // what iomap says to its callers for "fall back to buffered"
	EIOCBQUEUED = 529 // what the kernel says to itself for "queued"
)

// Rule says what happens to which requests. Requests are numbered from 0 in
// the order they are accepted, fsyncs included. Several rules may meet on one
// request; the later one prevails where they disagree.
type Rule struct {
	Op    uint64        // the first request concerned
	Every uint64        // and each Every'th after it; 0: none
	OneIn uint64        // instead of Every: about one in OneIn after it, as the seed decides
	Do    Act           //
	N     int64         // what it is, see the acts; 0 is their default
	Delay time.Duration // Late: shortest time from submission to completion
}

// Script is what a Fake does. The zero Script does every request properly, at
// once, and completes in order.
type Script struct {
	Seed    uint64
	Rules   []Rule
	Shuffle bool // hand out completions in an order that the seed decides
	// NoIO completes writes without doing them: nothing is written or synced,
	// buffers are not read.
	NoIO bool
	// Memory takes the place of Options.Files: file i is Memory[i]. A write is
	// cut off at its end as by a file-size limit (res -EFBIG behind it).
	Memory [][]byte
	// SubmitReap makes the engine an ioengine.SubmitReaper.
	SubmitReap bool
	// Fired, if not nil, is told of each act as it happens: the request's
	// number, the act and the request.
	Fired func(op uint64, do Act, r ioengine.Request)
}

// String returns the act's name.
func (a Act) String() string {
	names := [...]string{"none", "short", "zero", "overlong", "torn", "duplicate", "stray", "early", "poison", "late", "lost",
		"swallowed", "errno", "errno_written", "two_results", "res2", "flags", "data_lost", "wrong_data", "misplaced",
		"back_pressure", "partial_accept", "submit_error"}
	if int(a) < len(names) {
		return names[a]
	}
	return "unknown"
}

// schedule is a Rule and the request it fires on next.
type schedule struct {
	Rule
	next uint64
}

const never = ^uint64(0)

// advance moves past request op.
func (s *schedule) advance(op uint64, rng *rng) {
	switch {
	case s.OneIn > 0:
		s.next = op + 1 + rng.below(2*s.OneIn-1)
	case s.Every > 0:
		s.next = op + s.Every
	default:
		s.next = never
	}
}

// rng is splitmix64.
type rng uint64

func (r *rng) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in 0..n-1, and 0 for n 0.
func (r *rng) below(n uint64) uint64 {
	if n == 0 {
		return 0
	}
	return r.next() % n
}
