package mmapdirty

import "sync/atomic"

// What a write waits for can be done before it is its turn, if the thread that
// submits says which one comes next: a write whose pages could not be dropped
// goes on as a buffered one, and while that is written back the inode's lock is
// free (ext4_dio_write_iter in fs/ext4/file.c, since 5.9) and the dirtier has
// nothing to do.

// ahead is the announcement of one write, a seqlock of one writer: seq is odd
// while it changes, and 0 before the first.
type ahead struct {
	seq   atomic.Uint64
	off   atomic.Int64
	where atomic.Uint64 // packed
	taken atomic.Uint64 // seq that a dirtier has taken it upon itself to dirty
	done  atomic.Uint64 // seq that is dirty
	_     [cacheLine - 40]byte
}

// Ahead says which write BeginHeld will most likely be called for next. It may
// be called by the thread that submits alone, when nothing is held; what it said
// before is void.
func (t *Table) Ahead(file int, off int64, length int) {
	seq := t.ahead.seq.Load()
	t.ahead.seq.Store(seq + 1)
	t.ahead.off.Store(off)
	t.ahead.where.Store(packed(file, length))
	t.ahead.seq.Store(seq + 2)
}

// takeAhead returns the write that was announced, once; its slot is not known.
// The caller dirties it and calls aheadDone.
func (t *Table) takeAhead() (target Target, seq uint64, ok bool) {
	seq = t.ahead.seq.Load()
	taken := t.ahead.taken.Load()
	if seq&1 != 0 || seq == taken {
		return target, 0, false
	}
	off, where := t.ahead.off.Load(), t.ahead.where.Load()
	if t.ahead.seq.Load() != seq || !t.ahead.taken.CompareAndSwap(taken, seq) {
		return target, 0, false
	}
	return unpacked(-1, off, where, 0), seq, true
}

func (t *Table) aheadDone(seq uint64) { t.ahead.done.Store(seq) }

// isAhead says whether a write that waits to be dirtied is the one announced,
// and is dirty.
func (t *Table) isAhead(target Target) bool {
	seq := t.ahead.seq.Load()
	return seq != 0 && t.ahead.done.Load() == seq &&
		t.ahead.off.Load() == target.Off && t.ahead.where.Load() == packed(target.File, target.Len)
}

// lookAhead dirties the pages of the write that comes next, while the one in
// flight, which was struck, is under writeback again.
func (d *dirtier) lookAhead(at int, a *aim) {
	if !a.letGo() || !a.freed.struck || a.freed.passed || !d.watches() {
		return
	}
	// If its pages could be dropped no buffered write follows.
	if !d.cleaned(a, &a.freed.passed) {
		return
	}
	a.freed.passed = true
	target, seq, ok := a.table.takeAhead()
	if !ok {
		return
	}
	next, ok := d.aim(at, target)
	if !ok || !d.cover(&next) {
		return
	}
	a.table.aheadDone(seq)
	bump(&d.count.ops)
	// More often than not it is a write to the same block.
	if next.h == a.h && next.off == a.off && a.table.Still(a.target) {
		bump(&d.count.overlaps)
	}
}
