package ledger

// Attributor matches what the kernel traced to the submissions. One write is
// in flight on a block at a time, so file, block and time name the write that
// an event belongs to: everything between its submission and its reap. Within
// that time the events are paired by task and order: io_uring begins a write
// with NOWAIT and, refused, once more in a worker; a Begin that is followed by
// neither Queued, Complete nor InvalidateFail was such a try. A Queued whose
// task has begun nothing here is the late word of an earlier write: the
// submitter drops its reference before it traces, so the completion may come
// first (6.18, seen once in 12,000 writes).
//
// It is used by one goroutine. Memory grows with what is in flight, not with
// the files or the length of the run.
type Attributor struct {
	Has         [4]bool // which kinds are watched
	Overlapping bool    // several writes may be in flight on a block: nothing can be told
	// ViaIomap says that the file system does every direct write through
	// iomap, so that a write without a Begin was none.
	ViaIomap bool
	// Slack is by how much the clocks of trace and reap may differ, ns. A
	// completion traced later than that after the reap was early.
	Slack    int64
	Collided func(*Entry) // told of every write whose pre-write invalidation failed

	Sum         AttrSum
	IomapErrors uint64 // Complete with an error of the device
	LatDirect   *Histogram
	LatCollided *Histogram
	Offsets     []uint64 // collisions by position in their file

	jobs        []AttrSum
	sizes       []int64
	bs          int64
	events      []sparse[chain] // by file
	nodes       []node
	freeNode    int32
	debts       map[place]debt
	unsureUntil int64 // records were lost before this time
	early       []Entry
}

// place is one block of one file.
type place struct {
	file  int32
	block int64
}

// chain is the events of one block that no entry has taken yet.
type chain struct{ head, tail int32 } // node index+1; 0: none

type node struct {
	ev   KernelEvent
	next int32
}

// debt is a write that was queued and reaped without its completion having
// been traced.
type debt struct{ entry Entry }

// OffsetParts is the length of Attributor.Offsets.
const OffsetParts = 64

// defaultSlack covers the slew between ktime_get_mono_fast_ns, which stamps the
// trace, and the vDSO (some ns) and the calibration of our own clock.
const defaultSlack = 2000

// Errnos of a completion that end a try and not the write: io_uring asks the
// block layer not to wait and issues the write again (since 5.9).
const eagain = 11

// NewAttributor makes an attributor for files of the given sizes in blocks of
// bs bytes. retry is the limit of resubmissions, for the histograms.
func NewAttributor(bs int, sizes []int64, retry int) *Attributor {
	a := &Attributor{
		bs: int64(bs), sizes: sizes, Slack: defaultSlack, debts: map[place]debt{},
		LatDirect: NewHistogram(), LatCollided: NewHistogram(), Offsets: make([]uint64, OffsetParts),
	}
	for _, n := range sizes {
		a.events = append(a.events, newSparse[chain]((n+a.bs-1)/a.bs))
	}
	if retry > 0 {
		a.Sum.RetryRunning, a.Sum.RetryPaused = make([]uint64, retry), make([]uint64, retry)
	}
	return a
}

// Event enters one record. Records come in order of time, but for the odd one
// that took long to appear.
func (a *Attributor) Event(ev *KernelEvent) {
	if ev.Kind == Complete && ev.Errno != 0 && ev.Errno != eagain && ev.Errno != enotblk {
		a.IomapErrors++
	}
	if a.Overlapping || ev.File < 0 || int(ev.File) >= len(a.events) || ev.Off < 0 || ev.Off >= a.sizes[ev.File] {
		return
	}
	i := a.freeNode
	if i == 0 {
		a.nodes = append(a.nodes, node{})
		i = int32(len(a.nodes))
	} else {
		a.freeNode = a.nodes[i-1].next
	}
	a.nodes[i-1] = node{ev: *ev}
	block := ev.Off / a.bs
	s := &a.events[ev.File]
	c := s.at(block)
	if c == nil || c.head == 0 {
		c = s.use(block)
		c.head = i
	} else {
		a.nodes[c.tail-1].next = i
	}
	c.tail = i
}

// peek returns the oldest event of a block, nil if there is none. It is valid
// until drop.
func (a *Attributor) peek(p place) *KernelEvent {
	if c := a.events[p.file].at(p.block); c != nil && c.head != 0 {
		return &a.nodes[c.head-1].ev
	}
	return nil
}

