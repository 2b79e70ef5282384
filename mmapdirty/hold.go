package mmapdirty

import "time"

// A direct write meets a dirty page for certain only if the page was dirtied
// first: a dirtier that learns of a write as it is submitted comes too late as
// often as not, above all where the page has to be read in. So a write can be
// held back, between Begin and its submission, until a dirtier has been there.
// Such an act is no overlap: nothing is in flight yet.

// BeginHeld is Begin for a write that waits to be dirtied. The mark comes first:
// a dirtier that saw the write without it would take it for one in flight. The
// slot must have ended.
func (t *Table) BeginHeld(slot, file int, off int64, length int) {
	t.held[slot>>6].Or(1 << (slot & 63))
	t.Begin(slot, file, off, length)
}

// Await returns once every slot that was held has been dirtied, or limit has
// passed; none is held then. It is called by the thread that submits, and takes
// its CPU time in exchange for not sleeping.
func (t *Table) Await(limit time.Duration) {
	if !t.holding() {
		return
	}
	began := time.Now()
	for t.holding() {
		for range looksPerClock {
			spin(1)
			if !t.holding() {
				return
			}
		}
		switch passed := time.Since(began); {
		case passed > limit:
			for i := range t.held {
				t.held[i].Store(0)
			}
		case passed > spinLimit:
			schedYield()
		}
	}
}

const (
	looksPerClock = 4
	// spinLimit is how long a dirtier on another CPU may take for a page that
	// is dirty already; one on this CPU cannot run meanwhile.
	spinLimit = time.Microsecond
)

func (t *Table) holding() bool {
	for i := range t.held {
		if t.held[i].Load() != 0 {
			return true
		}
	}
	return false
}

func (t *Table) isHeld(slot int) bool { return t.held[slot>>6].Load()&(1<<(slot&63)) != 0 }

// pickHeld returns a write that waits to be dirtied.
func (t *Table) pickHeld(random uint64) (found Target, ok bool) {
	if !t.holding() {
		return found, false
	}
	t.each(t.held, random, func(target Target) bool {
		found, ok = target, true
		return false
	})
	return found, ok
}

// dirtied takes the mark of Hold off a target.
func (t *Table) dirtied(target Target) {
	t.held[target.Slot>>6].And(^uint64(1 << (target.Slot & 63)))
}
