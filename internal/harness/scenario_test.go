package harness_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"diostress/internal/harness"
	"diostress/internal/kernel"
	"diostress/internal/ledger"
	"diostress/internal/need"
	"diostress/internal/oracle"
	"diostress/internal/plan"
	"diostress/internal/testbed"
	"diostress/internal/verdict"
	"diostress/ioengine"
	"diostress/ioengine/enginetest"
	"diostress/ioengine/libaio"
	"diostress/ioengine/uring"
)

// witness is what a scenario's run left behind, beside the judgement.
type witness struct {
	oracle.Outcome
	t        *ledger.Trailer
	header   ledger.Header
	features []string
	rules    map[string]verdict.Verdict
}

// Entry implements ledger.Sink.
func (w *witness) Entry(*ledger.Entry) {}

// Record implements ledger.Sink.
func (w *witness) Record(r ledger.Record) {
	switch x := r.(type) {
	case *ledger.Trailer:
		t := *x
		w.t = &t
	case *ledger.Header:
		w.header = *x
	}
}

func (w *witness) dirtier(kind string) (d ledger.DirtierSum) {
	for _, x := range w.t.Dirtiers {
		if x.Kind == kind {
			return x
		}
	}
	return d
}

// shows says whether a run did what its scenario is about; fs is ext4 or ext3.
func shows(w *witness, fs string) string {
	a := &w.t.Jobs[0].Attr
	pass := func(rules ...string) string {
		for _, r := range rules {
			if w.rules[r] != verdict.Pass {
				return r + " is not decided: " + w.rules[r].String()
			}
		}
		return ""
	}
	want := func(ok bool, why string) string {
		if ok {
			return ""
		}
		return why
	}
	switch w.header.Config.Scenario {
	case "hole-fill", "subblock":
		if fs == "ext3" {
			return want(a.Hole > 0, "no write fell back at a hole")
		}
		return want(a.Hole == 0, "writes fell back at holes, which ext4 fills directly")
	case "extend", "eof-race", "append-fallocate":
		return pass("size_updated", "control_data")
	case "truncate":
		return want(w.dirtier("mmap").Faults > 0, "no store past the end")
	case "readahead", "cycle-write", "punch", "unwritten":
		return pass("control_data", "cache_coherent")
	case "dsync":
		r := &w.Runs[0]
		if n := r.Completions.Failed["EIO"]; n == 0 || r.Fsync.Completion.Invalidation != n {
			return "EIO in completions, not one of which or not each is taken for the sync's: " + w.rules["eio_explained"].String()
		}
		return pass("eio_explained")
	case "sqpoll":
		return want(slices.Contains(w.features, "sqpoll"), "no poller")
	case "fixedbufs":
		return want(slices.Contains(w.features, "fixed_buffers") && slices.Contains(w.features, "fixed_files"), "nothing is registered")
	}
	return ""
}

// scenarioRun makes one run of a scenario.
func scenarioRun(t *testing.T, bed *testbed.Bed, sc *plan.Scenario, engine string, open ioengine.Opener, d time.Duration) (*witness, error) {
	t.Helper()
	c := config(func(c *plan.Config) { c.Runtime, c.Seed = d, 11 })
	sc.Apply(&c)
	c.Epoch = time.Second
	w := &witness{rules: map[string]verdict.Verdict{}}
	s := setup(t, c, bed.Dir(), func(o ioengine.Options) (ioengine.Engine, error) {
		e, err := open(o)
		if x, ok := e.(ioengine.Describer); ok && err == nil {
			w.features = x.Features()
		}
		return e, err
	}, nil)
	i := bed.Info()
	s.Bed, s.Engine, s.Entries = bed, engine, false
	s.Facts.FSType, s.Facts.FSConfig, s.Facts.BlockSize, s.Facts.DirectIO, s.Facts.Fsck = i.FS, i.Config, int(i.BlockSize), i.DirectIO, true
	s.Marker = kernel.Marker(sc.Name, c.Seed)
	judge := oracle.New()
	s.Sink = ledger.Tee{judge, w}
	if err := harness.Run(context.Background(), s); err != nil {
		return nil, err
	}
	w.Outcome = judge.Finish()
	for _, r := range w.Rules {
		w.rules[r.Name] = r.Verdict
	}
	return w, nil
}

