package kernel

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Mode is how much of the tracepoints a Trace takes in.
type Mode uint8

// The modes. TraceCount costs next to nothing: the kernel adds to a counter.
// TraceExact also takes in every record, for Drain.
const (
	TraceOff Mode = iota
	TraceCount
	TraceExact
)

// The values of Source.
const (
	SourceOff         = "off"
	SourcePerf        = "perf_event_open"
	SourceTracefs     = "tracefs"
	SourceUnavailable = "unavailable"
)

// Fidelity is how far a Count can be trusted.
type Fidelity string

// The fidelities.
const (
	FidelityExact       Fidelity = "exact"
	FidelityAtLeast     Fidelity = "at_least"
	FidelityUnavailable Fidelity = "unavailable"
)

// Count is a number of events with its fidelity. N means nothing where the
// fidelity is FidelityUnavailable.
type Count struct {
	N        uint64
	Fidelity Fidelity
	Reason   string // why it is not exact; "" where it is
}

// Options say what to trace.
type Options struct {
	Mode  Mode
	Files []TraceFile // at least one unless Mode is TraceOff; each inode once
	// RingBytes is the buffer of each CPU in TraceExact, rounded up to a power
	// of two of pages; 0: 2 MiB. A direct write makes about 350 bytes.
	RingBytes    int
	ReleaseFolio bool // also count, and in TraceExact record, ReleaseFolio
	// Source forces SourcePerf or SourceTracefs; "": perf, else tracefs.
	Source string
	// Settle is how long a record may take from its time stamp to its place in
	// the ring; 0: 2 ms. Drain holds back what is younger. A virtual CPU that
	// is off the host's CPU meanwhile can exceed it: see Late.
	Settle time.Duration
}

const (
	defaultRing   = 2 << 20
	maxRing       = 1 << 30
	defaultSettle = 2 * time.Millisecond
)

// ErrUnavailable is what Drain returns where there is nothing to drain because
// nothing is recorded; errors.Is finds it.
var ErrUnavailable = errors.New("no trace records are being taken")

// backend is one way to get at the tracepoints.
type backend interface {
	ingest(t *Trace) error // hands new records to t.record
	count(t *Trace, k Kind, file int) Count
	lost() (uint64, error)
	close() error
}

// Trace is an open set of tracepoints. One goroutine uses it.
type Trace struct {
	opt      Options
	clock    Clock
	index    *fileIndex
	source   string
	why      string
	kinds    [numKinds]kindState
	byID     []*decoder
	queues   []queue
	order    []int // heap of queue indices, by their first event's time
	back     backend
	post     *postProbe
	fs       *tracefs // kept open for what works through it
	pageSize int64

	scratch   Event
	floor     int64 // watermark already handed out
	late      uint64
	malformed uint64
	seen      [numKinds]uint64
	seenFile  []uint64 // InvalidateFail by file
}

type kindState struct {
	has     bool
	reason  string
	src     source
	decoder *decoder
	disks   []uint32
}

// OpenTrace starts tracing. A machine that cannot trace gives a Trace whose
// Source is SourceUnavailable and whose Why says the reason; an error is only a
// misuse of Options or a failed clock. Close it: perf events die with the
// process, a tracefs instance does not (CleanTracing removes it).
func OpenTrace(opt Options) (*Trace, error) {
	t := &Trace{opt: opt, pageSize: int64(os.Getpagesize()), source: SourceOff, why: "tracing is off"}
	for k := range t.kinds {
		t.kinds[k].reason = "not traced in this mode"
	}
	if opt.Mode == TraceOff {
		return t, nil
	}
	if opt.Mode != TraceCount && opt.Mode != TraceExact {
		return nil, fmt.Errorf("trace mode %d; valid: TraceOff, TraceCount, TraceExact", opt.Mode)
	}
	if len(opt.Files) == 0 {
		return nil, errors.New("trace: no files given; name at least one inode to filter on")
	}
	if opt.RingBytes < 0 || opt.RingBytes > maxRing {
		return nil, fmt.Errorf("trace: ring of %d bytes; valid: 0 (2 MiB) to %d", opt.RingBytes, maxRing)
	}
	if opt.RingBytes == 0 {
		t.opt.RingBytes = defaultRing
	}
	if opt.Settle < 0 {
		return nil, fmt.Errorf("trace: settle time %v; valid: 0 (%v) and above", opt.Settle, defaultSettle)
	}
	if opt.Settle == 0 {
		t.opt.Settle = defaultSettle
	}
	var err error
	if t.index, err = newFileIndex(opt.Files); err != nil {
		return nil, err
	}
	if t.clock, err = NewClock(); err != nil {
		return nil, err
	}
	t.seenFile = make([]uint64, len(opt.Files))

	switch opt.Source {
	case "", SourcePerf, SourceTracefs:
	default:
		return nil, fmt.Errorf("trace source %q; valid: %q, %q or empty", opt.Source, SourcePerf, SourceTracefs)
	}

	if t.fs, err = openTracefs(); err != nil {
		t.source, t.why = SourceUnavailable, err.Error()
		for _, k := range append(tracedKinds(&t.opt), StalePagecache) {
			t.kinds[k].reason = t.why
		}
		return t, nil
	}
	t.loadFormats()
	t.openBackend()
	t.post = openPostProbe(t.fs)
	st := &t.kinds[StalePagecache]
	st.has, st.reason = t.post.how != "", t.post.why
	if t.source != SourceTracefs && t.post.how != postKprobeEvents {
		err = t.fs.close()
		t.fs = nil
	}
	return t, err
}

