package oracle

import (
	"reflect"
	"slices"
	"testing"

	"diostress/internal/ledger"
	"diostress/internal/pattern"
	"diostress/internal/plan"
	"diostress/internal/verdict"
)

// Files of the hand-written histories.
const (
	fMain = iota
	fControl
	fNeighbour
)

const (
	tBS    = 4096
	tWords = tBS / pattern.WordSize
	t0     = 1000 // start of the run
)

// Writers of the hand-written histories.
var (
	job     = uint8(pattern.Direct(0))
	storer  = uint8(pattern.Dirtier(0)) // mmap
	bwriter = uint8(pattern.Dirtier(1)) // write(2), beside the direct writes of the neighbour file
)

// history is a run written by hand. Tests change what they are about.
type history struct {
	h       ledger.Header
	acct    *ledger.Account
	entries []ledger.Entry
	records []ledger.Record // between header and trailer
	t       ledger.Trailer
	cut     bool // no trailer
}

// healthy returns a run on 6.18 and ext4 in which every rule can be decided and
// holds: writes that went direct and some that collided, an invalidation
// failure that every description was told of, one epoch read back.
func healthy() *history {
	x := &history{}
	x.h = ledger.Header{
		Format: ledger.Format, Run: "io_uring", Engine: "io_uring", StartNS: t0, EntriesIn: true,
		Config: plan.Config{
			BS: tBS, Size: 2 * tBS, NumJobs: 1, IODepth: 4, Range: "own", Verify: "full", Trace: "exact", Retry: 3,
			Dirty: []plan.Dirty{{Kind: "mmap", Count: 1}, {Kind: "write", Count: 1}, {Kind: "fsync", Count: 1}},
		},
		Files: []plan.File{{Name: "main.0", Role: plan.Main, Size: 2 * tBS}, {Name: "control.0", Role: plan.Control, Size: 2 * tBS}, {Name: "neighbour.0", Role: plan.Neighbour, Size: 2 * tBS}},
		Facts: ledger.Facts{
			Kernel: "6.18.1", FSType: "ext4", BlockSize: 4096, PageSize: 4096, DirectIO: "yes", Trace: "exact", Disk: "loop0",
			Events: []string{"iomap_dio_invalidate_fail", "iomap_dio_rw_begin", "iomap_dio_rw_queued", "iomap_dio_complete"}, Kmsg: true, Fsck: true, SoleDirect: true, PostProbe: "perf kprobe",
		},
	}
	x.acct = ledger.NewAccount(0, 8, tBS, []int64{2 * tBS, 2 * tBS, 2 * tBS})
	for f := range x.h.Files {
		for b := range int64(2) {
			x.read(0, f, b, ledger.Baseline, whole(0, 0))
		}
	}
	for range 4 {
		x.write(fMain, 0, tBS)
		x.write(fControl, 0, tBS)
		x.write(fNeighbour, 0, tBS)
	}
	x.t = ledger.Trailer{
		EndNS: 9000, Drained: true, TaintKnown: true, RetryWanted: 3, Overlaps: 5000, DropsProved: 3,
		Fsck: ledger.FsckSum{Ran: true, Clean: true},
		Trace: ledger.TraceSum{
			PreWrite: ledger.TraceCount{N: 200, Known: true}, PostWrite: ledger.TraceCount{N: 2, Known: true}, SetWBErr: ledger.TraceCount{Known: true},
			BlockError: ledger.TraceCount{Known: true}, IomapError: ledger.TraceCount{Known: true},
		},
		Jobs: []ledger.JobSum{{Attr: ledger.AttrSum{Direct: 8, Fallback: 4, Collided: 4, RetryRunning: []uint64{1, 0, 0}, RetryPaused: []uint64{0, 1, 0}}}},
	}
	// A failure on the main file, dated by the witness inside the window of
	// dirtier 2000, and one on the neighbour file.
	x.sync(fMain, 2000, 1050, 0)
	x.sync(fMain, fMain, 1100, 0)
	x.sync(fNeighbour, fNeighbour, 1100, 0)
	x.sync(fMain, fMain, 1300, eio).New = 0x1005
	x.sync(fNeighbour, fNeighbour, 1350, eio).New = 0x1005
	x.sync(fMain, 2000, 1400, eio).New = 0x1005
	for f := range x.h.Files {
		x.quiet(f, 2000+int64(f)*20, 0)
	}
	x.epoch(0)
	x.readAll(0)
	x.readAs(0, ledger.Remount)
	return x
}

