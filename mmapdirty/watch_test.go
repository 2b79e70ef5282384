package mmapdirty

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"diostress/internal/need"
)

// watching is the config of an mmap dirtier that watches a file on ext4, and the
// file opened; a kernel that cannot be asked skips.
func watching(t *testing.T, tab *Table) (Config, *os.File) {
	t.Helper()
	f := fileOn(t, mountExt4(t), blk*blocks)
	file, err := os.OpenFile(f.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	ask(t, file, 0)
	cfg := config("mmap", []File{f}, tab)
	cfg.Sets[0].Strategy.Watch = time.Microsecond
	return cfg, file
}

// TestWatchedIsStruckOnce: a write that was let go is left alone while its page
// is dirty, is stored to once when the page is written back, and its page is then
// dirty and in no mapping.
func TestWatchedIsStruckOnce(t *testing.T) {
	tab := NewTable(1)
	cfg, file := watching(t, tab)
	fd := int(file.Fd())
	g := start(t, cfg)
	acts := func() uint64 { return g.Stats()[0].Operations }
	settle := func(what string, want uint64) {
		t.Helper()
		until(t, what, func() bool { return acts() >= want })
		time.Sleep(20 * time.Millisecond)
		if n := acts(); n != want {
			t.Errorf("%s: %d acts, want %d", what, n, want)
		}
	}
	clean := func() {
		t.Helper()
		if err := unix.SyncFileRange(fd, 0, blk, unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER); err != nil {
			t.Fatal(err)
		}
	}
	dirty := func() uint64 {
		t.Helper()
		return ask(t, file, 0).Dirty
	}

	beginHeld(t, g, tab)
	tab.Await(patient)
	settle("dirtied to be let go, and then left alone", 1)
	clean()
	settle("written back, so stored to", 2)
	if n := dirty(); n != 1 {
		t.Errorf("%d dirty pages after the store, want 1", n)
	}
	clean()
	settle("written back again, but struck already", 2)
	if n := dirty(); n != 0 {
		t.Errorf("%d dirty pages, want none", n)
	}
	// A page that is mapped stays in the cache. The whole file is given up: its
	// pages may be one large folio.
	until(t, "the page can be dropped", func() bool {
		if err := file.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
			t.Fatal(err)
		}
		return ask(t, file, 0).Cache == 0
	})
}

// TestWatchedTooLate: a page that has left the cache is not touched, which would
// read it in again.
func TestWatchedTooLate(t *testing.T) {
	cfg, file := watching(t, NewTable(1))
	d := newDirtier(&Group{cfg: cfg}, Mmap, 0, 0)
	if err := d.openFiles(); err != nil {
		t.Fatal(err)
	}
	defer d.closeFiles()
	if !d.watching {
		t.Fatal("the kernel can be asked, and it is not")
	}
	a := aim{target: Target{token: 1}, h: &d.files[0], len: blk, freed: &freed{token: 1}}
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
	if !d.ripe(&a) {
		t.Error("the page is in the cache and clean, and not ripe")
	}
	dropCache(t, cfg.Files[0])
	if d.ripe(&a) || !a.freed.done {
		t.Error("the page is not in the cache, and is ripe, or asked for again")
	}
}

// TestGauge: who comes too late for most writes goes by the time for a while, and
// then tries again; who does not, watches on.
func TestGauge(t *testing.T) {
	d := &dirtier{watching: true}
	notes := func(n int, struck bool) {
		for range n {
			d.gauge.note(struck)
		}
	}
	for range 10 {
		notes(gaugeWindow/2-1, false)
		notes(gaugeWindow/2+1, true)
	}
	if !d.watches() {
		t.Error("more than half was struck in time, and it watches no more")
	}
	notes(gaugeWindow/2-1, true)
	notes(gaugeWindow/2+1, false)
	if d.watches() {
		t.Error("more than half was too late, and it watches on")
	}
	notes(gaugeTimed-1, false)
	if d.watches() {
		t.Error("it watches again too early")
	}
	notes(1, false)
	if !d.watches() {
		t.Error("it does not try again")
	}
	d.watching = false
	if d.watches() {
		t.Error("it watches where the kernel cannot be asked")
	}
}

// TestWatchNeedsTheKernel: without an answer a dirtier goes by the time.
func TestWatchNeedsTheKernel(t *testing.T) {
	if err := new(watcher).ask(-1, 0, blk); err == nil {
		t.Error("no error for a descriptor that is none")
	}
	cfg := config("write", []File{newFile(t)}, NewTable(1))
	cfg.Sets[0].Strategy.Watch = time.Microsecond
	d := newDirtier(&Group{cfg: cfg}, Write, 0, 0)
	if err := d.openFiles(); err != nil {
		t.Fatal(err)
	}
	defer d.closeFiles()
	if d.watching {
		t.Error("a dirtier that stores nothing through a mapping watches")
	}
}

// TestMove: the threads are where they are put, and preemptions are counted.
func TestMove(t *testing.T) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	var cpus []int
	for c := range 1024 {
		if all.IsSet(c) {
			cpus = append(cpus, c)
		}
	}
	if len(cpus) < 2 {
		need.Skip(t, need.CPUs, "one CPU to be moved to")
	}
	cfg := config("mmap=2", []File{newFile(t)}, oneInFlight())
	cfg.Sets[0].Strategy.CPUs = cpus[:1]
	g := start(t, cfg)
	where := func(want int) {
		t.Helper()
		for _, w := range g.Writers() {
			var on unix.CPUSet
			if err := unix.SchedGetaffinity(w.TID, &on); err != nil {
				t.Fatal(err)
			}
			if on.Count() != 1 || !on.IsSet(want) {
				t.Errorf("thread %d may run on %d CPUs, want CPU %d alone", w.TID, on.Count(), want)
			}
		}
	}
	where(cpus[0])
	// Two that share a CPU and do not yield to each other preempt each other.
	until(t, "somebody is preempted", func() bool { return g.Preempted() > 10 })
	g.Move(cpus[1:2])
	where(cpus[1])
}
