package ledger

import (
	"math/rand/v2"
	"testing"
)

// Tasks of the test traces.
const (
	ring   = 100 // the engine thread
	worker = 200 // an io-wq worker
	kw     = 300 // a kworker that completes
)

// on is a trace record of block 2 (of 16); ret is that of Complete.
func on(t int64, k KernelKind, tid int32, ret ...int64) KernelEvent {
	ev := KernelEvent{TimeNS: t, Kind: k, TID: tid, Off: 2 * testBS}
	if len(ret) > 0 {
		ev.Ret = ret[0]
	}
	return ev
}

func failed(t int64, tid, errno int32) KernelEvent {
	return KernelEvent{TimeNS: t, Kind: Complete, TID: tid, Off: 2 * testBS, Errno: errno, Ret: -int64(errno)}
}

// wrote is a write to block 2.
func wrote(submit, reap, res int64) Entry {
	return Entry{Gen: uint64(submit), Off: 2 * testBS, Len: testBS, Res: res, SubmitNS: submit, ReapNS: reap}
}

func newAttr() *Attributor {
	a := NewAttributor(testBS, []int64{16 * testBS}, 0)
	a.Has, a.ViaIomap, a.Slack = [4]bool{true, true, true, true}, true, 5
	return a
}

func feed(a *Attributor, evs ...KernelEvent) {
	for i := range evs {
		a.Event(&evs[i])
	}
}

