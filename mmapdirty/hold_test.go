package mmapdirty

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestAwaitGivesUp: nobody dirties, so Await lasts as long as it was told, and
// nothing is held afterwards.
func TestAwaitGivesUp(t *testing.T) {
	tab := NewTable(130)
	for _, s := range []int{0, 64, 129} {
		tab.Begin(s, 0, int64(s)*blk, blk)
		tab.Hold(s)
	}
	const limit = 3 * time.Millisecond
	began := time.Now()
	tab.Await(limit)
	if took := time.Since(began); took < limit {
		t.Errorf("returned after %v, want %v at least", took, limit)
	}
	if tab.holding() {
		t.Error("something is still held")
	}
	began = time.Now()
	tab.Await(patient)
	if took := time.Since(began); took > patient/2 {
		t.Errorf("nothing was held, yet it waited for %v", took)
	}
}

// TestHeldWritesComeFirst: a dirtier that would never pick these slots, since
// another is older, dirties each of them once it is held, and does not count
// that as an overlap.
func TestHeldWritesComeFirst(t *testing.T) {
	t.Run("by write", func(t *testing.T) { heldComeFirst(t, true) })
	t.Run("by store", func(t *testing.T) { heldComeFirst(t, false) })
}

func heldComeFirst(t *testing.T, fill bool) {
	f := newFile(t)
	tab := NewTable(4)
	for s := range 4 {
		tab.Begin(s, 0, int64(s)*blk, blk)
	}
	var stored [4]atomic.Uint64 // by block
	cfg := config("mmap", []File{f}, tab)
	cfg.Sets[0].Strategy.Order = Oldest
	cfg.Word = func(file int, off int64, writer int, gen uint64) uint64 {
		stored[off/blk].Add(1)
		return mark(file, off, writer, gen)
	}
	if fill {
		cfg.Fill = func(dst []byte, file int, off int64, writer int, gen uint64) {
			stored[off/blk].Add(1)
			fillMarks(dst, file, off, writer, gen)
		}
	} else {
		cfg.Fill = nil
	}
	g := start(t, cfg)
	untilOps(t, g, 100)
	for s := 1; s < 4; s++ {
		if n := stored[s].Load(); n != 0 {
			t.Errorf("block %d: %d stores before it was held; the oldest write is another", s, n)
		}
		tab.Hold(s)
	}
	tab.Await(patient)
	for s := 1; s < 4; s++ {
		if stored[s].Load() == 0 {
			t.Errorf("block %d was held, and Await returned before it was dirtied", s)
		}
	}
	if err := g.Stop(patient); err != nil {
		t.Fatal(err)
	}
	k := g.Stats()[0]
	if held := stored[1].Load() + stored[2].Load() + stored[3].Load(); k.Operations-k.Overlaps < held {
		t.Errorf("%d acts, %d overlaps: %d acts on writes that were held are not to be among them", k.Operations, k.Overlaps, held)
	}
}

// TestLetGoIsTouchedInTime: a write that was let go is left alone before
// Strategy.From and after Strategy.Until.
func TestLetGoIsTouchedInTime(t *testing.T) {
	const from, until = 20 * time.Millisecond, 60 * time.Millisecond
	f := newFile(t)
	tab := NewTable(1)
	cfg := config("mmap", []File{f}, tab)
	cfg.Sets[0].Strategy.From, cfg.Sets[0].Strategy.Until = from, until
	var first atomic.Int64 // ns since began
	began := time.Now()
	cfg.Word = func(file int, off int64, writer int, gen uint64) uint64 {
		first.CompareAndSwap(0, int64(time.Since(began)))
		return mark(file, off, writer, gen)
	}
	g := start(t, cfg)
	tab.Hold(0) // first: it is free game between Begin and Hold
	held := time.Since(began)
	tab.Begin(0, 0, 0, blk)
	tab.Await(patient)
	for deadline := time.Now().Add(until); time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if at := time.Duration(first.Load()); at != 0 && at-held < from {
		t.Errorf("touched %v after it was held, want no sooner than %v", at-held, from)
	}
	before := g.Stats()[0].Operations
	time.Sleep(from)
	if after := g.Stats()[0].Operations; after != before {
		t.Errorf("%d acts after %v, %d a while later: it was to be left alone", before, until, after)
	}
}

// TestHeldOfAnotherFile: a dirtier that cannot reach the held write goes on
// with what it can reach.
func TestHeldOfAnotherFile(t *testing.T) {
	mine, other := newFile(t), newFile(t)
	tab := NewTable(2)
	tab.Begin(0, 0, 0, blk)
	tab.Begin(1, 1, 0, blk)
	cfg := config("mmap", []File{mine, other}, tab)
	cfg.Sets[0].Files = []int{0}
	cfg.Sets[0].Strategy.Order = Oldest
	g := start(t, cfg)
	tab.Hold(1)
	untilOps(t, g, 100)
	if !tab.holding() {
		t.Error("nobody could dirty it, yet it is held no more")
	}
}

// BenchmarkHold is what holding a write back costs where its page is in the
// cache and dirty: the dirtier's way to see it and back.
func BenchmarkHold(b *testing.B) {
	f := newFile(b)
	tab := NewTable(1)
	g := start(b, config("mmap", []File{f}, tab))
	tab.Begin(0, 0, 0, blk)
	untilOps(b, g, 1)
	b.ResetTimer()
	for range b.N {
		tab.Begin(0, 0, 0, blk)
		tab.Hold(0)
		tab.Await(patient)
	}
}
