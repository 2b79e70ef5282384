package harness

import (
	"diostress/internal/ledger"
	"diostress/internal/pattern"
	"diostress/internal/plan"
)

// looker is what a worker sees for itself after a reap: the size of a file that
// grows, and now and then, through the page cache and past it, a block that it
// has just written and that nobody writes meanwhile. It belongs to the worker's
// thread.
type looker struct {
	files []watched // by file index
	next  int       // file to be looked at, -1: none
	off   int64
	buf   arena // of one block
	spans []pattern.Span
	sum   ledger.WorkSum
	reads uint64
}

// watched is what is looked at of one file.
type watched struct {
	control bool
	every   int      // online: after so many full writes; 0: never
	left    int      // until the next
	grows   bool     // its size is looked at after every write
	seen    []uint64 // one bit for every block that a write has reached; nil: all were written
}

// A look costs two reads of a block, on the thread that submits: rarely for
// the control file, which is only there to be judged, and more often where the
// reads are what the run is about.
const (
	lookControl = 2 // of the control file's writes, which are one in 32 of all
	lookMain    = 8
)

func (r *run) newLooker() (*looker, error) {
	l := &looker{next: -1, files: make([]watched, len(r.files))}
	for i, f := range r.files {
		w := &l.files[i]
		w.control, w.grows = f.Role == plan.Control, f.Grows()
		if f.Fresh() {
			blocks := (f.Size + int64(r.cfg.BS) - 1) / int64(r.cfg.BS)
			w.seen = make([]uint64, (blocks+63)/64)
		}
		if r.cfg.Verify == "full" && r.cfg.Exact(&f.File) {
			w.every = lookMain
			if w.control {
				w.every = lookControl
			}
		}
		w.left = w.every
	}
	var err error
	l.buf, err = newArena(r.cfg.BS)
	return l, err
}

// after takes in a completed write.
func (l *looker) after(w *worker, e *ledger.Entry) {
	f := &l.files[e.File]
	full := e.Res == int64(e.Len)
	if full && f.seen != nil {
		block := e.Off / int64(w.bs)
		if bit := uint64(1) << (block & 63); f.seen[block>>6]&bit == 0 {
			f.seen[block>>6] |= bit
			l.sum.FirstWrites++
		}
	}
	if f.grows && e.Res > 0 {
		l.grown(w, e)
	}
	if full && f.every > 0 {
		if f.left--; f.left <= 0 {
			f.left = f.every
			l.next, l.off = int(e.File), e.Off
		}
	}
}

// grown holds the size of a file against a write that was just completed: it
// reaches at least to the write's end (xfstests generic/207).
func (l *looker) grown(w *worker, e *ledger.Entry) {
	f := w.r.files[e.File]
	end := e.Off + e.Res
	for old := f.end.Load(); end > old; old = f.end.Load() {
		if f.end.CompareAndSwap(old, end) {
			l.sum.Extensions++
			break
		}
	}
	size, err := f.size()
	if err != nil {
		w.fail(err)
		return
	}
	l.sum.SizeChecks++
	if size < end {
		w.r.rec.add(f.short(e.ReapNS, size, end, e.Gen, "after the reap"))
	}
}

// look reads the block that is due, if it is still idle, and has it recorded.
func (l *looker) look(w *worker) {
	if l.next < 0 {
		return
	}
	file, off := l.next, l.off
	l.next = -1
	if w.acct.Busy(file, off) {
		return
	}
	f := w.r.files[file]
	for _, v := range []struct {
		view ledger.View
		fd   int
	}{{ledger.Online, f.cached}, {ledger.OnlineDirect, f.direct}} {
		rec := &ledger.Readback{Epoch: w.r.epoch, File: file, View: v.view, Off: off}
		rec.Errno = readFull(v.fd, l.buf, off)
		rec.Legal = w.acct.Legal(nil, file, off, uint8(pattern.Prefill), uint8(w.writer))
		if rec.Errno == 0 {
			l.spans = w.key.Spans(l.spans[:0], file, off, l.buf)
			rec.Spans = translate(w.key, f, w.r.zero(f, rec.Legal, w), l.spans, nil)
		}
		w.r.rec.add(rec)
	}
	l.reads++
	w.now = w.r.clock.Now()
}

// renewed forgets what a worker knew of a file that was laid out anew.
func (w *worker) renewed(f *file) {
	w.acct.Renew(f.index)
	clear(w.look.files[f.index].seen)
	w.look.next = -1
	w.round = w.stream.Round()
	if f.Grows() {
		w.stream.Restart()
		w.isHeld = false
	}
}

// went counts a planned write; the coordinator is told when every block has had
// its turn.
func (w *worker) went() {
	if w.round == 0 {
		return
	}
	if w.round--; w.round == 0 {
		select {
		case w.r.rounds <- struct{}{}:
		default:
		}
	}
}

func (w *worker) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}