// TestAttribution: sequences as 6.18 makes them on ext4 and ext3.
func TestAttribution(t *testing.T) {
	for _, x := range []struct {
		name string
		evs  []KernelEvent
		res  int64
		edit func(*Attributor)
		want Attribution
		sum  AttrSum
	}{
		{name: "libaio", evs: []KernelEvent{on(11, Begin, ring), on(12, Queued, ring), on(15, Complete, kw, 4096)}, want: Direct, sum: AttrSum{Direct: 1}},
		{name: "io_uring, NOWAIT taken", evs: []KernelEvent{on(11, Begin, ring), on(12, Queued, ring), on(15, Complete, ring, 4096)}, want: Direct, sum: AttrSum{Direct: 1}},
		{name: "io_uring, NOWAIT refused, worker", evs: []KernelEvent{on(11, Begin, ring), on(12, Begin, worker), on(13, Queued, worker), on(15, Complete, kw, 4096)}, want: Direct, sum: AttrSum{Direct: 1}},
		{name: "io_uring, worker collides", evs: []KernelEvent{on(11, Begin, ring), on(12, Begin, worker), on(13, InvalidateFail, worker)}, want: BufferedFallback, sum: AttrSum{Fallback: 1, Collided: 1}},
		{name: "libaio collides", evs: []KernelEvent{on(11, Begin, ring), on(13, InvalidateFail, ring)}, want: BufferedFallback, sum: AttrSum{Fallback: 1, Collided: 1}},
		{name: "psync", evs: []KernelEvent{on(11, Begin, ring), on(15, Complete, ring, 4096)}, want: Direct, sum: AttrSum{Direct: 1}},
		{name: "completed before queued is traced", evs: []KernelEvent{on(11, Begin, ring), on(12, Begin, worker), on(13, Complete, kw, 4096), on(14, Queued, worker)}, want: Direct, sum: AttrSum{Direct: 1}},
		{name: "reaped before queued is traced", evs: []KernelEvent{on(11, Begin, ring), on(12, Begin, worker), on(13, Complete, kw, 4096), on(25, Queued, worker)}, want: Direct, sum: AttrSum{Direct: 1}},
		{name: "block layer says EAGAIN, then again", evs: []KernelEvent{on(11, Begin, ring), on(12, Queued, ring), failed(13, kw, 11), on(14, Begin, worker), on(15, Queued, worker), on(16, Complete, kw, 4096)}, want: Direct, sum: AttrSum{Direct: 1}},
		{name: "EAGAIN at once, then collides", evs: []KernelEvent{on(11, Begin, ring), failed(12, ring, 11), on(14, Begin, worker), on(15, InvalidateFail, worker)}, want: BufferedFallback, sum: AttrSum{Fallback: 1, Collided: 1}},
		{name: "hole, all of it", evs: []KernelEvent{on(11, Begin, ring), on(12, Complete, ring, 0)}, want: BufferedFallback, sum: AttrSum{Fallback: 1, Hole: 1}},
		{name: "hole, the rest of it", evs: []KernelEvent{on(11, Begin, ring), on(12, Complete, ring, 1024)}, want: BufferedFallback, sum: AttrSum{Fallback: 1, Hole: 1}},
		{name: "two parts, both direct", evs: []KernelEvent{on(11, Begin, ring), on(12, Complete, ring, 1024), on(13, Begin, worker), on(14, Queued, worker), on(15, Complete, kw, 3072)}, want: Direct, sum: AttrSum{Direct: 1}},
		{name: "data=journal", want: BufferedFallback, sum: AttrSum{Fallback: 1, NoDirect: 1}},
		{name: "not through iomap", edit: func(a *Attributor) { a.ViaIomap = false }, want: Unknown, sum: AttrSum{Unknown: 1}},
		{name: "5.9 to 6.3, collides", evs: []KernelEvent{on(13, InvalidateFail, worker)}, edit: func(a *Attributor) { a.Has = [4]bool{InvalidateFail: true} }, want: BufferedFallback, sum: AttrSum{Fallback: 1, Collided: 1}},
		{name: "5.9 to 6.3, silent", edit: func(a *Attributor) { a.Has = [4]bool{InvalidateFail: true} }, want: Unknown, sum: AttrSum{Unknown: 1}},
		{name: "no task ids", evs: []KernelEvent{on(11, Begin, 0), on(12, Begin, 0), on(13, Queued, 0), on(15, Complete, 0, 4096)}, want: Direct, sum: AttrSum{Direct: 1}},
		{name: "overlapping", evs: []KernelEvent{on(11, Begin, ring), on(13, InvalidateFail, ring)}, edit: func(a *Attributor) { a.Overlapping = true }, want: Unknown, sum: AttrSum{Unknown: 1}},
		{name: "5.5 to 5.8: fails and goes on", evs: []KernelEvent{on(11, Begin, ring), on(12, InvalidateFail, ring), on(13, Queued, ring), on(15, Complete, kw, 4096)}, want: Direct, sum: AttrSum{Direct: 1, WentOn: 1}},
		{name: "fails, tried again, direct", evs: []KernelEvent{on(11, Begin, ring), on(12, InvalidateFail, ring), on(13, Begin, worker), on(14, Queued, worker), on(15, Complete, kw, 4096)}, want: Direct, sum: AttrSum{Direct: 1}},
		{name: "records lost", edit: func(a *Attributor) { a.Lost(12) }, want: Unknown, sum: AttrSum{Unknown: 1}},
		{name: "records lost, but this one not", evs: []KernelEvent{on(13, InvalidateFail, ring)}, edit: func(a *Attributor) { a.Lost(12) }, want: BufferedFallback, sum: AttrSum{Fallback: 1, Collided: 1}},

		{name: "EIO of the device", res: -5, evs: []KernelEvent{on(11, Begin, ring), on(12, Queued, ring), failed(15, kw, 5)}, want: Direct, sum: AttrSum{Direct: 1, FailDevice: 1}},
		{name: "EIO of its own sync", res: -5, evs: []KernelEvent{on(11, Begin, ring), on(12, Queued, ring), on(15, Complete, kw, -5)}, want: Direct, sum: AttrSum{Direct: 1, FailSync: 1}},
		{name: "EIO of the buffered part", res: -5, evs: []KernelEvent{on(11, Begin, ring), on(12, InvalidateFail, ring)}, want: BufferedFallback, sum: AttrSum{Fallback: 1, Collided: 1, FailBuffered: 1}},
		{name: "EIO before anything was queued", res: -5, evs: []KernelEvent{on(11, Begin, ring)}, want: Unknown, sum: AttrSum{Unknown: 1, FailBefore: 1}},
		{name: "EIO before iomap", res: -5, want: Unknown, sum: AttrSum{Unknown: 1, FailUnknown: 1}},
		{name: "2007: EIO over a write that completed", res: -5, evs: []KernelEvent{on(11, Begin, ring), on(12, Queued, ring), on(15, Complete, kw, 4096)}, want: Direct, sum: AttrSum{Direct: 1, FailDenied: 1}},
		{name: "2007: EIO over a write that is queued", res: -5, evs: []KernelEvent{on(11, Begin, ring), on(12, Queued, ring)}, want: Unknown, sum: AttrSum{Unknown: 1, Owed: 1, FailQueued: 1}},
	} {
		a := newAttr()
		if x.edit != nil {
			x.edit(a)
		}
		feed(a, x.evs...)
		if x.res == 0 {
			x.res = testBS
		}
		e := wrote(10, 20, x.res)
		a.Entry(&e)
		if e.Attr != x.want {
			t.Errorf("%s: %v, want %v", x.name, e.Attr, x.want)
		}
		sum := a.Sum
		sum.RetryRunning, sum.RetryPaused, x.sum.RetryRunning, x.sum.RetryPaused = nil, nil, nil, nil
		if !equalSum(sum, x.sum) {
			t.Errorf("%s: sum %+v, want %+v", x.name, sum, x.sum)
		}
		if !equalSum(a.PerJob(1)[0], x.sum) {
			t.Errorf("%s: the job's sum %+v, want %+v", x.name, a.PerJob(1)[0], x.sum)
		}
		if left := a.Finish(); len(left) != 0 || a.Sum.Early != 0 {
			t.Errorf("%s: early: %+v", x.name, left)
		}
	}
}

