package harness_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"diostress/internal/harness"
	"diostress/internal/kernel"
	"diostress/internal/ledger"
	"diostress/internal/oracle"
	"diostress/internal/plan"
	"diostress/internal/testbed"
	"diostress/internal/verdict"
	"diostress/ioengine"
)

// config is a short run without what makes it collide often, which takes time
// from the writes; a test changes what it is about.
func config(change ...func(*plan.Config)) plan.Config {
	p, _ := plan.FindProfile("rate")
	c := plan.Config{
		Engines: []string{"io_uring"}, NumJobs: 1, Range: "own", RW: "randwrite", Runtime: 300 * time.Millisecond, Seed: 7,
		Verify: "full", Trace: "exact", Epoch: 100 * time.Millisecond, StuckTimeout: 20 * time.Second,
	}
	p.Apply(&c)
	c.Size, c.IODepth, c.Dwell = 256<<10, 4, 0
	c.Strategy.Hold, c.Strategy.Watch, c.Strategy.From, c.Strategy.Redirty, c.Strategy.Pin = 0, 0, 0, 0, false
	for _, f := range change {
		f(&c)
	}
	return c
}

// setup is a run in dir on a file system that is not ours.
func setup(t testing.TB, c plan.Config, dir string, open ioengine.Opener, sink ledger.Sink) harness.Setup {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return harness.Setup{
		Plan: plan.New(c), Run: t.Name(), Engine: "fake", Open: open, Dir: dir, Sink: sink, Entries: true,
		Facts: ledger.Facts{Kernel: kernel.ReadEnvironment().Release, FSType: "ext4", BlockSize: 4096, PageSize: 4096, DirectIO: "yes"},
		Late:  20 * time.Millisecond, Marker: kernel.Marker(filepath.Base(t.Name()), c.Seed),
	}
}

// judged runs and judges, live and from the log; the two must agree.
func judged(t testing.TB, s harness.Setup) oracle.Outcome {
	t.Helper()
	judge := oracle.New()
	path := filepath.Join(t.TempDir(), "log.zst")
	log, err := ledger.CreateLog(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Sink = ledger.Tee{judge, log}
	if err := harness.Run(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	o := judge.Finish()
	in, err := ledger.OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var again *oracle.Judge
	if err := ledger.ReadLog(in, func(*ledger.Header) (ledger.Sink, error) {
		again = oracle.New()
		return again, nil
	}); err != nil {
		t.Fatal(err)
	}
	o2 := again.Finish()
	if o2.Verdict != o.Verdict || o2.Reason != o.Reason || len(o2.Findings) != len(o.Findings) {
		t.Errorf("the log is judged otherwise than the run:\nrun: %v %q %d findings\nlog: %v %q %d findings",
			o.Verdict, o.Reason, len(o.Findings), o2.Verdict, o2.Reason, len(o2.Findings))
	}
	return o
}

// pressing makes a run, and a longer one where a loaded machine got too little
// done in it.
func pressing(c plan.Config, try func(plan.Config) (done bool)) {
	for _, longer := range []time.Duration{1, 10, 50} {
		l := c
		l.Runtime *= longer
		if try(l) {
			return
		}
	}
}

// decided is what a run is judged to be that got enough done for that.
func decided(t testing.TB, c plan.Config, on func(plan.Config) harness.Setup) (o oracle.Outcome) {
	t.Helper()
	pressing(c, func(c plan.Config) bool {
		o = judged(t, on(c))
		return o.Verdict != verdict.Undecided
	})
	return o
}

// onBed makes a file system for a real run.
func onBed(t testing.TB, sp testbed.Spec, s harness.Setup) harness.Setup {
	t.Helper()
	bed, err := testbed.Open(context.Background(), sp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bed.Close(); err != nil {
			t.Error(err)
		}
	})
	i := bed.Info()
	s.Bed, s.Dir = bed, bed.Dir()
	s.Facts.FSType, s.Facts.FSConfig, s.Facts.BlockSize, s.Facts.DirectIO, s.Facts.DataJournal, s.Facts.Fsck = i.FS, i.Config, int(i.BlockSize), i.DirectIO, i.DataJournal, true
	return s
}

// mustPass fails the test with everything that is known of a run that did not.
func mustPass(t testing.TB, o oracle.Outcome) {
	t.Helper()
	if o.Verdict == verdict.Pass {
		return
	}
	t.Errorf("%v: %s", o.Verdict, o.Reason)
	for _, f := range o.Findings {
		t.Errorf("finding %s (%d): %s", f.Rule, f.Count, f.Text)
		for _, w := range f.Witnesses {
			t.Errorf("  %+v", w)
		}
	}
	for _, r := range o.Rules {
		if r.Verdict != verdict.Pass {
			t.Logf("rule %s: %v: %s", r.Name, r.Verdict, r.Reason)
		}
	}
}
