package oracle

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"diostress/internal/ledger"
	"diostress/internal/plan"
	"diostress/internal/verdict"
)

// TestVerdictOrder: a finding, then broken, then undecided, then unsupported,
// then pass.
func TestVerdictOrder(t *testing.T) {
	lost := func(x *history) { x.write(fMain, 0, -529) }
	broken := func(x *history) { x.t.Broken = "umount: EBUSY" }
	undecided := func(x *history) { x.t.KmsgDropped = 3 }
	unsupported := func(x *history) {
		x.h.Facts.DirectIO, x.t.Trace.PreWrite.N = "no: data=journal", 0
		x.t.Jobs[0].Attr = ledger.AttrSum{Fallback: 12, NoDirect: 12}
	}
	quiet := func(x *history) { x.t.Trace.PreWrite.N, x.t.Overlaps = 0, 10 }
	for _, x := range []struct {
		name   string
		edits  []func(*history)
		want   verdict.Verdict
		reason string
	}{
		{"pass", nil, verdict.Pass, "no rule was broken"},
		{"finding", []func(*history){lost}, verdict.Fail, "no_leaked_errno"},
		{"finding over broken", []func(*history){lost, broken}, verdict.Fail, "no_leaked_errno"},
		{"finding over undecided and unsupported", []func(*history){lost, undecided, unsupported}, verdict.Fail, "no_leaked_errno"},
		{"broken over undecided", []func(*history){broken, undecided}, verdict.Broken, "umount: EBUSY"},
		{"undecided over unsupported", []func(*history){undecided, unsupported}, verdict.Undecided, "kernel_log"},
		{"unsupported", []func(*history){unsupported}, verdict.Unsupported, "adequacy: O_DIRECT is buffered"},
		{"too little pressure", []func(*history){quiet}, verdict.Undecided, "adequacy"},
		{"a rule that is not required", []func(*history){func(x *history) { x.t.Trace.Lost = 4 }}, verdict.Pass, ""},
		{"cut", []func(*history){cutRun}, verdict.Undecided, "before its trailer"},
		{"cut after a finding", []func(*history){func(x *history) { x.sync(fMain, fMain, 1450, eio).New = 0x1005 }, cutRun}, verdict.Fail, "errseq_once"},
		{"interrupted, enough by then", []func(*history){func(x *history) { x.t.Interrupted = true }}, verdict.Pass, ""},
		{"interrupted too early", []func(*history){quiet, func(x *history) { x.t.Interrupted = true }}, verdict.Undecided, "interrupted before the pressure"},
		{"interrupted with a finding", []func(*history){lost, func(x *history) { x.t.Interrupted = true }}, verdict.Fail, ""},
		{"no dirtier", []func(*history){quiet, func(x *history) { x.h.Config.Dirty = nil }}, verdict.Pass, ""},
	} {
		h := healthy()
		for _, e := range x.edits {
			e(h)
		}
		o := h.judge()
		if o.Verdict != x.want || !strings.Contains(o.Reason, x.reason) || o.Interrupted != (h.t.Interrupted && !h.cut) {
			t.Errorf("%s: %v: %q; want %v: %q", x.name, o.Verdict, o.Reason, x.want, x.reason)
		}
		for _, r := range o.Rules {
			if r.Verdict != verdict.Pass && r.Verdict != verdict.Fail && r.Reason == "" {
				t.Errorf("%s: %s is %v without a reason", x.name, r.Name, r.Verdict)
			}
		}
	}
}