// TestScenariosPass runs every scenario on a healthy kernel: no false alarm,
// enough pressure, and it does what it says. How long that takes is up to the
// machine: a run that pressed too little is made again, and longer.
func TestScenariosPass(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	engines := map[string]struct {
		name string
		open ioengine.Opener
	}{"ext4": {"io_uring", uring.Open}, "ext3": {"libaio", libaio.Open}}
	cannot := map[string]string{ // what a file system lacks for a scenario
		"ext3/append-fallocate": "fallocate", "ext3/unwritten": "fallocate",
	}
	for fs, e := range engines {
		t.Run(fs, func(t *testing.T) {
			bed, err := testbed.Open(context.Background(), testbed.Spec{FS: fs, Need: 64 << 20})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := bed.Close(); err != nil {
					t.Error(err)
				}
			}()
			for _, sc := range plan.Scenarios() {
				t.Run(sc.Name, func(t *testing.T) {
					engine, open := e.name, e.open
					if ok, _ := sc.Runs(engine); !ok {
						engine, open = "io_uring", uring.Open
					}
					why := ""
					for d := 300 * time.Millisecond; d < 5*time.Second; d *= 2 {
						w, err := scenarioRun(t, bed, &sc, engine, open, d)
						if lack := cannot[fs+"/"+sc.Name]; lack != "" {
							if !errors.Is(err, harness.ErrUnsupported) || !strings.Contains(err.Error(), lack) {
								t.Errorf("%v, want that %s is missing", err, lack)
							}
							return
						}
						if err != nil {
							t.Fatal(err)
						}
						short := w.rules["adequacy"] == verdict.Undecided
						if !short || len(w.Findings) > 0 || w.t.Broken != "" {
							mustPass(t, w.Outcome)
						}
						if why = shows(w, fs); !short && (why == "" || t.Failed()) {
							t.Logf("%v: %d writes; %s; %+v", d, w.Runs[0].Completions.Completed, w.Runs[0].Adequacy.Reached, w.t.Work)
							return
						}
					}
					if need.Emulated() && !t.Failed() {
						need.Skip(t, need.Speed, "4.8 s of running pressed too little; no finding")
					}
					t.Errorf("not within 4.8 s of running: %s", why)
				})
			}
		})
	}
}

