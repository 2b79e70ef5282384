package oracle

import (
	"slices"
	"strings"
	"testing"

	"diostress/internal/ledger"
	"diostress/internal/pattern"
	"diostress/internal/plan"
	"diostress/internal/verdict"
)

// triple is what every rule must have: the healthy history passes it, breaks
// makes a finding of it and of nothing else (but what also names), and with
// cannot it can't be told: undecided, or not applicable, with a reason.
type triple struct {
	pass   func(*history) // what the healthy history lacks for it; nil: nothing
	breaks func(*history)
	also   []string
	text   string // a part of the finding's text
	count  uint64
	cannot func(*history)
	as     verdict.Verdict
	reason string
}

func pendingWrite(x *history) {
	x.acct.Offer(3, fMain, tBS, tBS, 0, false)
	x.acct.Accepted(3, 2000, 2001)
}

func cutRun(x *history) { x.cut = true }

var triples = map[string]triple{
	"completed_once": {
		breaks: pendingWrite, text: "1 of 13 submissions never completed", count: 1,
		cannot: func(x *history) { x.t.Broken = "reap: EBADF"; pendingWrite(x) }, as: verdict.Undecided, reason: "the harness broke: reap: EBADF; 1 write in flight",
	},
	"no_stray": {
		breaks: func(x *history) {
			var e ledger.Entry
			x.acct.Complete(1<<40, tBS, 0, 0, 1400, &e)
			x.records = append(x.records, &ledger.Unmatched{Tag: 1 << 40, Res: tBS, ReapNS: 1400})
		}, text: "1 completion with a tag that was never submitted", count: 1,
		cannot: cutRun, as: verdict.Undecided, reason: "before its trailer",
	},
	"legal_result": {
		breaks: func(x *history) { x.write(fMain, 0, -22); x.write(fMain, 0, 512); x.write(fMain, 0, 0) }, text: "EINVAL=1 res = 0=1 short=1", count: 3,
		cannot: func(x *history) {
			x.acct, x.entries = ledger.NewAccount(0, 8, tBS, []int64{2 * tBS, 2 * tBS, 2 * tBS}), nil
			without[*ledger.Readback](x)
		},
		as: verdict.Undecided, reason: "nothing was submitted",
	},
	"no_leaked_errno": {
		breaks: func(x *history) { x.write(fMain, 0, -529) }, text: "EIOCBQUEUED=1", count: 1,
		cannot: func(x *history) { x.t.Broken = "x" }, as: verdict.Undecided, reason: "the harness broke",
	},
	"no_stuck_io": {
		breaks: func(x *history) {
			x.t.Stuck = &ledger.Stuck{OldestNS: 31e9, InFlight: []ledger.InFlight{{Gen: 12, Off: tBS, Len: tBS, SubmitNS: 2000}}, Blocked: []string{"job0 D"}, Evidence: "the engine reaps"}
		}, text: "no completion for 31.0 s with 1 write in flight; the engine reaps", count: 1,
		cannot: func(x *history) {
			x.t.Broken, x.t.Stuck = "reap: EBADF", &ledger.Stuck{InFlight: make([]ledger.InFlight, 2)}
		}, as: verdict.Undecided, reason: "2 writes in flight",
	},
	"not_early": {
		breaks: func(x *history) {
			x.t.Jobs[0].Attr.Early = 2
			x.note("early", "generation 7 was reaped 1.5 ms before").Source = "trace"
		}, text: "2 writes reported complete before", count: 2,
		cannot: func(x *history) { x.t.Trace.Lost = 9 }, as: verdict.Undecided, reason: "9 trace records lost",
	},
	"clean_filesystem": {
		breaks: func(x *history) { x.t.Fsck = ledger.FsckSum{Ran: true, Exit: 4, Output: "a\nblock bitmap wrong\n"} }, text: "exit 4): block bitmap wrong", count: 1,
		cannot: func(x *history) { x.t.Fsck = ledger.FsckSum{Why: "no e2fsck"} }, as: verdict.Undecided, reason: "e2fsck did not run: no e2fsck",
	},
	"eio_explained": {
		breaks: func(x *history) { x.write(fMain, 0, -5) }, also: []string{"kernel_contract"}, text: "EIO=1 in completions, and neither device nor journal failed", count: 1,
		cannot: func(x *history) {
			x.write(fMain, 0, -5)
			x.h.Facts.Kmsg, x.t.Trace.BlockError.Known, x.t.Trace.IomapError.Known = false, false, false
		}, as: verdict.Undecided, reason: "would not have been seen",
	},
	"kernel_contract": {
		breaks: func(x *history) { x.t.Jobs[0].Attr.WentOn = 3 }, text: "as 5.5 to 5.8, 4.16 to 5.8 (iomap) did", count: 3,
		cannot: func(x *history) { x.h.Facts.Kernel = "unreadable" }, as: verdict.Undecided, reason: "no row for unreadable ext4",
	},
	"kernel_log": {
		breaks: func(x *history) { x.note("refcount", "refcount_t: underflow; use-after-free.") }, text: "refcount_t: underflow", count: 1,
		cannot: func(x *history) { x.t.KmsgDropped = 7 }, as: verdict.Undecided, reason: "7 lines of the kernel log were overwritten",
	},
	"collisions_pass": {
		breaks: func(x *history) {
			x.t.Jobs[0].Attr.Permanent = 1
			x.note("permanent", "still collides").Source = "trace"
		}, text: "1 write still collided with the dirtiers stopped", count: 1,
		cannot: func(x *history) {
			a := &x.t.Jobs[0].Attr
			a.RetryRunning, a.RetryPaused, a.RetryUnknown = []uint64{0, 0, 0}, []uint64{0, 0, 0}, 4
		}, as: verdict.Undecided, reason: "could not tell",
	},
	"errseq_once": {
		breaks: func(x *history) { x.sync(fMain, fMain, 1450, eio).New = 0x1005 }, text: "twice to one open file description", count: 1,
		cannot: func(x *history) {
			for i := range int64(2) {
				s := x.quiet(fMain, 2070+i*20, eio)
				s.CanTell, s.Advanced = false, false
			}
			x.note("jbd2_error", "Aborting journal on device loop0-8.")
			x.note("ext4_shutdown", "EXT4-fs (loop0): shut down requested (0)")
		}, as: verdict.Undecided, reason: "Aborting journal",
	},
	"errseq_reported": {
		breaks: func(x *history) {
			each(x, func(s *ledger.Sync) {
				if s.FD == 2000 && s.Errno != 0 {
					s.Errno, s.Advanced, s.New = 0, false, 0
				}
			})
		}, text: "not told of a failure that another one was told of", count: 1,
		cannot: func(x *history) {
			each(x, func(s *ledger.Sync) {
				if s.FD == 2000 {
					s.BeginNS, s.EndNS = 1105, 1390 // it may have looked before or after
				}
			})
		}, as: verdict.Undecided, reason: "no failure could be dated",
	},
	"size_updated": {
		pass:   func(x *history) { x.h.Files[fControl].Layout, x.t.Work.SizeChecks = plan.LayoutEmpty, 12 },
		breaks: func(x *history) { x.note("i_size", "4096 bytes after a write that ended at 8192").Source = "stat" }, text: "shorter than a completed write made it, 1 of 12 times", count: 1,
		cannot: func(x *history) { x.t.Work.SizeChecks = 0 }, as: verdict.Undecided, reason: "never looked at",
	},
	"control_data": {
		breaks: func(x *history) {
			x.change(fControl, 0, notBaseline, func(r *ledger.Readback) { r.Spans = whole(job, 2) })
		}, text: "words of blocks that only direct writes touch", count: 3 * tWords, // direct, disk, remount
		cannot: cutRun, as: verdict.Undecided, reason: "before its trailer",
	},
	"cache_coherent": {
		breaks: func(x *history) {
			x.change(fMain, 1, ledger.Cache, func(r *ledger.Readback) { r.Spans = words(stamped(100, storer, 5), stamped(tWords-100, 0, 0)) })
			each(x, func(s *ledger.Sync) {
				if s.File == fMain {
					s.Errno, s.Advanced, s.New = 0, false, 0
				}
			})
		}, text: "differ from the disk, and no fsync", count: 100,
		also:   []string{},
		cannot: func(x *history) { noDisk(x) }, as: verdict.Undecided, reason: "could not be proved empty before the disk was read: 3 pages",
	},
	"stale_reported": {
		breaks: func(x *history) {
			x.change(fNeighbour, 0, ledger.Cache, func(r *ledger.Readback) { r.Spans = whole(job, 3) })
			each(x, func(s *ledger.Sync) {
				if s.File == fNeighbour {
					s.Errno, s.Advanced, s.New = 0, false, 0
				}
			})
		}, text: "no fsync reported it: the error was swallowed", count: tWords,
		cannot: func(x *history) {
			each(x, func(s *ledger.Sync) {
				if s.File == fNeighbour {
					s.Errno, s.Advanced, s.New = 0, false, 0
				}
			})
		}, as: verdict.Undecided, reason: "a slower device makes more",
	},
	"not_torn": {
		breaks: func(x *history) {
			gen := x.legal(fControl, 0)[0].Gen
			x.change(fControl, 0, ledger.Disk, func(r *ledger.Readback) {
				r.Spans = words(stamped(64, job, gen), stamped(60, job, 2), stamped(tWords-124, job, gen))
			})
		}, text: "parts of two writes which were not concurrent", count: 60,
		also: []string{"cache_coherent"}, // it is not what the cache showed, either
		cannot: func(x *history) {
			x.change(fControl, 1, ledger.Disk, func(r *ledger.Readback) { r.Errno, r.Spans = 5, nil })
		},
		as: verdict.Undecided, reason: "could not be read back (disk view of control.0 at 4096: EIO)",
	},
	"no_foreign_data": {
		breaks: func(x *history) {
			x.change(fMain, 0, notBaseline, func(r *ledger.Readback) { r.Spans = append(raw(2, 0xdead), stamped(tWords-2, job, 1)) })
		}, text: "nobody wrote at that place", count: 8 - 2, // in the remount view they were known
		cannot: func(x *history) { each(x, func(e *ledger.Epoch) { e.Drained = false }) }, as: verdict.Undecided, reason: "still in flight",
	},
	"no_poison": {
		breaks: func(x *history) {
			x.change(fControl, 0, ledger.DirectIO, func(r *ledger.Readback) { r.Spans = whole(uint8(pattern.PoisonID), 10) })
		}, text: "gave buffers back and went on reading them", count: tWords, also: []string{"cache_coherent"},
		cannot: func(x *history) { noDisk(x); x.h.Facts.DirectIO = "no: data=journal" }, as: verdict.NotApplicable, reason: "buffered here",
	},
	"adequacy": {
		// Too little pressure is no kernel's fault, so it never breaks: it is
		// undecided, and unsupported where there is nothing to collide with.
		cannot: func(x *history) { x.t.Trace.PreWrite.N, x.t.Trace.PostWrite.N, x.t.Overlaps = 49, 50, 5 }, as: verdict.Undecided, reason: "too little pressure: 99 collisions, 5 overlaps; 99 collisions, 5 writes overlapped; required: 100 collisions, else 1000 overlaps; and 100 collisions, else 50 writes overlapped",
	},
}