// write makes a direct write with a result.
func (x *history) write(file int, block int64, res int64) (gen uint64) {
	slot := 0
	at := int64(t0 + 10*len(x.entries))
	tag, gen := x.acct.Offer(slot, file, block*tBS, tBS, 0, false)
	x.acct.Accepted(slot, at, at+1)
	var e ledger.Entry
	if _, _, ok := x.acct.Complete(tag, res, 0, 0, at+5, &e); !ok {
		panic("not matched")
	}
	switch {
	case file == fControl:
		x.acct.C.Control++
		e.Attr = ledger.Direct
	case file == fMain:
		e.Attr = ledger.BufferedFallback
	default:
		e.Attr = ledger.Direct
	}
	x.entries = append(x.entries, e)
	return gen
}

// sync samples a description from begin to begin+10.
func (x *history) sync(file, fd int, begin int64, errno int) *ledger.Sync {
	s := &ledger.Sync{Call: "fsync", FD: fd, File: file, BeginNS: begin, EndNS: begin + 10, Errno: errno, Witness: fd < 100, CanTell: true, Advanced: errno != 0}
	x.records = append(x.records, s)
	return s
}

// quiet samples a witness with everything at rest.
func (x *history) quiet(file int, begin int64, errno int) *ledger.Sync {
	s := x.sync(file, file, begin, errno)
	s.Quiesced = true
	return s
}

func (x *history) note(class, text string) *ledger.Note {
	n := &ledger.Note{TimeNS: 1500, Source: "kmsg", Class: class, Text: text, File: -1}
	x.records = append(x.records, n)
	return n
}

// epoch closes an epoch in which everybody wrote.
func (x *history) epoch(n int) *ledger.Epoch {
	last := x.acct.LastGen()
	direct := ledger.GenRange{Writer: job, First: 1, Last: last}
	e := &ledger.Epoch{N: n, BeginNS: t0, EndNS: 2100 + int64(n)*1000, Drained: true, Files: []ledger.FileEpoch{
		fMain:      {Mmap: true, Writers: []ledger.GenRange{direct, {Writer: storer, First: 1, Last: 50}}},
		fControl:   {Writers: []ledger.GenRange{direct}},
		fNeighbour: {Write: true, Writers: []ledger.GenRange{direct, {Writer: bwriter, First: 1, Last: 9}}},
	}}
	x.records = append(x.records, e)
	return e
}

// whole is a block with one stamp.
func whole(w uint8, gen uint64) []ledger.Span {
	return []ledger.Span{{Words: tWords, OK: true, By: ledger.Stamp{Writer: w, Gen: gen}}}
}

// words puts spans together.
func words(spans ...ledger.Span) []ledger.Span { return spans }

func stamped(n int32, w uint8, gen uint64) ledger.Span {
	return ledger.Span{Words: n, OK: true, By: ledger.Stamp{Writer: w, Gen: gen}}
}

func raw(n int32, v uint64) (out []ledger.Span) {
	for range n {
		out = append(out, ledger.Span{Words: 1, Raw: v, Where: -1})
	}
	return out
}

// content is what the blocks of the healthy history hold.
func (x *history) content(file int, block int64) []ledger.Span {
	legal := x.legal(file, block)
	switch {
	case file == fMain && block == 0:
		// A store over the direct write, and an old folio's words.
		return words(stamped(10, job, legal[0].Gen), stamped(1, storer, 17), stamped(tWords-11, job, legal[0].Gen))
	case file == fMain:
		return words(stamped(8, 0, 0), stamped(2, storer, 3), stamped(tWords-10, 0, 0))
	case len(legal) == 0:
		return whole(bwriter, 9)
	}
	return whole(legal[0].Writer, legal[0].Gen)
}

func (x *history) legal(file int, block int64) []ledger.Stamp {
	if file == fNeighbour && block%2 == 1 {
		return nil
	}
	return x.acct.Legal(nil, file, block*tBS, uint8(pattern.Prefill), job)
}

