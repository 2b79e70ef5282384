package main

import (
	"fmt"
	"slices"

	"diostress/internal/oracle"
	"diostress/internal/verdict"
)

// add takes the outcome of one run into the result.
func (x *session) add(o oracle.Outcome) {
	r := x.res
	x.cells++
	r.Runs = append(r.Runs, o.Runs...)
	r.Rules = append(r.Rules, o.Rules...)
	r.Findings = append(r.Findings, o.Findings...)
	r.Stuck = r.Stuck || o.Stuck
	r.Interrupted = r.Interrupted || o.Interrupted
	r.Environment.ContractEra = o.Era
	for _, n := range o.NotChecked {
		if !slices.Contains(r.NotChecked, n) {
			r.NotChecked = append(r.NotChecked, n)
		}
	}
	x.worsen(o.Verdict, o.Reason)
}

// rank orders the verdicts of several runs: the worst one counts.
func rank(v verdict.Verdict) int {
	return slices.Index([]verdict.Verdict{verdict.Pass, verdict.Unsupported, verdict.Undecided, verdict.Broken, verdict.Fail}, v)
}

// worsen lets a run's verdict count for the whole. One that could not be made
// here does not take a pass away from the others (it is listed as skipped).
func (x *session) worsen(v verdict.Verdict, reason string) {
	r := x.res
	switch {
	case r.Reason == "", rank(v) > rank(r.Verdict) && v != verdict.Unsupported, r.Verdict == verdict.Unsupported && v == verdict.Pass:
		r.Verdict, r.Reason = v, reason
	}
}

// broken notes that the harness, not the kernel, failed.
func (x *session) broken(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintf(x.stderr, "dioStress: %s\n", text)
	x.worsen(verdict.Broken, text)
}

// skip notes what cannot run here.
func (x *session) skip(what, why string) {
	x.res.Skipped = append(x.res.Skipped, verdict.Skip{Name: what, Reason: why})
	fmt.Fprintf(x.stderr, "dioStress: %s: %s\n", what, why)
	x.worsen(verdict.Unsupported, what+": "+why)
}

// notRun lists what an interrupt kept from being run.
func (x *session) notRun(c cell, engines []string) {
	x.res.Interrupted = true
	for _, e := range engines {
		x.res.Skipped = append(x.res.Skipped, verdict.Skip{Name: x.name(c, e), Reason: "not run: interrupted before its turn"})
	}
}

// conclude gives a session without any run a verdict.
func (x *session) conclude() {
	r := x.res
	if r.Reason == "" {
		r.Verdict, r.Reason = verdict.Undecided, "interrupted before the first run was judged"
		if !r.Interrupted {
			r.Reason = "nothing was run"
		}
	}
	// What was asked for by name and cannot run is no pass.
	if x.lacking != "" && rank(r.Verdict) <= rank(verdict.Unsupported) {
		r.Verdict, r.Reason = verdict.Unsupported, x.lacking
	}
	if x.s.loops > 1 {
		r.Flaky = flaky(r.Runs)
	}
}
