package oracle

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"diostress/internal/ledger"
	"diostress/internal/plan"
)

// sampleOf is one sample of the tables below.
type sampleOf struct {
	fd         int // below 10: a witness
	begin, end int64
	errno      int
	new        uint32
	edit       func(*ledger.Sync)
}

func atRest(s *ledger.Sync)   { s.Quiesced = true }
func untraced(s *ledger.Sync) { s.CanTell, s.Advanced = false, false }
func elsewhere(s *ledger.Sync) {
	s.Advanced = false
	s.Quiesced = true
}
func restUntraced(s *ledger.Sync)  { atRest(s); untraced(s) }
func writeback(s *ledger.Sync)     { s.SetErr = true }
func restWriteback(s *ledger.Sync) { atRest(s); writeback(s) }
func nextEpoch(s *ledger.Sync)     { atRest(s); s.Epoch = 1 }

func feedErrseq(c plan.Config, samples []sampleOf) *errseq {
	var s errseq
	s.begin(&ledger.Header{StartNS: 1, Config: c, Files: make([]plan.File, 2)})
	for _, x := range samples {
		r := ledger.Sync{Call: "fsync", FD: x.fd, BeginNS: x.begin, EndNS: x.end, Errno: x.errno, New: x.new, Witness: x.fd < 10, CanTell: true, Advanced: x.errno != 0}
		if x.edit != nil {
			x.edit(&r)
		}
		s.sample(&r)
	}
	return &s
}

