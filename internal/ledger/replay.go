package ledger

import (
	"fmt"
	"maps"
	"slices"

	"diostress/internal/plan"
)

// replay counts the entries of one run of a log anew. A nil replay is between
// two runs.
type replay struct {
	h      *Header
	sink   Sink
	jobs   []replayJob
	lastNS int64
}

type replayJob struct {
	c       Counts
	attr    AttrSum
	unusual unusual
	done    map[int]uint64 // newest generation completed in every slot
	lost    []InFlight
}

// maxFiles and maxJobs bound what a header may claim.
const (
	maxFiles = 1 << 16
	maxJobs  = 1 << 10
)

func newReplay(h *Header, sink Sink) *replay {
	r := &replay{h: h, sink: sink, jobs: make([]replayJob, h.Config.NumJobs)}
	for i := range r.jobs {
		r.jobs[i].done = map[int]uint64{}
		r.jobs[i].c.Failed, r.jobs[i].c.Leaked = map[int64]uint64{}, map[int64]uint64{}
	}
	return r
}

func checkHeader(h *Header) error {
	switch {
	case h.Format != Format:
		return fmt.Errorf("header of format %d; valid: %d", h.Format, Format)
	case h.Config.NumJobs < 1 || h.Config.NumJobs > maxJobs:
		return fmt.Errorf("header with numjobs %d; valid: 1 to %d", h.Config.NumJobs, maxJobs)
	case h.Config.BS < 1 || h.Config.BS > plan.MaxBS:
		return fmt.Errorf("header with bs %d; valid: 1 to %d", h.Config.BS, plan.MaxBS)
	case len(h.Files) > maxFiles:
		return fmt.Errorf("header with %d files; valid: at most %d", len(h.Files), maxFiles)
	}
	for i, f := range h.Files {
		if f.Size < 0 {
			return fmt.Errorf("header: file %d of %d bytes; valid: 0 or more", i, f.Size)
		}
	}
	return nil
}

// line handles one record; done is true after a trailer. A header puts a new
// replay into next.
func (r *replay) line(line []byte, begin func(*Header) (Sink, error), next **replay) (done bool, err error) {
	if len(line) < 3 || line[1] != ' ' {
		return false, fmt.Errorf("no record: %.40q", line)
	}
	kind, body := line[0], line[2:]
	switch {
	case kind == 'H' && r != nil:
		// The run before has no trailer: whoever made it began another one.
		return false, r.cut()
	case kind == 'H':
		h := &Header{}
		if err := decode(body, h); err != nil {
			return false, err
		}
		if err := checkHeader(h); err != nil {
			return false, err
		}
		sink, err := begin(h)
		if err != nil {
			return false, err
		}
		*next = newReplay(h, sink)
		sink.Record(h)
		return false, nil
	case r == nil:
		return false, fmt.Errorf("a record before any header: %.40q", line)
	case kind == 'C':
		var e Entry
		if err := parseEntry(body, &e); err != nil {
			return false, err
		}
		return false, r.entry(&e)
	}
	rec, err := newRecord(kind)
	if err != nil {
		return false, err
	}
	if err := decode(body, rec); err != nil {
		return false, err
	}
	if err := r.record(rec); err != nil {
		return false, err
	}
	r.sink.Record(rec)
	return kind == 'T', nil
}

func newRecord(kind byte) (Record, error) {
	switch kind {
	case 'U':
		return &Unmatched{}, nil
	case 'L':
		return &InFlight{}, nil
	case 'S':
		return &Sync{}, nil
	case 'N':
		return &Note{}, nil
	case 'E':
		return &Epoch{}, nil
	case 'R':
		return &Readback{}, nil
	case 'T':
		return &Trailer{}, nil
	}
	return nil, fmt.Errorf("record of unknown kind %q; valid: H C U L S N E R T", kind)
}

// record checks a record against the header and counts it.
func (r *replay) record(rec Record) error {
	switch x := rec.(type) {
	case *Unmatched:
		j, err := r.job(x.Job)
		if err == nil {
			j.unmatched(x)
		}
		return err
	case *InFlight:
		j, err := r.job(x.Job)
		if err == nil {
			j.lost = append(j.lost, *x)
		}
		return err
	case *Sync:
		r.lastNS = max(r.lastNS, x.EndNS)
		if x.EndNS < x.BeginNS {
			return fmt.Errorf("sync that ends at %d, before it begins at %d", x.EndNS, x.BeginNS)
		}
		return r.file(x.File)
	case *Epoch:
		r.lastNS = max(r.lastNS, x.EndNS)
		if len(x.Files) > len(r.h.Files) {
			return fmt.Errorf("epoch with %d files; the header has %d", len(x.Files), len(r.h.Files))
		}
	case *Readback:
		return r.readback(x)
	case *Trailer:
		r.sums(x)
	}
	return nil
}

func (r *replay) job(n int) (*replayJob, error) {
	if n < 0 || n >= len(r.jobs) {
		return nil, fmt.Errorf("job %d; the header has %d", n, len(r.jobs))
	}
	return &r.jobs[n], nil
}

func (r *replay) file(n int) error {
	if n < 0 || n >= len(r.h.Files) {
		return fmt.Errorf("file %d; the header has %d", n, len(r.h.Files))
	}
	return nil
}

