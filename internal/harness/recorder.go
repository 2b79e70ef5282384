package harness

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"diostress/internal/ledger"
	"diostress/ioengine"
	"diostress/mmapdirty"
)

// recorder takes what the engine threads, the dirtiers and the kernel produce,
// matches it, and hands it to the sink. It runs off the hot path: engine
// threads only push into rings.
type recorder struct {
	r     *run
	attr  *ledger.Attributor // nil unless --trace exact can be had
	rings []*ledger.Ring

	// What sync calls returned. A lock of its own: the recorder holds the other
	// one for milliseconds, and an engine thread may be waiting.
	syncMu     sync.Mutex
	fresh      []ledger.Sync
	calls, eio uint64

	mu    sync.Mutex // the sink's, and that of everything below
	syncs []ledger.Sync
	later []ledger.Record // unmatched completions and notes of other threads
	match *ledger.SyncMatcher
	stop  chan struct{}
	done  chan struct{}
	gave  []order // collided to the last try with the dirtiers running
}

// How often the rings are emptied, and how often the rest is looked at where
// there are none.
const (
	recordEvery  = 4 * time.Millisecond
	recordRarely = 50 * time.Millisecond
)

func newRecorder(r *run) *recorder {
	rec := &recorder{r: r, match: ledger.NewSyncMatcher(len(r.files)), stop: make(chan struct{}), done: make(chan struct{})}
	if r.obs.exact() {
		rec.attr = ledger.NewAttributor(r.cfg.BS, r.sizes(), r.cfg.Retry)
		rec.attr.Has = r.obs.has()
		rec.attr.Overlapping = r.cfg.Overlap
		rec.attr.ViaIomap = viaIomap(&r.Facts)
		rec.attr.Slack += 2 * int64(r.clock.Bound())
		if r.cfg.Retry > 0 {
			rec.attr.Collided = rec.collided
		}
	}
	return rec
}

// viaIomap says whether the file system does every direct write through iomap:
// ext4 since 5.5 (fs/ext4/file.c), where the trace's events are younger.
func viaIomap(f *ledger.Facts) bool {
	return f.FSType == "ext4" || f.FSType == "ext3" || f.FSType == "xfs"
}

// rest says that nothing is in flight and everything traced was entered.
func (rec *recorder) rest() {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.attr != nil {
		rec.attr.Rest()
	}
}

// wantsEntries says whether engine threads are to push their entries.
func (rec *recorder) wantsEntries() bool { return rec.attr != nil || rec.r.Entries }

// main records until stopped.
func (rec *recorder) main() {
	defer close(rec.done)
	every := recordEvery
	if !rec.wantsEntries() {
		every = recordRarely
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-rec.stop:
			return
		case <-t.C:
			rec.cycle()
			rec.r.obs.poll(false)
		}
	}
}

// cycle records everything that is complete by now.
func (rec *recorder) cycle() {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	until := rec.r.clock.Now()
	if rec.attr != nil {
		until = rec.r.obs.drain(rec.attr, rec.match)
	}
	for _, ring := range rec.rings {
		for e := ring.Peek(); e != nil && e.ReapNS <= until; e = ring.Peek() {
			if rec.attr != nil {
				rec.attr.Entry(e)
			}
			if rec.r.Entries {
				rec.r.Sink.Entry(e)
			}
			ring.Drop()
		}
	}
	rec.flushSyncs(until)
	for _, x := range rec.later {
		rec.r.Sink.Record(x)
	}
	rec.later = rec.later[:0]
}

