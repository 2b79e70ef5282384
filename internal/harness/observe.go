package harness

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"diostress/internal/kernel"
	"diostress/internal/ledger"
)

// observer is the run's ear at the kernel: tracepoints, kernel log, taint. It
// translates what it hears into ledger types.
type observer struct {
	r           *run
	taintBefore uint64
	taintKnown  bool

	mu    sync.Mutex // the trace's: recorder and coordinator both read it
	trace *kernel.Trace
	// Of the recorder, under mu: every record up to watermark was handed on.
	watermark   int64
	lost, late  uint64
	blockErrors uint64 // write requests the disk refused, from single records

	log        *kernel.Log
	budget     kernel.Budget
	device     string // kernel name of the disk below, "loop3"; "" unknown
	lastPolled time.Time
	logFailed  string
}

const (
	traceRing = 4 << 20 // bytes for each CPU: 60 ms of the fastest loop-backed run
	pollEvery = 200 * time.Millisecond
)

func newObserver(r *run) (*observer, error) {
	o := &observer{r: r}
	if t, err := kernel.ReadTaint(); err == nil {
		o.taintBefore, o.taintKnown = uint64(t), true
	}
	o.budget = kernel.InvalidationBudget()
	// A WARN_ONCE that spoke last week is to speak again.
	kernel.ClearWarnOnce()
	var err error
	if o.log, err = kernel.OpenLog(r.Marker); err != nil {
		return nil, fmt.Errorf("kernel log: %w", err)
	}
	opt := kernel.Options{RingBytes: traceRing}
	switch r.cfg.Trace {
	case "exact":
		opt.Mode = kernel.TraceExact
	case "count":
		opt.Mode = kernel.TraceCount
	default:
		opt.Mode = kernel.TraceOff
	}
	for _, f := range r.files {
		opt.Files = append(opt.Files, kernel.TraceFile{Dev: f.dev, Ino: f.ino})
	}
	if o.trace, err = kernel.OpenTrace(opt); err != nil {
		o.log.Close()
		return nil, fmt.Errorf("tracing: %w", err)
	}
	o.device = diskName(r.files[0].dev)
	return o, nil
}

// diskName returns the kernel's name of a block device, "" if it has none.
func diskName(dev uint64) string {
	b, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/uevent", unix.Major(dev), unix.Minor(dev)))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); ok {
			return name
		}
	}
	return ""
}

func (o *observer) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.trace.Close()
	o.log.Close()
}

// exact says whether single records are to be had.
func (o *observer) exact() bool {
	return o.r.cfg.Trace == "exact" && o.trace.Source() != kernel.SourceUnavailable && o.trace.Has(kernel.InvalidateFail)
}

func (o *observer) has() [4]bool {
	return [4]bool{
		ledger.Begin: o.trace.Has(kernel.DioBegin), ledger.Queued: o.trace.Has(kernel.DioQueued),
		ledger.Complete: o.trace.Has(kernel.DioComplete), ledger.InvalidateFail: o.trace.Has(kernel.InvalidateFail),
	}
}

// facts adds what the observer knows to the header's facts.
func (o *observer) facts(f *ledger.Facts) {
	f.Trace, f.TraceSource = o.r.cfg.Trace, o.trace.Source()
	switch {
	case f.Trace == "off":
	case f.TraceSource == kernel.SourceUnavailable:
		f.Trace, f.TraceSource = "unavailable", o.trace.Why()
	case f.Trace == "exact" && !o.exact():
		f.Trace, f.TraceSource = "unavailable", "no tracepoint iomap_dio_invalidate_fail: "+o.trace.Reason(kernel.InvalidateFail)
	case o.trace.Why() != "":
		f.TraceSource += " (" + o.trace.Why() + ")"
	}
	f.Events = nil
	for _, k := range kernel.Kinds() {
		if o.trace.Has(k) {
			f.Events = append(f.Events, k.String())
		}
	}
	f.PostProbe = o.trace.PostProbe()
	f.Disk = o.device
	if others, err := kernel.OtherDirectWriters(); err == nil {
		f.SoleDirect = !others
	}
	f.Kmsg = o.log.State() != kernel.LogUnavailable
	f.BudgetSpent = o.budget.State == kernel.BudgetExhausted
	f.KmsgBudget = budgetText(o.budget)
}