func equalSum(a, b AttrSum) bool {
	a.RetryRunning, a.RetryPaused, b.RetryRunning, b.RetryPaused = nil, nil, nil, nil
	x, y := a, b
	return x.Direct == y.Direct && x.Fallback == y.Fallback && x.Unknown == y.Unknown && x.Collided == y.Collided && x.Hole == y.Hole &&
		x.NoDirect == y.NoDirect && x.WentOn == y.WentOn && x.Early == y.Early && x.Owed == y.Owed && x.FailDevice == y.FailDevice &&
		x.FailSync == y.FailSync && x.FailBuffered == y.FailBuffered && x.FailBefore == y.FailBefore && x.FailQueued == y.FailQueued &&
		x.FailDenied == y.FailDenied && x.FailUnknown == y.FailUnknown && x.GaveUp == y.GaveUp && x.Permanent == y.Permanent && x.RetryUnknown == y.RetryUnknown
}

// TestEarly: a write is early exactly if it was reaped before its own
// completion and after it was queued, and nothing that was lost or late can
// make it look so.
func TestEarly(t *testing.T) {
	queued := []KernelEvent{on(11, Begin, ring), on(12, Queued, ring)}
	next := []KernelEvent{on(41, Begin, ring), on(42, Queued, ring)}
	for _, x := range []struct {
		name        string
		before      []KernelEvent // up to the first write's entry, 10 to 20
		after       []KernelEvent // up to that of the second, 40 to 50
		second      bool
		lost        int64
		rest        bool
		early, owed uint64
	}{
		{name: "completed while nothing was in flight", before: queued, after: []KernelEvent{on(30, Complete, kw, 4096)}, early: 1},
		{name: "the same, with the next write", before: queued, after: append([]KernelEvent{on(30, Complete, kw, 4096)}, append(next, on(45, Complete, kw, 4096))...), second: true, early: 1},
		{name: "completed within the next write", before: queued, after: append(next, on(44, Complete, kw, 4096), on(45, Complete, kw, 4096)), second: true, early: 1},
		{name: "never completed", before: queued, owed: 1},
		{name: "never completed, the next write is well", before: queued, after: append(next, on(45, Complete, kw, 4096)), second: true, owed: 1},
		{name: "within the clocks' difference", before: queued, after: []KernelEvent{on(24, Complete, kw, 4096)}},
		{name: "its record came late", before: queued, after: []KernelEvent{on(18, Complete, kw, 4096)}},
		{name: "records lost", before: queued, lost: 25, after: []KernelEvent{on(30, Complete, kw, 4096)}, owed: 1},
		{name: "an O_DIRECT read at rest", before: queued, rest: true, after: []KernelEvent{on(30, Begin, ring), on(31, Complete, ring, 65536)}, owed: 1},
		{name: "never queued", before: []KernelEvent{on(11, Begin, ring)}, after: []KernelEvent{on(30, Complete, kw, 4096)}},
		{name: "the late word of the write before", before: append(queued, on(15, Complete, kw, 4096)), after: append([]KernelEvent{on(40, Queued, worker)}, append(next, on(45, Complete, kw, 4096))...), second: true},
		{name: "queued is still to be traced", before: queued, after: []KernelEvent{on(41, Begin, worker), on(45, Complete, kw, 4096), on(55, Queued, worker)}, second: true, owed: 1},
	} {
		a := newAttr()
		feed(a, x.before...)
		e := wrote(10, 20, testBS)
		a.Entry(&e)
		if x.lost != 0 {
			a.Lost(x.lost)
		}
		if x.rest {
			a.Rest()
		}
		feed(a, x.after...)
		if x.second {
			e := wrote(40, 50, testBS)
			a.Entry(&e)
			if e.Attr != Direct {
				t.Errorf("%s: the second write is %v", x.name, e.Attr)
			}
		}
		w := a.Finish()
		if a.Sum.Early != x.early || a.Sum.Owed != x.owed || uint64(len(w)) != x.early {
			t.Errorf("%s: early %d, owed %d, witnesses %+v; want %d, %d", x.name, a.Sum.Early, a.Sum.Owed, w, x.early, x.owed)
		}
		if len(w) == 1 && (w[0].Gen != 10 || w[0].ReapNS != 20 || w[0].SubmitNS <= 20 || w[0].Off != 2*testBS) {
			t.Errorf("%s: witness %+v", x.name, w[0])
		}
	}
}

