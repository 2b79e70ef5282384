package oracle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"diostress/internal/ledger"
	"diostress/internal/verdict"
)

// total adds the counts of all jobs up.
func (j *Judge) total(f func(*ledger.Counts) uint64) (n uint64) {
	for i := range j.t.Jobs {
		n += f(&j.t.Jobs[i].Counts)
	}
	return n
}

// attributed adds what attribution came to up over all jobs.
func (j *Judge) attributed(f func(*ledger.AttrSum) uint64) (n uint64) {
	for i := range j.t.Jobs {
		n += f(&j.t.Jobs[i].Attr)
	}
	return n
}

// failed counts the completions that failed with one errno.
func (j *Judge) failed(errno int64) uint64 {
	return j.total(func(c *ledger.Counts) uint64 { return c.Failed[errno] })
}

// failures counts the completions whose errno is of a class, by name.
func (j *Judge) failures(class errnoClass) (n uint64, byName map[string]uint64) {
	byName = map[string]uint64{}
	for i := range j.t.Jobs {
		for e, c := range j.t.Jobs[i].Counts.Failed {
			if j.classOf(e) == class {
				byName[ErrnoName(e)] += c
				n += c
			}
		}
	}
	return n, byName
}

func completed(c *ledger.Counts) uint64 { return c.Completed }

// witnesses are the first completions of some outcomes, by time.
func (j *Judge) witnesses(outcomes ...string) (w []verdict.Witness) {
	return j.entries(func(u *ledger.Unusual) bool { return slices.Contains(outcomes, u.Outcome) })
}

