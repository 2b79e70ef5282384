package kernel

import (
	"fmt"
	"testing"

	"diostress/internal/need"

	"golang.org/x/sys/unix"
)

func TestCounts(t *testing.T) {
	sources(t, func(t *testing.T, source string) {
		dir := ext4Dir(t)
		a, b := newTestFile(t, dir, "a", 1<<20), newTestFile(t, dir, "b", 1<<20)
		other := newTestFile(t, dir, "other", 1<<20)
		tr := mustTrace(t, Options{Mode: TraceCount, Files: []TraceFile{a.TraceFile, b.TraceFile}, Source: source})
		indep := newIndependent(t, "iomap", "iomap_dio_invalidate_fail", a.Dev)
		base := indep.count(t)
		collide(t, a, func() bool { return tr.CountsFile(InvalidateFail, 0).N >= 30 })
		onA := indep.count(t) - base
		collide(t, b, func() bool { return tr.CountsFile(InvalidateFail, 1).N >= 20 })
		both := indep.count(t) - base
		collide(t, other, func() bool { return indep.count(t)-base-both >= 20 })

		if c := tr.CountsFile(InvalidateFail, 0); c != (Count{N: onA, Fidelity: FidelityExact}) {
			t.Errorf("file a: %+v, want exactly %d", c, onA)
		}
		if c := tr.CountsFile(InvalidateFail, 1); c != (Count{N: both - onA, Fidelity: FidelityExact}) {
			t.Errorf("file b: %+v, want exactly %d", c, both-onA)
		}
		if c := tr.Counts(InvalidateFail); c != (Count{N: both, Fidelity: FidelityExact}) {
			t.Errorf("both: %+v, want exactly %d", c, both)
		}
		for _, k := range []Kind{SetWbErr, BlockError} {
			if c := tr.Counts(k); !tr.Has(k) || c != (Count{Fidelity: FidelityExact}) {
				t.Errorf("%v: %+v %s, want exactly 0 on a healthy disk", k, c, tr.Reason(k))
			}
		}
		if c := tr.CountsFile(BlockError, 0); c.Fidelity != FidelityUnavailable {
			t.Errorf("BlockError by file: %+v", c)
		}
		t.Logf("%d collisions; StalePagecache: %q %q %+v", both, tr.PostProbe(), tr.Reason(StalePagecache), tr.Counts(StalePagecache))
		if !tr.Has(StalePagecache) && tr.Reason(StalePagecache) == "" {
			t.Error("StalePagecache is unavailable without a reason")
		}
		if tr.Has(StalePagecache) != (tr.Counts(StalePagecache).Fidelity != FidelityUnavailable) {
			t.Error("Has and Counts of StalePagecache disagree")
		}
	})
}

func TestExactEvents(t *testing.T) {
	sources(t, func(t *testing.T, source string) {
		dir := ext4Dir(t)
		f, other := newTestFile(t, dir, "f", 1<<20), newTestFile(t, dir, "other", 1<<20)
		tr := mustTrace(t, Options{Mode: TraceExact, Files: []TraceFile{f.TraceFile}, Source: source})
		if !tr.Has(DioBegin) {
			need.Skip(t, need.Tracepoints, tr.Reason(DioBegin))
		}
		buf := mapped(t, -1, blockSize)
		offs := []int64{7 * blockSize, 3 * blockSize, 100 * blockSize, 42 * blockSize}
		start := tr.Clock().Now()
		aioWrite(t, f.direct, buf, offs)
		aioWrite(t, other.direct, buf, offs)
		pwrite(t, f.direct, buf, 9*blockSize)
		end := tr.Clock().Now()

		var evs []Event
		collect := func(e *Event) { evs = append(evs, *e) }
		if _, err := tr.Drain(collect); err != nil {
			t.Fatal(err)
		}
		w, err := tr.DrainAll(collect)
		if err != nil || w < end {
			t.Fatalf("watermark %d, want %d or later; error %v", w, end, err)
		}
		var begin, done []int64
		queued, sync := 0, 0
		last := start
		for _, e := range evs {
			if e.TimeNS < last-2000 || e.TimeNS > end+2000 {
				t.Errorf("event at %d, outside %d..%d", e.TimeNS, last, end)
			}
			last = max(last, e.TimeNS)
			if e.File != 0 || e.TID <= 0 {
				t.Errorf("event %+v: file or task wrong", e)
			}
			switch e.Kind {
			case DioBegin:
				begin = append(begin, e.Pos)
				if e.Len != blockSize || e.Size != f.size {
					t.Errorf("begin %+v", e)
				}
				if !e.Aio {
					sync++
				}
			case DioQueued:
				queued++
			case DioComplete:
				done = append(done, e.Pos-e.Ret)
				if e.Ret != blockSize || e.Errno != 0 {
					t.Errorf("complete %+v", e)
				}
			default:
				t.Errorf("event %+v", e)
			}
		}
		want := append(append([]int64{}, offs...), 9*blockSize)
		if fmt.Sprint(begin) != fmt.Sprint(want) || sync != 1 {
			t.Errorf("begun at %v, %d of them sync; want %v and 1", begin, sync, want)
		}
		if queued != len(offs) {
			t.Errorf("%d queued, want %d", queued, len(offs))
		}
		seen := map[int64]int{}
		for _, p := range done {
			seen[p]++
		}
		for _, p := range want {
			if seen[p] != 1 {
				t.Errorf("%d completions at %d, want 1 (all: %v)", seen[p], p, done)
			}
		}
		if len(done) != len(want) || tr.Late() != 0 || tr.Malformed() != 0 {
			t.Errorf("%d completions, late %d, malformed %d", len(done), tr.Late(), tr.Malformed())
		}
		if n, err := tr.Lost(); n != 0 || err != nil {
			t.Errorf("lost %d, %v", n, err)
		}
		if c := tr.Counts(DioBegin); c != (Count{N: uint64(len(want)), Fidelity: FidelityExact}) {
			t.Errorf("DioBegin counted %+v, want %d", c, len(want))
		}
	})
}