// TestEarlyDoesNotCascade: one completion that was never traced does not make
// the writes that follow on the block look early.
func TestEarlyDoesNotCascade(t *testing.T) {
	a := newAttr()
	for i := range int64(100) {
		s := 1000 * (i + 1)
		feed(a, on(s+1, Begin, ring), on(s+2, Queued, ring))
		if i != 10 {
			feed(a, on(s+5, Complete, kw, 4096))
		}
		e := wrote(s, s+10, testBS)
		a.Entry(&e)
	}
	if w := a.Finish(); len(w) != 0 || a.Sum.Early != 0 || a.Sum.Owed != 1 || a.Sum.Direct != 99 {
		t.Errorf("%+v, witnesses %+v", a.Sum, w)
	}
}

func TestRetryHistograms(t *testing.T) {
	a := NewAttributor(testBS, []int64{16 * testBS}, 3)
	a.Has, a.ViaIomap = [4]bool{true, true, true, true}, true
	var collided []uint16
	a.Collided = func(e *Entry) { collided = append(collided, e.Try) }
	at := int64(0)
	try := func(n uint16, paused bool, kind KernelKind, ret int64) {
		at += 100
		feed(a, on(at+1, Begin, ring), on(at+2, kind, ring, ret))
		e := wrote(at, at+10, testBS)
		e.Try, e.Paused = n, paused
		a.Entry(&e)
	}
	try(0, false, InvalidateFail, 0)
	try(1, false, InvalidateFail, 0)
	try(2, false, Complete, testBS)
	try(0, false, InvalidateFail, 0)
	try(9, true, Complete, testBS) // beyond the last place
	try(1, false, Complete, 0)     // a hole is neither
	try(0, false, Complete, 0)     // and is not tried again
	if got := collided; len(got) != 3 || got[0] != 0 || got[1] != 1 || got[2] != 0 {
		t.Errorf("collided: tries %v", got)
	}
	s := a.PerJob(1)[0]
	if s.RetryRunning[1] != 1 || s.RetryPaused[2] != 1 || s.RetryUnknown != 1 {
		t.Errorf("%+v", s)
	}
}

