package report

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"diostress/internal/verdict"
)

// writeLAVA renders the signals that a LAVA dispatcher reads from the console,
// a test set for a run and a test case for a rule, so that a job needs neither
// a parser nor the lava-test-case helper on the board.
//
// A rule that could not be decided is "unknown". The set's case "verdict" is
// then a "fail" all the same: dashboards leave unknown results out of their
// sums, and a job whose verdict nobody could reach must not turn green.
func writeLAVA(w io.Writer, r *verdict.Result) error {
	b := bufio.NewWriter(w)
	lavaSay(b, "%s: %s: %s", r.Program, r.Verdict, r.Reason)
	lavaSay(b, "seed %s, repeat with: %s", seed(r), r.Repro)
	gs := groups(r)
	for i := range gs {
		lavaGroup(b, &gs[i])
	}
	if len(r.Skipped) > 0 {
		fmt.Fprintln(b, "<LAVA_SIGNAL_TESTSET START skipped>")
		for _, k := range r.Skipped {
			lavaSay(b, "%s: %s", k.Name, k.Reason)
			lavaCase(b, k.Name, "skip")
		}
		fmt.Fprintln(b, "<LAVA_SIGNAL_TESTSET STOP>")
	}
	for _, f := range r.Flaky {
		lavaSay(b, "%s", flaky(f))
	}
	return b.Flush()
}

func lavaGroup(b io.Writer, g *group) {
	fmt.Fprintf(b, "<LAVA_SIGNAL_TESTSET START %s>\n", slug(g.name))
	for i := range g.cases {
		c := &g.cases[i]
		if c.name == caseVerdict {
			continue // comes last, for every run
		}
		if c.state != passed {
			lavaSay(b, "%s: %s", c.name, c.told())
		}
		lavaCase(b, c.name, [...]string{passed: "pass", skipped: "skip", errored: "unknown", failed: "fail"}[c.state])
	}
	for _, u := range g.runs {
		suffix := ""
		if len(g.runs) > 1 {
			suffix = fmt.Sprintf(".%d", u.Job)
		}
		lavaMeasure(b, "iops"+suffix, "iops", perSecond(u.Completions.Completed, u.RuntimeNS))
		lavaMeasure(b, "bandwidth"+suffix, "bytes_per_second", perSecond(u.IOBytes, u.RuntimeNS))
		if known(u.Collisions.PreWrite) {
			lavaMeasure(b, "collisions"+suffix, "per_second", finite(u.Collisions.PerSecond))
		}
	}
	if g.reason != "" {
		lavaSay(b, "%s", g.reason)
	}
	lavaCase(b, caseVerdict, [...]string{passed: "pass", skipped: "skip", errored: "fail", failed: "fail"}[g.state])
	fmt.Fprintln(b, "<LAVA_SIGNAL_TESTSET STOP>")
}

func lavaCase(b io.Writer, name, result string) {
	fmt.Fprintf(b, "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=%s RESULT=%s>\n", slug(name), result)
}

// lavaMeasure reports a figure; a figure that was taken has passed.
func lavaMeasure(b io.Writer, name, units string, v float64) {
	fmt.Fprintf(b, "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=%s RESULT=pass UNITS=%s MEASUREMENT=%s>\n", slug(name), units, strconv.FormatFloat(v, 'f', 1, 64))
}

// lavaSay writes a line for people, in which nothing looks like a signal.
func lavaSay(b io.Writer, format string, args ...any) {
	fmt.Fprintln(b, strings.NewReplacer("<", "(", ">", ")").Replace(brief(fmt.Sprintf(format, args...), 600)))
}
