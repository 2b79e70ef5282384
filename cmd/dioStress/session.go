package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"diostress/internal/harness"
	"diostress/internal/ledger"
	"diostress/internal/oracle"
	"diostress/internal/plan"
	"diostress/internal/testbed"
	"diostress/internal/verdict"
)

// session is one invocation: every run of it, and the result they add up to.
type session struct {
	s              *settings
	stdout, stderr io.Writer
	res            *verdict.Result
	began          time.Time
	log            *ledger.Log
	view           *view
	cells          int    // runs that were judged
	lacking        string // an engine that was named and cannot run here, and why
}

func newSession(s *settings, stdout, stderr io.Writer) *session {
	x := &session{s: s, stdout: stdout, stderr: stderr, began: time.Now()}
	x.res = &verdict.Result{
		SchemaVersion: verdict.SchemaVersion, Program: program(), Seed: s.cfg.Seed, Repro: s.repro(),
		StartTime: x.began.Format("2006-01-02T15:04:05-07:00"), Environment: machine(),
	}
	x.view = newView(s, stderr)
	return x
}

// cell is one combination of the matrix.
type cell struct {
	fsConfig string
	variant  int // of settings.variants
	loop     int
}

func (x *session) matrix() (out []cell) {
	configs := x.s.fsConfigs
	if len(configs) == 0 {
		configs = []string{x.s.cfg.FSConfig}
	}
	for loop := range x.s.loops {
		for _, c := range configs {
			for v := range x.s.variants {
				out = append(out, cell{c, v, loop})
			}
		}
	}
	return out
}

// cellName names all runs of a cell together.
func (x *session) cellName(c cell) string {
	return strings.Trim(c.fsConfig+"."+x.s.variants[c.variant].Scenario, ".")
}

// name is what the report calls the runs of a cell's engine.
func (x *session) name(c cell, engine string) string {
	var parts []string
	if len(x.s.fsConfigs) > 1 {
		parts = append(parts, c.fsConfig)
	}
	if sc := x.s.variants[c.variant].Scenario; sc != "" {
		parts = append(parts, sc)
	}
	parts = append(parts, engine)
	if x.s.loops > 1 {
		parts = append(parts, fmt.Sprintf("loop%d", c.loop+1))
	}
	return strings.Join(parts, ".")
}

// config returns the settings of one cell.
func (x *session) config(c cell) plan.Config {
	cfg := x.s.variants[c.variant]
	cfg.FSConfig = c.fsConfig
	cfg.Seed += uint64(c.loop)
	return cfg
}

func spec(c *plan.Config) testbed.Spec {
	need := plan.New(*c).Bytes()
	return testbed.Spec{
		FS: c.FS, Config: c.FSConfig, MkfsOptions: c.MkfsOptions, MountOptions: c.MountOptions, Need: need + need/8 + 1<<20,
		ImageDir: c.ImageDir, StablePages: c.StablePages, Directory: c.Directory, Device: c.Device, DestroyData: c.DestroyData,
	}
}

