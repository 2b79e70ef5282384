package mmapdirty

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"diostress/internal/need"

	"golang.org/x/sys/unix"
)

// cached asks the kernel how many pages of block 2 are in the page cache, and
// how many of them are dirty (cachestat, since 6.5).
func cached(t *testing.T, f File) (pages, dirty uint64) {
	t.Helper()
	file, err := os.Open(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stat := ask(t, file, 2*blk)
	return stat.Cache, stat.Dirty + stat.Writeback
}

// ask is watcher.ask for the block at off; without the system call it skips.
func ask(t *testing.T, file *os.File, off int64) unix.Cachestat_t {
	t.Helper()
	var w watcher
	switch err := w.ask(int(file.Fd()), off, blk); err {
	case nil:
	case unix.ENOSYS:
		need.Skip(t, need.Cachestat, "kernel before 6.5")
	default:
		t.Fatal(err)
	}
	return w.stat
}

func dropCache(t *testing.T, f File) {
	t.Helper()
	file, err := os.OpenFile(f.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
	until(t, "page cache dropped", func() bool {
		if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			t.Fatal(err)
		}
		pages, _ := cached(t, f)
		return pages == 0
	})
}

func makeDirty(t *testing.T, f File) {
	t.Helper()
	file, err := os.OpenFile(f.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte{untouch}, 2*blk); err != nil {
		t.Fatal(err)
	}
	if pages, dirty := cached(t, f); pages != 1 || dirty != 1 {
		t.Fatalf("%d pages cached, %d dirty after a write, want 1 and 1", pages, dirty)
	}
}

// oneInFlight is a table with one write over block 2 of file 0.
func oneInFlight() *Table {
	tab := NewTable(4)
	tab.Begin(1, 0, 2*blk, blk)
	return tab
}

func only(t *testing.T, g *Group) KindStats {
	t.Helper()
	all := g.Stats()
	if len(all) != 1 {
		t.Fatalf("statistics of %d kinds, want 1", len(all))
	}
	return all[0]
}

// clean stops the group and checks figures that hold for every kind when one
// write was in flight all the time and nothing failed.
func clean(t *testing.T, g *Group, kind Kind) {
	t.Helper()
	if err := g.Stop(patient); err != nil {
		t.Fatal(err)
	}
	s := only(t, g)
	if s.Kind != kind || s.Dirtiers != 1 || s.Operations == 0 || s.Overlaps != s.Operations || s.Beside != 0 || s.Targets != 1 {
		t.Errorf("%+v: want every act of one %v dirtier to overlap the one write", s, kind)
	}
	if s.Faults != 0 || s.Short != 0 || len(s.Errnos) != 0 || s.Looks < s.Operations {
		t.Errorf("%+v: want no fault, short call or errno, and a look for each act", s)
	}
	if (s.Syncs == s.Operations) != kind.Syncs() || s.EIO != 0 {
		t.Errorf("%v: %d syncs, %d EIO of %d acts", kind, s.Syncs, s.EIO, s.Operations)
	}
}

func TestMmapStores(t *testing.T) {
	f := newFile(t)
	cfg := config("mmap", []File{f}, oneInFlight())
	cfg.Sets[0].Strategy.Words = 3
	g := start(t, cfg)
	untilOps(t, g, 5000)
	clean(t, g, Mmap)
	if n := checkMarks(t, content(t, f), 0, 2*blk, 3*blk, g.Writers()); n < blk/8*9/10 {
		t.Errorf("%d words stored, want nearly all %d of the block", n, blk/8)
	}
	if w := g.Writers(); w[0].ID != 100 || w[0].Kind != Mmap || w[0].Gen != only(t, g).Operations {
		t.Errorf("writer %+v, want id 100 and a generation per act (%d)", w[0], only(t, g).Operations)
	}
}

func TestMmapMakesThePageDirty(t *testing.T) {
	f := newFile(t)
	dropCache(t, f)
	cfg := config("mmap", []File{f}, oneInFlight())
	cfg.Sets[0].Strategy.StopAfterDirty = true
	g := start(t, cfg)
	until(t, "the only act", func() bool { return ops(g) == 1 })
	if pages, dirty := cached(t, f); pages != 1 || dirty != 1 {
		t.Errorf("%d pages cached, %d dirty, want 1 and 1", pages, dirty)
	}
	clean(t, g, Mmap)
}

func TestWriteWritesTheWholeBlock(t *testing.T) {
	f := newFile(t)
	g := start(t, config("write", []File{f}, oneInFlight()))
	untilOps(t, g, 50)
	clean(t, g, Write)
	b := content(t, f)
	if n := checkMarks(t, b, 0, 2*blk, 3*blk, g.Writers()); n != blk/8 {
		t.Errorf("%d words written, want all %d of the block", n, blk/8)
	}
	last := make([]byte, blk)
	fillMarks(last, 0, 2*blk, 100, g.Writers()[0].Gen)
	if string(b[2*blk:3*blk]) != string(last) {
		t.Error("the block does not hold the last generation")
	}
}

func TestReadFillsTheCache(t *testing.T) {
	f := newFile(t)
	dropCache(t, f)
	g := start(t, config("read", []File{f}, oneInFlight()))
	untilOps(t, g, 1)
	if pages, dirty := cached(t, f); pages != 1 || dirty != 0 {
		t.Errorf("%d pages cached, %d dirty, want 1 and 0", pages, dirty)
	}
	clean(t, g, Read)
}

func TestFadviseEmptiesTheCache(t *testing.T) {
	f := newFile(t)
	dropCache(t, f)
	if _, err := os.ReadFile(f.Path); err != nil {
		t.Fatal(err)
	}
	if pages, _ := cached(t, f); pages != 1 {
		t.Fatalf("%d pages cached after a read, want 1", pages)
	}
	g := start(t, config("fadvise", []File{f}, oneInFlight()))
	until(t, "page dropped", func() bool { pages, _ := cached(t, f); return pages == 0 })
	clean(t, g, Fadvise)
}

func TestMadviseDropsAndFills(t *testing.T) {
	f := newFile(t)
	g := start(t, config("madvise", []File{f}, oneInFlight()))
	untilOps(t, g, 8)
	until(t, "page reclaimed", func() bool { pages, _ := cached(t, f); return pages == 0 })
	until(t, "page read again", func() bool { pages, _ := cached(t, f); return pages == 1 })
	clean(t, g, Madvise)
	if n := checkMarks(t, content(t, f), 0, 0, 0, nil); n != 0 {
		t.Errorf("%d words changed", n)
	}
}

func TestSyncKinds(t *testing.T) {
	for _, kind := range []Kind{Fsync, Fdatasync, Msync, SyncFileRange} {
		t.Run(kind.String(), func(t *testing.T) {
			f := newFile(t)
			dropCache(t, f)
			makeDirty(t, f)
			cfg := config(kind.String(), []File{f}, oneInFlight())
			var mu sync.Mutex
			var got []SyncResult
			cfg.OnSync = func(r SyncResult) { mu.Lock(); defer mu.Unlock(); got = append(got, r) }
			g := start(t, cfg)
			untilOps(t, g, 2)
			if _, dirty := cached(t, f); dirty != 0 {
				t.Error("the page is still dirty")
			}
			clean(t, g, kind)
			if s := only(t, g); uint64(len(got)) != s.Syncs {
				t.Errorf("%d results for %d calls", len(got), s.Syncs)
			}
			want := SyncResult{Kind: kind, Writer: 100, File: 0, Description: 50, Off: 2 * blk, Len: blk}
			if kind == Fsync || kind == Fdatasync {
				want.Off, want.Len = 0, f.Size
			}
			last := int64(0)
			for _, r := range got {
				if r.Begin < last || r.End <= r.Begin {
					t.Errorf("%+v: want it to begin after %d and to take time", r, last)
				}
				last = r.End
				r.Begin, r.End = 0, 0
				if r != want {
					t.Fatalf("got %+v, want %+v", r, want)
				}
			}
			if d := g.Descriptions(); len(d) != 1 || d[0] != (Description{ID: 50, Writer: 100, File: 0}) {
				t.Errorf("descriptions %+v", d)
			}
		})
	}
}

func TestErrnosAreCountedAndDelivered(t *testing.T) {
	// A character device refuses fsync with EINVAL.
	f := File{Path: "/dev/null", Size: blk * blocks, Open: func() (int, error) { return unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0) }}
	cfg := config("fsync", []File{f}, oneInFlight())
	var einval atomic.Uint64
	cfg.OnSync = func(r SyncResult) {
		if r.Errno == syscall.EINVAL {
			einval.Add(1)
		}
	}
	g := start(t, cfg)
	untilOps(t, g, 3)
	if err := g.Stop(patient); err != nil {
		t.Fatal(err)
	}
	s := only(t, g)
	if s.Errnos[syscall.EINVAL] != s.Operations || einval.Load() != s.Operations || s.Syncs != s.Operations || s.Overlaps != 0 || s.EIO != 0 {
		t.Errorf("%+v, %d EINVAL delivered: want EINVAL from every call, and no overlap", s, einval.Load())
	}
}

