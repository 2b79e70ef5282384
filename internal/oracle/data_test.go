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

// clean takes every error out of the samples of a file.
func clean(x *history, file int) {
	each(x, func(s *ledger.Sync) {
		if s.File == file {
			s.Errno, s.Advanced, s.New = 0, false, 0
		}
	})
}

// syncBefore adds a sample before the first epoch ends.
func (x *history) syncBefore(file, fd int, begin int64, errno int) {
	x.sync(file, fd, begin, errno)
	x.toFront(1)
}

// toFront moves the last n records before the end of the first epoch.
func (x *history) toFront(n int) {
	at := slices.IndexFunc(x.records, func(r ledger.Record) bool { _, ok := r.(*ledger.Epoch); return ok })
	moved := slices.Clone(x.records[len(x.records)-n:])
	x.records = slices.Insert(x.records[:len(x.records)-n], at, moved...)
}

// online adds a block read while the run goes on, through the page cache and
// past it; nil spans are the healthy content.
func online(x *history, file int, cached, direct []ledger.Span) {
	x.read(0, file, 0, ledger.Online, cached)
	x.read(0, file, 0, ledger.OnlineDirect, direct)
	x.toFront(2)
}

// second adds another epoch, in which edit may write.
func second(x *history, edit func()) {
	if edit != nil {
		edit()
	}
	for f := range x.h.Files {
		s := x.quiet(f, 3000+int64(f)*20, 0)
		s.Epoch = 1
	}
	x.epoch(1)
	x.readAll(1)
}

