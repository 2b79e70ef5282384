package ledger

// window is what the trace says of one write between its submission and its
// reap.
type window struct {
	begins, queued, fails int
	open                  bool  // the last Begin has no outcome yet
	task                  int32 // of the last Begin
	synced                int   // completions in the submitting task itself
	completes             int
	first                 int64 // time of the first completion
	wrote                 int64 // bytes that completions speak of
	last                  KernelEvent
	failedThen            bool // the last try failed to invalidate
	wentOn                bool // and yet a completion of the same try wrote something
}

func (w *window) take(ev *KernelEvent) {
	switch ev.Kind {
	case Begin:
		w.begins++
		w.open, w.task, w.failedThen = true, ev.TID, false
	case Queued:
		if w.open && ev.TID == w.task {
			w.queued++
			w.open = false
		}
	case InvalidateFail:
		w.fails++
		w.open, w.failedThen = false, true
	case Complete:
		if w.completes++; w.completes == 1 {
			w.first = ev.TimeNS
		}
		if w.open && ev.TID == w.task && ev.TID != 0 {
			w.synced++
			w.open = false
		}
		if ev.Errno == eagain {
			return
		}
		w.last = *ev
		if ev.Ret > 0 {
			w.wrote += ev.Ret
			w.wentOn = w.wentOn || w.failedThen
		}
	}
}

// expected is the most completions that this write can have made. A Begin
// without an outcome may have been queued, with the word of it still to come.
func (w *window) expected() int {
	n := w.queued + w.synced
	if w.open {
		n++
	}
	return n
}

// finished says whether a completion other than that of a refused try was
// traced.
func (w *window) finished() bool { return w.last.TimeNS != 0 }

// count attributes an entry and counts it. sure says that no record of it is
// missing, own that every completion is its own besides.
func (a *Attributor) count(e *Entry, w *window, sure, own bool) {
	full := w.wrote >= int64(e.Len)
	e.Attr = Unknown
	hole, none := false, false
	switch {
	case w.fails > 0 && w.wentOn && full && own:
		e.Attr = Direct
		a.each(e, func(s *AttrSum) { s.WentOn++ })
	case w.fails > 0 && !(full && !w.failedThen):
		e.Attr = BufferedFallback
	case w.finished() && w.last.Errno == 0 && w.wrote < e.Res:
		e.Attr, hole = BufferedFallback, true // the rest was buffered
	case w.finished():
		e.Attr = Direct
	case sure && a.ViaIomap && a.Has[Begin] && w.begins == 0 && e.Res > 0:
		e.Attr, none = BufferedFallback, true
	}
	a.each(e, func(s *AttrSum) {
		switch e.Attr {
		case Direct:
			s.Direct++
		case BufferedFallback:
			s.Fallback++
			switch {
			case hole:
				s.Hole++
			case none:
				s.NoDirect++
			default:
				s.Collided++
			}
		default:
			s.Unknown++
		}
	})
	collided := e.Attr == BufferedFallback && !hole && !none
	lat := e.ReapNS - e.SubmitNS
	switch {
	case collided:
		a.LatCollided.Record(lat)
		a.Offsets[e.Off*OffsetParts/a.sizes[e.File]]++
	case e.Attr == Direct:
		a.LatDirect.Record(lat)
	}
	if e.Res < 0 {
		a.failure(e, w, own)
	}
	a.retry(e, collided)
}

// failure says what the trace knows about a write that ended with an errno.
func (a *Attributor) failure(e *Entry, w *window, sure bool) {
	a.each(e, func(s *AttrSum) {
		switch {
		case w.finished() && w.last.Errno != 0:
			s.FailDevice++
		case w.finished() && w.last.Ret < 0:
			s.FailSync++
		case w.fails > 0, w.finished() && w.wrote < int64(e.Len):
			s.FailBuffered++
		case w.finished() && sure:
			s.FailDenied++
		case w.queued > 0 && sure:
			s.FailQueued++
		case w.begins > 0 && sure:
			s.FailBefore++
		default:
			s.FailUnknown++
		}
	})
}

func (a *Attributor) retry(e *Entry, collided bool) {
	hist := a.Sum.RetryRunning
	if len(hist) == 0 {
		return
	}
	if e.Try > 0 {
		if e.Paused {
			hist = a.Sum.RetryPaused
		}
		switch {
		case e.Attr == Unknown, e.Attr == BufferedFallback && !collided:
			a.Sum.RetryUnknown++
		case e.Attr == Direct && e.Res == int64(e.Len):
			hist[min(int(e.Try), len(hist))-1]++
		}
	}
	if collided && a.Collided != nil {
		a.Collided(e)
	}
}
