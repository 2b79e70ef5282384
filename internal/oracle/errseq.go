package oracle

import (
	"fmt"

	"diostress/internal/ledger"
	"diostress/internal/plan"
	"diostress/internal/verdict"
)

// errseq models lib/errseq.c for every open file description: an error set on
// a file is returned once by the next sample of each description that was open
// then; errors between two samples of one description coalesce; a description
// opened later sees an error that nobody has seen.
//
// A sample is an interval: the kernel looked somewhere between its begin and
// its end. So a failure is dated by the begin of a sample and the end of the
// EIO that was the next one of the same description, and another description
// owes an EIO only if its own last sample ended before, and its next one began
// after. Samples come in order of their ends.
type errseq struct {
	fds   map[int]*description
	files []fileErrors
	start int64 // witnesses were open by then

	calls, eio, quiesced uint64
	leaked               map[int64]uint64
	other                map[string]uint64
	causes               eioKinds

	checkedOnce, nTwice, nTwiceBlind uint64
	twice, twiceBlind                []verdict.Witness

	owed, nMissed, nMissedBlind uint64
	missed, missedBlind         []verdict.Witness

	dsync   bool // O_DSYNC writes sample the descriptions they go through
	retries bool // writes are tried again while all else rests
	audit   auditCount
}

// eioKinds sorts the EIOs by what the trace says of them.
type eioKinds struct {
	invalidation uint64 // reported from errseq, and no writeback error among it
	writeback    uint64 // reported from errseq, a writeback error among it
	elsewhere    uint64 // not from errseq: the journal, a flush
	untold       uint64 // no trace, or records were lost
}

type auditCount struct{ calls, told uint64 }

// description is one open file description.
type description struct {
	looked  int64  // begin of the last sample that is known to have looked at errseq; 0: none
	atRest  int    // that sample was one of epoch atRest-1, with everything at rest; 0: it was not
	end     int64  // end of the last sample; 0: none
	epoch   int    // of the last sample
	value   uint32 // errseq after its last report, as traced; 0: not known
	quiet   bool   // returned an error with everything at rest, and nothing was written since
	blind   bool   // as quiet, but what returned it is not known
	witness bool
}

// fileErrors is what is known of one file.
type fileErrors struct {
	dated    []failure // the youngest, bounded
	reported uint64    // samples that returned an error
	rests    [2]rest   // the last two times at rest, the younger first
}

// rest is the time at the end of an epoch at which nothing was written.
type rest struct {
	epoch int   // plus 1; 0: none
	end   int64 // of its last sample so far
}

// failure is an error known to have been set in (after, before].
type failure struct {
	after, before int64
	fd            int
	blind         bool // it may have come from elsewhere than errseq
}

const maxDated = 16

func (s *errseq) begin(h *ledger.Header) {
	s.fds, s.leaked, s.other = map[int]*description{}, map[int64]uint64{}, map[string]uint64{}
	s.files = make([]fileErrors, len(h.Files))
	s.start, s.dsync, s.retries = h.StartNS, h.Config.DSync, h.Config.Retry > 0
}

const firstInternal = 512

func (s *errseq) sample(x *ledger.Sync) {
	if x.File < 0 || x.File >= len(s.files) {
		return
	}
	f := &s.files[x.File]
	d := s.fds[x.FD]
	if d == nil {
		d = &description{witness: x.Witness}
		if x.Witness {
			// Opening is a look at errseq, too (errseq_sample).
			d.looked, d.end = s.start, s.start
		}
		s.fds[x.FD] = d
	}
	s.calls++
	if x.Quiesced {
		s.quiesced++
		s.checkedOnce++
		if f.rests[0].epoch != x.Epoch+1 {
			f.rests[1] = f.rests[0]
		}
		f.rests[0] = rest{x.Epoch + 1, x.EndNS}
	}
	if x.Gen != 0 {
		s.audit.calls++
	}
	if x.Epoch != d.epoch {
		// Something was written since.
		d.epoch, d.quiet, d.blind = x.Epoch, false, false
	}
	switch {
	case x.Errno == 0:
		s.owes(f, d, x)
		d.look(x)
		d.quiet, d.blind = false, false
	case x.Errno >= firstInternal:
		s.leaked[int64(x.Errno)]++
	default:
		s.failed(f, d, x)
	}
	d.end = x.EndNS
}

