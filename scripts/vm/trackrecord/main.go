//go:build linux && amd64

// Command trackrecord breaks kernels on purpose, as the table of faults says,
// and holds what dioStress says about them against what it must say. It prints
// the track record, and writes it where --doc says.
//
// It does not change what dioStress said: a fault that was missed stands in the
// record as missed, and the exit status is 1.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/pflag"

	"diostress/scripts/vm/faults"
	"diostress/scripts/vm/kernels"
	"diostress/scripts/vm/lab"
	"diostress/scripts/vm/machine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

type options struct {
	kernels, faults, fs, engines []string
	jobs                         int
	doc, out                     string
	list                         bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := pflag.NewFlagSet("trackrecord", pflag.ContinueOnError)
	f.SetOutput(stderr)
	f.SortFlags = false
	f.StringSliceVar(&o.kernels, "kernel", []string{"6.1", "6.12"}, "series")
	f.StringSliceVar(&o.faults, "fault", nil, "faults of the table (default: all)")
	f.StringSliceVar(&o.fs, "fs", []string{"ext4", "ext3"}, "file systems: ext4, ext3")
	f.StringSliceVar(&o.engines, "ioengine", []string{"io_uring", "libaio"}, "engines")
	f.IntVar(&o.jobs, "jobs", 2, "machines at a time")
	f.StringVar(&o.doc, "doc", "", "file that gets the track record as Markdown")
	f.StringVar(&o.out, "out", "", "directory that keeps the consoles (default: faults in the cache)")
	f.BoolVar(&o.list, "list", false, "list the table of faults and end")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	for _, fs := range o.fs {
		if fs != "ext4" && fs != "ext3" {
			return o, fmt.Errorf("--fs %q is not known; valid: ext4, ext3", fs)
		}
	}
	if o.jobs < 1 {
		return o, fmt.Errorf("--jobs %d is not valid: at least 1", o.jobs)
	}
	_, err := faults.Select(o.faults)
	return o, err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "vm:", err)
		return machine.ExitUsage
	}
	cases, _ := faults.Select(o.faults)
	if o.list {
		for _, c := range cases {
			fmt.Fprintf(stdout, "%-18s %s\n", c.Name, c.About)
		}
		return 0
	}
	var mu sync.Mutex
	say := func(f string, a ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(stderr, "vm: "+f+"\n", a...)
	}
	rec, err := o.record(ctx, cases, say)
	if err != nil {
		say("%v", err)
		if lab.Unavailable(err) {
			return machine.ExitUnavailable
		}
		return machine.ExitBroken
	}
	rec.table(stdout)
	if o.doc != "" {
		if err := os.WriteFile(o.doc, []byte(rec.document()), 0o644); err != nil {
			say("%v", err)
			return machine.ExitBroken
		}
	}
	return rec.status()
}

// record runs everything.
func (o *options) record(ctx context.Context, cases []faults.Case, say func(string, ...any)) (*record, error) {
	l, err := lab.Open(ctx, lab.Options{Log: say})
	if err != nil {
		return nil, err
	}
	if o.out == "" {
		o.out = filepath.Join(l.Cache.Dir, "faults")
	}
	g208, err := l.Build(ctx, "./scripts/vm/g208")
	if err != nil {
		return nil, err
	}
	rec := &record{accel: string(l.Accel)}
	var benches []*bench
	for _, spec := range o.kernels {
		k, err := l.Cache.Get(ctx, kernels.Request{Spec: spec, Flavour: kernels.Cloud, Headers: true})
		if err != nil {
			say("SKIPPED: kernel %s: %v", spec, err)
			rec.skipped = append(rec.skipped, fmt.Sprintf("kernel %s: %v", spec, err))
			continue
		}
		dir, err := l.Cache.BuildModules(ctx, k, filepath.Join(l.Root, "scripts/vm/faults/module"))
		if err != nil {
			return nil, err
		}
		benches = append(benches, &bench{lab: l, kernel: k, modules: dir, g208: g208, out: o.out, fs: o.fs, engines: o.engines})
	}
	var own *bench
	if slices.ContainsFunc(cases, func(c faults.Case) bool { return c.Own }) {
		if k, ok := l.Cache.Built(kernels.Bug2007(l.Root)); ok {
			own = &bench{lab: l, kernel: k, g208: g208, out: o.out, fs: o.fs, engines: o.engines}
		} else {
			say("SKIPPED: the kernel with the bug of 2007 is not built: make vm-kernel")
			rec.skipped = append(rec.skipped, "2007-kernel: the kernel is not built (make vm-kernel)")
		}
	}
	return rec, rec.runAll(ctx, cases, benches, own, o.jobs, say)
}

// runAll runs every case on every kernel, jobs machines at a time, and keeps
// the order of the table.
func (rec *record) runAll(ctx context.Context, cases []faults.Case, benches []*bench, own *bench, jobs int, say func(string, ...any)) error {
	type job struct {
		b     *bench
		c     *faults.Case
		lines []line
		err   error
	}
	var todo []*job
	for i := range cases {
		c := &cases[i]
		switch {
		case c.Own && own != nil:
			todo = append(todo, &job{b: own, c: c})
		case !c.Own:
			for _, b := range benches {
				todo = append(todo, &job{b: b, c: c})
			}
		}
	}
	slots := make(chan struct{}, jobs)
	var wg sync.WaitGroup
	var alone sync.RWMutex // held for writing by a case that runs beside no other
	for _, j := range todo {
		wg.Go(func() {
			if j.c.Alone {
				alone.Lock()
				defer alone.Unlock()
			} else {
				alone.RLock()
				defer alone.RUnlock()
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() != nil {
				j.err = ctx.Err()
				return
			}
			j.lines, j.err = j.b.run(ctx, j.c)
			for _, l := range j.lines {
				say("%s", l.short())
			}
		})
	}
	wg.Wait()
	var err error
	for _, j := range todo {
		rec.lines = append(rec.lines, j.lines...)
		err = errors.Join(err, j.err)
	}
	return err
}

// short is the row in one line.
func (l *line) short() string {
	word := "ok  "
	if !l.ok {
		word = "MISS"
	}
	s := fmt.Sprintf("%s %s %s %s %s: %s", word, l.fault.Name, l.kernel, l.fs, l.engine, l.caught)
	if l.why != "" {
		s += " [" + l.why + "]"
	}
	return strings.TrimSpace(s)
}