// TestEIOIsExplained: every EIO in a completion gets a cause or is a finding.
func TestEIOIsExplained(t *testing.T) {
	failedAs := func(x *history, edit func(*ledger.AttrSum)) { x.write(fMain, 0, -5); edit(&x.t.Jobs[0].Attr) }
	for _, x := range []struct {
		name   string
		edit   func(*history)
		v      verdict.Verdict
		reason string
		want   verdict.EIOCauses
		broken []string
	}{
		{"the device, per write", func(x *history) { failedAs(x, func(a *ledger.AttrSum) { a.FailDevice = 1 }) }, verdict.Pass, "iomap_dio_complete carried the error of 1 write", verdict.EIOCauses{Device: 1}, nil},
		{"the device, by the block layer", func(x *history) { x.write(fMain, 0, -5); x.t.Trace.BlockError.N = 1 }, verdict.Pass, "block_rq_error fired 1 times", verdict.EIOCauses{Device: 1}, nil},
		{"the device, by the log", func(x *history) { x.write(fMain, 0, -5); x.note("io_error", "I/O error, dev loop0, sector 8") }, verdict.Pass, "I/O error, dev loop0", verdict.EIOCauses{Device: 1}, nil},
		{"a disk without write-zeroes is no device that failed", func(x *history) {
			x.write(fMain, 0, -5)
			x.note("io_error", "operation not supported error, dev loop0, sector 130944 op 0x9:(WRITE_ZEROES) flags 0x20000800 phys_seg 0 prio class 2")
		}, verdict.Fail, "neither device nor journal failed", verdict.EIOCauses{Ambiguous: 1}, []string{"eio_explained", "kernel_contract"}},
		{"the journal", func(x *history) {
			x.write(fMain, 0, -5)
			x.note("ext4_shutdown", "EXT4-fs (loop0): shut down requested")
		}, verdict.Pass, "the file system stopped", verdict.EIOCauses{Journal: 1}, nil},
		{"a full disk", func(x *history) { x.write(fMain, 0, -enospc); x.t.Trace.BlockError.N = 1 }, verdict.Pass, "ENOSPC=1: the device", verdict.EIOCauses{}, nil},
		{"a full disk, and a short write before", func(x *history) { x.write(fMain, 0, 512); x.write(fMain, 0, -enospc); x.t.Trace.BlockError.N = 1 }, verdict.Pass, "ENOSPC=1", verdict.EIOCauses{}, nil},
		{"a full file system, and a file with holes", func(x *history) { x.write(fMain, 0, -enospc); x.h.Config.Layout = plan.LayoutSparse }, verdict.Pass, "no write failed", verdict.EIOCauses{}, nil},
		{"a full disk without a cause", func(x *history) { x.write(fMain, 0, -enospc) }, verdict.Fail, "ENOSPC=1 in completions", verdict.EIOCauses{}, []string{"eio_explained"}},
		{"O_DSYNC", func(x *history) { x.h.Config.DSync = true; x.write(fMain, 0, -5) }, verdict.Pass, "O_DSYNC writes", verdict.EIOCauses{Invalidation: 1}, nil},
		{"O_DSYNC, and the device", func(x *history) {
			x.h.Config.DSync = true
			x.write(fMain, 0, -5)
			failedAs(x, func(a *ledger.AttrSum) { a.FailDevice, a.FailSync = 1, 1 })
		}, verdict.Pass, "EIO=2: the device", verdict.EIOCauses{Device: 1, Invalidation: 1}, nil},
		{"nothing", func(x *history) { x.write(fMain, 0, -5) }, verdict.Fail, "reports a lost race as a disk error", verdict.EIOCauses{Ambiguous: 1}, []string{"eio_explained", "kernel_contract"}},
		{"nothing, over a queued write", func(x *history) { failedAs(x, func(a *ledger.AttrSum) { a.FailQueued = 1 }) }, verdict.Fail, "disk error", verdict.EIOCauses{Ambiguous: 1}, []string{"eio_explained", "kernel_contract"}},
		{"not its own, and a device that failed as well", func(x *history) {
			x.write(fMain, 0, -5)
			failedAs(x, func(a *ledger.AttrSum) { a.FailDenied, a.FailDevice = 1, 1 })
		}, verdict.Fail, "the trace has 1 write completed in full", verdict.EIOCauses{Device: 1, Ambiguous: 1}, []string{"eio_explained", "kernel_contract"}},
		{"a driver without requests, before 6.4", func(x *history) {
			x.write(fMain, 0, -5)
			x.h.Facts.Disk, x.t.Trace.IomapError.Known = "dm-3", false
		}, verdict.Undecided, "would not have been seen", verdict.EIOCauses{Ambiguous: 1}, nil},
		{"a driver without requests, 6.4 and later", func(x *history) { x.write(fMain, 0, -5); x.h.Facts.Disk = "dm-3" }, verdict.Fail, "disk error", verdict.EIOCauses{Ambiguous: 1}, []string{"eio_explained", "kernel_contract"}},
		{"a file system that the table does not know", func(x *history) { x.write(fMain, 0, -5); x.h.Facts.FSType = "nfs" }, verdict.Undecided, "no row for 6.18.1 nfs", verdict.EIOCauses{Ambiguous: 1}, nil},
		{"an era that does that", func(x *history) { x.write(fMain, 0, -5); x.h.Facts.Kernel = "2.6.22"; x.h.Engine = "libaio" }, verdict.NotApplicable, "2.6.21 to 2.6.23", verdict.EIOCauses{Ambiguous: 1}, nil},
	} {
		h := healthy()
		x.edit(h)
		o := h.judge()
		r := o.find("eio_explained")
		if r.Verdict != x.v || !strings.Contains(r.Reason, x.reason) || !slices.Equal(o.broken(), x.broken) {
			t.Errorf("%s: %v: %q; broken %v", x.name, r.Verdict, r.Reason, o.broken())
		}
		if got := o.Runs[0].Fsync.Completion; got != x.want {
			t.Errorf("%s: %+v, want %+v", x.name, got, x.want)
		}
	}
}

