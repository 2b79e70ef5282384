package harness_test

import (
	"testing"

	"diostress/internal/harness"
	"diostress/internal/need"
	"diostress/internal/plan"
	"diostress/internal/testbed"
	"diostress/internal/verdict"
	"diostress/ioengine"
	"diostress/ioengine/libaio"
	"diostress/ioengine/psync"
	"diostress/ioengine/uring"
)

func TestRealRunsPass(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	engines := map[string]ioengine.Opener{"io_uring": uring.Open, "libaio": libaio.Open, "psync": psync.Open}
	for _, fs := range []string{"ext4", "ext3"} {
		for name, open := range engines {
			t.Run(fs+"/"+name, func(t *testing.T) {
				c := config(func(c *plan.Config) {
					p, _ := plan.FindProfile("rate")
					p.Apply(c)
				})
				o := decided(t, c, func(c plan.Config) harness.Setup {
					s := setup(t, c, "", open, nil)
					s.Engine = name
					return onBed(t, testbed.Spec{FS: fs, Need: 8 << 20}, s)
				})
				mustPass(t, o)
				r := o.Runs[0]
				if r.Completions.Submitted == 0 || r.Completions.Submitted != r.Completions.Completed {
					t.Errorf("submitted %d, completed %d", r.Completions.Submitted, r.Completions.Completed)
				}
				if r.Collisions.PreWrite.Fidelity == verdict.Exact && r.Collisions.PreWrite.Count == 0 {
					t.Errorf("no collision: %+v", r.Collisions)
				}
				t.Logf("%d writes, %+v, fsync %+v, data %+v", r.Completions.Completed, r.Collisions, r.Fsync, r.Data)
			})
		}
	}
}