// readback holds the shape of a read-back: spans without gaps that fill the
// block.
func (r *replay) readback(x *Readback) error {
	if err := r.file(x.File); err != nil {
		return err
	}
	if !slices.Contains(views[:], x.View) {
		return fmt.Errorf("view %q is not known; valid: %q", x.View, views)
	}
	if x.Errno != 0 {
		return nil
	}
	var words int64
	for i := range x.Spans {
		if x.Spans[i].Words < 1 {
			return fmt.Errorf("span of %d words; valid: 1 or more", x.Spans[i].Words)
		}
		words += int64(x.Spans[i].Words)
	}
	want := min(int64(r.h.Config.BS), r.h.Files[x.File].Size-x.Off)
	if x.Off < 0 || words*wordSize != want {
		return fmt.Errorf("spans of %d bytes for the block of %d bytes at %d", words*wordSize, want, x.Off)
	}
	return nil
}

const wordSize = 8

// entry counts one completion; a generation that a slot has completed before
// is a duplicate, whatever the log calls it.
func (r *replay) entry(e *Entry) error {
	j, err := r.job(int(e.Job))
	if err != nil {
		return err
	}
	if err := r.file(int(e.File)); err != nil {
		return err
	}
	r.lastNS = max(r.lastNS, e.ReapNS)
	if e.Gen <= j.done[int(e.Slot)] {
		j.c.Duplicate++
		j.unusual.note(Duplicate, e)
		return nil
	}
	j.done[int(e.Slot)] = e.Gen
	j.c.Submitted++
	if r.h.Files[e.File].Role == plan.Control {
		j.c.Control++
	}
	if o := j.c.enter(e); o != Full || e.Res2 != 0 {
		j.unusual.note(o, e)
	}
	switch e.Attr {
	case Direct:
		j.attr.Direct++
	case BufferedFallback:
		j.attr.Fallback++
	default:
		j.attr.Unknown++
	}
	r.sink.Entry(e)
	return nil
}

func (j *replayJob) unmatched(u *Unmatched) {
	s, gen := SplitTag(u.Tag)
	e := Entry{Gen: gen, Slot: uint16(s), Job: uint16(u.Job), Res: u.Res, Res2: u.Res2, ReapNS: u.ReapNS}
	if u.Duplicate {
		j.c.Duplicate++
		j.unusual.note(Duplicate, &e)
		return
	}
	j.c.Stray++
	j.unusual.note(Stray, &e)
}

// sums replaces the trailer's sums by what the entries came to. Sums that do
// not agree with a log that is said to be complete are the harness's fault.
func (r *replay) sums(t *Trailer) {
	broken := ""
	switch {
	case !r.h.EntriesIn:
		broken = "the log does not hold the completions: it was not written by --completions"
	case len(t.Jobs) != len(r.jobs):
		broken = fmt.Sprintf("the trailer has %d jobs, the header %d", len(t.Jobs), len(r.jobs))
	case t.LogDropped > 0:
		broken = fmt.Sprintf("%d completions did not reach the log, so it cannot be judged again", t.LogDropped)
	}
	if broken != "" {
		if t.Broken == "" {
			t.Broken = broken
		}
		return
	}
	for i := range r.jobs {
		j, s := &r.jobs[i], &t.Jobs[i]
		c := j.c
		c.Submitted += uint64(len(j.lost))
		c.Lost = uint64(len(j.lost))
		c.BackPressure, c.Submits, c.Reaps = s.Counts.BackPressure, s.Counts.Submits, s.Counts.Reaps
		if what := differ(&c, &s.Counts); what != "" && t.Broken == "" {
			t.Broken = fmt.Sprintf("job %d: the entries of the log do not add up to its trailer: %s", i, what)
		}
		s.Counts, s.Unusual, s.Pending = c, j.unusual, j.lost
		s.Attr.Direct, s.Attr.Fallback, s.Attr.Unknown = j.attr.Direct, j.attr.Fallback, j.attr.Unknown
	}
}

// differ names the first count in which entries and trailer differ, "" if there
// is none.
func differ(entries, trailer *Counts) string {
	for _, x := range []struct {
		name string
		a, b uint64
	}{
		{"submitted", entries.Submitted, trailer.Submitted}, {"completed", entries.Completed, trailer.Completed}, {"full", entries.Full, trailer.Full},
		{"short", entries.Short, trailer.Short}, {"zero", entries.Zero, trailer.Zero}, {"overlong", entries.Overlong, trailer.Overlong},
		{"duplicate", entries.Duplicate, trailer.Duplicate}, {"stray", entries.Stray, trailer.Stray}, {"lost", entries.Lost, trailer.Lost},
		{"bytes", entries.Bytes, trailer.Bytes}, {"res2 != 0", entries.NonzeroRes2, trailer.NonzeroRes2}, {"control", entries.Control, trailer.Control},
	} {
		if x.a != x.b {
			return fmt.Sprintf("%s %d in the entries, %d in the trailer", x.name, x.a, x.b)
		}
	}
	if !maps.Equal(entries.Failed, trailer.Failed) || !maps.Equal(entries.Leaked, trailer.Leaked) {
		return fmt.Sprintf("errnos %v %v in the entries, %v %v in the trailer", entries.Failed, entries.Leaked, trailer.Failed, trailer.Leaked)
	}
	return ""
}

// cut ends a run whose log ends before its trailer: what its entries came to is
// handed on, since what was found by then stands.
func (r *replay) cut() error {
	if r != nil {
		t := &Trailer{Cut: true, EndNS: r.lastNS}
		for i := range r.jobs {
			j := &r.jobs[i]
			t.Jobs = append(t.Jobs, JobSum{Counts: j.c, Attr: j.attr, Unusual: j.unusual})
		}
		r.sink.Record(t)
	}
	return ErrTruncated
}
