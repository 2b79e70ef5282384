package mmapdirty

import (
	"fmt"
	"math/bits"
	"sync/atomic"
)

// Order says which write in flight a dirtier picks.
type Order uint8

// The orders.
const (
	Newest Order = iota // the one submitted last: aims at its pre-write invalidation
	Random              // the first from a random slot on
	Oldest              // the one in flight longest: aims at its post-write invalidation
	numOrders
)

// String returns "newest", "random" or "oldest".
func (o Order) String() string {
	switch o {
	case Newest:
		return "newest"
	case Random:
		return "random"
	case Oldest:
		return "oldest"
	}
	return fmt.Sprintf("order(%d)", uint8(o))
}

const (
	cacheLine = 64
	// Looks at more entries than this cost more than a stale answer.
	maxWalk = 64
)

// slot is a seqlock of one writer: state is the submission's serial shifted
// left once, with bit 0 set while it is in flight. Serials are unique in a
// table, so equal states before and after mean that nothing changed between.
type slot struct {
	state atomic.Uint64
	off   atomic.Int64
	where atomic.Uint64 // file << 32 | length
	_     [cacheLine - 24]byte
}

// Table tells which direct writes are in flight. Begin and End may be called
// by several threads, but for one slot by one thread at a time; Pick, Still and
// InFlight by any thread at any time. Nothing locks and nothing allocates.
type Table struct {
	slots []slot
	live  []atomic.Uint64 // one bit per slot
	held  []atomic.Uint64 // likewise: waits to be dirtied before it is submitted
	ring  []atomic.Uint32 // slots in the order of submission
	mask  uint64
	_     [cacheLine]byte
	head  atomic.Uint64 // serial of the submission begun last
	_     [cacheLine]byte
}

// Target is one write that was in flight when Pick saw it.
type Target struct {
	Slot  int
	File  int   // as given to Begin: index into Config.Files
	Off   int64 // bytes
	Len   int   // bytes
	token uint64
}

// NewTable makes a table of slots 0..slots-1. It panics if slots < 1.
func NewTable(slots int) *Table {
	if slots < 1 {
		panic(fmt.Sprintf("mmapdirty: NewTable(%d): want at least 1 slot", slots))
	}
	ring := uint64(1) << bits.Len(uint(slots-1))
	// Whole cache lines, so that neighbours on the heap are not shared with.
	words := ((slots+63)/64 + 7) &^ 7
	return &Table{
		slots: make([]slot, slots),
		live:  make([]atomic.Uint64, words)[:(slots+63)/64],
		held:  make([]atomic.Uint64, words)[:(slots+63)/64],
		ring:  make([]atomic.Uint32, max(ring, 16)),
		mask:  max(ring, 16) - 1,
	}
}

// Slots returns the number of slots.
func (t *Table) Slots() int { return len(t.slots) }

// Begin says that a write of length bytes (1..MaxUint32) at offset off of the
// file with that index (0..MaxUint32) is about to be submitted. Call it right
// before the submission: what lies between the two is counted as in flight.
// A slot that never ended is simply taken over.
func (t *Table) Begin(slot, file int, off int64, length int) {
	s := &t.slots[slot]
	if old := s.state.Load(); old&1 != 0 {
		s.state.Store(old &^ 1)
	}
	s.off.Store(off)
	s.where.Store(uint64(file)<<32 | uint64(uint32(length)))
	serial := t.head.Add(1)
	t.ring[serial&t.mask].Store(uint32(slot))
	s.state.Store(serial<<1 | 1)
	t.live[slot>>6].Or(1 << (slot & 63))
}

// End says that the write in this slot is over: its completion was reaped, or
// its submission was refused. Ending a slot twice changes nothing.
func (t *Table) End(slot int) {
	s := &t.slots[slot]
	old := s.state.Load()
	if old&1 == 0 {
		return
	}
	s.state.Store(old &^ 1)
	t.live[slot>>6].And(^uint64(1 << (slot & 63)))
}

// InFlight returns how many slots are in flight.
func (t *Table) InFlight() int {
	n := 0
	for i := range t.live {
		n += bits.OnesCount64(t.live[i].Load())
	}
	return n
}

// Still tells whether that very submission is still in flight. If it is, it
// was so at every moment since the Pick that returned target.
func (t *Table) Still(target Target) bool {
	return t.slots[target.Slot].state.Load() == target.token
}

// Pick returns a write in flight. random is any evenly distributed number; it
// decides Random and where the search starts. Newest and Oldest are exact as
// long as no more than 64 writes are in flight and the table does not change
// meanwhile, and near it otherwise. False means that nothing was found.
func (t *Table) Pick(order Order, random uint64) (Target, bool) {
	switch order {
	case Newest:
		// The last few submissions are the answer nearly always.
		for head, back := t.head.Load(), uint64(0); back < 4 && back < head; back++ {
			if target, ok := t.look(int(t.ring[(head-back)&t.mask].Load())); ok {
				return target, true
			}
		}
		return t.extreme(random, true)
	case Oldest:
		return t.extreme(random, false)
	}
	var found Target
	ok := false
	t.eachLive(random, func(target Target) bool {
		found, ok = target, true
		return false
	})
	return found, ok
}

func (t *Table) extreme(random uint64, newest bool) (Target, bool) {
	var best Target
	ok, walked := false, 0
	t.eachLive(random, func(target Target) bool {
		if !ok || (target.token > best.token) == newest {
			best, ok = target, true
		}
		walked++
		return walked < maxWalk
	})
	return best, ok
}

// eachLive calls f for the slots in flight, from a random one round, until f
// returns false.
func (t *Table) eachLive(random uint64, f func(Target) bool) { t.each(t.live, random, f) }

// each is eachLive for those of a set.
func (t *Table) each(set []atomic.Uint64, random uint64, f func(Target) bool) {
	hi, _ := bits.Mul64(random, uint64(len(t.slots)))
	word, bit := int(hi>>6), int(hi&63)
	first := true
	for range len(set) + 1 {
		live := set[word].Load()
		if first {
			live &= ^uint64(0) << bit
		}
		for ; live != 0; live &= live - 1 {
			if target, ok := t.look(word<<6 | bits.TrailingZeros64(live)); ok && !f(target) {
				return
			}
		}
		first = false
		if word++; word == len(set) {
			word = 0
		}
	}
}

// look reads one slot consistently; false if it is not in flight.
func (t *Table) look(i int) (Target, bool) {
	s := &t.slots[i]
	state := s.state.Load()
	if state&1 == 0 {
		return Target{}, false
	}
	off, where := s.off.Load(), s.where.Load()
	if s.state.Load() != state {
		return Target{}, false
	}
	return Target{Slot: i, File: int(where >> 32), Off: off, Len: int(uint32(where)), token: state}, true
}
