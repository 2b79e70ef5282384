package page

import (
	"fmt"

	"diostress/internal/verdict"
)

// count shows a count with what can be said about it.
func count(label string, c verdict.Count) fact {
	f := fact{Label: label, Value: grouped(c.Count), Note: plain(c.Source, 300)}
	switch c.Fidelity {
	case verdict.Exact:
	case verdict.AtLeast:
		f.Value = "≥ " + f.Value
	default:
		f.Value, f.Class = unavailable, "na"
	}
	return f
}

// known is false where nobody could look: then 0 is not a number.
func known(c verdict.Count) bool {
	return c.Fidelity == verdict.Exact || c.Fidelity == verdict.AtLeast
}

// total adds one count of every run.
func total(label string, r *verdict.Result, of func(*verdict.Collisions) verdict.Count) fact {
	var sum verdict.Count
	some, part := false, false
	for i := range r.Runs {
		c := of(&r.Runs[i].Collisions)
		switch {
		case known(c):
			some = true
			sum.Count += c.Count
			part = part || c.Fidelity == verdict.AtLeast
		case r.Runs[i].Job == 0: // other jobs may be counted with the first
			part = true
		}
	}
	switch {
	case !some:
		sum = verdict.Count{Fidelity: verdict.Unavailable}
	case part:
		sum.Fidelity = verdict.AtLeast
	default:
		sum.Fidelity = verdict.Exact
	}
	return count(label, sum)
}

// figures are the few numbers one looks for first.
func figures(r *verdict.Result) []fact {
	var done, submitted, bad, eio, calls, checked uint64
	var readBack bool
	for i := range r.Runs {
		x := &r.Runs[i]
		done, submitted = done+x.Completions.Completed, submitted+x.Completions.Submitted
		bad += misdeeds(&x.Completions)
		eio, calls = eio+x.Fsync.EIO, calls+x.Fsync.Calls
		checked += x.Data.WordsChecked
		readBack = readBack || x.Data.Epochs > 0
	}
	out := []fact{
		{Label: "findings", Value: grouped(uint64(len(r.Findings))), Class: badIf(len(r.Findings) > 0)},
		{Label: "writes completed", Value: grouped(done), Note: "of " + grouped(submitted) + " submitted"},
		{Label: "completed wrongly", Value: grouped(bad), Note: "lost, duplicate, stray, early, overlong, leaked errno, res2 ≠ 0", Class: badIf(bad > 0)},
	}
	pre := total("pre-write failures", r, func(c *verdict.Collisions) verdict.Count { return c.PreWrite })
	pre.Note = "invalidation failed before the write"
	post := total("post-write failures", r, func(c *verdict.Collisions) verdict.Count { return c.PostWrite })
	post.Note = "invalidation failed after the write"
	sync := fact{Label: "fsync EIO", Value: grouped(eio), Note: "of " + grouped(calls) + " calls"}
	if calls == 0 {
		sync.Value, sync.Note, sync.Class = unavailable, "no call was made", "na"
	}
	data := fact{Label: "words read back", Value: grouped(checked), Note: "8 bytes each"}
	if !readBack {
		data.Value, data.Note, data.Class = unavailable, "nothing was read back", "na"
	}
	if len(r.Runs) == 0 {
		return out[:1]
	}
	return append(out, pre, post, sync, data)
}

// misdeeds counts the completions that no kernel may make.
func misdeeds(c *verdict.Completions) uint64 {
	n := c.Lost + c.Duplicate + c.Stray + c.Early + c.Overlong + c.NonzeroRes2
	for _, k := range c.LeakedErrno {
		n += k
	}
	return n
}

func badIf(b bool) string {
	if b {
		return "bad"
	}
	return ""
}

// number shows a plain number; one that should be 0 is marked when it is not.
func number(label string, n uint64) fact { return fact{Label: label, Value: grouped(n)} }

func wrong(label string, n uint64) fact {
	return fact{Label: label, Value: grouped(n), Class: badIf(n > 0)}
}

// missing shows that there is no number, and why.
func missing(label, why string) fact {
	return fact{Label: label, Value: unavailable, Note: why, Class: "na"}
}

// share writes "12 (3.4 %)".
func share(n, of uint64) string {
	if of == 0 {
		return grouped(n)
	}
	return fmt.Sprintf("%s (%s)", grouped(n), percent(float64(n)/float64(of)))
}
