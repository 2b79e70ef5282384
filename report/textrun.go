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
		h := fmt.Sprintf("%s (%s", strings.ToUpper(u.Verdict.String()), clean(u.IOEngine))
		if u.Scenario != "" {
			h += ", scenario " + clean(u.Scenario)
		}
		if u.Loop > 0 {
			h += fmt.Sprintf(", loop %d", u.Loop)
		}
		return h + ")"
	}
	return [...]string{"passed", "skipped", "ERROR", "FAILED"}[g.state]
}

// textJob is what one job did by itself.
func textJob(s *sheet, u *verdict.Run, several bool) {
	if several {
		s.line("  job %d", u.Job)
	}
	s.row("workload", "%s, bs %s, size %s, iodepth %d, fs config %s, %s", or(u.RW, "rw not known"),
		size(float64(u.BlockSize)), size(float64(u.FileSize)), u.IODepth, or(u.FSConfig, "none named"), seconds(u.RuntimeNS))
	if u.Profile != "" {
		s.row("profile", "%s", clean(u.Profile))
	}
	c := &u.Completions
	s.row("completions", "%d submitted, %d completed: %d full, %d short, %d zero, %d overlong, failed %s", c.Submitted, c.Completed,
		c.Full, c.Short, c.Zero, c.Overlong, byName(c.Failed))
	s.row("", "lost %d, duplicate %d, stray %d, early %d, leaked errno %s, res2 != 0 %d", c.Lost, c.Duplicate, c.Stray, c.Early,
		byName(c.LeakedErrno), c.NonzeroRes2)
	s.row("rate", "%s IOPS, %s/s%s", rate(perSecond(c.Completed, u.RuntimeNS)), size(perSecond(u.IOBytes, u.RuntimeNS)), cpu(u))
	s.row("calls", "%d submits, %d of them with back-pressure, %d reaps", u.Submits, c.BackPressure, u.Reaps)
	textLatency(s, &u.Latency)
	textCollisions(s, u)
	textRetry(s, &u.Retry)
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
		s.row("latency", "not known: %s", strings.Join(unknown, ", "))
	}
}

func textCollisions(s *sheet, u *verdict.Run) {
	c := &u.Collisions
	row := func(label, what string, n verdict.Count) {
		text := what + " " + counted(n)
		switch n.Fidelity {
		case verdict.Exact:
			text += ", exact"
		case verdict.AtLeast:
			text += ", a lower bound"
		}
		if n.Source != "" {
			text += ": " + clean(n.Source)
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

func textRetry(s *sheet, t *verdict.Retry) {
	if t.Limit == 0 {
		return
	}
	for _, h := range []struct {
		name string
		n    []uint64
	}{{"dirtiers running", t.Running}, {"dirtiers paused", t.Paused}} {
		var p []string
		for i, n := range h.n {
			if n > 0 {
				more := ""
				if i == len(h.n)-1 && i > 0 {
					more = "+"
				}
				p = append(p, fmt.Sprintf("try %d%s: %d", i+1, more, n))
			}
		}
		if len(p) > 0 {
			s.row("retry", "%s, went direct at %s", h.name, strings.Join(p, ", "))
		}
	}
	s.row("retry", "at most %d tries; gave up %d, permanent %d, not attributed %d", t.Limit, t.GaveUp, t.Permanent, t.Unattributed)
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
	textData(s, &u.Data)
	textDirtiers(s, u.Dirtiers)
	a := &u.Adequacy
	if a.Required != "" || a.Reached != "" {
		met := "not met"
		if a.Met {
			met = "met"
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

func textData(s *sheet, d *verdict.Data) {
	if d.Epochs == 0 {
		s.row("data", "not read back")
		if d.Overlap > 0 {
			s.row("", "overlaps %d", d.Overlap)
		}
		return
	}
	s.row("data", "read-backs %d, words checked %d, control writes %d, cache proved empty %d times", d.Epochs, d.WordsChecked, d.ControlWrites, d.CacheDropped)
	s.row("", "stale %d (%d reported by EIO at fsync), torn %d, lost write %d, foreign %d, poisoned %d", d.Stale, d.StaleExcused, d.Torn, d.LostWrite, d.Foreign, d.Poisoned)
	s.row("", "lost beside an mmap dirtier %d (legal), overlaps %d", d.LostConcurrent, d.Overlap)
}

func textDirtiers(s *sheet, ds []verdict.Dirtier) {
	if len(ds) == 0 {
		s.row("dirtiers", "none")
		return
	}
	rows := [][]string{{"  dirtiers", "threads", "operations", "overlaps", "faults", "errors"}}
	for _, d := range ds {
		rows = append(rows, []string{"    " + clean(d.Kind), fmt.Sprint(d.Count), fmt.Sprint(d.Operations), fmt.Sprint(d.Overlaps), fmt.Sprint(d.Faults), fmt.Sprint(d.Errors)})
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