func TestKernelContract(t *testing.T) {
	silent := func(x *history) {
		for f := range x.h.Files {
			clean(x, f)
		}
	}
	for _, x := range []struct {
		name   string
		edit   func(*history)
		v      verdict.Verdict
		reason string
	}{
		{"as the era has it", func(*history) {}, verdict.Pass, "era 6.5 and later"},
		{"nothing collided", func(x *history) { silent(x); x.t.Trace.PreWrite.N, x.t.Trace.PostWrite.N = 0, 0 }, verdict.NotApplicable, "no collision was seen"},
		{"EIO before the write", func(x *history) { x.write(fMain, 0, -5) }, verdict.Fail, "as 2.6.18 to 2.6.20 did after the write, and 2.6.24 to 2.6.26, 2.6.21 to 2.6.23 before it"},
		{"EIO over a queued write", func(x *history) { x.write(fMain, 0, -5); x.t.Jobs[0].Attr.FailQueued = 1 }, verdict.Fail, "already queued: the kernel reports as 2.6.18 to 2.6.20 did"},
		{"EIO and a duplicate", func(x *history) {
			x.write(fMain, 0, -5)
			var e ledger.Entry
			x.acct.Complete(ledger.MakeTag(0, 3), tBS, 0, 0, 1400, &e)
		}, verdict.Fail, "already queued"},
		{"ENOTBLK", func(x *history) { x.write(fMain, 0, -15) }, verdict.Fail, "buffered fallback of this era (6.5 and later) did not happen"},
		{"failed, and written on", func(x *history) { x.t.Jobs[0].Attr.WentOn = 1 }, verdict.Fail, "as 5.5 to 5.8"},
		{"failed, and written on, as the era has it", func(x *history) { x.t.Jobs[0].Attr.WentOn, x.h.Facts.Kernel = 1, "5.7.1" }, verdict.Pass, "era 5.5 to 5.8"},
		{"silence", silent, verdict.Fail, "2 post-write failures (), and none of 9 fsyncs returned EIO: the kernel keeps silent as"},
		{"silence, but somebody else may have failed", func(x *history) { silent(x); x.h.Facts.SoleDirect = false }, verdict.Undecided, "others may be writing directly"},
		{"silence, and the log names our file", func(x *history) {
			silent(x)
			x.h.Facts.SoleDirect = false
			x.note("invalidation_file", "File: /m/main.0 PID: 1 Comm: kworker").File = fMain
		}, verdict.Fail, "keeps silent"},
		{"silence, nothing was synced at rest", func(x *history) {
			silent(x)
			each(x, func(s *ledger.Sync) { s.Quiesced = false })
		}, verdict.Pass, ""},
		{"audit: some are swallowed", func(x *history) {
			x.h.Config.Audit = true
			x.t.Trace.PostWrite.N = 5
			each(x, func(s *ledger.Sync) { s.Gen = 1 })
		}, verdict.Fail, "only 3 of 9 samples after single writes returned EIO"},
		{"audit: all are told", func(x *history) {
			x.h.Config.Audit = true
			x.t.Trace.PostWrite.N = 3
			each(x, func(s *ledger.Sync) { s.Gen = 1 })
		}, verdict.Pass, ""},
		{"no row", func(x *history) { x.h.Facts.FSType = "vfat" }, verdict.Undecided, "no row"},
		{"broken harness", func(x *history) { x.t.Broken = "x" }, verdict.Undecided, "the harness broke"},
	} {
		h := healthy()
		x.edit(h)
		o := h.judge()
		if r := o.find("kernel_contract"); r.Verdict != x.v || !strings.Contains(r.Reason, x.reason) {
			t.Errorf("%s: %v: %q; want %v: %q", x.name, r.Verdict, r.Reason, x.v, x.reason)
		}
	}
}