// TestFilesAreRemoved: whether a run ends or never begins, it leaves no file.
func TestFilesAreRemoved(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	bed, err := testbed.Open(context.Background(), testbed.Spec{FS: "ext3", Need: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer bed.Close()
	for _, name := range []string{"unwritten", "append-fallocate", "self-mmap"} {
		sc, _ := plan.FindScenario(name)
		if _, err := scenarioRun(t, bed, &sc, "io_uring", uring.Open, 50*time.Millisecond); err != nil && !errors.Is(err, harness.ErrUnsupported) {
			t.Fatal(err)
		}
		left, err := filepath.Glob(filepath.Join(bed.Dir(), "*.0"))
		if probe, _ := filepath.Glob(filepath.Join(bed.Dir(), "probe*")); err != nil || len(left)+len(probe) > 0 {
			t.Errorf("%s leaves %v %v behind (%v)", name, left, probe, err)
		}
	}
}

// loses is an engine that says that it has written a block and has not.
func loses(op, every uint64) ioengine.Opener {
	return enginetest.Fake(enginetest.Script{Rules: []enginetest.Rule{{Op: op, Every: every, Do: enginetest.DataLost}}})
}

// TestLostWriteIsSeenOnline: a write to the control file that is lost, and
// written over before the epoch ends, is found all the same.
func TestLostWriteIsSeenOnline(t *testing.T) {
	need.Alone(t)
	c := config(func(c *plan.Config) { c.Epoch, c.Dirty = 10*time.Second, []plan.Dirty{{Kind: "mmap", Count: 1}} })
	// The stream sends every 32nd write to the control file, and every second
	// of these is read back at once.
	o := decided(t, c, func(c plan.Config) harness.Setup { return setup(t, c, t.TempDir(), loses(32*4-1, 0), nil) })
	if o.Verdict != verdict.Fail || !slices.Equal(brokenRules(o), []string{"control_data"}) {
		t.Fatalf("%v: %s, broken %v", o.Verdict, o.Reason, brokenRules(o))
	}
	if w := o.Findings[0].Witnesses; len(w) == 0 || !strings.Contains(w[0].Evidence, "online") {
		t.Errorf("witnesses %+v, want one of the read while the run went on", w)
	}
}

// TestSizeThatFallsBehind: a completed write that the size does not reach is
// found, and so is its data.
func TestSizeThatFallsBehind(t *testing.T) {
	need.Alone(t)
	sc, _ := plan.FindScenario("extend")
	c := config()
	sc.Apply(&c)
	c.IODepth, c.Epoch = 1, 100*time.Millisecond
	o := decided(t, c, func(c plan.Config) harness.Setup { return setup(t, c, t.TempDir(), loses(100, 0), nil) })
	if got := brokenRules(o); o.Verdict != verdict.Fail || !slices.Contains(got, "size_updated") {
		t.Errorf("%v: %s, broken %v", o.Verdict, o.Reason, got)
	}
	o = judged(t, setup(t, c, t.TempDir(), enginetest.Fake(enginetest.Script{}), nil))
	if got := brokenRules(o); len(got) > 0 {
		t.Errorf("broken %v by an engine that does as it says: %s", got, o.Reason)
	}
}

// TestZerosAreHeldAgainstTheWrites: a hole that was written and reads as zeros
// is a loss; one that was not is none.
func TestZerosAreHeldAgainstTheWrites(t *testing.T) {
	need.Alone(t)
	sc, _ := plan.FindScenario("unwritten")
	c := config()
	sc.Apply(&c)
	c.Layout, c.Epoch = plan.LayoutSparse, 100*time.Millisecond
	for name, x := range map[string]struct {
		open ioengine.Opener
		want []string
	}{
		"well behaved": {enginetest.Fake(enginetest.Script{}), nil},
		"lost":         {loses(100, 7), []string{"control_data"}},
	} {
		o := decided(t, c, func(c plan.Config) harness.Setup { return setup(t, c, t.TempDir(), x.open, nil) })
		if got := brokenRules(o); !slices.Equal(got, x.want) {
			t.Errorf("%s: %v: %s, broken %v, want %v", name, o.Verdict, o.Reason, got, x.want)
		}
	}
}

// TestZeroBuffersAreJudged: of writes whose data are zeros, one that is lost is
// found as long as the block holds something else.
func TestZeroBuffersAreJudged(t *testing.T) {
	need.Alone(t)
	sc, _ := plan.FindScenario("zero-page")
	c := config()
	sc.Apply(&c)
	c.Epoch = 100 * time.Millisecond
	for name, x := range map[string]struct {
		open ioengine.Opener
		want []string
	}{
		"well behaved": {enginetest.Fake(enginetest.Script{}), nil},
		"lost":         {loses(32-1, 32), []string{"control_data"}}, // every write to the control file
	} {
		o := decided(t, c, func(c plan.Config) harness.Setup { return setup(t, c, t.TempDir(), x.open, nil) })
		if got := brokenRules(o); !slices.Equal(got, x.want) {
			t.Errorf("%s: %v: %s, broken %v, want %v", name, o.Verdict, o.Reason, got, x.want)
		}
	}
}