// check looks at everything that can be looked at while nothing is made.
func (x *session) check() error {
	var lacks error // what the machine lacks for the first configuration
	able := false
	for _, c := range x.matrix() {
		if c.loop > 0 {
			break
		}
		cfg := x.config(c)
		sp := spec(&cfg)
		switch err := testbed.Check(sp); {
		case errors.Is(err, testbed.ErrUnsupported):
			// The others may do; this one is skipped when its turn comes.
			lacks = cmp.Or(lacks, err)
			continue
		case err != nil:
			return err
		}
		able = true
		if lb := testbed.LogicalBlock(sp); lb > 0 && int64(cfg.BS)%lb != 0 && cfg.Scenario == "" {
			return usagef("--bs %s is not a multiple of the logical block of %s, %d bytes; valid: %s, %s, ...",
				plan.FormatSize(int64(cfg.BS)), firstOf(cfg.Device, cfg.Directory), lb, plan.FormatSize(lb), plan.FormatSize(2*lb))
		}
	}
	if !able {
		return lacks
	}
	return nil
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// work runs every cell of the matrix.
func (x *session) work(ctx context.Context) {
	if x.s.completions != "" {
		var err error
		if x.log, err = ledger.CreateLog(x.s.completions); err != nil {
			x.broken("--completions %s: %v", x.s.completions, err)
			return
		}
		defer func() {
			if err := x.log.Close(); err != nil {
				x.broken("--completions %s: %v", x.s.completions, err)
			}
		}()
	}
	stop := x.view.start()
	defer stop()
	if x.s.profile == "auto" {
		switch err := x.tune(ctx); {
		case errors.Is(err, testbed.ErrUnsupported), errors.Is(err, harness.ErrUnsupported):
			x.skip("profile auto", err.Error())
			x.conclude()
			return
		case err != nil:
			x.broken("--profile auto: %v", err)
			x.conclude()
			return
		}
	}
	for _, c := range x.matrix() {
		if ctx.Err() != nil {
			x.notRun(c, x.config(c).Engines)
			continue
		}
		x.cell(ctx, c)
		if x.res.Stuck {
			break // nothing on this machine can be trusted to answer any more
		}
	}
	x.res.ElapsedNS = time.Since(x.began).Nanoseconds()
	x.conclude()
}

// cell makes one file system and runs every engine on it.
func (x *session) cell(ctx context.Context, c cell) {
	cfg := x.config(c)
	if cfg.Engines = x.able(c, &cfg); len(cfg.Engines) == 0 {
		return
	}
	bed, err := testbed.Open(ctx, spec(&cfg))
	switch {
	case ctx.Err() != nil:
		x.notRun(c, cfg.Engines)
		if err == nil {
			bed.Close()
		}
		return
	case errors.Is(err, testbed.ErrUnsupported):
		x.skip(firstOf(x.cellName(c), cfg.FS, "file system"), err.Error())
		return
	case err != nil:
		x.broken("%v", err)
		return
	}
	defer x.away(bed)
	info := bed.Info()
	x.describe(info)
	if lb := info.LogicalBlockSize; lb > 0 && int64(cfg.BS)%lb != 0 {
		x.skip(firstOf(x.cellName(c), "file system"), fmt.Sprintf("--bs %d is not a multiple of the logical block, %d bytes", cfg.BS, lb))
		return
	}
	for i, name := range cfg.Engines {
		if ctx.Err() != nil {
			x.notRun(c, cfg.Engines[i:])
			return
		}
		x.engine(ctx, c, cfg, bed, name)
		if x.res.Stuck {
			return
		}
	}
}

// away removes what Open made. After a run that got stuck the kernel may not
// let go of it: then it is left to 'dioStress clean', once this process is gone.
func (x *session) away(bed *testbed.Bed) {
	closed := make(chan error, 1)
	go func() { closed <- bed.Close() }()
	var patience <-chan time.Time
	if x.res.Stuck {
		patience = time.After(stuckPatience)
	}
	select {
	case err := <-closed:
		if err != nil {
			x.broken("%v", err)
		}
	case <-patience:
		fmt.Fprintln(x.stderr, "dioStress: the file system is in use by writes that do not come back; 'dioStress clean' removes it when they have")
	}
}

const stuckPatience = 10 * time.Second

// able returns the engines that have what the cell's scenario needs, and lists
// the others as skipped.
func (x *session) able(c cell, cfg *plan.Config) (names []string) {
	sc, ok := plan.FindScenario(cfg.Scenario)
	if !ok {
		return cfg.Engines
	}
	for _, e := range cfg.Engines {
		if ok, why := sc.Runs(e); ok {
			names = append(names, e)
		} else {
			x.skip(x.name(c, e), why)
		}
	}
	return names
}

// engine makes one run and lets it be judged while it goes on.
func (x *session) engine(ctx context.Context, c cell, cfg plan.Config, bed *testbed.Bed, name string) {
	judge := oracle.New()
	sink := ledger.Tee{judge, headerTap(x.heard)}
	if x.log != nil {
		sink = append(sink, x.log)
	}
	tap := &featureTap{}
	run := x.name(c, name)
	live := &harness.Live{}
	x.view.begin(run, name, &cfg, live, x.after(c, name))
	defer x.view.end()
	err := harness.Run(ctx, harness.Setup{
		Plan: plan.New(cfg), Run: run, Engine: name, Open: tap.wrap(findEngine(name).open),
		Dir: bed.Dir(), Bed: bed, Sink: sink, Entries: x.log != nil, Facts: facts(bed.Info(), bed.CanRemount()), Header: x.header(),
		Live: live, Late: lateReap, Marker: marker(run, cfg.Seed), Dump: x.view.dump,
	})
	x.res.Environment.Engines[name] = strings.Join(tap.features(), " ")
	switch {
	case errors.Is(err, harness.ErrUnsupported):
		x.skip(run, err.Error())
		if x.s.enginesNamed && cfg.Scenario == "" && len(x.s.fsConfigs) <= 1 {
			x.lacking = run + ": " + err.Error()
		}
		return
	case err != nil:
		x.broken("%s: %v", run, err)
		return
	}
	x.add(judge.Finish())
}

// headerTap is told of a run's header.
type headerTap func(*ledger.Header)

// Entry implements ledger.Sink.
func (headerTap) Entry(*ledger.Entry) {}

// Record implements ledger.Sink.
func (f headerTap) Record(r ledger.Record) {
	if h, ok := r.(*ledger.Header); ok {
		f(h)
	}
}

// heard takes what only the run itself found out about the machine.
func (x *session) heard(h *ledger.Header) {
	e := &x.res.Environment
	e.Tracing, e.KmsgBudget, e.GOMAXPROCS = tracingText(&h.Facts), h.Facts.KmsgBudget, runtime.GOMAXPROCS(0)
}

// after is how long the runs that follow one will take, checks not counted.
func (x *session) after(c cell, engine string) time.Duration {
	engines := x.s.cfg.Engines
	cells := x.matrix()
	left := len(engines) - 1 - slices.Index(engines, engine) + len(engines)*(len(cells)-1-slices.Index(cells, c))
	return time.Duration(left) * x.s.cfg.Runtime
}

// lateReap is how long an engine is reaped on after the last completion.
const lateReap = time.Second

// header is the part of a run's header that is for the report.
func (x *session) header() ledger.Header {
	env, err1 := json.Marshal(x.res.Environment)
	skipped, err2 := json.Marshal(x.res.Skipped)
	if err := errors.Join(err1, err2); err != nil {
		x.broken("header: %v", err)
	}
	return ledger.Header{Env: env, Skipped: skipped, Start: x.res.StartTime, Repro: x.res.Repro}
}