// noDisk leaves the reads through a cache that could not be dropped.
func noDisk(x *history) {
	x.records = slices.DeleteFunc(x.records, func(r ledger.Record) bool {
		b, ok := r.(*ledger.Readback)
		if ok {
			b.Proved = false
		}
		return ok && (b.View == ledger.Remount || b.View == ledger.DirectIO)
	})
	x.t.DropsWhy = "3 pages are still cached"
}

// TestEveryRuleHasItsHistories: a rule without a passing, a breaking and an
// undecidable history is not tested.
func TestEveryRuleHasItsHistories(t *testing.T) {
	for _, rule := range RuleNames() {
		x, ok := triples[rule]
		if !ok || x.cannot == nil || x.breaks == nil && rule != "adequacy" {
			t.Errorf("%s: it has no history that passes, one that breaks, and one that cannot be told", rule)
			continue
		}
		t.Run(rule, func(t *testing.T) {
			if x.breaks != nil {
				breaks(t, rule, &x)
			}
			h := x.start()
			o := h.judge()
			if r := o.find(rule); r.Verdict != verdict.Pass && rule != "adequacy" || o.Verdict != verdict.Pass {
				t.Errorf("passes: %v: %q; the run: %v", r.Verdict, r.Reason, o.Verdict)
			}
			h = x.start()
			x.cannot(h)
			o = h.judge()
			if r := o.find(rule); r.Verdict != x.as || !strings.Contains(r.Reason, x.reason) {
				t.Errorf("cannot be told: %v: %q; want %v: %q", r.Verdict, r.Reason, x.as, x.reason)
			}
			if slices.Contains(o.broken(), rule) {
				t.Error("cannot be told, and yet a finding")
			}
			if x.as == verdict.Undecided && Required(rule) && o.Verdict == verdict.Pass {
				t.Error("a required rule is undecided, and the run passes")
			}
		})
	}
	for rule := range triples {
		if !slices.Contains(RuleNames(), rule) {
			t.Errorf("%s is no rule", rule)
		}
	}
}