func TestErrseqModel(t *testing.T) {
	for _, x := range []struct {
		name                                 string
		c                                    plan.Config
		samples                              []sampleOf
		twice, missed, owed                  uint64
		twiceBlind, missedBlind, invalidated uint64
	}{
		{name: "each is told once", samples: []sampleOf{{1, 10, 11, 0, 0, nil}, {20, 12, 13, 0, 0, nil}, {1, 20, 21, 0, 0, nil}, {1, 30, 31, 5, 0, nil}, {20, 40, 41, 5, 0, nil}, {1, 50, 51, 0, 0, nil}, {20, 50, 52, 0, 0, nil}}, owed: 1, invalidated: 2},
		{name: "one is never told", samples: []sampleOf{{1, 10, 11, 0, 0, nil}, {20, 12, 13, 0, 0, nil}, {1, 20, 21, 0, 0, nil}, {1, 30, 31, 5, 0, nil}, {20, 40, 41, 0, 0, nil}}, missed: 1, owed: 1, invalidated: 1},
		{name: "one is told later than it ought to", samples: []sampleOf{{1, 10, 11, 0, 0, nil}, {20, 12, 13, 0, 0, nil}, {1, 20, 21, 0, 0, nil}, {1, 30, 31, 5, 0, nil}, {20, 40, 41, 0, 0, nil}, {20, 50, 51, 5, 0, nil}}, missed: 1, owed: 1, invalidated: 2},
		{name: "its window begins later", samples: []sampleOf{{1, 10, 11, 0, 0, nil}, {1, 20, 31, 5, 0, nil}, {20, 25, 30, 0, 0, nil}, {20, 40, 41, 0, 0, nil}}, invalidated: 1},
		{name: "its sample overlaps the report", samples: []sampleOf{{20, 5, 6, 0, 0, nil}, {1, 10, 11, 0, 0, nil}, {20, 29, 32, 0, 0, nil}, {1, 30, 33, 5, 0, nil}}, invalidated: 1},
		{name: "a witness owes from the start", samples: []sampleOf{{1, 10, 11, 0, 0, nil}, {1, 20, 21, 5, 0, nil}, {2, 30, 31, 0, 0, nil}}, missed: 1, owed: 1, invalidated: 1},
		{name: "another description's first sample owes nothing", samples: []sampleOf{{1, 10, 11, 0, 0, nil}, {1, 20, 21, 5, 0, nil}, {20, 30, 31, 0, 0, nil}}, invalidated: 1},
		{name: "an error dates the next", samples: []sampleOf{{20, 5, 6, 0, 0, nil}, {1, 10, 11, 0, 0, nil}, {1, 20, 21, 5, 0, nil}, {20, 22, 23, 5, 0, nil}, {1, 30, 31, 5, 0, nil}, {20, 40, 41, 0, 0, nil}}, missed: 0, owed: 1, invalidated: 3},
		{name: "an error dates the next, later", samples: []sampleOf{{20, 5, 6, 0, 0, nil}, {1, 10, 11, 0, 0, nil}, {20, 14, 15, 0, 0, nil}, {1, 20, 21, 5, 0, nil}, {20, 16, 22, 5, 0, nil}, {1, 23, 24, 0, 0, nil}, {1, 30, 31, 5, 0, nil}, {20, 40, 41, 0, 0, nil}}, missed: 1, owed: 1, invalidated: 3},
		{name: "the journal dates nothing", samples: []sampleOf{{2, 5, 6, 0, 0, nil}, {1, 10, 11, 0, 0, nil}, {1, 20, 21, 5, 0, elsewhere}, {2, 30, 31, 0, 0, nil}}},
		{name: "no trace: dated, but not for certain", samples: []sampleOf{{2, 5, 6, 0, 0, nil}, {1, 10, 11, 0, 0, nil}, {1, 20, 21, 5, 0, untraced}, {2, 30, 31, 0, 0, untraced}}, missedBlind: 1, owed: 1},
		{name: "ENOSPC is an error as well", samples: []sampleOf{{2, 5, 6, 0, 0, nil}, {1, 10, 11, 0, 0, nil}, {1, 20, 21, 28, 0, nil}, {2, 30, 31, 28, 0, nil}}, owed: 1},
		{name: "O_DSYNC writes consume", c: plan.Config{DSync: true}, samples: []sampleOf{{1, 10, 11, 0, 0, nil}, {20, 12, 13, 0, 0, nil}, {1, 20, 21, 0, 0, nil}, {1, 30, 31, 5, 0, nil}, {20, 40, 41, 0, 0, nil}}, invalidated: 1},

		{name: "twice at rest", samples: []sampleOf{{1, 10, 11, 5, 0, atRest}, {1, 20, 21, 5, 0, atRest}}, twice: 1, invalidated: 2},
		{name: "twice, but not at rest", samples: []sampleOf{{1, 10, 11, 5, 0, nil}, {1, 20, 21, 5, 0, nil}}, invalidated: 2},
		{name: "twice at rest, other descriptions", samples: []sampleOf{{1, 10, 11, 5, 0, atRest}, {2, 20, 21, 5, 0, atRest}}, invalidated: 2, owed: 1},
		{name: "nothing fails at rest", samples: []sampleOf{{1, 10, 11, 0, 0, atRest}, {20, 20, 21, 0, 0, atRest}, {1, 30, 31, 5, 0, nextEpoch}, {20, 40, 41, 0, 0, nextEpoch}}, invalidated: 1, missed: 1, owed: 1},
		{name: "nothing fails at rest, told while it runs", samples: []sampleOf{{1, 10, 11, 0, 0, atRest}, {20, 20, 21, 0, 0, atRest}, {1, 30, 31, 5, 0, func(s *ledger.Sync) { s.Epoch = 1 }}, {20, 40, 41, 0, 0, nextEpoch}}, invalidated: 1, missed: 1, owed: 1},
		{name: "but writeback does", samples: []sampleOf{{1, 10, 11, 0, 0, atRest}, {20, 20, 21, 5, 0, restWriteback}, {1, 30, 31, 5, 0, func(s *ledger.Sync) { nextEpoch(s); s.SetErr = true }}, {20, 40, 41, 0, 0, nextEpoch}}},
		{name: "and writes that are tried again", c: plan.Config{Retry: 3}, samples: []sampleOf{{1, 10, 11, 0, 0, atRest}, {20, 20, 21, 0, 0, atRest}, {1, 30, 31, 5, 0, nextEpoch}, {20, 40, 41, 0, 0, nextEpoch}}, invalidated: 1},
		{name: "within one time at rest", samples: []sampleOf{{1, 10, 11, 0, 0, atRest}, {20, 20, 21, 0, 0, atRest}, {1, 30, 31, 5, 0, atRest}, {20, 40, 41, 0, 0, atRest}}, invalidated: 1},
		{name: "opening a witness is a look", samples: []sampleOf{{1, 20, 21, 5, 0, nil}, {2, 30, 31, 0, 0, nil}}, invalidated: 1, missed: 1, owed: 1},
		{name: "clean in between", samples: []sampleOf{{1, 10, 11, 5, 0, atRest}, {1, 15, 16, 0, 0, atRest}, {1, 20, 21, 5, 0, atRest}}, invalidated: 2},
		{name: "the next epoch", samples: []sampleOf{{1, 10, 11, 5, 0, atRest}, {1, 20, 21, 5, 0, nextEpoch}}, invalidated: 2},
		{name: "the journal says it every time", samples: []sampleOf{{1, 10, 11, 5, 0, elsewhere}, {1, 20, 21, 5, 0, elsewhere}, {1, 30, 31, 5, 0, elsewhere}}},
		{name: "writeback failed again", samples: []sampleOf{{1, 10, 11, 5, 0, atRest}, {1, 20, 21, 5, 0, restWriteback}}, invalidated: 1},
		{name: "writes are tried again at rest", c: plan.Config{Retry: 3}, samples: []sampleOf{{1, 10, 11, 5, 0, atRest}, {1, 20, 21, 5, 0, atRest}}, invalidated: 2},
		{name: "no trace: twice, but not for certain", samples: []sampleOf{{1, 10, 11, 5, 0, restUntraced}, {1, 20, 21, 5, 0, restUntraced}}, twiceBlind: 1},
		{name: "the same errseq value, not at rest", samples: []sampleOf{{1, 10, 11, 5, 0x1005, nil}, {1, 20, 21, 5, 0x1005, nil}}, twice: 1, invalidated: 2},
		{name: "the same value, clean in between", samples: []sampleOf{{1, 10, 11, 5, 0x1005, nil}, {1, 15, 16, 0, 0, nil}, {1, 20, 21, 5, 0x1005, nil}}, twice: 1, invalidated: 2},
		{name: "a value of its own each time, at rest", samples: []sampleOf{{1, 10, 11, 5, 0x1005, atRest}, {1, 20, 21, 5, 0x3005, atRest}}, invalidated: 2},
		{name: "the same counter, another errno", samples: []sampleOf{{1, 10, 11, 5, 0x1005, nil}, {1, 20, 21, 28, 0x101c, nil}}, invalidated: 1},
	} {
		s := feedErrseq(x.c, x.samples)
		if s.nTwice != x.twice || s.nMissed != x.missed || s.owed != x.owed || s.nTwiceBlind != x.twiceBlind || s.nMissedBlind != x.missedBlind || s.causes.invalidation != x.invalidated {
			t.Errorf("%s: twice %d, missed %d, owed %d, untraced %d and %d, invalidation %d", x.name, s.nTwice, s.nMissed, s.owed, s.nTwiceBlind, s.nMissedBlind, s.causes.invalidation)
		}
		if uint64(len(s.twice)) != x.twice || uint64(len(s.missed)) != x.missed {
			t.Errorf("%s: witnesses %+v %+v", x.name, s.twice, s.missed)
		}
	}
}

