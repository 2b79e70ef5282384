//go:build linux && amd64

// Command matrix runs dioStress under many kernels and prints one table:
// verdict, collisions, contract era, seconds. A series that the mirror lacks is
// skipped loudly; required ones must be there.
//
// It judges no write: a cell's verdict is dioStress's own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"diostress/internal/plan"
	"diostress/scripts/vm/disk"
	"diostress/scripts/vm/kernels"
	"diostress/scripts/vm/lab"
	"diostress/scripts/vm/machine"
	"diostress/scripts/vm/trial"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

type options struct {
	kernels, required, fs, engines []string
	runs, jobs, timeout            int
	runtime                        time.Duration
	out                            string
	extra                          []string
}

// settings are what every cell is run with: dirtiers of every sort that tempts
// a judge, and few enough of them for the two processors of a machine.
var settings = []string{
	"--bs", "16k", "--size", "2m", "--iodepth", "4", "--dirty", "mmap=1,write=1,fsync=1", "--dirty-yield-every", "1",
	"--stuck-timeout", "60s", "--epoch", "2s",
}

// A cell that lacks nothing but pressure is run again, longer: how many
// collisions a second there are is the emulation's affair.
const (
	again  = 2
	longer = 4
)

const usage = `usage: go run ./scripts/vm/matrix [flags] [-- arguments of dioStress]

Runs dioStress under many kernels, on every file system and engine.

`

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := pflag.NewFlagSet("matrix", pflag.ContinueOnError)
	f.SetOutput(stderr)
	f.SortFlags = false
	f.Usage = func() { fmt.Fprint(stderr, usage, f.FlagUsages()) }
	f.StringSliceVar(&o.kernels, "kernel", []string{"5.10", "6.1", "6.12", "6.18", kernels.Newest}, "series, bzImage or .deb files")
	f.StringSliceVar(&o.required, "required", []string{"6.1", "6.12"}, "series without which the matrix fails")
	f.StringSliceVar(&o.fs, "fs", []string{"ext4", "ext3"}, "file systems: "+strings.Join(disk.FormatNames(), ", "))
	f.StringSliceVar(&o.engines, "ioengine", []string{"io_uring", "libaio"}, "engines")
	f.IntVar(&o.runs, "runs", 1, "runs of each cell")
	runtime := f.String("runtime", "5s", "of each run, as dioStress takes it; a run that lacks pressure is repeated with more")
	f.IntVar(&o.jobs, "jobs", 2, "machines at a time")
	f.IntVar(&o.timeout, "timeout", 180, "seconds after which a run's machine is ended")
	f.StringVar(&o.out, "out", "", "directory that keeps the consoles (default: matrix in the cache)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if n := f.ArgsLenAtDash(); n > 0 || n < 0 && f.NArg() > 0 {
		return o, fmt.Errorf("argument %q: arguments of dioStress come after --", f.Arg(0))
	}
	o.extra = f.Args()
	var err error
	if o.runtime, err = plan.ParseTime(*runtime); err != nil {
		return o, fmt.Errorf("--runtime: %w", err)
	}
	for _, k := range o.kernels {
		if err := kernels.CheckSpec(k); err != nil {
			return o, err
		}
	}
	for _, n := range o.fs {
		if _, err := disk.FormatByName(n); err != nil {
			return o, fmt.Errorf("--fs: %w", err)
		}
	}
	for flag, v := range map[string]int{"--runs": o.runs, "--jobs": o.jobs, "--timeout": o.timeout} {
		if v < 1 {
			return o, fmt.Errorf("%s %d is not valid: at least 1", flag, v)
		}
	}
	return o, nil
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
	var mu sync.Mutex
	say := func(f string, a ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(stderr, "vm: "+f+"\n", a...)
	}
	l, err := lab.Open(ctx, lab.Options{Log: say})
	if err != nil {
		say("%v", err)
		if lab.Unavailable(err) {
			return machine.ExitUnavailable
		}
		return machine.ExitBroken
	}
	if o.out == "" {
		o.out = l.Cache.Dir + "/matrix"
	}
	rows := o.kernelRows(ctx, l, say)
	o.runAll(ctx, l, rows, say)
	printTable(stdout, o, rows)
	return o.status(rows)
}

// row is one kernel with its cells.
type row struct {
	spec     string
	kernel   kernels.Kernel
	missing  error // the kernel cannot be had
	broken   error // machines could not be run
	outcomes []trial.Outcome
}

// kernelRows fetches the kernels. "newest" that is one of the others is left out.
func (o *options) kernelRows(ctx context.Context, l *lab.Lab, say func(string, ...any)) (rows []*row) {
	for _, spec := range o.kernels {
		k, err := l.Cache.Get(ctx, kernels.Request{Spec: spec, Flavour: kernels.Cloud})
		if err != nil {
			say("SKIPPED: kernel %s: %v", spec, err)
		}
		if i := slices.IndexFunc(rows, func(r *row) bool { return err == nil && r.missing == nil && r.kernel.Image == k.Image }); i >= 0 {
			say("%s is %s, which is in the matrix already", spec, k.Version)
			continue
		}
		rows = append(rows, &row{spec: spec, kernel: k, missing: err})
	}
	return rows
}

// cells of one kernel, all runs. round 0 is the first, the others are longer.
func (o *options) cells(round int) (cells []trial.Cell) {
	runtime := o.runtime
	for range round {
		runtime *= longer
	}
	for n := range o.runs {
		for _, fs := range o.fs {
			for _, e := range o.engines {
				cells = append(cells, trial.Cell{
					Name: fmt.Sprintf("%s-%s-%d", fs, e, n+1), Engine: e, Format: fs,
					Args:    slices.Concat(settings, []string{"--runtime", plan.FormatTime(runtime)}, o.extra),
					Timeout: o.timeout + int((runtime-o.runtime)/time.Second),
				})
			}
		}
	}
	return cells
}

func (o *options) runAll(ctx context.Context, l *lab.Lab, rows []*row, say func(string, ...any)) {
	slots := make(chan struct{}, o.jobs)
	var wg sync.WaitGroup
	for _, r := range rows {
		if r.missing != nil {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			say("kernel %s: %d cells", r.kernel.Version, len(o.cells(0)))
			if r.broken = o.runKernel(ctx, l, r, say); r.broken != nil {
				say("kernel %s: %v", r.kernel.Version, r.broken)
			}
		})
	}
	wg.Wait()
}

// runKernel runs the cells of one kernel.
func (o *options) runKernel(ctx context.Context, l *lab.Lab, r *row, say func(string, ...any)) error {
	s := trial.Setup{Lab: l, Kernel: r.kernel, WorkDir: o.out + "/" + r.spec, OnOutcome: func(c *trial.Outcome) {
		say("kernel %s: %s: %s", r.kernel.Version, c.Cell.Name, verdictOf(c))
	}}
	var err error
	if r.outcomes, err = trial.Run(ctx, s, o.cells(0)); err != nil {
		return err
	}
	for round := 1; round <= again; round++ {
		var which []int
		var cells []trial.Cell
		for i, c := range o.cells(round) {
			if r.outcomes[i].OnlyPressure() {
				which, cells = append(which, i), append(cells, c)
			}
		}
		if len(cells) == 0 {
			return nil
		}
		more, err := trial.Run(ctx, s, cells)
		if err != nil {
			return err
		}
		for n, i := range which {
			r.outcomes[i] = more[n]
		}
	}
	return nil
}