func TestWithin(t *testing.T) {
	const at, bs = 5 * testBS, testBS
	for _, x := range []struct {
		name          string
		kind          KernelKind
		pos, len, ret int64
		errno         int32
		dsync         bool
	}{
		{"begin", Begin, at, bs, 0, 0, false},
		{"fail", InvalidateFail, at, bs, 0, 0, false},
		{"the rest of a write begins", Begin, at + 1024, bs - 1024, 0, 0, false},
		{"queued whole", Queued, at + bs, 0, 0, 0, false},
		{"queued in part", Queued, at + 1024, bs - 1024, 0, 0, false},
		{"complete", Complete, at + bs, 0, bs, 0, false},
		{"complete in part", Complete, at + 1024, 0, 1024, 0, false},
		{"the rest completes", Complete, at + bs, 0, 1024, 0, false},
		{"nothing was written", Complete, at, 0, 0, 0, false},
		{"device error", Complete, at, 0, -5, 5, false},
		{"device error, dsync", Complete, at, 0, -5, 5, true},
		{"the sync's error", Complete, at + bs, 0, -5, 0, true},
		{"end_io's error", Complete, at, 0, -5, 0, false},
	} {
		if got := Within(x.kind, x.pos, x.len, x.ret, x.errno, x.dsync); got/bs != at/bs {
			t.Errorf("%s: %d is in block %d, want 5", x.name, got, got/bs)
		}
	}
	if got := Within(Complete, 0, 0, 1, 0, false); got != -1 {
		t.Errorf("a position that cannot be: %d", got)
	}
}

// TestAttributorMemory: events of writes that are over leave nothing behind,
// whatever the size of the file.
func TestAttributorMemory(t *testing.T) {
	const blocks = 1 << 28
	a := NewAttributor(testBS, []int64{blocks * testBS}, 0)
	a.Has = [4]bool{true, true, true, true}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range int64(50_000) {
		t0 := 100 * i
		off := rng.Int64N(blocks) * testBS
		for k, kind := range []KernelKind{Begin, Queued, Complete} {
			a.Event(&KernelEvent{TimeNS: t0 + int64(k) + 1, Kind: kind, TID: ring, Off: off, Ret: testBS})
		}
		e := Entry{Off: off, Len: testBS, Res: testBS, SubmitNS: t0, ReapNS: t0 + 50}
		a.Entry(&e)
		if e.Attr != Direct {
			t.Fatalf("write %d: %v", i, e.Attr)
		}
	}
	if len(a.nodes) > 3 || len(a.debts) != 0 {
		t.Errorf("%d nodes, %d debts", len(a.nodes), len(a.debts))
	}
	b := NewAttributor(testBS, []int64{blocks * testBS}, 0)
	b.Overlapping = true
	for range 1000 {
		b.Event(&KernelEvent{Kind: Begin})
	}
	if len(b.nodes) != 0 {
		t.Errorf("overlapping: %d nodes", len(b.nodes))
	}
}

// TestEventsOutside: records about other places are no trouble.
func TestEventsOutside(t *testing.T) {
	a := newAttr()
	for _, ev := range []KernelEvent{{File: -1}, {File: 7}, {Off: -1}, {Off: 16 * testBS}, {Off: 1 << 60}} {
		a.Event(&ev)
	}
	if len(a.nodes) != 0 {
		t.Errorf("%d nodes", len(a.nodes))
	}
	feed(a, failed(1, kw, 11), failed(2, kw, 15), failed(3, kw, 5))
	if a.IomapErrors != 1 {
		t.Errorf("%d errors of the device, want 1", a.IomapErrors)
	}
}
