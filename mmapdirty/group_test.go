package mmapdirty

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"diostress/internal/need"
)

func TestPlaceBytes(t *testing.T) {
	const size = 64 << 10
	for _, c := range []struct {
		place  Place
		off    int64
		length int
		want   int64
		n      int
	}{
		{Same, 8192, 4096, 8192, 4096},
		{Same, 60 << 10, 8192, 60 << 10, 4096}, // cut at the end of the file
		{Same, size, 4096, 0, 0},
		{Same, 0, 0, 0, 0},
		{Same, -4096, 4096, 0, 0},
		{Neighbour, 8192, 4096, 12288, 4096},
		{Neighbour, 12288, 4096, 8192, 4096},
		{Neighbour, 1024, 1024, 0, 1024},
		{Neighbour, 4096, 8192, 12288, 8192}, // not aligned to its length: after, as before does not fit
		{Neighbour, 12288, 12288, 0, 12288},
		{Neighbour, 0, 12288, 12288, 12288},
		{Neighbour, 0, 64 << 10, 0, 0}, // nothing beside it
	} {
		off, n := c.place.bytes(Target{Off: c.off, Len: c.length}, size)
		if n != c.n || n > 0 && off != c.want {
			t.Errorf("%v of %d+%d: %d+%d, want %d+%d", c.place, c.off, c.length, off, n, c.want, c.n)
		}
	}
	for _, c := range []struct {
		off, first int64
		n, want    int
	}{{0, 0, 16, 16}, {1, 8, 16, 8}, {1, 8, 7, 0}, {1, 8, 3, 0}, {8, 8, 15, 8}} {
		if first, n := wholeWords(c.off, c.n); n != c.want || n > 0 && first != c.first {
			t.Errorf("wholeWords(%d, %d) = %d, %d, want %d, %d", c.off, c.n, first, n, c.first, c.want)
		}
	}
}

func TestNeighbourLeavesTheWriteAlone(t *testing.T) {
	f := newFile(t)
	cfg := config("mmap,write", []File{f}, oneInFlight())
	cfg.Sets[0].Place = Neighbour
	g := start(t, cfg)
	until(t, "both act", func() bool {
		s := g.Stats()
		return s[0].Operations > 100 && s[1].Operations > 100
	})
	if err := g.Stop(patient); err != nil {
		t.Fatal(err)
	}
	checkMarks(t, content(t, f), 0, 3*blk, 4*blk, g.Writers())
	for _, s := range g.Stats() {
		if s.Overlaps != 0 || s.Beside != s.Operations {
			t.Errorf("%+v: want all acts beside the write", s)
		}
	}
}

func TestOverlapNeedsTheWriteInFlightThroughout(t *testing.T) {
	f := newFile(t)
	tab := NewTable(2)
	cfg := config("mmap", []File{f}, tab)
	var end atomic.Bool
	cfg.Word = func(file int, off int64, writer int, gen uint64) uint64 {
		if end.Load() { // ends, and the slot's next write is already there
			tab.End(0)
			tab.Begin(0, 0, 0, blk)
		}
		return mark(file, off, writer, gen)
	}
	end.Store(true)
	tab.Begin(0, 0, 0, blk)
	g := start(t, cfg)
	untilOps(t, g, 100)
	if err := g.Pause(patient); err != nil {
		t.Fatal(err)
	}
	if s := only(t, g); s.Overlaps != 0 || s.Targets != 0 {
		t.Errorf("%+v: acts count as overlaps though each write ended under them", s)
	}
	end.Store(false)
	before := ops(g)
	g.Resume()
	untilOps(t, g, 100)
	if err := g.Stop(patient); err != nil {
		t.Fatal(err)
	}
	if s := only(t, g); s.Overlaps != s.Operations-before || s.Targets != 1 {
		t.Errorf("%+v: want the %d acts since as overlaps on one write", s, s.Operations-before)
	}
}

