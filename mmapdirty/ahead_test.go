package mmapdirty

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAheadIsTakenOnce: an announcement is taken by one dirtier, is void after
// the next one, and stands for a write to the same bytes only.
func TestAheadIsTakenOnce(t *testing.T) {
	tab := NewTable(1)
	if target, _, ok := tab.takeAhead(); ok {
		t.Errorf("took %+v, which nobody announced", target)
	}
	if tab.isAhead(Target{}) {
		t.Error("the write that nobody announced is dirty")
	}
	tab.Ahead(1, 2*blk, blk)
	first, old, ok := tab.takeAhead()
	if want := (Target{Slot: -1, File: 1, Off: 2 * blk, Len: blk}); !ok || first != want {
		t.Fatalf("took %+v %v, want %+v", first, ok, want)
	}
	if again, _, ok := tab.takeAhead(); ok {
		t.Errorf("took %+v a second time", again)
	}
	if tab.isAhead(first) {
		t.Error("dirty before anybody dirtied it")
	}
	tab.Ahead(0, 5*blk, blk)
	tab.aheadDone(old)
	next := Target{File: 0, Off: 5 * blk, Len: blk}
	if tab.isAhead(first) || tab.isAhead(next) {
		t.Error("what was dirtied late stands for the next announcement")
	}
	_, seq, ok := tab.takeAhead()
	if !ok {
		t.Fatal("the second announcement was not to be had")
	}
	tab.aheadDone(seq)
	if !tab.isAhead(next) {
		t.Error("announced and dirtied, and not known to be")
	}
	for _, other := range []Target{{File: 1, Off: 5 * blk, Len: blk}, {Off: 6 * blk, Len: blk}, {Off: 5 * blk, Len: 2 * blk}} {
		if tab.isAhead(other) {
			t.Errorf("%+v was not announced, and counts as dirty", other)
		}
	}
}

// aheadOf lets a write to block 0 go, announces one to block 3 and has the first
// struck.
func aheadOf(t *testing.T) (tab *Table, g *Group, acts func() uint64, writeBack func()) {
	t.Helper()
	tab = NewTable(1)
	cfg, file := watching(t, tab)
	g = start(t, cfg)
	acts = func() uint64 { return g.Stats()[0].Operations }
	writeBack = func() {
		t.Helper()
		if err := unix.SyncFileRange(int(file.Fd()), 0, blk, unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER); err != nil {
			t.Fatal(err)
		}
	}
	beginHeld(t, g, tab)
	tab.Await(patient)
	tab.Ahead(0, 3*blk, blk)
	writeBack()
	until(t, "written back, so stored to", func() bool { return acts() == 2 })
	return tab, g, acts, writeBack
}

// TestAheadIsDirtied: the announced write is dirtied when the one before it is
// under writeback once more, and not sooner; then it need not be waited for.
func TestAheadIsDirtied(t *testing.T) {
	tab, g, acts, writeBack := aheadOf(t)
	time.Sleep(20 * time.Millisecond)
	next := Target{File: 0, Off: 3 * blk, Len: blk}
	if n := acts(); n != 2 || tab.isAhead(next) {
		t.Errorf("%d acts before the page was written back again, want 2", n)
	}
	writeBack()
	until(t, "the next write's page is dirty", func() bool { return tab.isAhead(next) && acts() == 3 })
	if err := g.Pause(patient); err != nil {
		t.Fatal(err)
	}
	tab.End(0)
	tab.BeginHeld(0, 0, next.Off, next.Len)
	g.Resume()
	tab.Await(patient)
	time.Sleep(20 * time.Millisecond)
	if n := acts(); n != 3 {
		t.Errorf("%d acts after it was let go, want 3: its page was dirty, and is", n)
	}
	if n := g.Stats()[0].Overlaps; n != 1 {
		t.Errorf("%d overlaps, want the one store", n)
	}
}

// TestAheadNeedsAFailure: a write whose pages were dropped is written directly,
// under the inode's lock: the next one is not dirtied meanwhile.
func TestAheadNeedsAFailure(t *testing.T) {
	tab := NewTable(1)
	cfg, _ := watching(t, tab)
	d := newDirtier(&Group{cfg: cfg}, Mmap, 0, 0)
	if err := d.openFiles(); err != nil {
		t.Fatal(err)
	}
	defer d.closeFiles()
	tab.Ahead(0, 3*blk, blk)
	a := aim{table: tab, target: Target{token: 1}, h: &d.files[0], len: blk, freed: &freed{token: 1}}
	dropCache(t, cfg.Files[0])
	d.lookAhead(0, &a)
	if a.freed.passed {
		t.Error("looked at before it was struck")
	}
	a.freed.done, a.freed.struck = true, true
	d.lookAhead(0, &a)
	if !a.freed.passed {
		t.Error("its page has been dropped, and it is looked at again")
	}
	if _, _, ok := tab.takeAhead(); !ok {
		t.Error("the next write was dirtied")
	}
}