func TestLostRecords(t *testing.T) {
	sources(t, func(t *testing.T, source string) {
		dir := ext4Dir(t)
		f := newTestFile(t, dir, "f", 1<<20)
		tr := mustTrace(t, Options{Mode: TraceExact, Files: []TraceFile{f.TraceFile}, Source: source, RingBytes: 1})
		if !tr.Has(DioBegin) {
			need.Skip(t, need.Tracepoints, tr.Reason(DioBegin))
		}
		buf := mapped(t, -1, blockSize)
		const writes = 1000
		for i := range int64(writes) {
			pwrite(t, f.direct, buf, i%256*blockSize)
		}
		lost, err := tr.Lost()
		if err != nil || lost == 0 {
			t.Fatalf("lost %d, %v; want more than 0", lost, err)
		}
		var got uint64
		if _, err := tr.DrainAll(func(e *Event) { got++ }); err != nil {
			t.Fatal(err)
		}
		var all uint64 = writes * 2 // begin and complete
		if source == SourcePerf {
			c, d := tr.Counts(DioBegin), tr.Counts(DioComplete)
			if c != (Count{N: writes, Fidelity: FidelityExact}) || d != c {
				t.Errorf("begin %+v complete %+v, want exactly %d in spite of the losses", c, d, writes)
			}
		} else if c := tr.Counts(DioBegin); c.Fidelity != FidelityAtLeast || c.N >= writes {
			t.Errorf("begin %+v, want at_least and fewer than %d", c, writes)
		}
		if lost, err = tr.Lost(); got+lost != all || err != nil {
			t.Errorf("%d drained and %d lost (%v), want %d in all", got, lost, err, all)
		}
	})
}

func TestSeveralFilesAndFiltersInChunks(t *testing.T) {
	dir := ext4Dir(t)
	// 300 inodes fit neither one filter nor the count by file.
	var files []TraceFile
	for i := range 299 {
		files = append(files, TraceFile{Dev: 7 << 8, Ino: 1<<60 + uint64(i)})
	}
	f := newTestFile(t, dir, "f", 1<<20)
	files = append(files, f.TraceFile)
	sources(t, func(t *testing.T, source string) {
		tr := mustTrace(t, Options{Mode: TraceExact, Files: files, Source: source})
		if !tr.Has(DioBegin) {
			need.Skip(t, need.Tracepoints, tr.Reason(DioBegin))
		}
		buf := mapped(t, -1, blockSize)
		for range 10 {
			pwrite(t, f.direct, buf, 0)
		}
		n := 0
		if _, err := tr.DrainAll(func(e *Event) {
			if e.File != 299 {
				t.Errorf("event of file %d, want 299", e.File)
			}
			n++
		}); err != nil {
			t.Fatal(err)
		}
		if c := tr.Counts(DioComplete); n != 20 || c.N != 10 {
			t.Errorf("%d events, %+v completions; want 20 and 10", n, c)
		}
	})
}

func TestReleaseFolioIsOptional(t *testing.T) {
	dir := ext4Dir(t)
	f := newTestFile(t, dir, "f", 1<<20)
	tr := mustTrace(t, Options{Mode: TraceExact, Files: []TraceFile{f.TraceFile}, ReleaseFolio: true})
	without := mustTrace(t, Options{Mode: TraceExact, Files: []TraceFile{f.TraceFile}})
	buf := mapped(t, -1, blockSize)
	pwrite(t, f.buffered, buf, 5*blockSize)
	if err := unix.Fsync(f.buffered); err != nil {
		t.Fatal(err)
	}
	pwrite(t, f.direct, buf, 5*blockSize)
	found := 0
	if _, err := tr.DrainAll(func(e *Event) {
		if e.Kind == ReleaseFolio && e.Pos <= 5*blockSize {
			found++
		}
	}); err != nil {
		t.Fatal(err)
	}
	if found == 0 || without.Has(ReleaseFolio) || without.Reason(ReleaseFolio) == "" {
		t.Errorf("%d folios released; unasked: %v", found, without.Has(ReleaseFolio))
	}
}