// TestLogIsJudgedAsTheRun: the judge says of a log what it said of the run.
func TestLogIsJudgedAsTheRun(t *testing.T) {
	for name, edit := range map[string]func(*history){
		"healthy": func(*history) {},
		"data": func(x *history) {
			x.change(fControl, 0, notBaseline, func(r *ledger.Readback) { r.Spans = whole(job, 2) })
		},
		"results":   func(x *history) { x.write(fMain, 0, -5); x.write(fMain, 1, 512); x.write(fControl, 1, -529) },
		"in flight": pendingWrite,
		"foreign": func(x *history) {
			x.change(fMain, 0, ledger.Disk, func(r *ledger.Readback) { r.Spans = raw(tWords, 3) })
		},
		"stuck": func(x *history) {
			pendingWrite(x)
			x.t.Stuck = &ledger.Stuck{OldestNS: 1, InFlight: x.acct.Pending(), Evidence: "e"}
		},
		"notes":  func(x *history) { x.note("bug", "BUG: \"quoted\" <text>"); x.t.TaintAfter = 512 },
		"errseq": func(x *history) { x.sync(fMain, fMain, 1450, eio).New = 0x1005 },
	} {
		h := healthy()
		edit(h)
		path := filepath.Join(t.TempDir(), "log.zst")
		log, err := ledger.CreateLog(path)
		if err != nil {
			t.Fatal(err)
		}
		live := New()
		h.play(ledger.Tee{live, log})
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		in, err := ledger.OpenLog(path)
		if err != nil {
			t.Fatal(err)
		}
		again := New()
		err = ledger.ReadLog(in, func(*ledger.Header) (ledger.Sink, error) { return again, nil })
		in.Close()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		a, b := live.Finish(), again.Finish()
		for i, x := range [][2]any{{a.Verdict, b.Verdict}, {a.Reason, b.Reason}, {a.Rules, b.Rules}, {a.Findings, b.Findings}, {a.Runs, b.Runs}, {a, b}} {
			if !reflect.DeepEqual(x[0], x[1]) {
				t.Errorf("%s: %d: run:\n%.1500s\nlog:\n%.1500s", name, i, fmt.Sprintf("%+v", x[0]), fmt.Sprintf("%+v", x[1]))
				break
			}
		}
	}
}

