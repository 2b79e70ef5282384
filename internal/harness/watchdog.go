package harness

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"diostress/internal/kernel"
	"diostress/internal/ledger"
)

// watchdog looks for writes that are not answered.
type watchdog struct {
	r     *run
	stuck chan struct{} // closed when it has bitten
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once
	found *ledger.Stuck

	lastBeat  int64
	looksInD  int
	sysAtBeat time.Duration // system time of the thread when it last came round
}

func newWatchdog(r *run) *watchdog {
	return &watchdog{r: r, stuck: make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{})}
}

func (d *watchdog) main() {
	defer close(d.done)
	every := min(max(d.r.cfg.StuckTimeout/10, 5*time.Millisecond), time.Second)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-d.stop:
			return
		case <-t.C:
			if d.look() {
				return
			}
		}
	}
}

// look bites if a write has been in flight for too long and it is the kernel
// that owes the answer: the engine thread came round and found nothing, or the
// kernel does not let it come round. A thread that merely did not get a
// processor is not a stuck kernel.
func (d *watchdog) look() bool {
	now := d.r.clock.Now()
	p := d.r.pending()
	slices.SortFunc(p, func(a, b ledger.InFlight) int {
		switch {
		case a.SubmitNS < b.SubmitNS:
			return -1
		case a.SubmitNS > b.SubmitNS:
			return 1
		}
		return 0
	})
	d.r.Live.InFlight.Store(int64(len(p)))
	d.r.Live.NowNS.Store(now)
	if len(p) == 0 {
		d.r.Live.OldestNS.Store(0)
		return false
	}
	age := now - p[0].SubmitNS
	d.r.Live.OldestNS.Store(age)
	w := d.r.workers[p[0].Job]
	beat := w.beat.Load()
	evidence := d.kernels(beat, readThread(int(w.tid.Load())))
	if age < int64(d.r.cfg.StuckTimeout) {
		return false
	}
	if beat > p[0].SubmitNS+int64(d.r.cfg.StuckTimeout)/2 {
		d.bite(age, p, "the engine reaps, and these writes are not answered")
		return true
	}
	if evidence != "" {
		d.bite(age, p, evidence)
		return true
	}
	return false
}

// kernels says why an engine thread that does not come round is held by the
// kernel, "" as long as it may merely have got no processor: it has spent half
// of the stuck timeout in the kernel since it came round, or it sleeps
// uninterruptibly at every look; a single look may meet anybody in that state.
func (d *watchdog) kernels(beat int64, t threadStat) string {
	if beat != d.lastBeat || t.state == "" {
		d.lastBeat, d.looksInD, d.sysAtBeat = beat, 0, t.system
		return ""
	}
	if ran := t.system - d.sysAtBeat; ran >= d.r.cfg.StuckTimeout/2 {
		return fmt.Sprintf("the engine thread has run in the kernel for %s and does not return (state %s)", ran, t.state)
	}
	if t.state != "D" {
		d.looksInD = 0
		return ""
	}
	if d.looksInD++; d.looksInD < looksBlocked {
		return ""
	}
	return "the engine thread is blocked in the kernel (state D)"
}

const looksBlocked = 3

func (d *watchdog) bite(age int64, p []ledger.InFlight, evidence string) {
	s := &ledger.Stuck{OldestNS: age, InFlight: p[:min(len(p), 256)], Evidence: evidence}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d writes in flight, the oldest for %.3f s: %s\n", len(p), float64(age)/1e9, evidence)
	now := d.r.clock.Now()
	for _, x := range s.InFlight {
		fmt.Fprintf(&b, "  job %d slot %d %s offset %d length %d age %.3f s\n", x.Job, x.Slot, d.r.plan.Files[x.File].Name, x.Off, x.Len, float64(now-x.SubmitNS)/1e9)
	}
	within(dumpWait, &b, func(b *bytes.Buffer) {
		if err := kernel.StuckDump(b); err != nil {
			fmt.Fprintf(b, "tasks: %v\n", err)
		}
	})
	if tasks, err := kernel.BlockedTasks(); err != nil {
		fmt.Fprintf(&b, "blocked tasks: %v\n", err)
	} else {
		for _, t := range tasks {
			s.Blocked = append(s.Blocked, fmt.Sprintf("%s[%d] in %s", t.Comm, t.TID, t.Wchan))
		}
	}
	within(dumpWait, &b, func(b *bytes.Buffer) {
		lines, err := kernel.SysrqW()
		if err != nil {
			fmt.Fprintf(b, "sysrq w: %v\n", err)
		}
		for _, l := range lines {
			fmt.Fprintf(b, "  %s\n", l.Text)
		}
	})
	s.Dump = b.String()
	if d.r.Dump != nil {
		d.r.Dump(s.Dump)
	}
	d.found = s
	for _, w := range d.r.workers {
		w.giveUp.Store(true)
	}
	close(d.stuck)
}

const dumpWait = 5 * time.Second

// within lets part of a dump be written on a goroutine of its own and goes on
// without it if the kernel holds that up too.
func within(limit time.Duration, b *bytes.Buffer, write func(*bytes.Buffer)) {
	done := make(chan *bytes.Buffer, 1)
	go func() {
		part := &bytes.Buffer{}
		write(part)
		done <- part
	}()
	select {
	case part := <-done:
		b.Write(part.Bytes())
	case <-time.After(limit):
		fmt.Fprintf(b, "(no answer within %v)\n", limit)
	}
}

func (d *watchdog) hasBitten() bool {
	select {
	case <-d.stuck:
		return true
	default:
		return false
	}
}

func (d *watchdog) close() *ledger.Stuck {
	d.once.Do(func() { close(d.stop) })
	<-d.done
	return d.found
}

// threadStat is the state letter of a thread and its time in the kernel. The
// zero value is a thread that is gone.
type threadStat struct {
	state  string
	system time.Duration
}

// readThread reads the stat file of one of our threads (proc(5)): after the
// name, field 3 is the state and field 15 the time in the kernel, in hundredths
// of a second.
func readThread(tid int) (t threadStat) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", tid))
	if err != nil {
		return t
	}
	i := strings.LastIndex(string(b), ") ")
	if i < 0 {
		return t
	}
	f := strings.Fields(string(b)[i+2:])
	if len(f) < 13 {
		return t
	}
	ticks, err := strconv.ParseInt(f[12], 10, 64)
	if err != nil {
		return t
	}
	return threadStat{f[0], time.Duration(ticks) * 10 * time.Millisecond}
}