// openBackend takes perf, else a tracefs instance, else keeps the reasons.
func (t *Trace) openBackend() {
	var perfErr, instErr error
	if t.opt.Source != SourceTracefs {
		if perfErr = openPerf(t); perfErr == nil {
			t.source, t.why = SourcePerf, ""
			return
		}
	}
	if t.opt.Source != SourcePerf {
		if instErr = openInstance(t); instErr == nil {
			t.source, t.why = SourceTracefs, ""
			if perfErr != nil {
				t.why = perfErr.Error()
			}
			return
		}
	}
	t.source, t.why = SourceUnavailable, errors.Join(perfErr, instErr).Error()
	for _, k := range tracedKinds(&t.opt) {
		st := &t.kinds[k]
		if st.has {
			st.has, st.reason = false, t.why
		}
	}
}

// loadFormats finds each kind's tracepoint and its layout.
func (t *Trace) loadFormats() {
	for _, k := range tracedKinds(&t.opt) {
		st := &t.kinds[k]
		st.reason = ""
		for _, s := range sourcesOf(k) {
			f, err := t.fs.format(s)
			if err == nil {
				st.decoder, err = newDecoder(k, &f)
			}
			if err != nil {
				if st.reason != "" {
					st.reason += "; "
				}
				st.reason += err.Error()
				continue
			}
			st.src = s
			break
		}
		if st.decoder == nil {
			continue
		}
		if k == BlockError {
			disks, err := disksOf(t.opt.Files, "/sys")
			if err != nil {
				st.decoder, st.reason = nil, err.Error()
				continue
			}
			st.disks = disks
		}
		st.has, st.reason = true, ""
		for len(t.byID) <= st.decoder.id {
			t.byID = append(t.byID, nil)
		}
		t.byID[st.decoder.id] = st.decoder
	}
}

// Source says where the counts come from: one of the Source constants.
func (t *Trace) Source() string { return t.source }

// Why says why Source is not perf_event_open; "" where it is, or where tracefs
// was asked for.
func (t *Trace) Why() string { return t.why }

// Clock is the clock of the events' times.
func (t *Trace) Clock() Clock { return t.clock }

// Has reports whether the kind is being counted here.
func (t *Trace) Has(k Kind) bool { return k < numKinds && t.kinds[k].has }

// Reason says why a kind is not being counted; "" where it is.
func (t *Trace) Reason(k Kind) string {
	if k >= numKinds {
		return "unknown kind"
	}
	return t.kinds[k].reason
}

// Counts is how often the kind happened to any of the files (for BlockError:
// to their disks; for StalePagecache: on the whole machine) since OpenTrace.
// It makes one system call for each CPU and filter.
func (t *Trace) Counts(k Kind) Count { return t.count(k, -1) }

// CountsFile is Counts for one file, by its index in Options.Files. Only
// InvalidateFail is counted by file.
func (t *Trace) CountsFile(k Kind, file int) Count {
	if k != InvalidateFail || file < 0 || file >= len(t.opt.Files) {
		return Count{Fidelity: FidelityUnavailable, Reason: "only iomap_dio_invalidate_fail is counted by file"}
	}
	return t.count(k, file)
}

func (t *Trace) count(k Kind, file int) Count {
	switch {
	case !t.Has(k):
		return Count{Fidelity: FidelityUnavailable, Reason: t.Reason(k)}
	case k == StalePagecache:
		return t.post.count()
	}
	return t.back.count(t, k, file)
}

// PostProbe says how StalePagecache is counted: "perf kprobe SYMBOL",
// "kprobe_events SYMBOL", or "" with the reason in Reason(StalePagecache).
func (t *Trace) PostProbe() string {
	if t.post == nil || t.post.how == "" {
		return ""
	}
	return t.post.how + " " + t.post.symbol
}

// Lost is how many records found no room in a ring since OpenTrace: more than
// 0 means Drain did not hand out every event. Counts are not touched by it with
// perf, and turn into at_least with tracefs.
func (t *Trace) Lost() (uint64, error) {
	if t.back == nil {
		return 0, fmt.Errorf("%w: %s", ErrUnavailable, t.why)
	}
	return t.back.lost()
}

// Late is how many events Drain handed out behind a watermark it had already
// returned, because they took longer than Options.Settle to appear.
func (t *Trace) Late() uint64 { return t.late }

// Malformed is how many records were too short for their own format; they are
// not handed out.
func (t *Trace) Malformed() uint64 { return t.malformed }

// Close stops tracing and gives everything back. A second Close does nothing.
func (t *Trace) Close() error {
	var err error
	if t.post != nil {
		err = t.post.close()
	}
	if t.back != nil {
		err = errors.Join(err, t.back.close())
	}
	if t.fs != nil {
		err = errors.Join(err, t.fs.close())
	}
	t.fs, t.post, t.back, t.queues, t.order = nil, nil, nil, nil, nil
	for k := range t.kinds {
		t.kinds[k].has, t.kinds[k].reason = false, "the trace is closed"
	}
	if t.source != SourceOff {
		t.source = SourceUnavailable
	}
	t.why = "the trace is closed"
	return err
}

// quiesceCPUs returns when every CPU has left whatever it was doing with
// preemption off, so that records stamped before the call are in their rings:
// membarrier's global command waits for an RCU grace period
// (kernel/sched/membarrier.c).
func quiesceCPUs() {
	const cmdGlobal = 1
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, cmdGlobal, 0, 0); errno != 0 {
		// nohz_full kernels refuse it; a wait is the next best thing, and Late
		// tells where it was not enough.
		time.Sleep(20 * time.Millisecond)
	}
}
