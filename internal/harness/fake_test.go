package harness_test

import (
	"slices"
	"testing"
	"time"

	"diostress/internal/harness"
	"diostress/internal/need"
	"diostress/internal/oracle"
	"diostress/internal/plan"
	"diostress/internal/verdict"
	"diostress/ioengine"
	"diostress/ioengine/enginetest"
)

// control is the number of a write to the control file: the stream sends every
// 32nd there. What happens to all of them from then on is seen at the end of the
// epoch, whatever was written over it.
const control, every = 32*8 - 1, 32

func brokenRules(o oracle.Outcome) (names []string) {
	for _, f := range o.Findings {
		if !slices.Contains(names, f.Rule) {
			names = append(names, f.Rule)
		}
	}
	slices.Sort(names)
	return names
}

// TestMisbehaviourIsCaught lets the engine misbehave in every way it can be
// told to; each must be caught by the rules that are meant, and by no other.
func TestMisbehaviourIsCaught(t *testing.T) {
	need.Alone(t)
	for name, x := range map[string]struct {
		rule enginetest.Rule
		want []string // the rules that break; nil: none may
		any  []string // or any one of these besides
	}{
		"well behaved":       {},
		"short":              {rule: enginetest.Rule{Op: 20, Do: enginetest.Short}, want: []string{"legal_result"}},
		"zero":               {rule: enginetest.Rule{Op: 20, Do: enginetest.Zero}, want: []string{"legal_result"}},
		"overlong":           {rule: enginetest.Rule{Op: 20, Do: enginetest.Overlong}, want: []string{"legal_result"}},
		"res2":               {rule: enginetest.Rule{Op: 20, Do: enginetest.Res2}, want: []string{"legal_result"}},
		"duplicate":          {rule: enginetest.Rule{Op: 20, Do: enginetest.Duplicate}, want: []string{"completed_once"}},
		"stray":              {rule: enginetest.Rule{Op: 20, Do: enginetest.Stray}, want: []string{"no_stray"}},
		"EIO, not written":   {rule: enginetest.Rule{Op: 20, Do: enginetest.Errno}, want: []string{"eio_explained", "kernel_contract"}},
		"EIO, yet written":   {rule: enginetest.Rule{Op: 20, Do: enginetest.ErrnoWritten}, want: []string{"eio_explained", "kernel_contract"}},
		"EIO, then the true": {rule: enginetest.Rule{Op: 20, Do: enginetest.TwoResults}, want: []string{"completed_once", "eio_explained", "kernel_contract"}},
		"EINVAL":             {rule: enginetest.Rule{Op: 20, Do: enginetest.Errno, N: 22}, want: []string{"legal_result"}},
		"ENOTBLK":            {rule: enginetest.Rule{Op: 20, Do: enginetest.Errno, N: enginetest.ENOTBLK}, want: []string{"kernel_contract", "no_leaked_errno"}},
		"EIOCBQUEUED":        {rule: enginetest.Rule{Op: 20, Do: enginetest.Errno, N: enginetest.EIOCBQUEUED}, want: []string{"no_leaked_errno"}},
		"data lost":          {rule: enginetest.Rule{Op: control, Every: every, Do: enginetest.DataLost}, want: []string{"control_data"}},
		"torn":               {rule: enginetest.Rule{Op: control, Every: every, Do: enginetest.Torn, N: 1000}, want: []string{"control_data"}},
		"wrong data":         {rule: enginetest.Rule{Op: control, Every: every, Do: enginetest.WrongData}, want: []string{"no_foreign_data"}},
		"misplaced":          {rule: enginetest.Rule{Op: control, Every: every, Do: enginetest.Misplaced}, want: []string{"control_data", "no_foreign_data"}},
		"poison":             {rule: enginetest.Rule{Op: control, Every: every, Do: enginetest.Poison}, want: []string{"no_foreign_data"}, any: []string{"no_poison", "not_early", "control_data"}},
		"late":               {rule: enginetest.Rule{Op: 20, Do: enginetest.Late, N: 5}},
		"back-pressure":      {rule: enginetest.Rule{Op: 20, Every: 7, Do: enginetest.BackPressure}},
		"partial accept":     {rule: enginetest.Rule{Op: 20, Every: 5, Do: enginetest.PartialAccept}},
	} {
		t.Run(name, func(t *testing.T) {
			var fired int
			script := enginetest.Script{Rules: []enginetest.Rule{x.rule}, Fired: func(uint64, enginetest.Act, ioengine.Request) { fired++ }}
			if x.rule.Do == 0 {
				script.Rules = nil
			}
			var o oracle.Outcome
			pressing(config(), func(c plan.Config) bool {
				o = judged(t, setup(t, c, t.TempDir(), enginetest.Fake(script), nil))
				return (x.rule.Do == 0 || fired > 0) && (x.want != nil || o.Verdict != verdict.Undecided)
			})
			if x.rule.Do != 0 && fired == 0 {
				t.Fatal("the engine never misbehaved: the run was too short")
			}
			if x.want == nil {
				mustPass(t, o)
				return
			}
			if o.Verdict != verdict.Fail {
				t.Errorf("%v: %s", o.Verdict, o.Reason)
			}
			got := brokenRules(o)
			for _, w := range x.want {
				if !slices.Contains(got, w) {
					t.Errorf("%s is not broken", w)
				}
			}
			for _, g := range got {
				if !slices.Contains(x.want, g) && !slices.Contains(x.any, g) {
					t.Errorf("%s is broken as well", g)
				}
			}
			if t.Failed() {
				for _, f := range o.Findings {
					t.Logf("%s: %s %+v", f.Rule, f.Text, f.Witnesses)
				}
			}
		})
	}
}

// TestLostIsStuck: a completion that never comes is found by the watchdog,
// with the write in the table.
func TestLostIsStuck(t *testing.T) {
	need.Alone(t)
	for _, do := range []enginetest.Act{enginetest.Lost, enginetest.Swallowed} {
		t.Run(do.String(), func(t *testing.T) {
			c := config(func(c *plan.Config) { c.StuckTimeout = 300 * time.Millisecond })
			s := setup(t, c, t.TempDir(), enginetest.Fake(enginetest.Script{Rules: []enginetest.Rule{{Op: 3, Do: do}}}), nil)
			var dump string
			s.Dump = func(text string) { dump = text }
			o := judged(t, s)
			if !o.Stuck || o.Verdict != verdict.Fail || !slices.Contains(brokenRules(o), "no_stuck_io") || !slices.Contains(brokenRules(o), "completed_once") {
				t.Errorf("stuck %v, %v: %s, broken %v", o.Stuck, o.Verdict, o.Reason, brokenRules(o))
			}
			if dump == "" {
				t.Error("no dump")
			}
		})
	}
}

// TestEngineErrorIsBroken: an engine that fails is the harness's trouble, not
// the kernel's.
func TestEngineErrorIsBroken(t *testing.T) {
	need.Alone(t)
	o := decided(t, config(), func(c plan.Config) harness.Setup {
		return setup(t, c, t.TempDir(), enginetest.Fake(enginetest.Script{Rules: []enginetest.Rule{{Op: 100, Do: enginetest.SubmitError}}}), nil)
	})
	if o.Verdict != verdict.Broken || len(o.Findings) > 0 {
		t.Errorf("%v: %s, broken rules %v", o.Verdict, o.Reason, brokenRules(o))
	}
}