// kernelErrseq is lib/errseq.c, with ways to break it.
type kernelErrseq struct {
	value uint32
	fds   map[int]uint32
}

const (
	seen    = 0x1000
	counter = 0x2000
)

func (k *kernelErrseq) set(errno uint32) {
	v := k.value&^(0xfff|seen) | errno
	if k.value&seen != 0 {
		v += counter
	}
	k.value = v
}

func (k *kernelErrseq) open(fd int) {
	if k.fds[fd] = 0; k.value&seen != 0 {
		k.fds[fd] = k.value
	}
}

func (k *kernelErrseq) check(fd int) (errno int, now uint32) {
	if k.value == k.fds[fd] {
		return 0, 0
	}
	k.value |= seen
	k.fds[fd] = k.value
	return int(k.value & 0xfff), k.value
}

// TestErrseqAgainstTheKernel lets descriptions sample at random, overlapping,
// while failures are set, on a kernel that does right and on two that do not.
// The first must never be accused; the others must be found out, and for the
// right thing.
func TestErrseqAgainstTheKernel(t *testing.T) {
	const (
		right = iota
		swallows
		repeats
	)
	for _, traced := range []bool{true, false} {
		found := [3]int{}
		for seed := range uint64(900) {
			bug := int(seed % 3)
			rng := rand.New(rand.NewPCG(seed, 9))
			k := kernelErrseq{fds: map[int]uint32{}}
			fds := []int{1, 2, 20, 21}
			for _, fd := range fds {
				k.open(fd)
			}
			type step struct {
				at int64
				do func()
			}
			var steps []step
			var out []*ledger.Sync
			free := map[int]int64{}
			broken := false
			for range 60 {
				at := rng.Int64N(4000) + 100
				if rng.IntN(3) == 0 {
					steps = append(steps, step{at, func() { k.set(5) }})
					continue
				}
				fd := fds[rng.IntN(len(fds))]
				begin := max(free[fd]+1, at)
				check := begin + rng.Int64N(40)
				end := check + rng.Int64N(40)
				free[fd] = end
				s := &ledger.Sync{Call: "fsync", FD: fd, BeginNS: begin, EndNS: end, Witness: fd < 10, CanTell: traced}
				out = append(out, s)
				steps = append(steps, step{check, func() {
					before := k.fds[fd]
					s.Errno, s.New = k.check(fd)
					if bug == repeats && s.Errno != 0 && rng.IntN(3) == 0 {
						k.fds[fd] = before // it will be told again
						broken = true
					}
					if bug == swallows && s.Errno != 0 && fd == 1 {
						s.Errno, s.New = 0, 0
						broken = true
					}
					if s.Advanced = traced && s.Errno != 0; !traced {
						s.New = 0
					}
				}})
			}
			slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
			for _, s := range steps {
				s.do()
			}
			slices.SortStableFunc(out, func(a, b *ledger.Sync) int { return cmp.Compare(a.EndNS, b.EndNS) })
			var m errseq
			m.begin(&ledger.Header{StartNS: 1, Files: make([]plan.File, 1)})
			for _, s := range out {
				m.sample(s)
			}
			twice, missed := m.nTwice+m.nTwiceBlind, m.nMissed+m.nMissedBlind
			if bug == right && twice+missed > 0 {
				t.Fatalf("seed %d, traced %v: a right kernel is accused: twice %d %+v, missed %d %+v", seed, traced, twice, m.twice, missed, m.missed)
			}
			// Without the trace a repeated error looks like another one.
			if bug == swallows && twice > 0 || bug == repeats && missed > 0 && traced {
				t.Fatalf("seed %d, traced %v, bug %d: accused of the wrong thing: twice %d, missed %d", seed, traced, bug, twice, missed)
			}
			if broken && twice+missed > 0 {
				found[bug]++
			}
		}
		t.Logf("traced %v: of 300 each: swallowed error found %d times, repeated one %d times", traced, found[swallows], found[repeats])
		if found[swallows] < 100 || traced && found[repeats] < 150 {
			t.Errorf("traced %v: found only %v", traced, found)
		}
	}
}