func budgetText(b kernel.Budget) string {
	switch b.State {
	case kernel.BudgetLeft:
		return fmt.Sprintf("%d of 10 lines of the last 24 h used before the start", b.Recent)
	case kernel.BudgetExhausted:
		return "exhausted before the start: " + b.Reason
	}
	return "unknown: " + b.Reason
}

// drain hands on what the trace has recorded and returns the time up to which
// that is complete.
func (o *observer) drain(attr *ledger.Attributor, match *ledger.SyncMatcher) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	mark, err := o.trace.Drain(func(e *kernel.Event) { o.event(e, attr, match) })
	lost, lostErr := o.trace.Lost()
	if late := o.trace.Late(); err != nil || lostErr != nil || lost > o.lost || late > o.late {
		o.lost, o.late = max(lost, o.lost), late
		now := o.r.clock.Now()
		attr.Lost(now)
		match.Lost(now)
	}
	if err == nil {
		o.watermark = mark
	}
	return o.watermark
}

func (o *observer) event(e *kernel.Event, attr *ledger.Attributor, match *ledger.SyncMatcher) {
	kind := ledger.Begin
	switch e.Kind {
	case kernel.DioBegin:
	case kernel.InvalidateFail:
		kind = ledger.InvalidateFail
	case kernel.DioQueued:
		kind = ledger.Queued
	case kernel.DioComplete:
		kind = ledger.Complete
	case kernel.SetWbErr:
		if e.File >= 0 {
			match.SetErr(int(e.File), e.TimeNS, e.New)
		}
		return
	case kernel.AdvanceWbErr:
		if e.File >= 0 {
			match.Advanced(int(e.File), e.TimeNS, e.TID, e.Old, e.New)
		}
		return
	case kernel.BlockError:
		// A device without discard or write-zeroes says so by an error as well.
		if e.Errno != int32(unix.EOPNOTSUPP) && (e.Op == 'W' || e.Op == 'F') {
			o.blockErrors++
		}
		return
	default:
		return
	}
	attr.Event(&ledger.KernelEvent{
		TimeNS: e.TimeNS, Kind: kind, File: e.File, Errno: e.Errno, TID: e.TID, Ret: e.Ret,
		Off: ledger.Within(kind, e.Pos, e.Len, e.Ret, e.Errno, o.r.cfg.DSync),
	})
}

// count reads one of the kernel's counters.
func (o *observer) count(k kernel.Kind) ledger.TraceCount {
	o.mu.Lock()
	defer o.mu.Unlock()
	return traceCount(o.trace.Counts(k), k.String()+", "+o.trace.Source())
}

func traceCount(c kernel.Count, source string) ledger.TraceCount {
	t := ledger.TraceCount{N: c.N, Source: source, Known: c.Fidelity != kernel.FidelityUnavailable, AtLeast: c.Fidelity == kernel.FidelityAtLeast}
	if !t.Known {
		t.N, t.Source = 0, "unavailable: "+c.Reason
	}
	return t
}

// collisions is the number of pre-write failures so far, 0 where it is not
// known.
func (o *observer) collisions() uint64 { return o.count(kernel.InvalidateFail).N }