func TestShortCallsAreCounted(t *testing.T) {
	f := newFile(t)
	g := start(t, config("read", []File{f}, oneInFlight()))
	if err := os.Truncate(f.Path, 2*blk+100); err != nil {
		t.Fatal(err)
	}
	until(t, "short reads", func() bool { return only(t, g).Short > 0 })
}

func TestFaultsAreCounted(t *testing.T) {
	for _, kind := range []Kind{Mmap, Madvise} {
		t.Run(kind.String(), func(t *testing.T) {
			f := newFile(t)
			g := start(t, config(kind.String(), []File{f}, oneInFlight()))
			untilOps(t, g, 10)
			if err := os.Truncate(f.Path, blk); err != nil {
				t.Fatal(err)
			}
			until(t, "faults", func() bool { return only(t, g).Faults >= 10 })
			if err := g.Pause(patient); err != nil {
				t.Fatal(err)
			}
			at := ops(g)
			g.Resume()
			faults := only(t, g).Faults
			until(t, "more faults", func() bool { return only(t, g).Faults >= faults+10 })
			if now := ops(g); now != at {
				t.Errorf("%d acts past the end of the file count as operations", now-at)
			}
			// The mapping is as good as before once the file is long again.
			if err := os.Truncate(f.Path, f.Size); err != nil {
				t.Fatal(err)
			}
			untilOps(t, g, 10)
			if err := g.Stop(patient); err != nil {
				t.Fatal(err)
			}
			b := content(t, f)[2*blk : 3*blk]
			stored := false
			for _, c := range b {
				stored = stored || c != 0
			}
			if stored != (kind == Mmap) {
				t.Errorf("block changed after the faults: %v", stored)
			}
		})
	}
}

func TestOtherPanicsGoOn(t *testing.T) {
	d := newDirtier(&Group{cfg: Config{Files: []File{{}}, Sets: []Set{{}}}}, Mmap, 0, 0)
	for name, f := range map[string]func(){
		"nil pointer": func() { var p *int; *p = 1 },
		"own":         func() { panic("caller's function") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: the panic was swallowed", name)
				}
			}()
			again := false
			defer d.recoverFault(&again)
			f()
		}()
	}
	if n := d.count.faults.Load(); n != 0 {
		t.Errorf("%d faults counted", n)
	}
}
