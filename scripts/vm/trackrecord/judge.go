//go:build linux && amd64

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"diostress/internal/verdict"
	"diostress/scripts/vm/faults"
	"diostress/scripts/vm/machine"
	"diostress/scripts/vm/trial"
)

// line is one row of the track record.
type line struct {
	fault   *faults.Case
	kernel  string
	engine  string
	fs      string
	ok      bool
	why     string // what is wrong with the row, "" if ok
	rules   []string
	caught  string  // who caught it
	seconds float64 // of guest time until the evidence
	writes  uint64  // completions until then
	counts  string  // legal faults: the report's count and the module's
	g208    string
	console string
}

// deadline is how long a fault may go uncaught, seconds of guest time.
const deadline = 10

// assess holds an outcome against what the case expects.
func assess(c *faults.Case, o *trial.Outcome) line {
	l := line{fault: c, engine: o.Cell.Engine, fs: o.Cell.Format, console: o.Console, rules: o.Found()}
	want := c.ExpectFor(o.Cell.Engine)
	died := o.State == machine.Panic || o.State == machine.Oops || o.State == machine.Hang || o.State == machine.HostTimeout
	switch {
	case o.Result == nil && died && want.Dies:
		l.ok, l.caught = true, fmt.Sprintf("the kernel's end (%s): %s", o.State, o.Detail)
		if len(o.Oops) > 0 && o.Detail != o.Oops[0] {
			l.caught += "; " + o.Oops[0]
		}
	case o.Result == nil:
		l.why = fmt.Sprintf("no report came back: %s %s", o.State, o.Detail)
	case want.Legal || want.Device:
		l.legal(c, o, want.Device)
	default:
		l.finding(want, o)
	}
	return l
}

// finding: the named rules must be among the broken ones.
func (l *line) finding(want faults.Expect, o *trial.Outcome) {
	var missing []string
	for _, r := range want.Rules {
		if !slices.Contains(l.rules, r) {
			missing = append(missing, r)
		}
	}
	named := slices.Clone(want.Rules)
	for _, r := range l.rules {
		if slices.Contains(want.Any, r) {
			named = append(named, r)
		}
	}
	if len(want.Any) > 0 && len(named) == len(want.Rules) {
		missing = append(missing, "one of "+strings.Join(want.Any, ", "))
	}
	l.caught = strings.Join(l.rules, ", ")
	l.seconds, l.writes = evidence(o, named)
	switch {
	case len(missing) > 0:
		l.why = fmt.Sprintf("not caught by %s; verdict %s: %s", strings.Join(missing, ", "), o.Result.Verdict, o.Result.Reason)
	case l.seconds >= deadline:
		l.why = fmt.Sprintf("caught after %.1f s, later than %d s", l.seconds, deadline)
	default:
		l.ok = true
	}
}

// evidence is the time of the first witness of the named rules and the
// completions until then: the whole run where the evidence is in the data.
func evidence(o *trial.Outcome, rules []string) (seconds float64, writes uint64) {
	run := o.First()
	if run == nil {
		return 0, 0
	}
	at := run.RuntimeNS
	for _, f := range o.Result.Findings {
		if !slices.Contains(rules, f.Rule) {
			continue
		}
		for _, w := range f.Witnesses {
			if w.TimeNS > 0 && w.TimeNS < at {
				at = w.TimeNS
			}
		}
	}
	if at == run.RuntimeNS {
		return float64(at) / 1e9, run.Completions.Completed
	}
	for _, s := range run.Series {
		writes += s.Writes
		if s.TimeNS >= at {
			break
		}
	}
	return float64(at) / 1e9, writes
}

// legal: no finding, and the counts are right.
func (l *line) legal(c *faults.Case, o *trial.Outcome, device bool) {
	r, run := o.Result, o.First()
	said := "pass"
	if o.OnlyPressure() {
		said = "no finding (little pressure)"
	} else if r.Verdict != verdict.Pass {
		l.why = fmt.Sprintf("a legal fault, yet the verdict is %s: %s", r.Verdict, r.Reason)
		return
	}
	if run == nil {
		l.why = "the report has no run"
		return
	}
	l.caught = said
	l.writes, l.seconds = run.Completions.Completed, float64(run.RuntimeNS)/1e9
	if device {
		l.device(r, run)
		return
	}
	var parts []string
	for _, count := range c.Counts {
		got := run.Collisions.PreWrite
		if count.Field == "post_write" {
			got = run.Collisions.PostWrite
		}
		want, err := sum(o.Texts, c.Module, count.Counters)
		if err != nil {
			l.why = err.Error()
			return
		}
		parts = append(parts, fmt.Sprintf("%s %d (%s), kernel %d", strings.ReplaceAll(count.Field, "_", "-"), got.Count, got.Fidelity, want))
		if got.Fidelity != verdict.Exact || got.Count != want {
			l.why = "the count is wrong: " + parts[len(parts)-1]
		}
		if want == 0 {
			l.why = "the module bent nothing"
		}
	}
	l.counts = strings.Join(parts, "; ")
	l.ok = l.why == ""
}

// device: writes failed, and the device is named as the cause.
func (l *line) device(r *verdict.Result, run *verdict.Run) {
	var failed uint64
	var kinds []string
	for e, n := range run.Completions.Failed {
		failed += n
		kinds = append(kinds, fmt.Sprintf("%s %d", e, n))
	}
	slices.Sort(kinds)
	reason := ""
	for _, rule := range r.Rules {
		if rule.Name == "eio_explained" {
			reason = rule.Reason
		}
	}
	eio := run.Fsync.Completion
	l.counts = strings.Join(kinds, ", ") + ": " + reason
	switch {
	case failed == 0:
		l.why = "no write failed"
	case eio.Invalidation+eio.Ambiguous > 0:
		l.why = fmt.Sprintf("of %d failed writes %d were blamed on invalidation and %d on nobody", failed, eio.Invalidation, eio.Ambiguous)
	case !strings.Contains(reason, "the device"):
		l.why = "the device is not named: " + reason
	default:
		l.ok = true
	}
}

// sum adds counters of the module up.
func sum(texts map[string]string, module string, counters []string) (n uint64, err error) {
	for _, c := range append([]string{"missed"}, counters...) {
		text, ok := texts[parameter(module, c)]
		if !ok {
			return 0, fmt.Errorf("counter %s did not come back", c)
		}
		v, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("counter %s: %w", c, err)
		}
		if c == "missed" {
			if v > 0 {
				return 0, fmt.Errorf("the module missed %d calls", v)
			}
			continue
		}
		n += v
	}
	return n, nil
}

func parameter(module, name string) string { return "/sys/module/" + module + "/parameters/" + name }

// g208Says puts what the other workload said into words.
func g208Says(text string, ended bool, state machine.State, detail string) string {
	var o struct {
		Verdict, Why string
		Writes, EIO  uint64
	}
	switch {
	case text != "" && json.Unmarshal([]byte(text), &o) == nil:
		s := fmt.Sprintf("%s (%d writes, %d EIO)", o.Verdict, o.Writes, o.EIO)
		if o.Why != "" {
			s += ": " + o.Why
		}
		return s
	case ended:
		return "broke"
	}
	return fmt.Sprintf("nothing: the machine ended (%s: %s)", state, detail)
}
