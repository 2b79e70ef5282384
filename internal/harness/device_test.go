package harness_test

import (
	"testing"
	"time"

	"diostress/internal/harness"
	"diostress/internal/need"
	"diostress/internal/oracle"
	"diostress/internal/plan"
	"diostress/internal/testbed"
	"diostress/internal/testbed/bedtest"
	"diostress/internal/verdict"
	"diostress/ioengine"
	"diostress/ioengine/libaio"
	"diostress/ioengine/uring"
)

// onto puts a run on a bed that somebody else closes.
func onto(s harness.Setup, bed *testbed.Bed) harness.Setup {
	i := bed.Info()
	s.Bed, s.Dir = bed, bed.Dir()
	s.Facts.FSType, s.Facts.FSConfig, s.Facts.BlockSize, s.Facts.DirectIO, s.Facts.Fsck = i.FS, i.Config, int(i.BlockSize), i.DirectIO, true
	return s
}

// noFinding fails the test if a rule was broken: the device failed, and the
// kernel said so.
func noFinding(t *testing.T, o oracle.Outcome) {
	t.Helper()
	for _, f := range o.Findings {
		t.Errorf("finding %s (%d): %s %+v", f.Rule, f.Count, f.Text, f.Witnesses)
	}
}

// TestDeviceErrorIsTheDevices: the device dies in the middle of a run. Every
// EIO is blamed on it and none on a lost race.
func TestDeviceErrorIsTheDevices(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	for name, open := range map[string]ioengine.Opener{"io_uring": uring.Open, "libaio": libaio.Open} {
		t.Run(name, func(t *testing.T) {
			bed, shutdown := bedtest.ShutdownUnder(t, testbed.Spec{Need: 8 << 20})
			c := config(func(c *plan.Config) { c.Runtime, c.Epoch = 1500*time.Millisecond, 10*time.Second })
			s := onto(setup(t, c, "", open, nil), bed)
			s.Engine, s.Live = name, &harness.Live{}
			died := make(chan struct{})
			go func() {
				defer close(died)
				for s.Live.StartNS.Load() == 0 {
					time.Sleep(5 * time.Millisecond)
				}
				time.Sleep(200 * time.Millisecond)
				shutdown()
			}()
			o := judged(t, s)
			<-died
			noFinding(t, o)
			eio := o.Runs[0].Completions.Failed["EIO"]
			got := o.Runs[0].Fsync.Completion
			if eio == 0 || got.Device+got.Journal != eio || got.Device == 0 || got.Invalidation != 0 || got.Ambiguous != 0 {
				t.Errorf("%d writes failed with EIO, attributed %+v", eio, got)
			}
			if o.Verdict == verdict.Pass {
				t.Error("a run whose device died passed: nothing could be read back")
			}
		})
	}
}

// TestFullBackingFile: the image cannot grow any more, and the loop device
// answers with ENOSPC.
func TestFullBackingFile(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	bed, fill := bedtest.FullBacking(t, testbed.Spec{Need: 8 << 20})
	c := config(func(c *plan.Config) { c.Runtime, c.Epoch = 600*time.Millisecond, 10*time.Second })
	c.Layout = plan.LayoutUnwritten
	s := onto(setup(t, c, "", libaio.Open, nil), bed)
	s.Engine = "libaio"
	fill()
	o := judged(t, s)
	noFinding(t, o)
	if f := o.Runs[0].Completions.Failed; f["ENOSPC"]+f["EIO"] == 0 {
		t.Errorf("no write failed: %v, %v: %s", f, o.Verdict, o.Reason)
	}
}
