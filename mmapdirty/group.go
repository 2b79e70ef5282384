package mmapdirty

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	running int32 = iota
	paused
	stopped
)

// Group is a running number of dirtiers. Its methods may be called by any
// thread; Pause, Resume and Stop exclude each other.
type Group struct {
	_     [cacheLine]byte
	state atomic.Int32
	_     [cacheLine]byte

	cfg      Config
	began    time.Time
	dirtiers []*dirtier
	descs    []Description

	control sync.Mutex // held by Pause, Resume and Stop
	gateMu  sync.Mutex
	gate    chan struct{} // closed by Resume and Stop; parked dirtiers wait on it
}

// StuckError is returned when dirtiers did not come back in time. They are
// still in the kernel (or in a function of the caller) with what they hold.
type StuckError struct {
	After    time.Duration
	Dirtiers []Stuck
}

// Stuck is one dirtier that did not come back.
type Stuck struct {
	Writer Writer
	Wchan  string // what the kernel waits in (/proc/self/task/TID/wchan); "" if not known
}

// Error names every dirtier that is stuck.
func (e *StuckError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d dirtiers have not come back after %v:", len(e.Dirtiers), e.After)
	for _, s := range e.Dirtiers {
		fmt.Fprintf(&b, " [%v writer %d, thread %d", s.Writer.Kind, s.Writer.ID, s.Writer.TID)
		if s.Wchan != "" {
			fmt.Fprintf(&b, ", in %s", s.Wchan)
		}
		b.WriteByte(']')
	}
	fmt.Fprintf(&b, "; see /proc/%d/task/THREAD/stack", os.Getpid())
	return b.String()
}

// Start opens and maps the files for every dirtier and starts their threads.
// With an error nothing is left behind. A Config whose Sets ask for no dirtier
// at all is valid and starts nothing.
func Start(cfg Config) (*Group, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("mmapdirty: %w", err)
	}
	g := &Group{cfg: cfg, began: time.Now(), gate: make(chan struct{})}
	for i, set := range cfg.Sets {
		nth := 0
		for _, k := range Kinds() {
			for range set.Spec.Count(k) {
				d := newDirtier(g, k, i, nth)
				nth++
				g.dirtiers = append(g.dirtiers, d)
				if err := d.openFiles(); err != nil {
					for _, d := range g.dirtiers {
						d.closeFiles()
					}
					return nil, fmt.Errorf("mmapdirty: %v writer %d: %w", k, d.id, err)
				}
			}
		}
	}
	var first error
	for _, d := range g.dirtiers {
		go d.main()
	}
	for _, d := range g.dirtiers {
		if err := <-d.ready; err != nil && first == nil {
			first = fmt.Errorf("mmapdirty: %v writer %d: %w", d.kind, d.id, err)
		}
	}
	if first != nil {
		return nil, errors.Join(first, g.Stop(10*time.Second))
	}
	return g, nil
}

// Pause makes every dirtier stand still. When it returns nil, no act is under
// way and none begins until Resume. It waits up to timeout for acts in the
// kernel; then it returns a *StuckError, and the group remains paused as far
// as it goes. Pausing twice, or a stopped group, changes nothing.
func (g *Group) Pause(timeout time.Duration) error {
	g.control.Lock()
	defer g.control.Unlock()
	g.state.CompareAndSwap(running, paused)
	return g.await(timeout, func(d *dirtier) bool { return d.parked.Load() || d.over() })
}

// Resume lets paused dirtiers go on. Without a Pause before, or after Stop, it
// changes nothing.
func (g *Group) Resume() {
	g.control.Lock()
	defer g.control.Unlock()
	if g.state.CompareAndSwap(paused, running) {
		g.openGate()
	}
}

// Stop ends every thread, unmaps and closes. It waits up to timeout; a dirtier
// that is stuck in the kernel makes it return a *StuckError, and Stop may be
// called again later. After a nil no thread, descriptor or mapping is left, and
// calling Stop again returns nil. Stats, Writers and Descriptions stay valid.
func (g *Group) Stop(timeout time.Duration) error {
	g.control.Lock()
	defer g.control.Unlock()
	if g.state.Swap(stopped) != stopped {
		g.openGate()
	}
	if err := g.await(timeout, (*dirtier).over); err != nil {
		return err
	}
	var errs []error
	for _, d := range g.dirtiers {
		errs = append(errs, d.exitErr)
	}
	return errors.Join(errs...)
}

func (g *Group) openGate() {
	g.gateMu.Lock()
	defer g.gateMu.Unlock()
	close(g.gate)
	g.gate = make(chan struct{})
}

// await waits until settled holds for every dirtier. It polls: the threads it
// waits for are not to be slowed down by telling it.
func (g *Group) await(timeout time.Duration, settled func(*dirtier) bool) error {
	deadline := time.Now().Add(timeout)
	nap := 20 * time.Microsecond
	for {
		var missing []*dirtier
		for _, d := range g.dirtiers {
			if !settled(d) {
				missing = append(missing, d)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return g.stuck(timeout, missing)
		}
		time.Sleep(nap)
		nap = min(2*nap, 2*time.Millisecond)
	}
}

func (g *Group) stuck(after time.Duration, missing []*dirtier) error {
	e := &StuckError{After: after}
	for _, w := range g.Writers() {
		for _, d := range missing {
			if d.id != w.ID {
				continue
			}
			wchan, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/wchan", w.TID))
			if err != nil || string(wchan) == "0" {
				wchan = nil
			}
			e.Dirtiers = append(e.Dirtiers, Stuck{Writer: w, Wchan: string(wchan)})
		}
	}
	return e
}

// over tells whether the dirtier's loop has ended, its files are closed and the
// kernel has removed its thread.
func (d *dirtier) over() bool {
	select {
	case <-d.done:
	default:
		return false
	}
	return unix.Tgkill(os.Getpid(), int(d.tid.Load()), 0) == unix.ESRCH
}