// preWrite counts the pre-write failures of one job: those on its files. With
// a shared range all of them stand with the first job.
func (o *observer) preWrite(job int) ledger.TraceCount {
	if o.r.cfg.NumJobs == 1 || o.r.cfg.Range == "shared" {
		if job > 0 {
			return ledger.TraceCount{Source: "shared range: counted with the first job"}
		}
		return o.count(kernel.InvalidateFail)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	sum := ledger.TraceCount{}
	for i, f := range o.r.plan.Files {
		if f.Job != job {
			continue
		}
		c := traceCount(o.trace.CountsFile(kernel.InvalidateFail, i), kernel.InvalidateFail.String()+", "+o.trace.Source())
		if !c.Known {
			return c
		}
		sum.N, sum.Source, sum.Known, sum.AtLeast = sum.N+c.N, c.Source, true, sum.AtLeast || c.AtLeast
	}
	return sum
}

// syncFS samples the file system's own errseq: since 5.8 (fs/sync.c) syncfs
// tells of writeback errors and of nothing else.
func (o *observer) syncFS(files []*file) (errno int, known bool) {
	major, minor, _, err := kernel.ParseRelease(o.r.Facts.Kernel)
	if err != nil || major < 5 || major == 5 && minor < 8 || len(files) == 0 || files[0].witness == nil {
		return 0, false
	}
	s, err := files[0].witness.SampleFS()
	if err != nil {
		return 0, false
	}
	return int(s.Errno), true
}

// finish puts what the kernel counted and said into the trailer.
func (o *observer) finish(t *ledger.Trailer) {
	t.Trace.PreWrite = o.count(kernel.InvalidateFail)
	t.Trace.SetWBErr = o.count(kernel.SetWbErr)
	t.Trace.BlockError = o.count(kernel.BlockError)
	if o.trace.Has(kernel.StalePagecache) {
		t.Trace.PostWrite = o.count(kernel.StalePagecache)
		t.Trace.PostWrite.Source = o.trace.PostProbe()
	}
	o.mu.Lock()
	if lost, err := o.trace.Lost(); err == nil {
		t.Trace.Lost = lost
	}
	if o.exact() {
		if t.Trace.Lost == 0 && t.Trace.BlockError.Known {
			t.Trace.BlockError.N = o.blockErrors
		}
		if attr := o.r.rec.attr; attr != nil {
			t.Trace.IomapError = ledger.TraceCount{N: attr.IomapErrors, Source: kernel.DioComplete.String(), Known: o.trace.Has(kernel.DioComplete), AtLeast: t.Trace.Lost > 0}
		}
	}
	o.mu.Unlock()
	o.poll(true)
	t.TaintBefore = o.taintBefore
	if taint, err := kernel.ReadTaint(); err == nil {
		t.TaintAfter, t.TaintKnown = uint64(taint), o.taintKnown
	}
	t.KmsgDropped = o.log.Dropped()
	if o.logFailed != "" && t.Broken == "" {
		t.Broken = "kernel log: " + o.logFailed
	}
}

// poll enters what the kernel has logged since the last time. The ring of the
// kernel log is small: whoever waits too long loses lines. One goroutine at a
// time calls it.
func (o *observer) poll(now bool) {
	if o.log.State() == kernel.LogUnavailable || o.logFailed != "" || !now && time.Since(o.lastPolled) < pollEvery {
		return
	}
	o.lastPolled = time.Now()
	lines, err := o.log.Poll()
	for i := range lines {
		if n := o.note(&lines[i]); n != nil {
			o.r.rec.put(n)
		}
	}
	if err != nil {
		o.logFailed = err.Error()
	}
}

// note turns a line of the kernel log into a note, nil if it does not matter
// here.
func (o *observer) note(l *kernel.Line) *ledger.Note {
	if l.Facility != 0 || l.Class == kernel.LogOther {
		return nil
	}
	n := &ledger.Note{TimeNS: l.TimeNS, Source: "kmsg", Class: l.Class.String(), Text: l.Text, File: -1}
	switch l.Class {
	case kernel.LogIOError, kernel.LogBufferIOError, kernel.LogExt4Error, kernel.LogExt4Warning, kernel.LogExt4Shutdown, kernel.LogJBD2Error:
		if !sameDisk(l.Facts.Device, o.device) {
			n.Class = "other_device"
		}
	case kernel.LogInvalidationFile:
		for i, f := range o.r.files {
			if strings.HasPrefix(l.Facts.File, f.path) {
				n.File = i
			}
		}
	}
	return n
}

// sameDisk says whether a device named in the log may be ours: itself, or the
// disk or a partition of it. A name that is missing on either side may be.
func sameDisk(named, ours string) bool {
	if named == "" || ours == "" {
		return true
	}
	return named == ours || partOf(named, ours) || partOf(ours, named)
}

// partOf says whether name is a partition of a disk ("sda1", "nvme0n1p2") or
// the journal on it ("sda-8").
func partOf(name, disk string) bool {
	rest, ok := strings.CutPrefix(name, disk)
	if !ok || rest == "" {
		return false
	}
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	return rest[0] == '-' || rest[0] == 'p' && digit(disk[len(disk)-1]) || digit(rest[0]) && !digit(disk[len(disk)-1])
}