// read adds a read-back; nil spans are the healthy content.
func (x *history) read(epoch, file int, block int64, view ledger.View, spans []ledger.Span) *ledger.Readback {
	if spans == nil {
		spans = x.content(file, block)
	}
	r := &ledger.Readback{Epoch: epoch, File: file, View: view, Off: block * tBS, Spans: spans, Legal: x.legal(file, block), Proved: view == ledger.Disk}
	x.records = append(x.records, r)
	return r
}

func (x *history) readAs(epoch int, view ledger.View) {
	for f := range x.h.Files {
		for b := range int64(2) {
			x.read(epoch, f, b, view, nil)
		}
	}
}

func (x *history) readAll(epoch int) {
	for _, v := range []ledger.View{ledger.Cache, ledger.DirectIO, ledger.Disk} {
		x.readAs(epoch, v)
	}
}

// notBaseline is every view but that of the prefill.
const notBaseline ledger.View = ""

// change edits every read-back of a block in a view.
func (x *history) change(file int, block int64, view ledger.View, edit func(*ledger.Readback)) {
	n := 0
	for _, r := range x.records {
		if b, ok := r.(*ledger.Readback); ok && b.File == file && b.Off == block*tBS && (b.View == view || view == notBaseline && b.View != ledger.Baseline) {
			edit(b)
			n++
		}
	}
	if n == 0 {
		panic("no such read-back")
	}
}

// each edits the records of one kind.
func each[T ledger.Record](x *history, edit func(T)) {
	for _, r := range x.records {
		if v, ok := r.(T); ok {
			edit(v)
		}
	}
}

// without drops the records of one kind.
func without[T ledger.Record](x *history) {
	x.records = slices.DeleteFunc(x.records, func(r ledger.Record) bool { _, ok := r.(T); return ok })
}

// play puts the history into a sink.
func (x *history) play(s ledger.Sink) {
	h := x.h
	s.Record(&h)
	for i := range x.entries {
		s.Entry(&x.entries[i])
	}
	for _, r := range x.records {
		s.Record(r)
	}
	if x.cut {
		return
	}
	t := x.t
	t.Jobs = slices.Clone(t.Jobs)
	if len(t.Jobs) > 0 {
		j := &t.Jobs[0]
		if reflect.ValueOf(j.Counts).IsZero() {
			j.Counts, j.Unusual, j.Pending = x.acct.C, x.acct.Unusual, x.acct.Pending()
			j.Counts.Lost = uint64(len(j.Pending))
		}
		j.Attr.Direct, j.Attr.Fallback, j.Attr.Unknown = 0, 0, 0
		for i := range x.entries {
			switch x.entries[i].Attr {
			case ledger.Direct:
				j.Attr.Direct++
			case ledger.BufferedFallback:
				j.Attr.Fallback++
			default:
				j.Attr.Unknown++
			}
		}
		for i := range j.Pending {
			s.Record(&j.Pending[i])
		}
	}
	s.Record(&t)
}

func (x *history) judge() Outcome {
	j := New()
	x.play(j)
	return j.Finish()
}

func (o *Outcome) find(rule string) verdict.Rule {
	for _, r := range o.Rules {
		if r.Name == rule {
			return r
		}
	}
	return verdict.Rule{Name: rule, Reason: "missing"}
}

func (o *Outcome) broken() (names []string) {
	for _, f := range o.Findings {
		names = append(names, f.Rule)
	}
	return names
}

func TestHealthyHistoryPasses(t *testing.T) {
	o := healthy().judge()
	if o.Verdict != verdict.Pass || o.Era != "6.5 and later" || len(o.Runs) != 1 {
		t.Errorf("%v: %s; era %q, %d runs", o.Verdict, o.Reason, o.Era, len(o.Runs))
	}
	for i, name := range RuleNames() {
		if i >= len(o.Rules) || o.Rules[i].Name != name {
			t.Fatalf("rule %d is not %s: %+v", i, name, o.Rules)
		}
		if name == "size_updated" {
			continue // no file grows
		}
		if r := o.Rules[i]; r.Verdict != verdict.Pass || r.Run != "io_uring" || r.Checked == 0 && name != "kernel_log" || r.Required != Required(name) {
			t.Errorf("%+v", r)
		}
	}
	for _, f := range o.Findings {
		t.Errorf("%s: %s %+v", f.Rule, f.Text, f.Witnesses)
	}
}