func TestStopAfterDirty(t *testing.T) {
	f := newFile(t)
	tab := NewTable(1)
	cfg := config("mmap", []File{f}, tab)
	cfg.Sets[0].Strategy.StopAfterDirty = true
	g := start(t, cfg)
	for i := range uint64(50) {
		tab.Begin(0, 0, 0, blk)
		until(t, "one act", func() bool { return ops(g) == i+1 })
		time.Sleep(200 * time.Microsecond)
		if n := ops(g); n != i+1 {
			t.Fatalf("%d acts on write %d", n-i, i)
		}
		tab.End(0)
	}
	if s := only(t, g); s.Overlaps != 50 || s.Targets != 50 {
		t.Errorf("%+v: want one overlap for each of 50 writes", s)
	}
	tab.Begin(0, 0, 0, blk) // waiting for an end that does not come
	untilOps(t, g, 0)
	if err := g.Pause(patient); err != nil {
		t.Error(err)
	}
}

func TestStayAndRest(t *testing.T) {
	f := newFile(t)
	tab := NewTable(2)
	tab.Begin(0, 0, 0, blk)
	cfg := config("mmap", []File{f}, tab)
	cfg.Sets[0].Strategy.Stay = 1 << 30
	cfg.Sets[0].Strategy.Rest = time.Millisecond
	g := start(t, cfg)
	from := time.Now()
	untilOps(t, g, 5)
	if took := time.Since(from); took < 4*time.Millisecond {
		t.Errorf("5 acts with 1ms of rest took %v", took)
	}
	tab.Begin(1, 0, blk, blk) // newer, but the dirtier stays
	untilOps(t, g, 5)
	if s := only(t, g); s.Targets != 1 {
		t.Errorf("%+v: want it to stay with the first write", s)
	}
	tab.End(0)
	until(t, "it goes on", func() bool { return only(t, g).Targets == 2 })
}

func TestSetsFilesAndTables(t *testing.T) {
	files := []File{newFile(t), newFile(t), newFile(t)}
	tabs := []*Table{NewTable(1), NewTable(1), NewTable(1)}
	for i, tab := range tabs {
		tab.Begin(0, i, 0, blk)
	}
	cfg := config("mmap=2", files, tabs...)
	cfg.Sets[0].Files = []int{0, 2, 2}
	cfg.Sets = append(cfg.Sets, Set{Spec: Spec{}.With(Write, 1), Files: []int{2}, Strategy: DefaultStrategy()}, Set{})
	g := start(t, cfg)
	until(t, "all act", func() bool {
		for _, w := range g.Writers() {
			if w.Gen < 200 {
				return false
			}
		}
		return true
	})
	if err := g.Stop(patient); err != nil {
		t.Fatal(err)
	}
	w := g.Writers()
	for i, want := range []struct {
		kind Kind
		set  int
	}{{Mmap, 0}, {Mmap, 0}, {Write, 1}} {
		if w[i].ID != 100+i || w[i].Kind != want.kind || w[i].Set != want.set {
			t.Errorf("writer %d is %+v", i, w[i])
		}
	}
	for i, wantSome := range []bool{true, false, true} {
		by := w
		if i == 0 {
			by = w[:2]
		}
		if n := checkMarks(t, content(t, files[i]), i, 0, blk, by); (n > 0) != wantSome {
			t.Errorf("file %d: %d words stored", i, n)
		}
	}
	want := []Description{{50, 100, 0}, {51, 100, 2}, {52, 101, 0}, {53, 101, 2}, {54, 102, 2}}
	if d := g.Descriptions(); fmt.Sprint(d) != fmt.Sprint(want) {
		t.Errorf("descriptions %v, want %v", d, want)
	}
}

func TestPauseStandsStill(t *testing.T) {
	f := newFile(t)
	tab := NewTable(8)
	e := runEngine(tab, 0, 50*time.Microsecond)
	defer e.halt()
	g := start(t, config("mmap=2,write=2,read,fsync,madvise", []File{f}, tab))
	for i := range 30 {
		if i%3 == 0 {
			untilOps(t, g, 20)
		}
		if err := g.Pause(patient); err != nil {
			t.Fatal(err)
		}
		writers, acts, before := g.Writers(), ops(g), content(t, f)
		checkMarks(t, before, 0, 0, f.Size, writers)
		time.Sleep(500 * time.Microsecond)
		if err := g.Pause(patient); err != nil { // twice changes nothing
			t.Fatal(err)
		}
		if now := fmt.Sprint(g.Writers()); now != fmt.Sprint(writers) {
			t.Fatalf("paused dirtiers went from %v to %s", writers, now)
		}
		if now := ops(g); now != acts {
			t.Fatalf("%d acts while paused", now-acts)
		}
		if !bytes.Equal(content(t, f), before) {
			t.Fatal("the file changed while the dirtiers were paused")
		}
		g.Resume()
	}
	untilOps(t, g, 20)
}

