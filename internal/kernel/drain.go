package kernel

import "fmt"

// queue holds one CPU's decoded events, ascending in time from head on.
type queue struct {
	ev   []Event
	head int
}

func (q *queue) compact() {
	if q.head == 0 {
		return
	}
	n := copy(q.ev, q.ev[q.head:])
	q.ev, q.head = q.ev[:n], 0
}

// push keeps the order. A CPU's ring is ordered but for the odd record whose
// writer was interrupted between stamping and storing it.
func (q *queue) push(e *Event) {
	q.ev = append(q.ev, *e)
	for i := len(q.ev) - 1; i > q.head && q.ev[i-1].TimeNS > q.ev[i].TimeNS; i-- {
		q.ev[i-1], q.ev[i] = q.ev[i], q.ev[i-1]
	}
}

// record takes one raw trace record in. In TraceCount it only counts.
func (t *Trace) record(q int, timeNS int64, cpu uint16, tid int32, raw []byte) {
	if len(raw) < 2 {
		t.malformed++
		return
	}
	id := int(load{size: 2}.get(raw))
	if id >= len(t.byID) || t.byID[id] == nil {
		return
	}
	d := t.byID[id]
	e := &t.scratch
	*e = Event{TimeNS: timeNS, CPU: cpu, TID: tid, File: -1}
	dev, ino, ok := d.decode(raw, t.pageSize, e)
	if !ok {
		t.malformed++
		return
	}
	if d.hasIno {
		// The kernel's filter has done this already, except where it could
		// filter on the device only.
		if e.File = t.index.find(dev, ino); e.File < 0 {
			return
		}
		if d.kind == InvalidateFail {
			t.seenFile[e.File]++
		}
	}
	t.seen[d.kind]++
	if t.opt.Mode != TraceExact {
		return
	}
	if e.TimeNS < t.floor {
		t.late++
	}
	t.queues[q].push(e)
}

// Drain hands out, in order of time across all CPUs, the events older than the
// watermark it returns: a time of Clock, Options.Settle before the call. The
// rest stays for the next call. fn must not keep the pointer. It allocates
// only while its buffers grow. Without a recording backend the error is
// ErrUnavailable.
func (t *Trace) Drain(fn func(*Event)) (watermark int64, err error) {
	if err := t.recording(); err != nil {
		return 0, err
	}
	return t.drain(t.clock.Now()-int64(t.opt.Settle), fn)
}

// DrainAll is Drain up to the moment of the call: it first waits, some 10 ms,
// until every record stamped before is in its ring. For the end of a run.
func (t *Trace) DrainAll(fn func(*Event)) (watermark int64, err error) {
	if err := t.recording(); err != nil {
		return 0, err
	}
	now := t.clock.Now()
	quiesceCPUs()
	return t.drain(now, fn)
}

func (t *Trace) recording() error {
	switch {
	case t.back == nil:
		return fmt.Errorf("%w: %s", ErrUnavailable, t.why)
	case t.opt.Mode != TraceExact:
		return fmt.Errorf("%w: the mode is TraceCount", ErrUnavailable)
	}
	return nil
}

func (t *Trace) drain(watermark int64, fn func(*Event)) (int64, error) {
	watermark = max(watermark, t.floor)
	for i := range t.queues {
		t.queues[i].compact()
	}
	err := t.back.ingest(t)
	t.merge(watermark, fn)
	t.floor = watermark
	return watermark, err
}

// merge hands out what is older than the watermark, from a heap over the CPUs.
func (t *Trace) merge(watermark int64, fn func(*Event)) {
	h := t.order[:0]
	for i := range t.queues {
		if q := &t.queues[i]; q.head < len(q.ev) && q.ev[q.head].TimeNS < watermark {
			h = append(h, i)
		}
	}
	for i := len(h)/2 - 1; i >= 0; i-- {
		t.siftDown(h, i)
	}
	for len(h) > 0 {
		q := &t.queues[h[0]]
		// Up to the next CPU's first event this one can go on without the heap.
		until := watermark
		for _, c := range h[1:min(3, len(h))] {
			o := &t.queues[c]
			until = min(until, o.ev[o.head].TimeNS)
		}
		fn(&q.ev[q.head])
		q.head++
		for q.head < len(q.ev) && q.ev[q.head].TimeNS < until {
			fn(&q.ev[q.head])
			q.head++
		}
		if q.head == len(q.ev) || q.ev[q.head].TimeNS >= watermark {
			h[0] = h[len(h)-1]
			h = h[:len(h)-1]
		}
		t.siftDown(h, 0)
	}
	t.order = h[:0]
}

func (t *Trace) siftDown(h []int, i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && t.headTime(h[c+1]) < t.headTime(h[c]) {
			c++
		}
		if t.headTime(h[i]) <= t.headTime(h[c]) {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

func (t *Trace) headTime(i int) int64 { return t.queues[i].ev[t.queues[i].head].TimeNS }