func (x *triple) start() *history {
	h := healthy()
	if x.pass != nil {
		x.pass(h)
	}
	return h
}

func breaks(t *testing.T, rule string, x *triple) {
	h := x.start()
	x.breaks(h)
	o := h.judge()
	got := o.broken()
	for _, b := range got {
		if b != rule && !slices.Contains(x.also, b) {
			t.Errorf("%s is broken as well: %s", b, o.find(b).Reason)
		}
	}
	r := o.find(rule)
	if r.Verdict != verdict.Fail || o.Verdict != verdict.Fail || !slices.Contains(got, rule) {
		t.Fatalf("not broken: %v: %s; the run: %v", r.Verdict, r.Reason, o.Verdict)
	}
	for _, f := range o.Findings {
		if f.Rule != rule {
			continue
		}
		if !strings.Contains(f.Text, x.text) || f.Count != x.count || f.Run != "io_uring" {
			t.Errorf("finding of %d: %q; want %d: %q", f.Count, f.Text, x.count, x.text)
		}
		if len(f.Witnesses) == 0 && rule != "kernel_contract" {
			t.Error("no witness")
		}
		for _, w := range f.Witnesses {
			if w.Evidence == "" || w.TimeNS < 0 {
				t.Errorf("witness %+v", w)
			}
		}
	}
}