func TestFsyncEIOIsAttributed(t *testing.T) {
	for _, x := range []struct {
		name string
		edit func(*history)
		want [4]uint64 // invalidation, device, journal, ambiguous
		text string
	}{
		{"as it is", func(*history) {}, [4]uint64{3, 0, 0, 0}, "3 invalidation (errseq advanced, no filemap_set_wb_err)"},
		{"writeback failed, the device too", func(x *history) { x.t.Trace.BlockError.N = 2; x.sync(fMain, fMain, 1500, eio).SetErr = true }, [4]uint64{3, 1, 0, 0}, "1 device (filemap_set_wb_err)"},
		{"writeback failed, the journal only", func(x *history) {
			x.note("ext4_shutdown", "shut down requested")
			x.sync(fMain, fMain, 1500, eio).SetErr = true
		}, [4]uint64{3, 0, 1, 0}, "1 journal (kernel log)"},
		{"not from errseq, the journal", func(x *history) {
			x.note("ext4_shutdown", "shut down requested")
			x.sync(fMain, fMain, 1500, eio).Advanced = false
		}, [4]uint64{3, 0, 1, 0}, "1 journal"},
		{"not from errseq, a flush", func(x *history) { x.t.Trace.BlockError.N = 2; x.sync(fMain, fMain, 1500, eio).Advanced = false }, [4]uint64{3, 1, 0, 0}, "1 device"},
		{"not from errseq, no cause", func(x *history) { x.sync(fMain, fMain, 1500, eio).Advanced = false }, [4]uint64{3, 0, 0, 1}, "1 ambiguous"},
		{"not traced, no writeback error in the run", func(x *history) { x.sync(fMain, fMain, 1500, eio).CanTell = false }, [4]uint64{4, 0, 0, 0}, "1 invalidation (no writeback error in the whole run)"},
		{"not traced, writeback errors not counted", func(x *history) { x.t.Trace.SetWBErr.Known = false; x.sync(fMain, fMain, 1500, eio).CanTell = false }, [4]uint64{3, 0, 0, 1}, "1 ambiguous"},
		{"not traced, syncfs clean", func(x *history) {
			x.t.Trace.SetWBErr.Known, x.t.SyncFSKnown = false, true
			x.sync(fMain, fMain, 1500, eio).CanTell = false
		}, [4]uint64{4, 0, 0, 0}, "1 invalidation (no writeback error in the whole run)"},
		{"not traced, the device failed", func(x *history) { x.t.Trace.BlockError.N = 1; x.sync(fMain, fMain, 1500, eio).CanTell = false }, [4]uint64{3, 0, 0, 1}, "1 ambiguous"},
	} {
		h := healthy()
		x.edit(h)
		o := h.judge()
		c := o.Runs[0].Fsync.Attributed
		if got := [4]uint64{c.Invalidation, c.Device, c.Journal, c.Ambiguous}; got != x.want {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
		}
		if r := o.find("eio_explained"); !strings.Contains(r.Reason, x.text) {
			t.Errorf("%s: %q does not say %q", x.name, r.Reason, x.text)
		}
	}
}