func (a *Attributor) drop(p place) {
	c := a.events[p.file].at(p.block)
	i := c.head
	n := &a.nodes[i-1]
	if c.head = n.next; c.head == 0 {
		c.tail = 0
		a.events[p.file].done(p.block)
	}
	n.next, a.freeNode = a.freeNode, i
}

// Lost says that records older than t may be missing. It is called before the
// events and entries of the time in question, as far as that can be known:
// what hangs on a record that may be missing is not decided.
func (a *Attributor) Lost(t int64) {
	a.unsureUntil = max(a.unsureUntil, t)
	clear(a.debts)
}

// Entry attributes one reaped write, once every event up to its reap has been
// entered. It sets e.Attr and counts.
func (a *Attributor) Entry(e *Entry) {
	if a.Overlapping {
		a.each(e, func(s *AttrSum) { s.Unknown++ })
		return
	}
	p := place{int32(e.File), e.Off / a.bs}
	a.strays(p, e.SubmitNS)
	var w window
	for ev := a.peek(p); ev != nil && ev.TimeNS <= e.ReapNS; ev = a.peek(p) {
		if ev.TimeNS >= e.SubmitNS {
			w.take(ev)
		} else if ev.Kind == Complete {
			a.settle(p, ev.TimeNS)
		}
		a.drop(p)
	}
	sure := e.SubmitNS > a.unsureUntil
	if _, owed := a.debts[p]; owed && w.completes > w.expected() {
		// One more than this write can have made: the first is the other's.
		a.settle(p, w.first)
		w.completes--
	}
	_, owed := a.debts[p]
	if sure && a.Has[Queued] && a.Has[Complete] && w.queued > w.completes {
		a.debts[p] = debt{*e}
		a.each(e, func(s *AttrSum) { s.Owed++ })
	}
	// A completion may be that of the write before, which is still owed one.
	a.count(e, &w, sure, sure && !owed)
}

// strays takes the events that came while nothing was in flight on the block.
func (a *Attributor) strays(p place, before int64) {
	for ev := a.peek(p); ev != nil && ev.TimeNS < before; ev = a.peek(p) {
		if ev.Kind == Complete {
			a.settle(p, ev.TimeNS)
		}
		a.drop(p)
	}
}

// settle takes a completion traced at time t for that of the write which is
// owed one: it had been reported too early, unless the record itself was late.
func (a *Attributor) settle(p place, t int64) {
	d, ok := a.debts[p]
	if !ok {
		return
	}
	delete(a.debts, p)
	a.each(&d.entry, func(s *AttrSum) { s.Owed-- })
	if t <= d.entry.ReapNS+a.Slack {
		return
	}
	a.each(&d.entry, func(s *AttrSum) { s.Early++ })
	if len(a.early) < maxUnusual {
		d.entry.SubmitNS = t
		a.early = append(a.early, d.entry)
	}
}

// Rest says that every write offered so far was reaped and every event up to
// now entered: what a queued write is still owed does not come any more. Call
// it before files are read with O_DIRECT, whose events are like those of
// writes.
func (a *Attributor) Rest() {
	for p := range a.debts {
		a.strays(p, 1<<63-1)
	}
	clear(a.debts)
}

// Finish ends the matching and returns the first writes that were reaped before
// the kernel completed them; SubmitNS is the time at which it did.
func (a *Attributor) Finish() []Entry {
	a.Rest()
	return a.early
}

// PerJob returns the sums of n jobs. What concerns resubmissions is the first
// one's.
func (a *Attributor) PerJob(n int) []AttrSum {
	out := make([]AttrSum, n)
	copy(out, a.jobs)
	if n > 0 {
		out[0].GaveUp, out[0].Permanent, out[0].RetryUnknown = a.Sum.GaveUp, a.Sum.Permanent, a.Sum.RetryUnknown
		out[0].RetryRunning, out[0].RetryPaused = a.Sum.RetryRunning, a.Sum.RetryPaused
	}
	return out
}

// each counts something into the sum of all jobs and that of the entry's.
func (a *Attributor) each(e *Entry, f func(*AttrSum)) {
	for int(e.Job) >= len(a.jobs) {
		a.jobs = append(a.jobs, AttrSum{})
	}
	f(&a.Sum)
	f(&a.jobs[e.Job])
}
