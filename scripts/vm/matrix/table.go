//go:build linux && amd64

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"diostress/internal/verdict"
	"diostress/scripts/vm/machine"
	"diostress/scripts/vm/trial"
)

// verdictOf says in a few words how a cell ended.
func verdictOf(o *trial.Outcome) string {
	switch {
	case o.State != machine.Finished:
		return fmt.Sprintf("%s: %s", o.State, o.Detail)
	case o.Result == nil:
		return fmt.Sprintf("exit status %d without a report", o.Status)
	case o.Result.Verdict == verdict.Pass && len(o.Oops) > 0:
		return "pass, but the console says: " + o.Oops[0]
	case o.Result.Verdict == verdict.Pass:
		return "pass"
	}
	return o.Result.Verdict.String() + ": " + o.Result.Reason
}

func passed(o *trial.Outcome) bool { return verdictOf(o) == "pass" }

func count(c verdict.Count) string {
	switch c.Fidelity {
	case verdict.Exact:
		return fmt.Sprint(c.Count)
	case verdict.AtLeast:
		return fmt.Sprintf(">=%d", c.Count)
	}
	return "?"
}

// printTable prints the matrix, and below it what did not pass, in full.
func printTable(w io.Writer, o options, rows []*row) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "kernel\tfs\tengine\tverdict\twrites\tpre-write\tpost-write\tfsync EIO\tcontract era\truntime\tseconds")
	var notes []string
	cells, pass := 0, 0
	for _, r := range rows {
		if r.missing != nil {
			fmt.Fprintf(t, "%s\t\t\tSKIPPED\t\t\t\t\t\t\t\n", r.spec)
			notes = append(notes, fmt.Sprintf("%s: SKIPPED: %v", r.spec, r.missing))
			continue
		}
		if r.broken != nil {
			fmt.Fprintf(t, "%s\t\t\tBROKEN\t\t\t\t\t\t\t\n", r.kernel.Version)
			notes = append(notes, fmt.Sprintf("%s: %v", r.kernel.Version, r.broken))
		}
		for i := range r.outcomes {
			c := &r.outcomes[i]
			cells++
			word, _, _ := strings.Cut(verdictOf(c), ":")
			if passed(c) {
				pass++
			} else {
				word = strings.ToUpper(word)
				notes = append(notes, fmt.Sprintf("%s %s: %s (%s)", r.kernel.Version, c.Cell.Name, verdictOf(c), c.Console))
			}
			line := fmt.Sprintf("%s\t%s\t%s\t%s\t", r.kernel.Version, c.Cell.Format, c.Cell.Engine, word)
			if run := c.First(); run != nil {
				line += fmt.Sprintf("%d\t%s\t%s\t%d\t%s\t%.1f\t%.1f", run.Completions.Completed, count(run.Collisions.PreWrite), count(run.Collisions.PostWrite),
					run.Fsync.EIO, c.Result.Environment.ContractEra, float64(run.RuntimeNS)/1e9, c.Seconds)
			} else {
				line += "\t\t\t\t\t\t"
			}
			fmt.Fprintln(t, line)
		}
	}
	t.Flush()
	fmt.Fprintf(w, "%d of %d cells passed\n", pass, cells)
	for _, n := range notes {
		fmt.Fprintln(w, n)
	}
}

// status sums the matrix up: 1 a kernel misbehaved, 3 something is undecided
// or broken, 4 a required series is not to be had, 0 all passed.
func (o *options) status(rows []*row) int {
	worst := 0
	worse := func(s int) {
		rank := []int{0, machine.ExitUnavailable, machine.ExitBroken, machine.ExitMisbehaved}
		if slices.Index(rank, s) > slices.Index(rank, worst) {
			worst = s
		}
	}
	ran := 0
	for _, r := range rows {
		switch {
		case r.missing != nil && slices.Contains(o.required, r.spec):
			worse(machine.ExitUnavailable)
		case r.broken != nil:
			worse(machine.ExitBroken)
		}
		for i := range r.outcomes {
			c := &r.outcomes[i]
			ran++
			switch {
			case passed(c):
			case c.State == machine.Panic || c.State == machine.Oops || c.State == machine.Hang,
				c.Result != nil && c.Result.Verdict == verdict.Fail, len(c.Oops) > 0:
				worse(machine.ExitMisbehaved)
			default:
				worse(machine.ExitBroken)
			}
		}
	}
	if ran == 0 {
		worse(machine.ExitUnavailable)
	}
	return worst
}
