// Package report renders the result of an invocation in the formats that
// kernel labs read: text for people, fio's JSON with everything of ours under
// one more key, KTAP, JUnit in the dialect of xfstests, HTML, LAVA's signals
// and kcidb; and the lines of the live view.
//
// It never judges, reads a clock, opens a file or asks the kernel: whatever it
// says is in the verdict.Result or the Status that it is given. Its functions
// keep no state and may be called from any goroutine, but not while another one
// changes the result.
package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"diostress/internal/verdict"
)

// Formats returns the valid format names in the order shown to the user.
func Formats() []string {
	return []string{"text", "json", "ktap", "junit", "html", "lava", "kcidb"}
}

// Write renders r in one format, one of Formats. It fails on an unknown format
// and on what w or the JSON encoder returns; w may then hold the start of a
// report.
func Write(w io.Writer, format string, r *verdict.Result) error {
	switch format {
	case "text":
		return writeText(w, r)
	case "json":
		return writeJSON(w, r)
	case "ktap":
		return writeKTAP(w, r)
	case "junit":
		return writeJUnit(w, r)
	case "html":
		return writeHTML(w, r)
	case "lava":
		return writeLAVA(w, r)
	case "kcidb":
		return writeKCIDB(w, r)
	}
	return fmt.Errorf("output format %q is unknown; valid: %s", format, strings.Join(Formats(), ", "))
}

// ResultLine is the last line of stdout, without a newline: the verdict, what
// it rests on, the seed and where the report went ("-" for stdout, else a path
// or several).
func ResultLine(r *verdict.Result, where string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "RESULT: %s", strings.ToUpper(r.Verdict.String()))
	switch r.Verdict {
	case verdict.Fail:
		fmt.Fprintf(&b, " (%s)", brokenRules(r))
	case verdict.Pass:
		if r.Interrupted {
			b.WriteString(" (interrupted)")
		}
	default:
		if r.Reason != "" {
			b.WriteString(" " + quoted(brief(r.Reason, 160)))
		}
	}
	fmt.Fprintf(&b, " seed=%s report=%s", seed(r), path(where))
	return b.String()
}

const maxNamedRules = 8

// brokenRules names the rules that findings broke, in the order of the
// findings, with the sum of their counts.
func brokenRules(r *verdict.Result) string {
	var names []string
	sums := map[string]uint64{}
	for i := range r.Findings {
		f := &r.Findings[i]
		if _, ok := sums[f.Rule]; !ok {
			names = append(names, f.Rule)
		}
		sums[f.Rule] += f.Count
	}
	if len(names) == 0 {
		return quoted(brief(r.Reason, 160))
	}
	more := ""
	if n := len(names) - maxNamedRules; n > 0 {
		names, more = names[:maxNamedRules], fmt.Sprintf(" and %d more rules", n)
	}
	parts := slices.Clone(names)
	for i, n := range names {
		parts[i] = fmt.Sprintf("%s=%d", slug(n), sums[n])
	}
	return strings.Join(parts, " ") + more
}

func seed(r *verdict.Result) string { return fmt.Sprintf("%#x", r.Seed) }
