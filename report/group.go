package report

import (
	"fmt"
	"strings"

	"diostress/internal/verdict"
)

// state is what became of a case or a group, in the order of precedence.
type state uint8

const (
	passed  state = iota
	skipped       // this mode or this machine cannot check it
	errored       // we broke, or could not decide what had to be decided
	failed        // the kernel misbehaved
)

// testCase is one rule of one run, as the test formats see it.
type testCase struct {
	name     string
	verdict  verdict.Verdict
	state    state
	timeout  bool   // failed because nothing completed any more
	message  string // why it is not a plain pass; may be ""
	required bool
	checked  uint64
	findings []*verdict.Finding
}

// group is what the rules judge together: an engine's run with all its jobs.
type group struct {
	name   string
	runs   []*verdict.Run // one for every job; none if the run broke before its jobs began
	cases  []testCase
	state  state
	reason string // the first thing that the state rests on; may be ""
}

// caseVerdict is the case that carries a verdict which no rule accounts for.
const caseVerdict = "verdict"

// invocation is the group of what belongs to no run.
const invocation = "invocation"

// groups sorts runs, rules and findings by run, in the order of the result.
// The worst of their states is never better than the result's verdict.
func groups(r *verdict.Result) []group {
	var out []group
	at := map[string]int{}
	get := func(name string) *group {
		i, ok := at[name]
		if !ok {
			i = len(out)
			at[name] = i
			out = append(out, group{name: name})
		}
		return &out[i]
	}
	type key struct{ run, rule string }
	cases := map[key]int{}
	for i := range r.Rules {
		u := &r.Rules[i]
		g := get(u.Run)
		cases[key{u.Run, u.Name}] = len(g.cases)
		g.cases = append(g.cases, caseOf(u))
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		g := get(f.Run)
		k := key{f.Run, f.Rule}
		c, ok := cases[k]
		if !ok {
			c = len(g.cases)
			cases[k] = c
			g.cases = append(g.cases, testCase{name: f.Rule, verdict: f.Verdict, checked: f.Count})
		}
		g.cases[c].add(f)
	}
	for i := range r.Runs {
		u := &r.Runs[i]
		name := u.Name
		if _, ok := at[name]; !ok {
			if s, cut := strings.CutSuffix(name, fmt.Sprintf(".%d", u.Job)); cut {
				if _, ok := at[s]; ok {
					name = s
				}
			}
		}
		g := get(name)
		g.runs = append(g.runs, u)
	}
	worst := passed
	for i := range out {
		out[i].settle(r)
		worst = max(worst, out[i].state)
	}
	want := stateOf(r.Verdict, true)
	if empty := len(out) == 0 && len(r.Skipped) == 0; empty || want > worst && want != skipped {
		c := testCase{name: caseVerdict, verdict: r.Verdict, state: want, required: true, message: r.Reason}
		if want == passed {
			c.verdict, c.state, c.message = verdict.Undecided, errored, "the result is a pass and holds no run"
		}
		out = append(out, group{cases: []testCase{c}, state: c.state, reason: c.told()})
	}
	for i := range out {
		if out[i].name == "" {
			out[i].name = invocation
		}
	}
	return out
}

func caseOf(u *verdict.Rule) testCase {
	c := testCase{name: u.Name, verdict: u.Verdict, state: stateOf(u.Verdict, u.Required), message: u.Reason, required: u.Required, checked: u.Checked}
	c.timeout = c.state == failed && u.Name == "no_stuck_io"
	return c
}

// told is the message with the verdict before it where the state does not tell
// the verdict.
func (c *testCase) told() string {
	word := ""
	switch c.verdict {
	case verdict.Undecided:
		word = "undecided"
		if !c.required {
			word = "undecided, not required"
		}
	case verdict.NotApplicable:
		word = "not applicable"
	case verdict.Broken:
		word = "the harness broke"
	case verdict.Unsupported:
		word = "unsupported"
	default:
		return c.message
	}
	if c.message == "" {
		return word
	}
	return word + ": " + c.message
}

// add enters a finding, which makes the case fail whatever its rule said.
func (c *testCase) add(f *verdict.Finding) {
	if len(c.findings) == 0 {
		c.message = f.Text
	}
	c.findings = append(c.findings, f)
	c.verdict, c.state = verdict.Fail, failed
	c.timeout = c.name == "no_stuck_io"
}

// settle finds the group's state: the worst of its cases and its runs. A run's
// verdict that no case accounts for gets a case of its own, so that no format
// loses it.
func (g *group) settle(r *verdict.Result) {
	looked, unsupported := false, ""
	for i := range g.cases {
		c := &g.cases[i]
		looked = looked || c.state != skipped
		if c.verdict == verdict.Unsupported && unsupported == "" {
			unsupported = c.name + ": " + c.told()
		}
		if c.state > g.state && c.state != skipped {
			g.state, g.reason = c.state, c.name+": "+c.told()
		}
	}
	v, want := verdict.Pass, passed
	for _, u := range g.runs {
		if s := stateOf(u.Verdict, true); s > want {
			want, v = s, u.Verdict
		}
	}
	switch {
	case g.state > skipped && g.state >= want:
	case want > skipped || len(g.cases) == 0:
		c := testCase{name: caseVerdict, verdict: v, state: want, required: true}
		if v != verdict.Pass && v == r.Verdict {
			c.message = r.Reason
		}
		g.cases = append(g.cases, c)
		g.state, g.reason = want, c.told()
	case want == skipped || !looked:
		g.state, g.reason = skipped, unsupported
	}
}

// stateOf translates a verdict. What is undecided is an error where the
// verdict rests on it and skipped where it does not, but never a pass.
func stateOf(v verdict.Verdict, required bool) state {
	switch v {
	case verdict.Pass:
		return passed
	case verdict.Fail:
		return failed
	case verdict.Unsupported, verdict.NotApplicable:
		return skipped
	case verdict.Undecided:
		if !required {
			return skipped
		}
	}
	return errored
}

// seconds is how long the group's jobs ran, which they did side by side.
func (g *group) seconds() float64 {
	var ns int64
	for _, u := range g.runs {
		ns = max(ns, u.RuntimeNS)
	}
	return float64(ns) / 1e9
}