func (j *Judge) entries(pick func(*ledger.Unusual) bool) (w []verdict.Witness) {
	var all []*ledger.Unusual
	for i := range j.t.Jobs {
		for k := range j.t.Jobs[i].Unusual {
			if u := &j.t.Jobs[i].Unusual[k]; pick(u) {
				all = append(all, u)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *ledger.Unusual) int {
		return cmp.Or(cmp.Compare(a.Entry.ReapNS, b.Entry.ReapNS), cmp.Compare(a.Entry.Job, b.Entry.Job), cmp.Compare(a.Entry.Gen, b.Entry.Gen))
	})
	for _, u := range all[:min(len(all), maxWitnesses)] {
		e := &u.Entry
		w = append(w, verdict.Witness{
			TimeNS: e.ReapNS - j.h.StartNS, File: j.fileName(int(e.File)), Offset: e.Off, Length: int64(e.Len),
			Tag: ledger.MakeTag(int(e.Slot), e.Gen), Res: e.Res, Evidence: u.Outcome,
		})
	}
	return w
}

func (j *Judge) pendingWitness(p *ledger.InFlight, evidence string) verdict.Witness {
	return verdict.Witness{TimeNS: p.SubmitNS - j.h.StartNS, File: j.fileName(p.File), Offset: p.Off, Length: p.Len, Tag: ledger.MakeTag(p.Slot, p.Gen), Evidence: evidence}
}

func (j *Judge) pendingWitnesses() (w []verdict.Witness) {
	for i := range j.t.Jobs {
		for k := range j.t.Jobs[i].Pending {
			if p := &j.t.Jobs[i].Pending[k]; len(w) < maxWitnesses {
				w = append(w, j.pendingWitness(p, fmt.Sprintf("in flight for %.3f s", float64(j.t.EndNS-p.SubmitNS)/1e9)))
			}
		}
	}
	return w
}

func (j *Judge) accountRules() {
	submitted := j.total(func(c *ledger.Counts) uint64 { return c.Submitted })
	why := j.incomplete()
	if submitted == 0 && why == "" {
		why = "nothing was submitted"
	}
	j.completedOnce(submitted, why)
	stray := j.total(func(c *ledger.Counts) uint64 { return c.Stray })
	j.decide("no_stray", submitted, stray, fmt.Sprintf("%s with a tag that was never submitted", plural(stray, "completion")), why, j.witnesses("stray"))
	j.legalResult(why)
	j.noLeakedErrno(submitted, why)
	j.noStuckIO(submitted, why)
}

// completedOnce: what is in flight at the end of a run whose engine failed is
// not the kernel's loss.
func (j *Judge) completedOnce(submitted uint64, why string) {
	lost := j.total(func(c *ledger.Counts) uint64 { return c.Lost })
	dup := j.total(func(c *ledger.Counts) uint64 { return c.Duplicate })
	if why != "" && lost > 0 {
		why = fmt.Sprintf("%s; %s in flight", why, plural(lost, "write"))
		lost = 0
	}
	var what []string
	w := j.witnesses("duplicate")
	if lost > 0 {
		what = append(what, fmt.Sprintf("%d of %s never completed", lost, plural(submitted, "submission")))
		w = append(w, j.pendingWitnesses()...)
	}
	if dup > 0 {
		what = append(what, fmt.Sprintf("%s of writes that had completed before", plural(dup, "completion")))
	}
	j.decide("completed_once", submitted, lost+dup, strings.Join(what, "; "), why, w)
}

// legalResult holds every res against the contract's errnos. A short count is
// illegal unless the device, the journal or a full disk can have cut it.
func (j *Judge) legalResult(why string) {
	bad, names := j.failures(illegal)
	add := func(name string, n uint64) {
		if n > 0 {
			names[name] += n
			bad += n
		}
	}
	add("res > len", j.total(func(c *ledger.Counts) uint64 { return c.Overlong }))
	add("res = 0", j.total(func(c *ledger.Counts) uint64 { return c.Zero }))
	add("res2 != 0", j.total(func(c *ledger.Counts) uint64 { return c.NonzeroRes2 }))
	short := j.total(func(c *ledger.Counts) uint64 { return c.Short })
	full := j.failed(enospc)+j.failed(edquot) > 0
	if !full && j.cause.device == "" && j.cause.journal == "" {
		add("short", short)
	}
	w := j.entries(func(u *ledger.Unusual) bool {
		switch u.Outcome {
		case "overlong", "zero", "full": // a full one is here for its res2
			return true
		case "short":
			return names["short"] > 0
		case "failed":
			return j.classOf(-u.Entry.Res) == illegal
		}
		return false
	})
	j.decide("legal_result", j.total(completed), bad, "results that no aligned blocking write can have: "+counts(names), why, w)
}

// noLeakedErrno looks at completions and at sync calls.
func (j *Judge) noLeakedErrno(submitted uint64, why string) {
	leaked := map[string]uint64{}
	var n uint64
	for i := range j.t.Jobs {
		for e, c := range j.t.Jobs[i].Counts.Leaked {
			leaked[ErrnoName(e)] += c
			n += c
		}
	}
	for e, c := range j.errseq.leaked {
		leaked[ErrnoName(e)+" (fsync)"] += c
		n += c
	}
	j.decide("no_leaked_errno", submitted, n, "errnos that are the kernel's own came out: "+counts(leaked), why, j.witnesses("leaked_errno"))
}

func (j *Judge) noStuckIO(submitted uint64, why string) {
	s := j.t.Stuck
	if !j.stuck() {
		if s != nil {
			why = fmt.Sprintf("%s; %s in flight", j.incomplete(), plural(uint64(len(s.InFlight)), "write"))
		}
		j.decide("no_stuck_io", submitted, 0, "", why, nil)
		return
	}
	var w []verdict.Witness
	for i := range s.InFlight[:min(maxWitnesses, len(s.InFlight))] {
		w = append(w, j.pendingWitness(&s.InFlight[i], "in flight"))
	}
	for _, b := range s.Blocked[:min(4, len(s.Blocked))] {
		w = append(w, verdict.Witness{Evidence: "blocked: " + b})
	}
	n := uint64(len(s.InFlight))
	j.finding("no_stuck_io", max(1, n), fmt.Sprintf("no completion for %.1f s with %s in flight; %s", float64(s.OldestNS)/1e9, plural(n, "write"), s.Evidence), w)
}

func counts(m map[string]uint64) string {
	var parts []string
	for k, n := range m {
		parts = append(parts, fmt.Sprintf("%s=%d", k, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}
