package ledger

import "sync/atomic"

// Ring carries entries from one engine thread to the recorder without locks
// and without allocating. One goroutine pushes, one pops.
type Ring struct {
	buf     []Entry
	mask    uint64
	_       [40]byte
	head    atomic.Uint64 // next to pop
	_       [56]byte
	tail    atomic.Uint64 // next to push
	_       [56]byte
	dropped atomic.Uint64
}

// NewRing returns a ring for at least n entries.
func NewRing(n int) *Ring {
	size := 1
	for size < n {
		size *= 2
	}
	return &Ring{buf: make([]Entry, size), mask: uint64(size - 1)}
}

// Push appends an entry; a full ring drops it, and counts that.
func (r *Ring) Push(e *Entry) {
	t := r.tail.Load()
	if t-r.head.Load() == uint64(len(r.buf)) {
		r.dropped.Add(1)
		return
	}
	r.buf[t&r.mask] = *e
	r.tail.Store(t + 1)
}

// Peek returns the oldest entry, nil if there is none. It is valid until Drop.
func (r *Ring) Peek() *Entry {
	h := r.head.Load()
	if h == r.tail.Load() {
		return nil
	}
	return &r.buf[h&r.mask]
}

// Drop removes the oldest entry.
func (r *Ring) Drop() { r.head.Add(1) }

// Dropped returns how many entries found the ring full.
func (r *Ring) Dropped() uint64 { return r.dropped.Load() }
