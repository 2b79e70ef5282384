package oracle

import (
	"fmt"
	"strings"

	"diostress/internal/verdict"
)

// settleEIO attributes the EIOs of samples: by what the trace says of each,
// and where it says nothing by what is known of the whole run.
func (j *Judge) settleEIO() (c verdict.EIOCauses) {
	k := &j.errseq.causes
	c.Invalidation = k.invalidation
	switch {
	case j.cause.device == "" && j.cause.journal != "":
		c.Journal += k.writeback
	default:
		c.Device += k.writeback
	}
	switch {
	case j.cause.journal != "":
		c.Journal += k.elsewhere
	case j.cause.device != "":
		c.Device += k.elsewhere
	default:
		c.Ambiguous += k.elsewhere
	}
	set := j.t.Trace.SetWBErr
	switch {
	case j.cause.any() == "" && set.Known && set.N == 0 && !set.AtLeast,
		j.cause.any() == "" && j.t.SyncFSKnown && j.t.SyncFSErrno == 0:
		c.Invalidation += k.untold
	default:
		c.Ambiguous += k.untold
	}
	return c
}

// evidence names what the attribution rests on.
func (s *errseq) evidence(c verdict.EIOCauses) string {
	var parts []string
	add := func(n uint64, text string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, text))
		}
	}
	traced := min(s.causes.invalidation, c.Invalidation)
	add(traced, "invalidation (errseq advanced, no filemap_set_wb_err)")
	add(c.Invalidation-traced, "invalidation (no writeback error in the whole run)")
	add(c.Device, "device (filemap_set_wb_err)")
	add(c.Journal, "journal (kernel log)")
	add(c.Ambiguous, "ambiguous (no trace of the call, or no cause seen)")
	return strings.Join(parts, ", ")
}

// sampled turns a sample's witness into one of the report.
func (j *Judge) sampled(w []verdict.Witness) []verdict.Witness {
	out := make([]verdict.Witness, len(w))
	for i, x := range w {
		x.File, x.Offset, x.TimeNS = j.fileName(int(x.Offset)), 0, x.TimeNS-j.h.StartNS
		out[i] = x
	}
	return out
}

func (j *Judge) errseqRules() {
	j.errseqOnce()
	j.errseqReported()
}

// elsewhere says whether an error that the trace tells nothing of may have come
// from elsewhere than errseq.
func (j *Judge) elsewhere() string {
	switch {
	case j.cause.any() != "":
		return j.cause.any()
	case !j.cause.visible:
		return "an error of the device would not have been seen here"
	}
	return ""
}

func (j *Judge) errseqOnce() {
	const name = "errseq_once"
	s := &j.errseq
	n, w, why := s.nTwice, s.twice, j.incomplete()
	if s.nTwiceBlind > 0 {
		if other := j.elsewhere(); other != "" || j.h.Config.Retry > 0 {
			why = fmt.Sprintf("EIO twice at rest, %d times, and neither was traced (%s)", s.nTwiceBlind, orElse(other, "writes were tried again in between"))
		} else {
			n, w = n+s.nTwiceBlind, append(w, s.twiceBlind...)
		}
	}
	if n == 0 && why == "" && s.checkedOnce == 0 {
		j.notApplicable(name, "no sample was taken with everything at rest")
		return
	}
	j.decide(name, s.checkedOnce, n, fmt.Sprintf("an error was returned twice to one open file description, %d times", n), why, j.sampled(w))
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

func (j *Judge) errseqReported() {
	const name = "errseq_reported"
	s := &j.errseq
	n, w, why := s.nMissed, s.missed, j.incomplete()
	if s.nMissedBlind > 0 {
		if other := j.elsewhere(); other != "" {
			why = fmt.Sprintf("%s returned an error that another was not told of, and none was traced (%s)", plural(s.nMissedBlind, "description"), other)
		} else {
			n, w = n+s.nMissedBlind, append(w, s.missedBlind...)
		}
	}
	errors := uint64(0)
	for i := range s.files {
		errors += s.files[i].reported
	}
	switch {
	case n > 0:
		j.finding(name, n, fmt.Sprintf("%d times an open file description was not told of a failure that another one was told of", n), j.sampled(w))
	case j.known && !j.contract.Judged:
		j.notApplicable(name, "kernels of the era "+j.contract.Era+" do not report it to each")
	case why != "":
		j.undecided(name, s.owed, why)
	case errors == 0:
		j.notApplicable(name, "no fsync returned an error")
	case len(s.fds) < 2:
		j.notApplicable(name, "only one open file description was sampled")
	case s.owed == 0:
		j.undecided(name, 0, "no failure could be dated between two samples of another description")
	default:
		j.rule(name, verdict.Pass, s.owed, "")
	}
}