// settle records until everything that happened before the call is recorded.
func (rec *recorder) settle() {
	now := rec.r.clock.Now()
	for range 100 {
		rec.cycle()
		if rec.settledUntil() >= now {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (rec *recorder) settledUntil() int64 {
	if rec.attr == nil {
		return rec.r.clock.Now()
	}
	rec.r.obs.mu.Lock()
	defer rec.r.obs.mu.Unlock()
	return rec.r.obs.watermark
}

// put hands a record to the sink.
func (rec *recorder) put(x ledger.Record) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.r.Sink.Record(x)
}

// add is called by an engine thread, for what it saw after a reap.
func (rec *recorder) add(x ledger.Record) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.later = append(rec.later, x)
}

// unmatched is called by an engine thread, for what should not happen.
func (rec *recorder) unmatched(job int, c *ioengine.Completion, now int64, dup bool) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if len(rec.later) < 10000 {
		rec.later = append(rec.later, &ledger.Unmatched{Job: job, Tag: c.Tag, Res: c.Res, Res2: c.Res2, ReapNS: now, Duplicate: dup})
	}
}

// dirtierSync receives what a dirtier's sync call returned, on its thread.
func (rec *recorder) dirtierSync(s mmapdirty.SyncResult) {
	rec.sync(ledger.Sync{Call: s.Kind.String(), FD: s.Description, File: s.File, BeginNS: s.Begin, EndNS: s.End, Errno: int(s.Errno), TID: int32(unix.Gettid())})
}

func (rec *recorder) sync(s ledger.Sync) {
	rec.syncMu.Lock()
	defer rec.syncMu.Unlock()
	s.Epoch = rec.r.epoch
	rec.calls++
	if s.Errno == 5 {
		rec.eio++
		rec.r.Live.FsyncEIO.Add(1)
	}
	rec.fresh = append(rec.fresh, s)
}

// flushSyncs hands over the samples whose time the trace has passed.
func (rec *recorder) flushSyncs(until int64) {
	rec.syncMu.Lock()
	rec.syncs = append(rec.syncs, rec.fresh...)
	rec.fresh = rec.fresh[:0]
	rec.syncMu.Unlock()
	n := 0
	for ; n < len(rec.syncs) && rec.syncs[n].EndNS <= until; n++ {
		s := &rec.syncs[n]
		if rec.attr != nil {
			rec.match.Tell(s)
		}
		rec.r.Sink.Record(s)
	}
	rec.syncs = rec.syncs[:copy(rec.syncs, rec.syncs[n:])]
}

// collided is told of every write that went through the page cache.
func (rec *recorder) collided(e *ledger.Entry) {
	o := order{try: e.Try + 1}
	o.write.File, o.write.Block = int(e.File), e.Off/int64(rec.r.cfg.BS)
	w := rec.r.workers[e.Job]
	switch {
	case e.Paused && int(e.Try) >= rec.r.cfg.Retry:
		rec.attr.Sum.Permanent++
		rec.later = append(rec.later, &ledger.Note{TimeNS: e.ReapNS, Source: "trace", Class: "permanent", File: int(e.File), Off: e.Off, Gen: e.Gen,
			Text: "still collides with the dirtiers paused and the file synced"})
	case e.Paused:
		rec.gave = append(rec.gave, o)
	case int(e.Try) >= rec.r.cfg.Retry:
		rec.attr.Sum.GaveUp++
		if len(rec.gave) < maxGaveUp {
			o.try = 1
			rec.gave = append(rec.gave, o)
		}
	default:
		w.retries.put(o)
	}
}

// maxGaveUp bounds the writes that are tried again in one pause.
const maxGaveUp = 256

// takeGaveUp returns the collided writes of every job that are to be tried
// with the dirtiers paused, each block once.
func (rec *recorder) takeGaveUp() map[int][]order {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	out := map[int][]order{}
	seen := map[order]bool{}
	for _, o := range rec.gave {
		k := order{write: o.write}
		if !seen[k] {
			seen[k] = true
			job := rec.r.jobOf(o.write)
			out[job] = append(out[job], o)
		}
	}
	rec.gave = rec.gave[:0]
	return out
}

// close stops recording after a last cycle.
func (rec *recorder) close() {
	close(rec.stop)
	<-rec.done
	rec.cycle()
}
