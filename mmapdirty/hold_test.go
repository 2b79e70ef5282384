package mmapdirty

import (
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAwaitGivesUp: nobody dirties, so Await lasts as long as it was told, and
// nothing is held afterwards.
func TestAwaitGivesUp(t *testing.T) {
	tab := NewTable(130)
	for _, s := range []int{0, 64, 129} {
		tab.BeginHeld(s, 0, int64(s)*blk, blk)
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
		tab.End(s)
		tab.BeginHeld(s, 0, int64(s)*blk, blk)
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

// TestLetGoIsTouchedLater: a write that was let go is left alone until
// Strategy.From has passed.
func TestLetGoIsTouchedLater(t *testing.T) {
	const from = 20 * time.Millisecond
	f := newFile(t)
	tab := NewTable(1)
	cfg := config("mmap", []File{f}, tab)
	cfg.Sets[0].Strategy.From = from
	var first atomic.Int64 // ns since began
	began := time.Now()
	cfg.Word = func(file int, off int64, writer int, gen uint64) uint64 {
		first.CompareAndSwap(0, int64(time.Since(began)))
		return mark(file, off, writer, gen)
	}
	g := start(t, cfg)
	held := time.Since(began)
	beginHeld(t, g, tab)
	tab.Await(patient)
	untilOps(t, g, 10)
	if at := time.Duration(first.Load()); at-held < from {
		t.Errorf("touched %v after it was held, want no sooner than %v", at-held, from)
	}
}

// beginHeld begins a write that is held from the start: between Begin and Hold
// it is free game.
func beginHeld(t *testing.T, g *Group, tab *Table) {
	t.Helper()
	if err := g.Pause(patient); err != nil {
		t.Fatal(err)
	}
	tab.BeginHeld(0, 0, 0, blk)
	g.Resume()
}

// TestLetGoIsLeftAlone: after Strategy.Redirty page faults the write is left
// alone.
func TestLetGoIsLeftAlone(t *testing.T) {
	const times = 3
	f := newFile(t)
	fd, err := unix.Open(f.Path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	tab := NewTable(1)
	cfg := config("mmap", []File{f}, tab)
	cfg.Sets[0].Strategy.Redirty = times
	g := start(t, cfg)
	beginHeld(t, g, tab)
	tab.Await(patient)
	until(t, "the dirtier acts", func() bool { return ops(g) >= 2 })
	for range times {
		// The page is write-protected while it is cleaned.
		if err := unix.SyncFileRange(fd, 0, blk, unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	before := g.Stats()[0].Operations
	time.Sleep(20 * time.Millisecond)
	if after := g.Stats()[0].Operations; after != before {
		t.Errorf("%d acts after %d faults, %d a while later: it was to be left alone", before, times, after)
	}
}

// TestHeldOfAnotherFile: a dirtier that cannot reach the held write goes on
// with what it can reach.
func TestHeldOfAnotherFile(t *testing.T) {
	mine, other := newFile(t), newFile(t)
	tab := NewTable(2)
	tab.Begin(0, 0, 0, blk)
	tab.BeginHeld(1, 1, 0, blk)
	cfg := config("mmap", []File{mine, other}, tab)
	cfg.Sets[0].Files = []int{0}
	cfg.Sets[0].Strategy.Order = Oldest
	g := start(t, cfg)
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
		tab.End(0)
		tab.BeginHeld(0, 0, 0, blk)
		tab.Await(patient)
	}
}
