package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"diostress/internal/verdict"
)

// Bounds of the diagnostics.
const (
	ktapFindings = 8  // of one rule
	ktapLogLines = 20 // of one run
)

// writeKTAP renders KTAP version 1 (Documentation/dev-tools/ktap.rst): one test
// for a run, its rules as subtests, and the totals line of kselftest.
//
// What could not be decided is "not ok ... # ERROR": of the directives, ERROR
// stands for a test whose execution failed for a reason given, and a reader
// that does not know it falls back to "not ok", so it is never taken for a
// pass; SKIP would leave the parent untouched, as if there had been nothing to
// decide. Hence SKIP is for what this mode or machine cannot check, and for an
// undecided rule that the verdict does not rest on.
func writeKTAP(w io.Writer, r *verdict.Result) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "KTAP version 1")
	gs := groups(r)
	if len(gs) == 1 && len(r.Skipped) == 0 && gs[0].name == invocation && gs[0].state == skipped {
		// kselftest's form for a whole run that cannot take place.
		fmt.Fprintf(b, "1..0 # SKIP %s\n", ktapText(gs[0].reason, 300))
		return b.Flush()
	}
	fmt.Fprintf(b, "1..%d\n", len(gs)+len(r.Skipped))
	diagnose(b, "", "%s, kernel %s, fs %s config %s", or(r.Program, "dioStress"), or(r.Environment.Kernel, "not known"),
		or(r.Environment.FSType, "not known"), or(r.Environment.FSConfig, "not named"))
	diagnose(b, "", "seed %s, repeat with: %s", seed(r), r.Repro)
	var totals [4]int
	for i := range gs {
		g := &gs[i]
		ktapSubtests(b, g)
		if g.state > skipped {
			diagnose(b, "", "seed %s, repeat with: %s", seed(r), r.Repro)
		}
		ktapResult(b, "", i+1, g.name, g.state, g.timedOut(), g.reason)
		totals[g.state]++
	}
	for i, k := range r.Skipped {
		ktapResult(b, "", len(gs)+i+1, k.Name, skipped, false, k.Reason)
		totals[skipped]++
	}
	for _, f := range r.Flaky {
		diagnose(b, "", "%s", flaky(f))
	}
	fmt.Fprintf(b, "# Totals: pass:%d fail:%d xfail:0 xpass:0 skip:%d error:%d\n", totals[passed], totals[failed], totals[skipped], totals[errored])
	return b.Flush()
}

func (g *group) timedOut() bool {
	for i := range g.cases {
		if g.cases[i].timeout {
			return true
		}
	}
	return false
}

func ktapSubtests(b io.Writer, g *group) {
	const in = "  "
	fmt.Fprintf(b, in+"KTAP version 1\n"+in+"1..%d\n", len(g.cases))
	diagnose(b, in, "run %s", g.name)
	for _, u := range g.runs {
		diagnose(b, in, "job %d: engine %s, %s, bs %d, iodepth %d, submitted %d, completed %d, lost %d, pre-write failures %s", u.Job, u.IOEngine, u.RW,
			u.BlockSize, u.IODepth, u.Completions.Submitted, u.Completions.Completed, u.Completions.Lost, counted(u.Collisions.PreWrite))
	}
	for i := range g.cases {
		c := &g.cases[i]
		for _, f := range c.findings[:min(len(c.findings), ktapFindings)] {
			diagnose(b, in, "finding: %s", f.Text)
			for _, w := range f.Witnesses[:min(len(f.Witnesses), maxWitness)] {
				for _, l := range witness(&w) {
					diagnose(b, in, "witness: %s", l)
				}
			}
		}
		if more := len(c.findings) - ktapFindings; more > 0 {
			diagnose(b, in, "and %d more findings", more)
		}
		data := c.told()
		if c.state == passed {
			data = strings.TrimSpace(fmt.Sprintf("checked=%d %s", c.checked, data))
		}
		ktapResult(b, in, i+1, c.name, c.state, c.timeout, data)
	}
	if len(g.runs) == 0 {
		return
	}
	lines := g.runs[0].KernelLog.Lines
	for _, l := range lines[:min(len(lines), ktapLogLines)] {
		diagnose(b, "", "kernel: %s", l)
	}
	if more := len(lines) - ktapLogLines; more > 0 {
		diagnose(b, "", "kernel: and %d more lines", more)
	}
}

// ktapResult writes a result line.
func ktapResult(b io.Writer, indent string, n int, name string, st state, timeout bool, data string) {
	result, directive := "ok", ""
	switch {
	case st == skipped:
		directive = "SKIP"
	case st == errored:
		result, directive = "not ok", "ERROR"
	case timeout:
		result, directive = "not ok", "TIMEOUT"
	case st == failed:
		result = "not ok"
	}
	data = strings.TrimSpace(ktapText(data, 300))
	if directive == "" && startsWithDirective(data) {
		data = "because " + data
	}
	fmt.Fprintf(b, "%s%s %d %s", indent, result, n, slug(name))
	if data = strings.TrimSpace(directive + " " + data); data != "" {
		fmt.Fprintf(b, " # %s", data)
	}
	fmt.Fprintln(b)
}

// startsWithDirective says whether a reader would take the first word of the
// diagnostic data for a directive.
func startsWithDirective(data string) bool {
	for _, d := range []string{"SKIP", "TODO", "XFAIL", "TIMEOUT", "ERROR"} {
		if len(data) >= len(d) && strings.EqualFold(data[:len(d)], d) {
			return true
		}
	}
	return false
}

// diagnose writes a diagnostic line.
func diagnose(b io.Writer, indent, format string, args ...any) {
	fmt.Fprintf(b, "%s# %s\n", indent, ktapText(fmt.Sprintf(format, args...), 400))
}

// ktapText makes text fit for a line of KTAP: no hash sign, which begins the
// diagnostic data, and none of the phrases by which kunit.py knows that the
// kernel went down and the results are over.
func ktapText(s string, n int) string {
	return strings.NewReplacer("#", `\x23`,
		"List of all partitions:", `List of all partitions\x3a`,
		"Kernel panic - not syncing: VFS:", `Kernel panic - not syncing\x3a VFS\x3a`,
		"reboot: System halted", `reboot\x3a System halted`).Replace(brief(s, n))
}
