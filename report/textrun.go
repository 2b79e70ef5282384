package report

import (
	"fmt"
	"slices"
	"strings"

	"diostress/internal/verdict"
)

// textGroup is the account of one run: its jobs, what they share, its rules.
func textGroup(s *sheet, g *group) {
	s.gap()
	s.line("%s: %s", clean(g.name), g.heading())
	for _, u := range g.runs {
		textJob(s, u, len(g.runs) > 1)
	}
	if len(g.runs) > 0 {
		textShared(s, g.runs[0])
	}
	textRules(s, g)
}

func (g *group) heading() string {
	if len(g.runs) > 0 {
		u := g.runs[0]
		var p []string
		if u.IOEngine != g.name {
			p = append(p, clean(u.IOEngine))
		}
		if u.Scenario != "" {
			p = append(p, "scenario "+clean(u.Scenario))
		}
		if u.Loop > 0 {
			p = append(p, fmt.Sprintf("loop %d", u.Loop))
		}
		h := strings.ToUpper(u.Verdict.String())
		if len(p) > 0 {
			h += " (" + strings.Join(p, ", ") + ")"
		}
		return h
	}
	return [...]string{"passed", "skipped", "ERROR", "FAILED"}[g.state]
}

// textJob is what one job did by itself.
func textJob(s *sheet, u *verdict.Run, several bool) {
	if several {
		s.line("  job %d", u.Job)
	}
	ran := seconds(u.RuntimeNS)
	if u.Cut {
		ran = "how long is not known"
	}
	s.row("workload", "%s, bs %s, size %s, iodepth %d, fs config %s, %s", or(u.RW, "rw not known"),
		size(float64(u.BlockSize)), size(float64(u.FileSize)), u.IODepth, or(u.FSConfig, "none named"), ran)
	if u.Profile != "" {
		s.row("profile", "%s", clean(u.Profile))
	}
	c := &u.Completions
	s.row("completions", "%d submitted, %d completed: %d full, %d short, %d zero, %d overlong, failed %s", c.Submitted, c.Completed,
		c.Full, c.Short, c.Zero, c.Overlong, byName(c.Failed))
	s.row("", "lost %d, duplicate %d, stray %d, early %d, leaked errno %s, res2 != 0 %d", c.Lost, c.Duplicate, c.Stray, c.Early,
		byName(c.LeakedErrno), c.NonzeroRes2)
	if u.Cut {
		s.row("rate, calls", cutShort)
	} else {
		textRate(s, u)
	}
	textLatency(s, &u.Latency)
	textCollisions(s, u)
	textRetry(s, &u.Retry)
}

func textRate(s *sheet, u *verdict.Run) {
	c := &u.Completions
	s.row("rate", "%s IOPS, %s/s%s", rate(perSecond(c.Completed, u.RuntimeNS)), size(perSecond(u.IOBytes, u.RuntimeNS)), cpu(u))
	s.row("calls", "%d submits, %d of them with back-pressure, %d reaps", u.Submits, c.BackPressure, u.Reaps)
}

func cpu(u *verdict.Run) string {
	if u.RuntimeNS <= 0 || u.UserCPUNS+u.SysCPUNS == 0 {
		return ""
	}
	ns := float64(u.RuntimeNS)
	return fmt.Sprintf(", cpu usr %s, sys %s", percent(float64(u.UserCPUNS)/ns), percent(float64(u.SysCPUNS)/ns))
}

func textLatency(s *sheet, l *verdict.Latencies) {
	points := []float64{50, 90, 99, 99.9, 99.99}
	rows := [][]string{{"  latency, us", "min", "50%", "90%", "99%", "99.9%", "99.99%", "max", "writes"}}
	var unknown []string
	for _, d := range []struct {
		name string
		l    *verdict.Latency
	}{{"slat", &l.Slat}, {"clat", &l.Clat}, {"lat", &l.Lat}, {"lat direct", &l.Direct}, {"lat collided", &l.Collided}} {
		if d.l.N == 0 {
			unknown = append(unknown, d.name)
			continue
		}
		row := []string{"    " + d.name, micros(d.l.Min)}
		for _, p := range points {
			cell := "-"
			if v, ok := percentile(d.l, p); ok {
				cell = micros(v)
			}
			row = append(row, cell)
		}
		rows = append(rows, append(row, micros(d.l.Max), fmt.Sprint(d.l.N)))
	}
	if len(rows) > 1 {
		s.table("", rows)
	}
	if len(unknown) > 0 {
		why := ""
		if l.Lat.N > 0 && l.Slat.N == 0 && l.Clat.N == 0 {
			// Nobody can tell when a call that waits has submitted.
			unknown, why = unknown[2:], "slat, clat (one call submitted and waited)"
			if len(unknown) > 0 {
				why += ", "
			}
		}
		s.row("latency", "not known: %s%s", why, strings.Join(unknown, ", "))
	}
}

