package oracle

import (
	"strings"

	"diostress/internal/ledger"
	"diostress/internal/plan"
	"diostress/internal/verdict"
)

// demands is the pressure that a quiet run must prove.
func (j *Judge) demands() plan.Pressure {
	if s, ok := plan.FindScenario(j.h.Config.Scenario); ok {
		return s.Pressure
	}
	return plan.Collide()
}

// measure returns what a run came to of something that was demanded; known is
// false where it could not be counted.
func (j *Judge) measure(d plan.Demand) (n uint64, known bool) {
	switch d.Of {
	case plan.Writes:
		return j.total(func(c *ledger.Counts) uint64 { return c.Completed }), true
	case plan.Collisions:
		return j.counted()
	case plan.InvalidationEIO:
		return j.settleEIO().Invalidation, true
	case plan.Overlaps:
		if d.Kind == "" {
			return j.overlapped(j.t.Overlaps, j.t.Targets), true
		}
		for _, x := range j.t.Dirtiers {
			if x.Kind == d.Kind {
				n += j.overlapped(x.Overlaps, x.Targets)
			}
		}
		return n, true
	case plan.OverlapActs:
		return j.t.Overlaps, true
	case plan.Acts:
		for _, x := range j.t.Dirtiers {
			if d.Kind == "" || x.Kind == d.Kind {
				n += x.Operations
			}
		}
		return n, true
	case plan.FirstWrites:
		return j.t.Work.FirstWrites, true
	case plan.Extensions:
		return j.t.Work.Extensions, true
	case plan.UnmappedBuffers:
		return j.t.Work.Unmapped, true
	case plan.OnlineReads:
		// Without --verify full nobody reads.
		return j.t.OnlineReads, j.h.Config.Verify == "full"
	}
	return 0, false
}

// counted returns the failed invalidations that were counted; known is false
// if none could be.
func (j *Judge) counted() (n uint64, known bool) {
	pre, post := j.t.Trace.PreWrite, j.t.Trace.PostWrite
	if pre.Known && !j.mixed() {
		n, known = pre.N, true
	}
	// The probe counts the whole machine's: beside others they are not this run's.
	if post.Known && j.h.Facts.SoleDirect {
		n, known = n+post.N, true
	}
	return n, known
}

// mixed says whether the event of pre-write failures also fired for writeback
// errors, which are no collisions.
func (j *Judge) mixed() bool { return j.contract.AlsoTraced && j.t.Trace.SetWBErr.N > 0 }

// overlapped returns how many writes the acts of a kind overlapped, at most.
// Targets is 0 where nobody counted; it counts acts beside a write too, and a
// dirtier that goes back and forth between two writes counts at every turn.
func (j *Judge) overlapped(overlaps, targets uint64) uint64 {
	n := min(overlaps, j.total(completed))
	if targets > 0 {
		n = min(n, targets)
	}
	return n
}

// pressure holds what was reached against what was required.
func (j *Judge) pressure() (a verdict.Adequacy) {
	if j.t.Cut {
		return verdict.Adequacy{Required: j.demands().String(), Reached: "not known: the log was cut"}
	}
	a.Met = true
	var required, reached []string
	for _, row := range j.demands() {
		var want, got []string
		met := false
		for _, d := range row {
			n, known := j.measure(d)
			if !known {
				continue
			}
			want, got = append(want, d.String()), append(got, d.Count(n))
			met = met || n >= d.Min
		}
		if len(want) == 0 {
			want, got = []string{plan.Pressure{row}.String()}, []string{"that could not be counted"}
		}
		required, reached = append(required, strings.Join(want, ", else ")), append(reached, strings.Join(got, ", "))
		a.Met = a.Met && met
	}
	a.Required, a.Reached = strings.Join(required, "; and "), strings.Join(reached, "; ")
	return a
}

// pressed says whether pressure was asked for at all.
func (j *Judge) pressed() bool { return len(j.h.Config.Dirty) > 0 || j.h.Config.Scenario != "" }

func (j *Judge) adequacy() {
	const name = "adequacy"
	a := j.pressure()
	switch {
	case !j.pressed():
		j.notApplicable(name, "--dirty none: no pressure is asked for")
	case j.incomplete() != "":
		j.undecided(name, 0, j.incomplete())
	case j.data.buffered && j.t.Trace.PreWrite.N == 0:
		j.rule(name, verdict.Unsupported, 0, "O_DIRECT is buffered on this file system ("+j.whyBuffered()+"): there is nothing to collide with")
	case !a.Met && j.t.Interrupted:
		j.undecided(name, 0, "interrupted before the pressure was reached: "+a.Reached)
	case !a.Met:
		j.undecided(name, 0, "too little pressure: "+a.Reached+"; required: "+a.Required)
	default:
		n, _ := j.counted()
		j.rule(name, verdict.Pass, max(n, j.overlapped(j.t.Overlaps, j.t.Targets)), a.Reached)
	}
}