// failed enters a sample that returned an error.
func (s *errseq) failed(f *fileErrors, d *description, x *ledger.Sync) {
	f.reported++
	fromErrseq := x.CanTell && x.Advanced
	if x.Errno == eio {
		s.eio++
		s.sort(x)
	} else {
		s.other[ErrnoName(int64(x.Errno))]++
	}
	s.owes(f, d, x)
	again := s.once(d, x, fromErrseq)
	// An error that is told twice dates nothing.
	if d.looked != 0 && !again && (fromErrseq || !x.CanTell) {
		if len(f.dated) == maxDated {
			f.dated = f.dated[:copy(f.dated, f.dated[1:])]
		}
		f.dated = append(f.dated, failure{after: s.after(f, d, x, fromErrseq), before: x.EndNS, fd: x.FD, blind: !fromErrseq})
	}
	if fromErrseq {
		d.look(x)
	}
}

// look takes note of a sample that has looked at errseq.
func (d *description) look(x *ledger.Sync) {
	d.looked, d.atRest = x.BeginNS, 0
	if x.Quiesced {
		d.atRest = x.Epoch + 1
	}
}

// after returns the time that an error was set after at the earliest. A failed
// invalidation is that of a write, so not of the time at rest that the last
// look fell into.
func (s *errseq) after(f *fileErrors, d *description, x *ledger.Sync, fromErrseq bool) int64 {
	if d.atRest == 0 || d.atRest == x.Epoch+1 || !fromErrseq || x.SetErr || s.retries {
		return d.looked
	}
	for _, r := range f.rests {
		if r.epoch == d.atRest {
			return max(d.looked, r.end)
		}
	}
	return d.looked
}

// sort attributes an EIO as far as the sample itself can tell.
func (s *errseq) sort(x *ledger.Sync) {
	switch {
	case !x.CanTell:
		s.causes.untold++
	case !x.Advanced:
		s.causes.elsewhere++
	case x.SetErr:
		s.causes.writeback++
	default:
		s.causes.invalidation++
		if x.Gen != 0 {
			s.audit.told++
		}
	}
	if x.Gen != 0 && !x.CanTell {
		s.audit.told++
	}
}

// once: a description is told of one error once. By the traced value that is
// seen at any time; without it, only while nothing is written.
func (s *errseq) once(d *description, x *ledger.Sync, fromErrseq bool) (again bool) {
	switch {
	case fromErrseq && x.New != 0:
		if again = x.New == d.value; again {
			s.nTwice++
			s.twice = witness(s.twice, x, "the same error again (errseq %#x)", x.New)
		}
		d.value = x.New
	case fromErrseq && d.quiet && x.Quiesced && !x.SetErr && !s.retries:
		again = true
		s.nTwice++
		s.twice = witness(s.twice, x, "%s again although nothing was written since the last", ErrnoName(int64(x.Errno)))
	case !x.CanTell && d.blind && x.Quiesced:
		s.nTwiceBlind++
		s.twiceBlind = witness(s.twiceBlind, x, "%s again although nothing was written since the last", ErrnoName(int64(x.Errno)))
	}
	d.quiet, d.blind = x.Quiesced && fromErrseq, x.Quiesced && !x.CanTell
	return again
}

// owes: a failure that another description dated inside this one's window must
// show in this sample.
func (s *errseq) owes(f *fileErrors, d *description, x *ledger.Sync) {
	if d.end == 0 || s.dsync && !d.witness {
		return
	}
	for i := range f.dated {
		g := &f.dated[i]
		if g.fd == x.FD || g.after < d.end || g.before > x.BeginNS {
			continue
		}
		s.owed++
		switch {
		case x.Errno != 0:
		case g.blind:
			s.nMissedBlind++
			s.missedBlind = witness(s.missedBlind, x, "0, although description %d dated a failure between this one's last two samples", g.fd)
		default:
			s.nMissed++
			s.missed = witness(s.missed, x, "0, although description %d dated a failure between this one's last two samples", g.fd)
		}
		return
	}
}

func witness(w []verdict.Witness, x *ledger.Sync, format string, args ...any) []verdict.Witness {
	if len(w) >= maxWitnesses {
		return w
	}
	return append(w, verdict.Witness{TimeNS: x.EndNS, Offset: int64(x.File), Evidence: fmt.Sprintf("%s on description %d: ", x.Call, x.FD) + fmt.Sprintf(format, args...)})
}

// audited returns how many single writes were followed by an fsync of their
// own, and how many of these told of a failed invalidation.
func (s *errseq) audited() (calls, told uint64) { return s.audit.calls, s.audit.told }

// reportedOn counts the samples that returned an error on files of a role.
func (s *errseq) reportedOn(h *ledger.Header, role plan.Role) (n uint64) {
	for i := range s.files {
		if h.Files[i].Role == role {
			n += s.files[i].reported
		}
	}
	return n
}