func textCollisions(s *sheet, u *verdict.Run) {
	c := &u.Collisions
	row := func(label, what string, n verdict.Count) {
		text := what + " " + counted(n)
		source := ""
		if n.Source != "" {
			source = ": " + clean(n.Source)
		}
		switch {
		case n.Fidelity == verdict.Exact:
			text += ", exact" + source
		case n.Fidelity == verdict.AtLeast && n.Count == 0:
			text += " (a lower bound" + source + ")"
		case n.Fidelity == verdict.AtLeast:
			text += ", a lower bound" + source
		default:
			text += source
		}
		s.row(label, "%s", text)
	}
	row("collisions", "pre-write failures", c.PreWrite)
	row("", "post-write failures", c.PostWrite)
	if known(c.PreWrite) {
		s.row("", "%s/s before the write, %s of the writes", rate(c.PerSecond), percent(c.Fraction))
	}
	a := &c.Attributed
	if a.Direct+a.BufferedFallback+a.Unknown == 0 {
		s.row("finished", "not attributed")
		return
	}
	s.row("finished", "direct %d, buffered fallback %d, unknown %d", a.Direct, a.BufferedFallback, a.Unknown)
}

// textRetry says how collided writes fared that were tried again: with the
// dirtiers running, and those that gave up then once more with them paused.
func textRetry(s *sheet, t *verdict.Retry) {
	if t.Limit == 0 {
		return
	}
	direct, at := tries(t.Running)
	text := "dirtiers running, at most " + tryCount(t.Limit) + ": "
	if direct > 0 {
		text += "went direct at " + at + "; "
	} else {
		text += "none went direct; "
	}
	s.row("retry", "%s%d gave up", text, t.GaveUp)
	direct, at = tries(t.Paused)
	switch again := direct + t.Permanent; {
	case again == 0 && t.GaveUp == 0:
	case again == 0:
		s.row("", "dirtiers paused: none came to an end")
	case t.Permanent == 0:
		s.row("", "dirtiers paused, %d of the distinct blocks that gave up tried again: all went direct, at %s", again, at)
	case direct == 0:
		s.row("", "dirtiers paused, %d of the distinct blocks that gave up tried again: %d never went direct", again, t.Permanent)
	default:
		s.row("", "dirtiers paused, %d of the distinct blocks that gave up tried again: %d never went direct, the others at %s", again, t.Permanent, at)
	}
	if t.Unattributed > 0 {
		s.row("", "not attributed %d", t.Unattributed)
	}
}

func tryCount(n int) string {
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}

// tries adds a histogram up and writes it out. There are as many places as
// tries, so the last one is a try like the others.
func tries(hist []uint64) (sum uint64, text string) {
	var p []string
	for i, n := range hist {
		if n > 0 {
			p = append(p, fmt.Sprintf("try %d: %d", i+1, n))
			sum += n
		}
	}
	return sum, strings.Join(p, ", ")
}

// textShared is what the first job's run holds for all of them.
func textShared(s *sheet, u *verdict.Run) {
	f := &u.Fsync
	if f.Calls == 0 {
		s.row("fsync", "never called")
	} else {
		s.row("fsync", "%d calls, %d EIO%s", f.Calls, f.EIO, causes(&f.Attributed, f.EIO))
	}
	if n := u.Completions.Failed["EIO"]; n > 0 || f.Completion != (verdict.EIOCauses{}) {
		s.row("", "EIO in completions%s", causes(&f.Completion, 1))
	}
	textData(s, u)
	textDirtiers(s, u)
	a := &u.Adequacy
	if a.Required != "" || a.Reached != "" {
		met := "not met"
		if a.Met {
			met = "met"
		}
		if u.Cut {
			met = "not known"
		}
		s.row("adequacy", "%s: required %s; reached %s", met, clean(a.Required), clean(a.Reached))
	}
	textKernelLog(s, &u.KernelLog)
}

