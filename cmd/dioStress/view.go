package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"diostress/internal/harness"
	"diostress/internal/ledger"
	"diostress/internal/plan"
	"diostress/report"
)

// view shows the running run: a status line on a terminal, JSON lines, and the
// dump that SIGUSR1 asks for. It only reads what the run publishes.
type view struct {
	w      io.Writer
	line   bool // show the status line
	every  time.Duration
	mu     sync.Mutex
	now    *shown
	shown  int // length of the status line on the terminal
	stopCh chan struct{}
	done   chan struct{}
}

// shown is the run that is on.
type shown struct {
	name, engine string
	cfg          *plan.Config
	live         *harness.Live
	files        int
	began        time.Time
	after        time.Duration // what comes after this run
	last         point         // for the status line
	lastJSON     point         // for the JSON lines
}

// point is a moment's counts, from which rates are made.
type point struct {
	at                           time.Time
	completed, bytes, collisions uint64
}

func newView(s *settings, w io.Writer) *view {
	line := s.eta == "always" || s.eta == "auto" && isTerminal(w)
	return &view{w: w, line: line, every: s.statusEvery}
}

// start begins to show; the function it returns ends that.
func (v *view) start() func() {
	v.stopCh, v.done = make(chan struct{}), make(chan struct{})
	usr1 := make(chan os.Signal, 1)
	signal.Notify(usr1, syscall.SIGUSR1)
	go v.loop(usr1)
	return func() {
		signal.Stop(usr1)
		close(v.stopCh)
		<-v.done
	}
}

func (v *view) loop(usr1 chan os.Signal) {
	defer close(v.done)
	second := time.NewTicker(time.Second)
	defer second.Stop()
	var status <-chan time.Time
	if v.every > 0 {
		t := time.NewTicker(v.every)
		defer t.Stop()
		status = t.C
	}
	for {
		select {
		case <-v.stopCh:
			return
		case <-second.C:
			v.statusLine()
		case <-status:
			v.statusJSON()
		case <-usr1:
			v.counters()
		}
	}
}

// begin says which run is on.
func (v *view) begin(name, engine string, cfg *plan.Config, live *harness.Live, after time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := point{at: time.Now()}
	v.now = &shown{name: name, engine: engine, cfg: cfg, live: live, files: len(plan.New(*cfg).Files), began: now.at, after: after, last: now, lastJSON: now}
}

// end says that the run is over, and wipes its status line.
func (v *view) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = nil
	v.wipe()
}

func (v *view) wipe() {
	if v.shown > 0 {
		fmt.Fprintf(v.w, "\r%*s\r", v.shown, "")
		v.shown = 0
	}
}

// status makes the figures of one moment; last is what the rates count from.
func (n *shown) status(last *point) report.Status {
	l := n.live
	now := point{time.Now(), l.Completed.Load(), l.Bytes.Load(), l.Collisions.Load()}
	span := max(now.at.Sub(last.at).Seconds(), 1e-3)
	rate := func(a, b uint64) float64 { return float64(a-min(a, b)) / span }
	pending := l.Pending()
	s := report.Status{
		Run: n.name, Engine: n.engine, RW: n.cfg.RW, Jobs: n.cfg.NumJobs, Files: n.files, Elapsed: now.at.Sub(n.began), Fraction: -1, ETA: -1,
		BytesPerSecond: rate(now.bytes, last.bytes), IOPS: rate(now.completed, last.completed),
		CollisionsKnown: l.CollisionsKnown.Load(), CollisionsPerSecond: rate(now.collisions, last.collisions), Collisions: now.collisions,
		FsyncEIO: l.FsyncEIO.Load(), Submitted: now.completed + uint64(len(pending)), Completed: now.completed, Bytes: now.bytes,
	}
	for _, d := range n.cfg.Dirty {
		s.Dirtiers += d.Count
	}
	clock := monotonic()
	for _, p := range pending {
		age := time.Duration(clock - p.SubmitNS)
		s.Oldest = max(s.Oldest, age)
		if age > n.cfg.StuckTimeout {
			s.Lost++ // as far as can be told while the run goes on
		}
	}
	if start, end := l.StartNS.Load(), l.DeadlineNS.Load(); start > 0 {
		s.ETA = time.Duration(max(end-clock, 0)) + n.after
		s.Fraction = min(float64(clock-start)/float64(end-start), 1)
	}
	*last = now
	return s
}

func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano()
}

func (v *view) statusLine() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.line || v.now == nil {
		return
	}
	text := report.StatusLine(v.now.status(&v.now.last), v.width())
	fmt.Fprintf(v.w, "\r%s", text)
	v.shown = len(text)
}

// width is that of the terminal, 80 where there is none to ask.
func (v *view) width() int {
	if f, ok := v.w.(*os.File); ok {
		if ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && ws.Col > 20 {
			return int(ws.Col)
		}
	}
	return 80
}

func (v *view) statusJSON() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.now == nil {
		return
	}
	v.wipe()
	fmt.Fprintf(v.w, "%s", report.StatusJSON(v.now.status(&v.now.lastJSON)))
}

// counters answers SIGUSR1.
func (v *view) counters() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.now == nil {
		fmt.Fprintln(v.w, "dioStress: no run is on")
		return
	}
	v.wipe()
	n := v.now
	from := point{at: n.began}
	now := monotonic()
	var rows []report.InFlight
	for _, p := range n.live.Pending() {
		rows = append(rows, report.InFlight{Job: p.Job, Tag: ledger.MakeTag(p.Slot, p.Gen), File: n.live.FileName(p.File), Offset: p.Off, Length: p.Len,
			Try: p.Try, Age: time.Duration(now - p.SubmitNS)})
	}
	if err := report.InFlightTable(v.w, n.status(&from), rows); err != nil {
		v.now = nil // nobody reads it any more
	}
}

// dump shows the watchdog's dump.
func (v *view) dump(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wipe()
	fmt.Fprint(v.w, text)
}
