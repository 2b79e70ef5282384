// Package ledger is the account of a run: every submission and completion,
// matched as they come, and the log of them.
//
// It never judges: whether a duplicate completion is a kernel's fault is the
// oracle's to say. It talks to no kernel, and it reads no clock: times come in
// with what they time.
package ledger

import "fmt"

// Tags carry a slot and a generation: gen<<SlotBits | slot. A generation has
// 48 bits there; at a million writes a second they last for nine years.
const (
	SlotBits = 16
	slotMask = 1<<SlotBits - 1
)

// MakeTag returns the Tag of a generation in a slot.
func MakeTag(slot int, gen uint64) uint64 { return gen<<SlotBits | uint64(slot) }

// SplitTag is the reverse of MakeTag.
func SplitTag(tag uint64) (slot int, gen uint64) { return int(tag & slotMask), tag >> SlotBits }

type slotState uint8

const (
	free slotState = iota
	offered
	accepted
)

type slot struct {
	gen              uint64
	off              int64
	submitNS, takeNS int64
	length           uint32
	file, try        uint16
	state            slotState
	paused           bool
}

// Account matches the completions of one job. It is used by one goroutine.
// Nothing on its ordinary path allocates.
type Account struct {
	Job     int
	C       Counts
	Unusual []Unusual
	// NoLegal, set before the first Offer, saves the memory that Legal needs:
	// 8 bytes a block of every file the job writes to.
	NoLegal bool

	Slat, Clat, Lat *Histogram

	slots  []slot
	owner  []uint16 // slot of the newest generations, by generation
	gen    uint64
	live   int
	shadow []shadow
	bs     int64
}

// owners is how many generations back a duplicate is told from a stray with
// certainty, at least.
const owners = 1 << 12

const nobody = 1<<SlotBits - 1 // in owner: withdrawn

// NewAccount makes the account of a job with depth slots on files of the given
// sizes, in blocks of bs bytes.
func NewAccount(job, depth, bs int, sizes []int64) *Account {
	n := owners
	for n < 4*depth {
		n *= 2
	}
	a := &Account{
		Job: job, slots: make([]slot, depth), owner: make([]uint16, n), bs: int64(bs),
		Slat: NewHistogram(), Clat: NewHistogram(), Lat: NewHistogram(),
	}
	a.C.Failed, a.C.Leaked = map[int64]uint64{}, map[int64]uint64{}
	for _, n := range sizes {
		a.shadow = append(a.shadow, shadow{blocks: (n + a.bs - 1) / a.bs})
	}
	return a
}

// Offer enters a write that is about to be submitted from a free slot and
// returns its Tag and generation. off is a multiple of the block size.
func (a *Account) Offer(s int, file int, off int64, length uint32, try uint16, paused bool) (tag, gen uint64) {
	a.gen++
	sl := &a.slots[s]
	*sl = slot{gen: a.gen, off: off, length: length, file: uint16(file), try: try, state: offered, paused: paused}
	a.owner[a.gen&uint64(len(a.owner)-1)] = uint16(s)
	a.shadow[file].begin(off/a.bs, !a.NoLegal)
	return MakeTag(s, a.gen), a.gen
}

// Accepted notes that the engine took the write in slot s. submitNS was read
// before the call that took it.
func (a *Account) Accepted(s int, submitNS, acceptNS int64) {
	sl := &a.slots[s]
	sl.state, sl.submitNS, sl.takeNS = accepted, submitNS, acceptNS
	a.live++
	a.C.Submitted++
}

// Withdraw frees a slot whose write the engine refused: a completion with its
// Tag is a stray from now on.
func (a *Account) Withdraw(s int) {
	sl := &a.slots[s]
	a.shadow[sl.file].end(sl.off / a.bs)
	a.owner[sl.gen&uint64(len(a.owner)-1)] = nobody
	sl.state = free
}

// Complete enters a completion. With matched true, e is the finished entry,
// and slot s is free again; else e holds what little is known, and s may be
// none of the slots.
func (a *Account) Complete(tag uint64, res, res2 int64, flags uint32, reapNS int64, e *Entry) (s int, o Outcome, matched bool) {
	s, gen := SplitTag(tag)
	if s >= len(a.slots) || a.slots[s].state != accepted || a.slots[s].gen != gen {
		o = a.unmatched(s, gen)
		*e = Entry{Gen: gen, Res: res, Res2: res2, ReapNS: reapNS, Flags: flags, Job: uint16(a.Job), Slot: uint16(s)}
		a.note(o, e)
		return s, o, false
	}
	sl := &a.slots[s]
	sl.state = free
	a.live--
	*e = Entry{
		Gen: gen, Off: sl.off, Res: res, Res2: res2, SubmitNS: sl.submitNS, AcceptNS: sl.takeNS, ReapNS: reapNS,
		Len: sl.length, Flags: flags, File: sl.file, Job: uint16(a.Job), Slot: uint16(s), Try: sl.try, Paused: sl.paused,
	}
	o = a.C.enter(e)
	a.shadow[sl.file].done(sl.off/a.bs, gen, o == Full, a.gen)
	a.latency(sl, reapNS)
	if o != Full || res2 != 0 {
		a.note(o, e)
	}
	return s, o, true
}

// unmatched tells a duplicate from a stray. A generation so old that its slot
// is forgotten was used once, so it counts as a duplicate.
func (a *Account) unmatched(s int, gen uint64) Outcome {
	known := s < len(a.slots) && gen > 0 && gen <= a.gen
	if known && a.gen-gen < uint64(len(a.owner)) {
		known = a.owner[gen&uint64(len(a.owner)-1)] == uint16(s) && !(a.slots[s].gen == gen && a.slots[s].state == offered)
	}
	if known {
		a.C.Duplicate++
		return Duplicate
	}
	a.C.Stray++
	return Stray
}

func (a *Account) latency(sl *slot, reapNS int64) {
	a.Lat.Record(reapNS - sl.submitNS)
	if sl.takeNS != 0 {
		a.Slat.Record(sl.takeNS - sl.submitNS)
		a.Clat.Record(reapNS - sl.takeNS)
	}
}

func (a *Account) note(o Outcome, e *Entry) { (*unusual)(&a.Unusual).note(o, e) }

// Live returns how many writes are in flight.
func (a *Account) Live() int { return a.live }

// Busy says whether a write to the block at byte offset off is offered or in
// flight.
func (a *Account) Busy(file int, off int64) bool { return a.shadow[file].busy(off / a.bs) }

// LastGen returns the newest generation that was offered.
func (a *Account) LastGen() uint64 { return a.gen }

// Pending lists what is in flight, by slot.
func (a *Account) Pending() (p []InFlight) {
	for i := range a.slots {
		if sl := &a.slots[i]; sl.state == accepted {
			p = append(p, InFlight{Job: a.Job, Slot: i, Gen: sl.gen, File: int(sl.file), Off: sl.off, Len: int64(sl.length), SubmitNS: sl.submitNS, Try: int(sl.try)})
		}
	}
	return p
}

// Close ends the account: what is in flight now is lost.
func (a *Account) Close() []InFlight {
	p := a.Pending()
	a.C.Lost = uint64(len(p))
	return p
}

// String sums the account up for error texts.
func (a *Account) String() string {
	return fmt.Sprintf("job %d: %d submitted, %d completed, %d in flight", a.Job, a.C.Submitted, a.C.Completed, a.live)
}
