package mmapdirty

import (
	"math/bits"
	"time"
)

// pick looks for a write in flight that this dirtier may touch; one that is held
// back comes first.
func (d *dirtier) pick() (aim, bool) {
	d.looks++
	tables := d.g.cfg.Tables
	r := d.random()
	at := d.below(len(tables))
	for range tables {
		t := tables[at]
		if d.kind.Dirties() && d.place == Same {
			if target, ok := t.pickHeld(r); ok {
				if a, ok := d.aim(at, target); ok {
					a.held = true
					return a, true
				}
			}
		}
		if target, ok := t.Pick(d.how.Order, r); ok && !t.isHeld(target.Slot) {
			if a, ok := d.aim(at, target); ok && d.due(&a) {
				return a, true
			}
		}
		if at++; at == len(tables) {
			at = 0
		}
	}
	return aim{}, false
}

// due says whether it is time to touch a write.
func (d *dirtier) due(a *aim) bool {
	if !a.letGo() {
		return true
	}
	if d.watches() {
		return d.ripe(a)
	}
	if d.how.Redirty > 0 && a.freed.faults >= d.how.Redirty {
		return false
	}
	return time.Since(d.g.began) >= a.freed.at+d.how.From
}

// aim says which bytes to touch for a target, false if there are none for this
// dirtier.
func (d *dirtier) aim(table int, target Target) (aim, bool) {
	if target.File >= len(d.files) || !d.files[target.File].open {
		return aim{}, false
	}
	h := &d.files[target.File]
	off, n := d.place.bytes(target, h.size)
	if d.kind == Mmap {
		off, n = wholeWords(off, n)
	}
	a := aim{table: d.g.cfg.Tables[table], target: target, h: h, off: off, len: n}
	if d.freed != nil {
		a.freed = &d.freed[table][target.Slot]
	}
	return a, n > 0
}

// bytes returns the range to touch for a write in flight; n is 0 if there is
// none within the file.
func (p Place) bytes(t Target, size int64) (off int64, n int) {
	off = t.Off
	length := int64(t.Len)
	if length <= 0 || off < 0 {
		return 0, 0
	}
	if p == Neighbour {
		switch {
		case bits.OnesCount64(uint64(length)) == 1 && off&(length-1) == 0:
			off ^= length
		case off >= length:
			off -= length
		default:
			off += length
		}
	}
	if off >= size {
		return 0, 0
	}
	return off, int(min(length, size-off))
}

// wholeWords returns the aligned 8-byte words within a range.
func wholeWords(off int64, n int) (int64, int) {
	first := (off + 7) &^ 7
	return first, max(0, int(off+int64(n)-first)) &^ 7
}

// random is xorshift64*: cheap, and good enough to spread stores.
func (d *dirtier) random() uint64 {
	x := d.rnd
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	d.rnd = x
	return x * 0x2545f4914f6cdd1d
}

// below returns a number in 0..n-1.
func (d *dirtier) below(n int) int {
	if n == 1 {
		return 0
	}
	hi, _ := bits.Mul64(d.random(), uint64(n))
	return int(hi)
}

// pageDown and pageUp round to a multiple of page, a power of two.
func pageDown(n, page int64) int64 { return n &^ (page - 1) }
func pageUp(n, page int64) int64   { return (n + page - 1) &^ (page - 1) }