func TestStatsWithAnEngine(t *testing.T) {
	f := newFile(t)
	tab := NewTable(4)
	e := runEngine(tab, 0, 100*time.Microsecond)
	g := start(t, config("mmap=2", []File{f}, tab))
	until(t, "overlaps", func() bool { return only(t, g).Targets >= 200 })
	e.halt()
	if err := g.Pause(patient); err != nil {
		t.Fatal(err)
	}
	s := only(t, g)
	if s.Overlaps > s.Operations || s.Targets > s.Overlaps || s.Looks < s.Operations {
		t.Errorf("%+v: figures contradict each other", s)
	}
	g.Resume()
	looks := s.Looks
	until(t, "it looks on", func() bool { return only(t, g).Looks > looks+10 })
	if now := only(t, g); now.Operations != s.Operations {
		t.Errorf("%d acts with nothing in flight", now.Operations-s.Operations)
	}
}

func TestIdleLeavesTheCPUAlone(t *testing.T) {
	f := newFile(t)
	g := start(t, config("mmap=2", []File{f}, NewTable(32)))
	time.Sleep(20 * time.Millisecond)
	cpu := func() (ticks time.Duration) {
		for _, w := range g.Writers() {
			b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/schedstat", w.TID))
			if err != nil {
				t.Fatal(err)
			}
			var ns int64
			if _, err := fmt.Sscan(string(b), &ns); err != nil {
				t.Fatal(err)
			}
			ticks += time.Duration(ns)
		}
		return ticks
	}
	const span = 300 * time.Millisecond
	before := cpu()
	time.Sleep(span)
	switch used := cpu() - before; {
	case used > span/2 && need.Emulated():
		need.Skip(t, need.Speed, fmt.Sprintf("two idle dirtiers used %v of emulated CPU in %v", used, span))
	case used > span/2:
		t.Errorf("two idle dirtiers used %v of CPU in %v", used, span)
	default:
		t.Logf("two idle dirtiers used %v of CPU in %v", used, span)
	}
}

func TestThreads(t *testing.T) {
	f := newFile(t)
	cfg := config("mmap=2", []File{f}, oneInFlight())
	cfg.Sets[0].Strategy.CPUs = []int{0}
	g := start(t, cfg)
	for _, w := range g.Writers() {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/comm", w.TID))
		if want := fmt.Sprintf("d%d-mmap\n", w.ID); err != nil || string(comm) != want {
			t.Errorf("thread %d is named %q, %v; want %q", w.TID, comm, err, want)
		}
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(w.TID, &set); err != nil || set.Count() != 1 || !set.IsSet(0) {
			t.Errorf("thread %d runs on %d CPUs, %v; want CPU 0 only", w.TID, set.Count(), err)
		}
		if w.TID == os.Getpid() {
			t.Error("a dirtier runs on the first thread of the process")
		}
	}
}

func TestStopLeavesNothing(t *testing.T) {
	f := newFile(t)
	dir := filepath.Dir(f.Path)
	tab := NewTable(4)
	e := runEngine(tab, 0, 20*time.Microsecond)
	defer e.halt()
	all := make([]string, 0, numKinds)
	for _, k := range Kinds() {
		all = append(all, k.String())
	}
	for i := range 3 {
		g := start(t, config(strings.Join(all, ","), []File{f}, tab))
		if fds, maps := resources(t, dir); fds != numKinds || maps != 3 {
			t.Errorf("running: %d descriptors, %d mappings, want %d and 3", fds, maps, numKinds)
		}
		untilOps(t, g, 50)
		if i == 1 { // also from a standstill
			if err := g.Pause(patient); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := g.Stop(patient); err != nil {
				t.Fatal(err)
			}
		}
		if fds, maps := resources(t, dir); fds != 0 || maps != 0 {
			t.Errorf("stopped: %d descriptors, %d mappings left", fds, maps)
		}
		acts := ops(g)
		for _, w := range g.Writers() {
			if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", w.TID)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("thread %d of %v lives on: %v", w.TID, w.Kind, err)
			}
		}
		g.Resume()
		if err := g.Pause(patient); err != nil {
			t.Error(err)
		}
		if ops(g) != acts {
			t.Error("acts after Stop")
		}
	}
}