// TestCutLogIsUndecided: what a log shows up to where it was cut stands.
func TestCutLogIsUndecided(t *testing.T) {
	h := healthy()
	h.write(fMain, 0, -529)
	path := filepath.Join(t.TempDir(), "log")
	log, err := ledger.CreateLog(path)
	if err != nil {
		t.Fatal(err)
	}
	h.play(log)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	judge := func(b []byte) Outcome {
		j := New()
		if err := ledger.ReadLog(bytes.NewReader(b), func(*ledger.Header) (ledger.Sink, error) { return j, nil }); err == nil {
			t.Error("a cut log is read without an error")
		}
		return j.Finish()
	}
	if o := judge(b[:len(b)-10]); o.Verdict != verdict.Fail || !slices.Contains(o.broken(), "no_leaked_errno") {
		t.Errorf("%v: %s", o.Verdict, o.Reason)
	}
	before := bytes.LastIndex(b, []byte("\nC "))
	if o := judge(b[:before+1]); o.Verdict != verdict.Undecided || len(o.Findings) > 0 || o.Runs[0].Completions.Completed != 12 {
		t.Errorf("%v: %s, %v", o.Verdict, o.Reason, o.broken())
	}
}

// TestMemoryIsBounded: the judge of a long run on files of the default size
// keeps no more than a few times their size.
func TestMemoryIsBounded(t *testing.T) {
	h := healthy()
	h.h.Files[fMain].Size = 1 << 20
	j := New()
	h.play(j)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	spans := make([]ledger.Span, tWords)
	for n := range 4 {
		for b := range int64(256) {
			for i := range spans {
				spans[i] = stamped(1, storer, uint64(i%2+n))
			}
			for _, v := range []ledger.View{ledger.Cache, ledger.Disk} {
				j.Record(&ledger.Readback{Epoch: n + 1, File: fMain, View: v, Off: b * tBS, Spans: spans, Proved: true, Legal: []ledger.Stamp{{Writer: job, Gen: 1}}})
			}
		}
		for i := range 1000 {
			j.Record(&ledger.Sync{FD: 2000 + i%64, File: fMain, BeginNS: int64(n * i), EndNS: int64(n*i) + 1, Epoch: n + 1})
			j.Record(&ledger.Note{Class: "warning", Text: strings.Repeat("x", 200)})
		}
		j.Record(&ledger.Epoch{N: n + 1, Files: []ledger.FileEpoch{{Mmap: true, Writers: []ledger.GenRange{{Writer: storer, First: uint64(n), Last: uint64(n + 2)}}}}})
	}
	if after := heap(); after > before+16<<20 {
		t.Errorf("%d bytes kept", after-before)
	}
	runtime.KeepAlive(j)
}

func FuzzJudge(f *testing.F) {
	h := healthy()
	path := filepath.Join(f.TempDir(), "log")
	log, err := ledger.CreateLog(path)
	if err != nil {
		f.Fatal(err)
	}
	h.play(log)
	log.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("diostress-log 1\nH {\"format\":1,\"config\":{\"numjobs\":1,\"bs\":8},\"files\":[{\"size\":8}]}\nR {\"view\":\"disk\",\"spans\":[{\"n\":1}]}\nT {\"jobs\":[{}]}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var judges []*Judge
		err := ledger.ReadLog(bytes.NewReader(b), func(*ledger.Header) (ledger.Sink, error) {
			judges = append(judges, New())
			return judges[len(judges)-1], nil
		})
		for _, j := range judges {
			o := j.Finish()
			if err != nil && o.Verdict == verdict.Pass && j == judges[len(judges)-1] && (j.t == nil || j.t.Cut) {
				t.Fatal("a log that was cut passes")
			}
			if len(o.Rules) != len(RuleNames()) {
				t.Fatalf("%d rules", len(o.Rules))
			}
		}
	})
}
