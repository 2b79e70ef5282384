package report

import (
	"testing"

	"diostress/internal/verdict"
)

// TestGroups: no verdict of the result, a run or a rule gets lost on the way
// to the formats, and none gets better.
func TestGroups(t *testing.T) {
	run := func(name string, v verdict.Verdict) verdict.Run { return verdict.Run{Name: name, Verdict: v} }
	rule := func(run, name string, v verdict.Verdict, required bool) verdict.Rule {
		return verdict.Rule{Name: name, Run: run, Verdict: v, Required: required, Reason: "why"}
	}
	type want struct {
		name  string
		state state
		cases int
	}
	for _, c := range []struct {
		what string
		r    verdict.Result
		want []want
	}{
		{"a pass", verdict.Result{Verdict: verdict.Pass, Runs: []verdict.Run{run("a", verdict.Pass)}, Rules: []verdict.Rule{rule("a", "x", verdict.Pass, true)}},
			[]want{{"a", passed, 1}}},
		{"a pass of nothing", verdict.Result{Verdict: verdict.Pass}, []want{{invocation, errored, 1}}},
		{"an undecided rule that is not required", verdict.Result{Verdict: verdict.Pass, Runs: []verdict.Run{run("a", verdict.Pass)},
			Rules: []verdict.Rule{rule("a", "x", verdict.Pass, true), rule("a", "y", verdict.Undecided, false)}}, []want{{"a", passed, 2}}},
		{"an undecided rule that is", verdict.Result{Verdict: verdict.Undecided, Runs: []verdict.Run{run("a", verdict.Undecided)},
			Rules: []verdict.Rule{rule("a", "x", verdict.Pass, true), rule("a", "y", verdict.Undecided, true)}}, []want{{"a", errored, 2}}},
		{"a verdict without a rule", verdict.Result{Verdict: verdict.Broken, Runs: []verdict.Run{run("a", verdict.Broken)},
			Rules: []verdict.Rule{rule("a", "x", verdict.Pass, true)}}, []want{{"a", errored, 2}}},
		{"a failing run without a finding", verdict.Result{Verdict: verdict.Fail, Runs: []verdict.Run{run("a", verdict.Fail)},
			Rules: []verdict.Rule{rule("a", "x", verdict.Undecided, true)}}, []want{{"a", failed, 2}}},
		{"a result worse than its runs", verdict.Result{Verdict: verdict.Fail, Runs: []verdict.Run{run("a", verdict.Pass)},
			Rules: []verdict.Rule{rule("a", "x", verdict.Pass, true)}}, []want{{"a", passed, 1}, {invocation, failed, 1}}},
		{"a broken result after good runs", verdict.Result{Verdict: verdict.Broken, Reason: "umount", Runs: []verdict.Run{run("a", verdict.Pass)},
			Rules: []verdict.Rule{rule("a", "x", verdict.Pass, true)}}, []want{{"a", passed, 1}, {invocation, errored, 1}}},
		{"an unsupported run", verdict.Result{Verdict: verdict.Unsupported, Runs: []verdict.Run{run("a", verdict.Unsupported)},
			Rules: []verdict.Rule{rule("a", "x", verdict.Pass, true), rule("a", "adequacy", verdict.Unsupported, true)}}, []want{{"a", skipped, 2}}},
		{"rules without a run", verdict.Result{Verdict: verdict.Undecided, Rules: []verdict.Rule{rule("a", "x", verdict.Undecided, true)}}, []want{{"a", errored, 1}}},
		{"nothing that applies", verdict.Result{Verdict: verdict.Pass, Rules: []verdict.Rule{rule("a", "x", verdict.NotApplicable, true)}}, []want{{"a", skipped, 1}}},
		{"a run without rules", verdict.Result{Verdict: verdict.Pass, Runs: []verdict.Run{run("a", verdict.Pass)}}, []want{{"a", passed, 1}}},
		{"a rule of the invocation", verdict.Result{Verdict: verdict.Fail, Rules: []verdict.Rule{rule("", "x", verdict.Fail, true)}}, []want{{invocation, failed, 1}}},
		{"a finding without its rule", verdict.Result{Verdict: verdict.Fail, Runs: []verdict.Run{run("a", verdict.Fail)},
			Findings: []verdict.Finding{{Rule: "x", Run: "a", Count: 1}, {Rule: "x", Run: "a", Count: 2}}}, []want{{"a", failed, 1}}},
		{"a finding over a pass", verdict.Result{Verdict: verdict.Fail, Rules: []verdict.Rule{rule("a", "x", verdict.Pass, true)},
			Findings: []verdict.Finding{{Rule: "x", Run: "a", Count: 1}}}, []want{{"a", failed, 1}}},
		{"jobs", verdict.Result{Verdict: verdict.Pass, Runs: []verdict.Run{run("a.0", verdict.Pass), {Name: "a.1", Job: 1, Verdict: verdict.Pass}},
			Rules: []verdict.Rule{rule("a", "x", verdict.Pass, true)}}, []want{{"a", passed, 1}}},
		{"a name that looks like a job's", verdict.Result{Verdict: verdict.Pass, Runs: []verdict.Run{run("a.0", verdict.Pass)},
			Rules: []verdict.Rule{rule("a.0", "x", verdict.Pass, true)}}, []want{{"a.0", passed, 1}}},
		{"only a skip", verdict.Result{Verdict: verdict.Unsupported, Skipped: []verdict.Skip{{Name: "io_uring"}}}, nil},
		{"unsupported at once", verdict.Result{Verdict: verdict.Unsupported}, []want{{invocation, skipped, 1}}},
		{"a skip and a breakage", verdict.Result{Verdict: verdict.Broken, Skipped: []verdict.Skip{{Name: "io_uring"}}}, []want{{invocation, errored, 1}}},
	} {
		var got []want
		for _, g := range groups(&c.r) {
			got = append(got, want{g.name, g.state, len(g.cases)})
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", c.what, got[i], c.want[i])
			}
		}
	}
}

func TestStateOf(t *testing.T) {
	for _, c := range []struct {
		v        verdict.Verdict
		required bool
		want     state
	}{
		{verdict.Pass, true, passed}, {verdict.Pass, false, passed}, {verdict.Fail, true, failed}, {verdict.Fail, false, failed},
		{verdict.Broken, true, errored}, {verdict.Broken, false, errored}, {verdict.Undecided, true, errored}, {verdict.Undecided, false, skipped},
		{verdict.Unsupported, true, skipped}, {verdict.NotApplicable, true, skipped}, {verdict.Verdict(99), false, errored},
	} {
		if got := stateOf(c.v, c.required); got != c.want {
			t.Errorf("%v, required %v: %d, want %d", c.v, c.required, got, c.want)
		}
	}
}