func causes(c *verdict.EIOCauses, n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(": invalidation %d, device %d, journal %d, ambiguous %d", c.Invalidation, c.Device, c.Journal, c.Ambiguous)
}

func textData(s *sheet, u *verdict.Run) {
	const label = "overlaps of dirtiers that dirty (mmap, write)"
	d := &u.Data
	overlaps := fmt.Sprintf("%s %d", label, d.Overlap)
	if u.Cut {
		overlaps = label + " " + cutShort
	}
	switch {
	case !d.Checked:
		s.row("data", "not checked (--verify none)")
	case d.Epochs == 0:
		s.row("data", "not read back")
	default:
		proved := fmt.Sprintf("%d times", d.CacheDropped)
		if u.Cut {
			proved = cutShort
		}
		s.row("data", "read-backs %d, words checked %d, control writes %d, cache proved empty %s", d.Epochs, d.WordsChecked, d.ControlWrites, proved)
		s.row("", "stale %d (%d reported by EIO at fsync), torn %d, lost write %d, foreign %d, poisoned %d", d.Stale, d.StaleExcused, d.Torn, d.LostWrite, d.Foreign, d.Poisoned)
		s.row("", "lost beside an mmap dirtier %d (legal)", d.LostConcurrent)
	}
	if d.Checked && d.Epochs > 0 || d.Overlap > 0 {
		s.row("", "%s", overlaps)
	}
}

func textDirtiers(s *sheet, u *verdict.Run) {
	ds := u.Dirtiers
	switch {
	case len(ds) == 0 && u.Cut:
		s.row("dirtiers", cutShort)
		return
	case len(ds) == 0:
		s.row("dirtiers", "none")
		return
	}
	rows := [][]string{{"  dirtiers", "threads", "operations", "overlaps", "other write", "faults", "errors"}}
	for _, d := range ds {
		targets := fmt.Sprint(d.Targets)
		if d.Targets == 0 && d.Overlaps > 0 {
			targets = "-" // not counted
		}
		rows = append(rows, []string{"    " + clean(d.Kind), fmt.Sprint(d.Count), fmt.Sprint(d.Operations), fmt.Sprint(d.Overlaps), targets, fmt.Sprint(d.Faults), fmt.Sprint(d.Errors)})
	}
	s.table("", rows)
}

func textKernelLog(s *sheet, k *verdict.KernelLog) {
	if k.TaintAfter != k.TaintBefore {
		s.row("taint", "%#x before, %#x after", k.TaintBefore, k.TaintAfter)
	}
	if k.BudgetExhausted {
		s.row("kernel log", "the invalidation warning's ten lines a day are used up: its absence says nothing")
	}
	switch {
	case !k.Available:
		s.row("kernel log", "unavailable")
		return
	case len(k.Lines) == 0:
		s.row("kernel log", "no line that matters")
	default:
		s.row("kernel log", "%d lines that matter", len(k.Lines))
	}
	if k.OtherDevices > 0 {
		s.row("", "%d lines about other disks are not shown", k.OtherDevices)
	}
	for _, l := range k.Lines[:min(len(k.Lines), maxLogLines)] {
		s.line("    %s", brief(l, 300))
	}
	if more := len(k.Lines) - maxLogLines; more > 0 {
		s.line("    and %d more lines", more)
	}
	if k.Dropped > 0 {
		s.row("", "%d lines were overwritten before they could be read", k.Dropped)
	}
}

// textRules lists the rules: what broke, what is not known, what held.
func textRules(s *sheet, g *group) {
	worst := slices.Clone(g.cases)
	slices.SortStableFunc(worst, func(a, b testCase) int { return int(b.state) - int(a.state) })
	label := "rules"
	say := func(text string) {
		s.row(label, "%s", text)
		label = ""
	}
	var pass []string
	for i := range worst {
		c := &worst[i]
		name := clean(c.name)
		switch {
		case c.state == failed:
			n := uint64(0)
			for _, f := range c.findings {
				n += f.Count
			}
			say(fmt.Sprintf("FAIL %s=%d", name, n))
		case c.state == passed && c.message == "":
			pass = append(pass, name)
		case c.state == passed:
			pass = append(pass, fmt.Sprintf("%s (%s)", name, brief(c.message, 200)))
		default:
			say(fmt.Sprintf("%s: %s", name, brief(c.told(), 300)))
		}
	}
	if len(pass) > 0 {
		say(fmt.Sprintf("pass (%d): %s", len(pass), strings.Join(pass, ", ")))
	}
}
