package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"diostress/internal/verdict"
)

// Bounds of the text report, whatever the result holds.
const (
	maxFindings = 50  // shown with their witnesses
	maxWitness  = 8   // of one finding
	maxRunRows  = 200 // of the table of runs
	maxDetails  = 8   // runs with an account of their own
	maxLogLines = 20  // kernel log lines of one run
)

// writeText renders the report that people read: the verdict, then what it
// rests on, then the figures.
func writeText(w io.Writer, r *verdict.Result) error {
	var s sheet
	gs := groups(r)
	textHead(&s, r)
	textFindings(&s, r)
	for _, f := range r.Flaky {
		s.line("%s", flaky(f))
	}
	textNotDone(&s, r)
	textRuns(&s, r)
	shown, hidden := pick(gs)
	for _, g := range shown {
		textGroup(&s, g)
	}
	if hidden > 0 {
		s.gap()
		s.wrap("", "", fmt.Sprintf("%d more runs have no account here; the json report has every one.", hidden))
	}
	textEnvironment(&s, r)
	return s.flush(w)
}

func textHead(s *sheet, r *verdict.Result) {
	head := strings.ToUpper(r.Verdict.String())
	if r.Interrupted && r.Verdict == verdict.Pass {
		head += " (interrupted)"
	}
	if r.Reason != "" {
		head += ": " + brief(r.Reason, 400)
	}
	s.wrap("", "  ", head)
	if r.Stuck {
		s.line("Stuck: writes in flight did not complete; the run was given up.")
	}
	if r.Interrupted {
		s.line("Interrupted: the run ended before its time; what had been seen by then was judged.")
	}
	s.gap()
	s.whole("seed", seed(r))
	s.whole("repeat with", clean(r.Repro))
	s.whole("started", fmt.Sprintf("%s, took %s, by %s", or(r.StartTime, "at a time not known"), seconds(r.ElapsedNS), or(r.Program, "dioStress")))
	s.gap()
}

func textFindings(s *sheet, r *verdict.Result) {
	n := len(r.Findings)
	if n == 0 {
		s.line("Findings: none")
		return
	}
	s.line("Findings: %d", n)
	for i := range r.Findings[:min(n, maxFindings)] {
		f := &r.Findings[i]
		s.wrap("  ", "      ", fmt.Sprintf("%s %s=%d: %s", runName(f.Run), clean(f.Rule), f.Count, brief(f.Text, 600)))
		for _, w := range f.Witnesses[:min(len(f.Witnesses), maxWitness)] {
			lines := witness(&w)
			s.wrap("      - ", "        ", lines[0])
			for _, l := range lines[1:] {
				s.line("          %s", l)
			}
		}
		if more := len(f.Witnesses) - maxWitness; more > 0 {
			s.line("      - and %d more witnesses", more)
		}
	}
	if n > maxFindings {
		rest := map[string]uint64{}
		for i := range r.Findings[maxFindings:] {
			rest[r.Findings[maxFindings+i].Rule]++
		}
		s.wrap("  ", "      ", fmt.Sprintf("and %d more findings, by rule: %s; the json report has every one.", n-maxFindings, byName(rest)))
	}
}

func runName(name string) string {
	if name == "" {
		return invocation
	}
	return clean(name)
}

// witness writes a piece of evidence: what is known of it in one line, and the
// rest of an evidence of several lines in lines of their own.
func witness(w *verdict.Witness) []string {
	var p []string
	if w.TimeNS != 0 {
		p = append(p, fmt.Sprintf("%.6f s", float64(w.TimeNS)/1e9))
	}
	if w.File != "" {
		p = append(p, path(w.File))
	}
	if w.File != "" || w.Length != 0 || w.Offset != 0 {
		p = append(p, fmt.Sprintf("offset %#x", w.Offset))
	}
	if w.Length != 0 {
		p = append(p, fmt.Sprintf("length %d", w.Length))
	}
	if w.Tag != 0 {
		p = append(p, fmt.Sprintf("tag %#x", w.Tag))
	}
	if w.Res != 0 {
		p = append(p, fmt.Sprintf("res %d", w.Res))
	}
	facts := strings.Join(p, " ")
	ev := cleanLines(w.Evidence, 10, 200)
	switch {
	case facts == "":
		return ev
	case w.Evidence == "":
		return []string{facts}
	case len(ev) == 1:
		return []string{facts + ": " + ev[0]}
	}
	return append([]string{facts + ":"}, ev...)
}

// flaky is the line that xfstests-bld's readers know.
func flaky(f verdict.Flaky) string {
	pct := 0
	if f.Total > 0 {
		pct = (100*f.Failed + f.Total/2) / f.Total
	}
	return fmt.Sprintf("Flaky: %s: %d%% (%d/%d)", clean(f.Name), pct, f.Failed, f.Total)
}

// pick chooses the groups that get an account of their own: all of them if
// they are few, else those that did not pass before those that did.
func pick(gs []group) (shown []*group, hidden int) {
	for i := range gs {
		if len(gs[i].runs) > 0 || len(gs[i].cases) > 1 || gs[i].name != invocation {
			shown = append(shown, &gs[i])
		}
	}
	if len(shown) > maxDetails {
		slices.SortStableFunc(shown, func(a, b *group) int { return int(b.state) - int(a.state) })
		hidden = len(shown) - maxDetails
		shown = shown[:maxDetails]
	}
	return shown, hidden
}

// textRuns is the table of all runs, if there are several.
func textRuns(s *sheet, r *verdict.Result) {
	if len(r.Runs) < 2 {
		return
	}
	runs := make([]*verdict.Run, len(r.Runs))
	for i := range r.Runs {
		runs[i] = &r.Runs[i]
	}
	if len(runs) > maxRunRows {
		slices.SortStableFunc(runs, func(a, b *verdict.Run) int {
			return int(stateOf(b.Verdict, true)) - int(stateOf(a.Verdict, true))
		})
		runs = runs[:maxRunRows]
	}
	rows := [][]string{{"Runs", "verdict", "IOPS", "coll/s", "of writes", "lost", "failed"}}
	for _, u := range runs {
		c := &u.Completions
		iops := rate(perSecond(c.Completed, u.RuntimeNS))
		if u.Cut {
			iops = "-"
		}
		coll, share := unavailable, "-"
		if known(u.Collisions.PreWrite) {
			coll, share = rate(u.Collisions.PerSecond), percent(u.Collisions.Fraction)
		}
		var bad uint64
		for _, n := range c.Failed {
			bad += n
		}
		for _, n := range c.LeakedErrno {
			bad += n
		}
		rows = append(rows, []string{brief(u.Name, 40), u.Verdict.String(), iops, coll, share, fmt.Sprint(c.Lost), fmt.Sprint(bad)})
	}
	s.gap()
	s.table("", rows)
	if more := len(r.Runs) - len(runs); more > 0 {
		s.line("and %d more runs; the json report has every one.", more)
	}
}

// textNotDone says what was asked for and not done.
func textNotDone(s *sheet, r *verdict.Result) {
	if len(r.Skipped) > 0 {
		s.gap()
		s.line("Skipped")
		for _, k := range r.Skipped {
			s.wrap("  ", "      ", clean(k.Name)+": "+brief(k.Reason, 400))
		}
	}
	if len(r.NotChecked) > 0 {
		s.gap()
		s.line("Not checked")
		for _, n := range r.NotChecked {
			s.wrap("  ", "      ", brief(n, 400))
		}
	}
}
