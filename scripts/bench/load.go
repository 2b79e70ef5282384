package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// load is a program that writes until it is told to stop.
type load struct {
	name string
	at   place
	argv []string
	env  []string
}

// running is a load that has been started. It stands still, by SIGSTOP, except
// while it is looked at: so loads can be compared in turns of a fraction of a
// second, whatever the machine does meanwhile, and start-up is in no figure.
type running struct {
	load
	c    *counters
	cmd  *exec.Cmd
	out  bytes.Buffer
	gone chan struct{} // closed when it has ended
	err  error         // why, valid then
}

// readyWrites is how many direct writes show that a load has begun, warmUp how
// long it then runs before it is stopped, settle how long it runs after it was
// let go on before it is looked at.
const (
	readyWrites = 200
	readyWait   = 60 * time.Second
	warmUp      = 300 * time.Millisecond
	settle      = 100 * time.Millisecond
	endWait     = 30 * time.Second
)

// start starts a load, waits until its direct writes flow, and stops it.
func (b *bench) start(ctx context.Context, l load) (_ *running, err error) {
	r := &running{load: l, cmd: exec.Command(l.argv[0], l.argv[1:]...), gone: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	r.cmd.Dir = b.work
	r.cmd.Env = append(os.Environ(), l.env...)
	// A process group of its own, or the terminal's ^C would reach it too.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if r.c, err = openCounters(l.at.dev); err != nil {
		return nil, err
	}
	before, err := r.c.writes()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		r.c.close()
		return nil, err
	}
	go func() {
		r.err = r.cmd.Wait()
		close(r.gone)
	}()
	for end := time.Now().Add(readyWait); ; {
		if err = r.sleep(ctx, 20*time.Millisecond); err != nil {
			break
		}
		var now uint64
		if now, err = r.c.writes(); err != nil {
			break
		}
		if now-before >= readyWrites {
			err = r.sleep(ctx, warmUp)
			break
		}
		if time.Now().After(end) {
			err = fmt.Errorf("%d direct writes after %v", now-before, readyWait)
			break
		}
	}
	if err != nil {
		r.end()
		return nil, r.failed(err)
	}
	r.signal(syscall.SIGSTOP)
	return r, nil
}

// sleep is an error if the load ends meanwhile.
func (r *running) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-r.gone:
		return fmt.Errorf("ended too early: %v", r.err)
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (r *running) failed(err error) error {
	text := strings.TrimSpace(r.out.String())
	if len(text) > 2000 {
		text = "..." + text[len(text)-2000:]
	}
	return fmt.Errorf("%s: %w\n%s", r.name, err, text)
}

// look lets the load go on for a window of time and says what happened in it.
func (b *bench) look(ctx context.Context, r *running) (f figures, err error) {
	r.signal(syscall.SIGCONT)
	defer r.signal(syscall.SIGSTOP)
	if err := r.sleep(ctx, settle); err != nil {
		return f, r.failed(err)
	}
	pids := family(r.cmd.Process.Pid)
	before, err1 := r.c.sample(pids)
	err2 := r.sleep(ctx, b.window)
	after, err3 := r.c.sample(pids)
	if err := errors.Join(err1, err2, err3); err != nil {
		return f, r.failed(err)
	}
	return after.since(before), nil
}

// end stops a load and whatever it started: politely, then for good. Its
// output is complete then.
func (r *running) end() {
	defer r.c.close()
	pids := family(r.cmd.Process.Pid)
	r.signal(syscall.SIGCONT)
	syscall.Kill(r.cmd.Process.Pid, syscall.SIGINT)
	select {
	case <-r.gone:
	case <-time.After(endWait):
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		<-r.gone
	}
}

// signal sends a signal to the load and its descendants.
func (r *running) signal(s syscall.Signal) {
	select {
	case <-r.gone:
		return
	default:
	}
	for _, pid := range family(r.cmd.Process.Pid) {
		syscall.Kill(pid, s)
	}
}

// turns looks at several loads in turn, as often as there are pairs, and ends
// them.
func (b *bench) turns(ctx context.Context, watch bool, loads ...load) (out [][]figures, err error) {
	var all []*running
	defer func() {
		for _, r := range all {
			r.end()
		}
	}()
	for _, l := range loads {
		r, err := b.start(ctx, l)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	if !watch {
		for _, r := range all {
			r.c.close()
		}
	}
	out = make([][]figures, len(loads))
	for round := range b.pairs {
		for i := range all {
			// Whatever drifts in a round must not always meet the same load.
			at := (i + round) % len(all)
			f, err := b.look(ctx, all[at])
			if err != nil {
				return nil, err
			}
			out[at] = append(out[at], f)
		}
	}
	for i, l := range loads {
		b.say("%s %s: %s", b.fs, l.name, summary(out[i]))
	}
	return out, nil
}

func summary(list []figures) string {
	return fmt.Sprintf("%.0f failures/s (%.3f of the writes), %.0f blocks/s, %.2f us of CPU each",
		median(pick(list, figures.failures)), median(pick(list, figures.share)), median(pick(list, figures.iops)), median(pick(list, figures.cpuPerOp)))
}
