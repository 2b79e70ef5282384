package oracle

import (
	"fmt"
	"slices"
	"strings"

	"diostress/internal/ledger"
	"diostress/internal/verdict"
)

// early judges whether a write was reaped before the kernel had finished it.
func (j *Judge) early() {
	const name = "not_early"
	early := j.attributed(func(a *ledger.AttrSum) uint64 { return a.Early })
	owed := j.attributed(func(a *ledger.AttrSum) uint64 { return a.Owed })
	checked := j.attributed(func(a *ledger.AttrSum) uint64 { return a.Direct + a.Fallback })
	switch {
	case early > 0:
		j.finding(name, early, fmt.Sprintf("%s reported complete before the kernel had completed them", plural(early, "write")),
			j.noteWitnesses(func(x *ledger.Note) bool { return x.Class == "early" }))
	case j.h.Facts.Trace != "exact" || !slices.Contains(j.h.Facts.Events, "iomap_dio_complete") || !slices.Contains(j.h.Facts.Events, "iomap_dio_rw_queued"):
		j.notApplicable(name, "needs --trace exact and the events iomap_dio_rw_queued and iomap_dio_complete (6.4 and later)")
	case j.data.buffered:
		j.notApplicable(name, "O_DIRECT is buffered here ("+j.whyBuffered()+"): no write comes to iomap")
	case j.h.Config.Overlap:
		j.notApplicable(name, "--overlap: events cannot be matched to writes")
	case j.incomplete() != "":
		j.undecided(name, checked, j.incomplete())
	case j.t.Trace.Lost > 0:
		j.undecided(name, checked, fmt.Sprintf("%s lost", plural(j.t.Trace.Lost, "trace record")))
	case owed > 0:
		j.undecided(name, checked, fmt.Sprintf("of %s no completion was ever traced", plural(owed, "queued write")))
	case checked == 0:
		j.undecided(name, 0, "not one write was seen in the trace")
	default:
		j.rule(name, verdict.Pass, checked, "")
	}
}

func (j *Judge) fsck() {
	const name = "clean_filesystem"
	f := &j.t.Fsck
	switch {
	case f.Ran && !f.Clean && j.cause.device != "":
		j.notApplicable(name, "not clean, but the device failed: "+j.cause.device)
	case f.Ran && !f.Clean:
		j.finding(name, 1, fmt.Sprintf("e2fsck -fn found errors after the run (exit %d): %s", f.Exit, lastLine(f.Output)), []verdict.Witness{{Evidence: f.Output}})
	case f.Ran:
		j.rule(name, verdict.Pass, 1, "")
	case !j.h.Facts.Fsck:
		j.notApplicable(name, "the file system is not ours to unmount and check")
	case j.incomplete() != "":
		j.undecided(name, 0, j.incomplete())
	default:
		j.undecided(name, 0, "e2fsck did not run: "+f.Why)
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// transience asks whether collisions pass by themselves.
func (j *Judge) transience() {
	const name = "collisions_pass"
	if j.t.RetryWanted == 0 && j.h.Config.Retry == 0 {
		j.notApplicable(name, "--retry 0")
		return
	}
	var tried uint64
	for i := range j.t.Jobs {
		for _, hist := range [][]uint64{j.t.Jobs[i].Attr.RetryRunning, j.t.Jobs[i].Attr.RetryPaused} {
			for _, n := range hist {
				tried += n
			}
		}
	}
	permanent := j.attributed(func(a *ledger.AttrSum) uint64 { return a.Permanent })
	unknown := j.attributed(func(a *ledger.AttrSum) uint64 { return a.RetryUnknown })
	collided := j.attributed(func(a *ledger.AttrSum) uint64 { return a.Collided })
	switch {
	case permanent > 0:
		j.finding(name, permanent, fmt.Sprintf("%s still collided with the dirtiers stopped and the file synced", plural(permanent, "write")),
			j.noteWitnesses(func(x *ledger.Note) bool { return x.Class == "permanent" }))
	case j.incomplete() != "":
		j.undecided(name, tried, j.incomplete())
	case tried > 0:
		j.rule(name, verdict.Pass, tried, "")
	case unknown > 0:
		j.undecided(name, unknown, "the trace could not tell how the resubmitted writes were done")
	case collided == 0 && j.t.Trace.PreWrite.Known && j.t.Trace.PreWrite.N == 0:
		j.notApplicable(name, "no write collided")
	default:
		j.undecided(name, 0, "no collided write was resubmitted to its end")
	}
}
