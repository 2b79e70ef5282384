package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"diostress/internal/harness"
	"diostress/internal/ledger"
	"diostress/internal/plan"
	"diostress/internal/testbed"
)

// candidate is one point that --profile auto tries: flags, as a user would
// give them.
type candidate []string

// candidates are the points that did well on some machine; which of them does
// on this one is measured. Flags that the user gave are never among those tried.
func candidates() []candidate {
	held := func(more ...string) candidate {
		return append(candidate{"--iodepth=1", "--size=512k", "--dirty=mmap=1", "--dirty-hold=1ms", "--pin=true"}, more...)
	}
	free := func(more ...string) candidate {
		return append(candidate{"--dirty-hold=0", "--dirty-watch=0", "--dirty-from=0", "--dirty-redirty=0", "--dwell=0", "--pin=false"}, more...)
	}
	return []candidate{
		held("--dirty-watch=2us", "--dwell=16"),
		held("--dirty-watch=2us", "--dwell=0"),
		held("--dirty-watch=4us", "--dwell=16"),
		held("--dirty-watch=0", "--dirty-from=8us", "--dirty-redirty=2", "--dwell=16"),
		held("--dirty-watch=0", "--dirty-from=14us", "--dirty-redirty=1", "--dwell=16"),
		held("--dirty-watch=0", "--dirty-from=0", "--dirty-redirty=0", "--dwell=16"),
		held("--dirty-watch=0", "--dirty-from=0", "--dirty-redirty=0", "--dwell=0", "--pin=false"),
		free("--iodepth=1", "--size=512k", "--dirty=mmap=1"),
		free("--iodepth=4", "--size=512k", "--dirty=mmap=2"),
		free("--iodepth=16", "--size=1m", "--dirty=mmap=2"),
	}
}

// probeTime is how long each point is tried.
const probeTime = 500 * time.Millisecond

// tune replaces the settings of --profile auto by the point that makes the most
// pre-write failures a second here, with the first engine that can run. What it
// chose stands in the report and, as flags, in the command that repeats the run.
func (x *session) tune(ctx context.Context) error {
	base := x.s.variants[0]
	bed, err := testbed.Open(ctx, spec(&base))
	if err != nil {
		return err
	}
	defer bed.Close()
	var best candidate
	top, tried := -1.0, 0
	for _, c := range candidates() {
		c = x.s.withoutTyped(c)
		rate, err := x.probe(ctx, base, c, bed)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		fmt.Fprintf(x.stderr, "dioStress: auto: %s: %.0f collisions/s\n", strings.Join(c, " "), rate)
		tried++
		if rate > top {
			top, best = rate, c
		}
	}
	cfg := &x.s.variants[0]
	if err := apply(cfg, best); err != nil {
		return err
	}
	cfg.Profile = fmt.Sprintf("auto: of %d points tried, %s made the most collisions, %.0f a second", tried, strings.Join(best, " "), top)
	x.s.cfg = *cfg
	x.s.fix("--profile=auto", append(candidate{"--profile=rate"}, best...))
	x.res.Repro = x.s.repro()
	return nil
}

// withoutTyped leaves out the flags that the user gave.
func (s *settings) withoutTyped(c candidate) (out candidate) {
	for _, f := range c {
		name, _, _ := strings.Cut(f, "=")
		typed := false
		for _, t := range s.typed {
			typed = typed || strings.HasPrefix(strings.Trim(t, "'"), name+"=")
		}
		if !typed {
			out = append(out, f)
		}
	}
	return out
}

// fix replaces a flag of the command line by others.
func (s *settings) fix(flag string, by candidate) {
	var typed []string
	for _, t := range s.typed {
		if t == flag {
			typed = append(typed, by...)
		} else {
			typed = append(typed, t)
		}
	}
	s.typed = typed
}

// apply sets flags over a configuration.
func apply(cfg *plan.Config, c candidate) error {
	s := &settings{cfg: *cfg}
	for _, f := range c {
		name, text, _ := strings.Cut(strings.TrimPrefix(f, "--"), "=")
		all := options()
		i := slices.IndexFunc(all, func(o option) bool { return o.name == name })
		if i < 0 {
			panic("--profile auto tries --" + name + ", which is no flag")
		}
		if err := all[i].set(s, text); err != nil {
			return fmt.Errorf("--%s: %w", name, err)
		}
	}
	*cfg = s.cfg
	return cfg.Validate()
}

// probe makes a short run that is counted and not judged.
func (x *session) probe(ctx context.Context, cfg plan.Config, c candidate, bed *testbed.Bed) (perSecond float64, err error) {
	if err := apply(&cfg, c); err != nil {
		return 0, nil // a point that the user's own flags rule out
	}
	cfg.Verify, cfg.Trace, cfg.Retry, cfg.Runtime = "none", "count", 0, probeTime
	end := &trailerTap{}
	engine := cfg.Engines[0]
	err = harness.Run(ctx, harness.Setup{
		Plan: plan.New(cfg), Run: "auto." + engine, Engine: engine, Open: findEngine(engine).open, Dir: bed.Dir(), Sink: end,
		Facts: facts(bed.Info(), false), Marker: marker("auto", cfg.Seed), Dump: x.view.dump,
	})
	switch {
	case err != nil:
		return 0, err
	case end.t == nil || len(end.t.Jobs) == 0:
		return 0, fmt.Errorf("--profile auto: the trial of %s did not end", strings.Join(c, " "))
	case !end.t.Trace.PreWrite.Known:
		return 0, fmt.Errorf("%w: --profile auto needs to count collisions: %s; valid: root, or a profile by name", testbed.ErrUnsupported, end.t.Trace.PreWrite.Source)
	}
	return float64(end.t.Trace.PreWrite.N) / (float64(end.t.Jobs[0].RunNS) / 1e9), nil
}

// trailerTap keeps the trailer of a run.
type trailerTap struct{ t *ledger.Trailer }

// Entry implements ledger.Sink.
func (*trailerTap) Entry(*ledger.Entry) {}

// Record implements ledger.Sink.
func (p *trailerTap) Record(r ledger.Record) {
	if t, ok := r.(*ledger.Trailer); ok {
		c := *t
		p.t = &c
	}
}