func TestData(t *testing.T) {
	stale := func(file int) func(*ledger.Readback) {
		return func(r *ledger.Readback) { r.Spans = whole(job, 2) }
	}
	for _, x := range []struct {
		name  string
		edit  func(*history)
		rules []string // broken
		check func(*verdict.Data) bool
		why   map[string]string // rule: a part of its reason
	}{
		{name: "two epochs", edit: func(x *history) { second(x, func() { x.write(fControl, 0, tBS); x.write(fMain, 0, tBS) }) }, check: func(d *verdict.Data) bool { return d.Epochs == 2 && d.Stale == 0 }},
		{name: "a failed write may be there", edit: func(x *history) {
			gen := x.write(fControl, 0, -5)
			x.t.Trace.BlockError.N = 1
			second(x, nil)
			x.change(fControl, 0, ledger.Remount, func(r *ledger.Readback) {})
			x.read(1, fControl, 0, ledger.Disk, words(stamped(64, job, gen), stamped(tWords-64, job, 11)))
		}},
		{name: "a failed write may be there, and the cache not know it", edit: func(x *history) {
			gen := x.write(fControl, 0, -5)
			x.t.Trace.BlockError.N = 1
			second(x, nil)
			x.read(1, fControl, 0, ledger.Disk, whole(job, gen))
		}, check: func(d *verdict.Data) bool { return d.StaleExcused == tWords }},
		{name: "a short write, then a full one", edit: func(x *history) {
			x.t.Trace.BlockError.N = 1
			gen := x.write(fControl, 0, 512)
			x.write(fControl, 0, tBS)
			second(x, nil)
			x.read(1, fControl, 0, ledger.Disk, words(stamped(64, job, gen), stamped(tWords-64, job, x.acct.LastGen())))
		}, rules: []string{"control_data", "cache_coherent"}},
		{name: "so many failed that any may be there", edit: func(x *history) {
			x.t.Trace.BlockError.N = 1
			for range 100 {
				x.write(fControl, 0, -5)
			}
			second(x, nil)
			x.read(1, fControl, 0, ledger.Disk, whole(job, x.acct.LastGen()-50))
		}},
		{name: "a dirtier's word in a control file", edit: func(x *history) {
			x.change(fControl, 1, notBaseline, func(r *ledger.Readback) {
				r.Spans = words(stamped(1, storer, 4), stamped(tWords-1, 0, 0))
			})
		}, rules: []string{"not_torn"}},
		{name: "a whole sector and a part of one", edit: func(x *history) {
			g := x.legal(fControl, 0)[0].Gen
			x.change(fControl, 0, ledger.Remount, func(r *ledger.Readback) {
				r.Spans = words(stamped(32, job, g), stamped(128, job, 2), stamped(tWords-160, job, g))
			})
		}, rules: []string{"control_data", "cache_coherent", "not_torn"}, check: func(d *verdict.Data) bool { return d.LostWrite == 64 && d.Torn == 64 }},
		{name: "generations beyond what a word holds", edit: func(x *history) {
			const far = 3*(pattern.MaxGen+1) + 7
			each(x, func(e *ledger.Epoch) {
				e.Files[fMain].Writers[1] = ledger.GenRange{Writer: storer, First: far - 20, Last: far}
			})
			x.change(fMain, 0, notBaseline, func(r *ledger.Readback) {
				r.Spans = words(stamped(2, storer, 7), stamped(2, storer, pattern.MaxGen-5), stamped(tWords-4, job, r.Legal[0].Gen))
			})
			x.change(fMain, 1, notBaseline, func(r *ledger.Readback) { r.Spans = whole(storer, 3) })
			x.change(fControl, 0, notBaseline, func(r *ledger.Readback) {
				r.Legal = []ledger.Stamp{{Writer: job, Gen: pattern.MaxGen + 1 + r.Legal[0].Gen}}
			})
		}},
		{name: "a generation before the range that wraps", edit: func(x *history) {
			const far = 3*(pattern.MaxGen+1) + 7
			each(x, func(e *ledger.Epoch) {
				e.Files[fMain].Writers[1] = ledger.GenRange{Writer: storer, First: far - 20, Last: far}
			})
			x.change(fMain, 0, ledger.Disk, func(r *ledger.Readback) { r.Spans[1].By.Gen = 8 })
			x.change(fMain, 0, ledger.Cache, func(r *ledger.Readback) { r.Spans[1].By.Gen = 7 })
			x.change(fMain, 0, ledger.DirectIO, func(r *ledger.Readback) { r.Spans[1].By.Gen = 7 })
			x.change(fMain, 0, ledger.Remount, func(r *ledger.Readback) { r.Spans[1].By.Gen = 7 })
			x.change(fMain, 1, notBaseline, func(r *ledger.Readback) { r.Spans = whole(0, 0) })
		}, rules: []string{"no_foreign_data"}},
		{name: "an old folio over a direct write", edit: func(x *history) {
			x.change(fMain, 0, notBaseline, func(r *ledger.Readback) { r.Spans = whole(0, 0) })
		}, check: func(d *verdict.Data) bool { return d.LostConcurrent == tWords && d.LostWrite == 0 }},
		{name: "what an epoch left is there in the next, without a dirtier", edit: func(x *history) {
			x.change(fMain, 0, notBaseline, func(r *ledger.Readback) { r.Spans = whole(0, 0) })
			second(x, nil)
			for _, r := range x.records {
				switch r := r.(type) {
				case *ledger.Epoch:
					if r.N == 1 {
						r.Files[fMain] = ledger.FileEpoch{}
					}
				case *ledger.Readback:
					if r.Epoch == 1 && r.File == fMain && r.Off == 0 {
						r.Spans = whole(0, 0)
					}
				}
			}
		}},
		{name: "a dirtier's word of an epoch that is over comes back", edit: func(x *history) {
			second(x, nil)
			for _, r := range x.records {
				switch r := r.(type) {
				case *ledger.Epoch:
					if r.N == 1 {
						r.Files[fMain].Writers = []ledger.GenRange{{Writer: storer, First: 51, Last: 90}}
					}
				case *ledger.Readback:
					if r.Epoch == 1 && r.File == fMain && r.Off == 0 {
						r.Spans = slices.Clone(r.Spans)
						r.Spans[1].By.Gen = 18
					}
				}
			}
		}, rules: []string{"no_foreign_data"}},
		{name: "the same, but the cache was not proved empty between", edit: func(x *history) {
			x.change(fMain, 0, ledger.Disk, func(r *ledger.Readback) { r.Proved = false })
			x.change(fMain, 1, ledger.Disk, func(r *ledger.Readback) { r.Proved = false })
			second(x, nil)
			for _, r := range x.records {
				switch r := r.(type) {
				case *ledger.Epoch:
					if r.N == 1 {
						r.Files[fMain].Writers = []ledger.GenRange{{Writer: storer, First: 51, Last: 90}}
					}
				case *ledger.Readback:
					if r.Epoch == 1 && r.File == fMain && r.Off == 0 {
						r.Spans = slices.Clone(r.Spans)
						r.Spans[1].By.Gen = 18
					}
				}
			}
		}},
		{name: "EIO excuses a stale cache", edit: func(x *history) { x.change(fNeighbour, 0, ledger.Cache, stale(fNeighbour)) }, check: func(d *verdict.Data) bool {
			return d.Stale == tWords && d.StaleExcused == tWords
		}},
		{name: "EIO does not excuse the next epoch", edit: func(x *history) {
			second(x, nil)
			for _, r := range x.records {
				if b, ok := r.(*ledger.Readback); ok && b.Epoch == 1 && b.File == fNeighbour && b.Off == 0 && b.View == ledger.Cache {
					b.Spans = whole(job, 2)
				}
			}
		}, rules: []string{"stale_reported"}},
		{name: "unless the cache could not be dropped", edit: func(x *history) {
			x.change(fNeighbour, 1, ledger.Disk, func(r *ledger.Readback) { r.Proved = false })
			second(x, nil)
			for _, r := range x.records {
				if b, ok := r.(*ledger.Readback); ok && b.Epoch == 1 && b.File == fNeighbour && b.Off == 0 && b.View == ledger.Cache {
					b.Spans = whole(job, 2)
				}
			}
		}},
		{name: "EIO of one file does not excuse another", edit: func(x *history) {
			clean(x, fNeighbour)
			x.change(fNeighbour, 0, ledger.Cache, stale(fNeighbour))
		}, rules: []string{"stale_reported"}},
		{name: "ENOSPC at fsync excuses as well", edit: func(x *history) {
			clean(x, fNeighbour)
			x.syncBefore(fNeighbour, fNeighbour, 1900, enospc)
			x.change(fNeighbour, 0, ledger.Cache, stale(fNeighbour))
		}},
		{name: "direct and buffered writes share a block", edit: func(x *history) {
			x.h.Facts.BlockSize = 8192
			x.change(fNeighbour, 0, notBaseline, stale(fNeighbour))
		}, why: map[string]string{"stale_reported": "may share a block"}},
		{name: "xfs dirties whole folios, for all we know", edit: func(x *history) {
			x.h.Facts.FSType = "xfs"
			x.change(fNeighbour, 0, notBaseline, stale(fNeighbour))
		}, why: map[string]string{"stale_reported": "may share a block"}},
		{name: "a block fills its folio", edit: func(x *history) { x.h.Facts.Kernel = "6.12.1" }, why: map[string]string{"stale_reported": "a folio holds one block"}},
		{name: "no write(2) dirtier", edit: func(x *history) {
			x.h.Files[fNeighbour].Role = plan.Control
			x.change(fNeighbour, 1, notBaseline, func(r *ledger.Readback) { r.Legal, r.Spans = []ledger.Stamp{{}}, whole(0, 0) })
		}, why: map[string]string{"stale_reported": "no write(2) dirtier"}},
		{name: "an era that does not report", edit: func(x *history) { x.h.Facts.Kernel, x.h.Engine = "3.16.0", "libaio" },
			why: map[string]string{"stale_reported": "do not report", "errseq_reported": "do not report", "kernel_contract": "known to lose"}},
		{name: "lost with the device", edit: func(x *history) {
			x.syncBefore(fControl, fControl, 1900, eio)
			x.t.Trace.BlockError.N = 5
			x.change(fControl, 0, ledger.Remount, func(r *ledger.Readback) { r.Spans = whole(job, 2) })
		}, why: map[string]string{"control_data": "512 words were lost in files whose fsync had returned an error: the device"}, check: func(d *verdict.Data) bool { return d.StaleExcused == tWords }},
		{name: "an error at fsync without a device that failed excuses no loss", edit: func(x *history) {
			x.syncBefore(fControl, fControl, 1900, eio)
			x.change(fControl, 0, ledger.Remount, func(r *ledger.Readback) { r.Spans = whole(job, 2) })
		}, rules: []string{"control_data"}},
		{name: "the prefill is wrong", edit: func(x *history) {
			x.change(fNeighbour, 1, ledger.Baseline, func(r *ledger.Readback) { r.Spans = whole(job, 2) })
		}, rules: []string{"control_data"}},
		{name: "a word of another place", edit: func(x *history) {
			x.change(fControl, 1, ledger.Remount, func(r *ledger.Readback) {
				s := raw(1, 77)
				s[0].Where = 8192
				r.Spans = append(s, stamped(tWords-1, 0, 0))
			})
		}, rules: []string{"no_foreign_data", "cache_coherent"}},
		{name: "while it runs, the page cache of a control file is old", edit: func(x *history) { online(x, fControl, whole(job, 2), nil) }, rules: []string{"cache_coherent"}},
		{name: "while it runs, the page cache is old, and fsync says so", edit: func(x *history) {
			online(x, fControl, whole(job, 2), nil)
			x.syncBefore(fControl, fControl, 1900, eio)
		}, check: func(d *verdict.Data) bool { return d.StaleExcused == tWords }},
		{name: "while it runs, a control file is old on disk", edit: func(x *history) { online(x, fControl, whole(job, 2), whole(job, 2)) }, rules: []string{"control_data"}},
		{name: "while it runs, the run ends before fsync is asked", edit: func(x *history) {
			x.read(0, fControl, 0, ledger.Online, whole(job, 2))
			x.read(0, fControl, 0, ledger.OnlineDirect, nil)
		}, why: map[string]string{"cache_coherent": "were stale when the run ended"}},
		{name: "while it runs, a main file holds what is not known yet", edit: func(x *history) { second(x, nil); online(x, fMain, whole(storer, 999), whole(storer, 998)) }},
		{name: "no drop was proved, but the file system was mounted again", edit: func(x *history) {
			for f := range x.h.Files {
				for b := range int64(2) {
					x.change(f, b, ledger.Disk, func(r *ledger.Readback) { r.Proved = false })
				}
			}
			x.h.Facts.DirectIO = "no: data=journal"
		}, why: map[string]string{"adequacy": ""}},
		{name: "data=journal, nothing but the cache", edit: func(x *history) { noDisk(x); x.h.Facts.DirectIO = "no: data=journal" },
			why: map[string]string{"cache_coherent": "nothing to compare", "control_data": "cannot be read before"}},
		{name: "data=journal, and the cache is wrong", edit: func(x *history) {
			noDisk(x)
			x.h.Facts.DirectIO = "no: data=journal"
			x.change(fControl, 0, ledger.Cache, func(r *ledger.Readback) { r.Spans = whole(job, 2) })
		}, rules: []string{"control_data"}},
		{name: "a clean page that the invalidation left, reported", edit: func(x *history) {
			each(x, func(e *ledger.Epoch) { e.Files[fMain] = ledger.FileEpoch{} })
			x.change(fMain, 1, notBaseline, func(r *ledger.Readback) { r.Spans = whole(0, 0) })
			x.change(fMain, 0, notBaseline, func(r *ledger.Readback) { r.Spans = whole(r.Legal[0].Writer, r.Legal[0].Gen) })
			x.change(fMain, 0, ledger.Cache, func(r *ledger.Readback) { r.Spans = whole(job, 2) })
		}, check: func(d *verdict.Data) bool { return d.StaleExcused == tWords }},
		{name: "a clean page that the invalidation left, not reported", edit: func(x *history) {
			each(x, func(e *ledger.Epoch) { e.Files[fMain] = ledger.FileEpoch{} })
			clean(x, fMain)
			x.change(fMain, 1, notBaseline, func(r *ledger.Readback) { r.Spans = whole(0, 0) })
			x.change(fMain, 0, notBaseline, func(r *ledger.Readback) { r.Spans = whole(r.Legal[0].Writer, r.Legal[0].Gen) })
			x.change(fMain, 0, ledger.Cache, func(r *ledger.Readback) { r.Spans = whole(job, 2) })
		}, rules: []string{"cache_coherent"}},
		{name: "--verify none", edit: func(x *history) { x.h.Config.Verify = "none" }, why: map[string]string{"no_poison": "--verify none", "stale_reported": "--verify none"}},
	} {
		h := healthy()
		x.edit(h)
		o := h.judge()
		got := o.broken()
		if len(got) != len(x.rules) {
			t.Errorf("%s: broken %v, want %v", x.name, got, x.rules)
			for _, f := range o.Findings {
				t.Logf("  %s: %s %+v", f.Rule, f.Text, f.Witnesses)
			}
		}
		for _, r := range x.rules {
			if !slices.Contains(got, r) {
				t.Errorf("%s: %s is not broken", x.name, r)
			}
		}
		if x.check != nil && !x.check(&o.Runs[0].Data) {
			t.Errorf("%s: %+v", x.name, o.Runs[0].Data)
		}
		for rule, why := range x.why {
			if r := o.find(rule); !strings.Contains(r.Reason, why) || r.Verdict == verdict.Fail {
				t.Errorf("%s: %s: %v %q, want %q", x.name, rule, r.Verdict, r.Reason, why)
			}
		}
	}
}
