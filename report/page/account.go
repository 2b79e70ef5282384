package page

import (
	"cmp"
	"maps"
	"slices"

	"diostress/internal/verdict"
)

// attributed says whether the trace could tell how writes ended: where all are
// unknown, or nobody looked, zeros mean nothing.
func attributed(in *verdict.Run) bool {
	a := &in.Collisions.Attributed
	return a.Direct+a.BufferedFallback > 0
}

// tables are the plain accounts of a run.
func (r *run) tables() []facts {
	out := []facts{r.completions(), r.throughput(), r.collisions()}
	if r.Shared == "" {
		out = append(out, fsync(r.in), data(r.in))
	}
	return out
}

func (r *run) completions() facts {
	c := &r.in.Completions
	t := facts{Title: "Completions", List: []fact{
		number("submitted", c.Submitted), number("completed", c.Completed), number("full length", c.Full),
		number("short", c.Short), number("zero", c.Zero), wrong("overlong", c.Overlong),
	}}
	t.List = append(t.List, byName("failed: ", "failed", c.Failed, "")...)
	t.List = append(t.List, wrong("lost", c.Lost), wrong("duplicate", c.Duplicate), wrong("stray", c.Stray))
	if c.Early > 0 || attributed(r.in) {
		t.List = append(t.List, wrong("early", c.Early))
	} else {
		t.List = append(t.List, missing("early", "writes were not attributed"))
	}
	t.List = append(t.List, byName("leaked errno: ", "leaked errno", c.LeakedErrno, "bad")...)
	t.List = append(t.List, wrong("res2 ≠ 0", c.NonzeroRes2), number("back-pressure", c.BackPressure))
	return t
}

// byName lists counts by errno, the largest first; one line with 0 for none.
func byName(prefix, none string, m map[string]uint64, class string) (out []fact) {
	names := slices.Collect(maps.Keys(m))
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b)) })
	for i, n := range names {
		if i == 20 {
			return append(out, fact{Label: "…", Value: grouped(uint64(len(names)-i)) + " errnos more", Class: class})
		}
		out = append(out, fact{Label: prefix + plain(n, 40), Value: grouped(m[n]), Class: class})
	}
	if len(out) == 0 {
		out = []fact{number(none, 0)}
	}
	return out
}

func (r *run) throughput() facts {
	in := r.in
	t := facts{Title: "Throughput and engine", List: []fact{
		{Label: "writes", Value: r.iops() + " /s"}, {Label: "written", Value: size(in.IOBytes)},
	}}
	if in.RuntimeNS > 0 {
		t.List = append(t.List, fact{Label: "bandwidth", Value: size(uint64(float64(in.IOBytes)/(float64(in.RuntimeNS)/1e9))) + "/s"})
	}
	if in.Cut {
		return facts{Title: t.Title, List: append(t.List, missing("submit calls", cutShort), missing("reap calls", cutShort), missing("engine thread", cutShort))}
	}
	t.List = append(t.List, number("submit calls", in.Submits), number("reap calls", in.Reaps))
	if in.Submits > 0 {
		t.List = append(t.List, fact{Label: "writes per submit call", Value: digits(float64(in.Completions.Submitted) / float64(in.Submits))})
	}
	return facts{Title: t.Title, List: append(t.List,
		fact{Label: "engine thread, user", Value: cpu(in.UserCPUNS, in.RuntimeNS)}, fact{Label: "engine thread, system", Value: cpu(in.SysCPUNS, in.RuntimeNS)})}
}

func cpu(ns, of int64) string {
	if of <= 0 {
		return duration(ns)
	}
	return duration(ns) + " (" + percent(float64(ns)/float64(of)) + ")"
}

func (r *run) collisions() facts {
	c := &r.in.Collisions
	t := facts{Title: "Collisions", List: []fact{count("pre-write failures", c.PreWrite)}}
	if known(c.PreWrite) {
		t.List = append(t.List, fact{Label: "per second", Value: perSecond(c.PerSecond)}, fact{Label: "of the writes", Value: percent(c.Fraction)})
	} else {
		t.List = append(t.List, missing("per second", ""), missing("of the writes", ""))
	}
	t.List = append(t.List, count("post-write failures", c.PostWrite))
	a := &c.Attributed
	all := a.Direct + a.BufferedFallback + a.Unknown
	if !attributed(r.in) {
		why := "writes were not attributed"
		if r.Shared != "" {
			why = "attributed with " + r.Shared
		}
		return facts{Title: t.Title, List: append(t.List, missing("finished direct", why), missing("finished by buffered fallback", why))}
	}
	t.List = append(t.List,
		fact{Label: "finished direct", Value: share(a.Direct, all)},
		fact{Label: "finished by buffered fallback", Value: share(a.BufferedFallback, all)},
		fact{Label: "not known how", Value: share(a.Unknown, all)})
	return t
}

func fsync(in *verdict.Run) facts {
	f := &in.Fsync
	t := facts{Title: "fsync and EIO"}
	if f.Calls == 0 {
		t.List = append(t.List, number("calls", 0), missing("EIO", "no call was made"))
	} else {
		t.List = append(t.List, number("calls", f.Calls), fact{Label: "EIO", Value: share(f.EIO, f.Calls)})
		t.List = append(t.List, causes("EIO by ", &f.Attributed)...)
	}
	if f.Completion != (verdict.EIOCauses{}) {
		t.List = append(t.List, causes("EIO in a completion by ", &f.Completion)...)
	}
	return t
}

func causes(prefix string, c *verdict.EIOCauses) []fact {
	return []fact{
		number(prefix+"invalidation", c.Invalidation), number(prefix+"device", c.Device),
		number(prefix+"journal", c.Journal), number(prefix+"ambiguous cause", c.Ambiguous),
	}
}

func data(in *verdict.Run) facts {
	d := &in.Data
	t := facts{Title: "Data read back"}
	overlaps := number("overlaps of dirtiers that dirty (mmap, write)", d.Overlap)
	overlaps.Note = "acts inside a write in flight on the same bytes"
	drops := number("cache drops proved", d.CacheDropped)
	if in.Cut {
		overlaps, drops = missing(overlaps.Label, cutShort), missing(drops.Label, cutShort)
	}
	switch {
	case !d.Checked:
		t.List = []fact{missing("words checked", "not checked (--verify none)"), overlaps}
		return t
	case d.Epochs == 0:
		t.List = []fact{missing("words checked", "nothing was read back"), overlaps, number("control writes", d.ControlWrites)}
		return t
	}
	t.List = []fact{
		number("epochs", d.Epochs), {Label: "words checked", Value: grouped(d.WordsChecked), Note: "8 bytes each"},
		{Label: "stale in the cache", Value: grouped(d.Stale), Note: "of these " + grouped(d.StaleExcused) + " in files whose fsync reported EIO", Class: badIf(d.Stale > d.StaleExcused)},
		wrong("torn", d.Torn), wrong("lost", d.LostWrite),
		{Label: "lost beside an mmap dirtier", Value: grouped(d.LostConcurrent), Note: "legal: the folio was dirty through mmap"},
		wrong("foreign", d.Foreign), wrong("poisoned", d.Poisoned),
		overlaps, number("control writes", d.ControlWrites), drops,
	}
	return t
}
