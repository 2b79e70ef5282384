package oracle

import (
	"fmt"

	"diostress/internal/ledger"
	"diostress/internal/verdict"
)

const enotblk = 15

// kernelContract holds the kernel's way of reporting collisions against its
// era, and says in words whose way it is instead.
func (j *Judge) kernelContract() {
	const name = "kernel_contract"
	switch {
	case !j.known:
		j.undecided(name, 0, "the contract table has no row for "+j.h.Facts.Kernel+" "+j.h.Facts.FSType)
		return
	case !j.contract.Judged:
		j.notApplicable(name, "kernels of the era "+j.contract.Era+" are known to lose these errors")
		return
	}
	pre := j.t.Trace.PreWrite
	seen := pre.N + j.settleEIO().Invalidation
	swallowed, why := j.swallowed()
	switch n := j.raced(); {
	case n > 0:
		text := fmt.Sprintf("a lost race shows as -EIO in the completion: the kernel reports as %s did after the write, and %s before it",
			j.contract.erasLike(false, ResEIOTwice), j.contract.erasLike(true, ResEIO))
		if j.completedTwice() {
			text = fmt.Sprintf("-EIO over a write that was already queued: the kernel reports as %s did (%s)", j.contract.erasLike(false, ResEIOTwice), ResEIOTwice)
		}
		j.finding(name, n, text, j.witnesses("failed"))
	case j.leakedENOTBLK() > 0:
		j.finding(name, j.leakedENOTBLK(), "-ENOTBLK came out: the buffered fallback of this era ("+j.contract.Era+") did not happen", j.witnesses("leaked_errno"))
	case j.wentOn() > 0:
		j.finding(name, j.wentOn(), fmt.Sprintf("%s whose invalidation had failed went on as direct writes: the kernel reports as %s did (%s)",
			plural(j.wentOn(), "write"), j.contract.erasLike(true, FsyncEIO), FsyncEIO), nil)
	case swallowed > 0:
		j.finding(name, swallowed, why+": the kernel keeps silent as "+j.contract.erasLike(false, Silent)+" did", nil)
	case j.incomplete() != "":
		j.undecided(name, seen, j.incomplete())
	case why != "":
		j.undecided(name, seen, why)
	case seen == 0 && j.errseq.eio > 0:
		j.undecided(name, 0, fmt.Sprintf("EIO at fsync %d times, and what it came from is not known", j.errseq.eio))
	case seen == 0:
		j.notApplicable(name, "no collision was seen")
	default:
		j.rule(name, verdict.Pass, seen, "era "+j.contract.Era)
	}
}

// raced counts the EIOs in completions that only a lost race can have made.
func (j *Judge) raced() uint64 {
	if n := min(j.denied(), j.failed(eio)); n > 0 {
		return n
	}
	if j.cause.any() != "" || !j.cause.visible {
		return 0
	}
	return j.completionEIO().Ambiguous
}

// completedTwice says whether the failed writes went on after their -EIO: that
// is the difference between an invalidation before the write and after it.
func (j *Judge) completedTwice() bool {
	return j.denied() > 0 ||
		j.attributed(func(a *ledger.AttrSum) uint64 { return a.FailQueued + a.Early }) > 0 ||
		j.total(func(c *ledger.Counts) uint64 { return c.Duplicate }) > 0
}

func (j *Judge) leakedENOTBLK() uint64 {
	return j.total(func(c *ledger.Counts) uint64 { return c.Leaked[enotblk] })
}

// wentOn counts the writes that went direct in the try whose invalidation had
// failed, where the era says they fall back.
func (j *Judge) wentOn() uint64 {
	if j.contract.Pre != Fallback {
		return 0
	}
	return j.attributed(func(a *ledger.AttrSum) uint64 { return a.WentOn })
}

// swallowed counts the post-write failures that were counted exactly and that
// no description was told of. The counter is the whole machine's, so it speaks
// of this run only where nobody else writes directly. With n 0, why says what
// could not be told, "" where there is nothing to tell.
func (j *Judge) swallowed() (n uint64, why string) {
	post := j.t.Trace.PostWrite
	if !post.Known || post.N == 0 || j.contract.Post != FsyncEIO || j.incomplete() != "" {
		return 0, ""
	}
	audited, told := j.errseq.audited()
	switch {
	case j.h.Config.Audit && audited > 0 && post.N > told:
		why = fmt.Sprintf("%s (%s), and only %d of %s after single writes returned EIO", plural(post.N, "post-write failure"), post.Source, told, plural(audited, "sample"))
		n = post.N - told
	case j.errseq.eio == 0 && j.errseq.quiesced > 0:
		why = fmt.Sprintf("%s (%s), and none of %s returned EIO", plural(post.N, "post-write failure"), post.Source, plural(j.errseq.calls, "fsync"))
		n = post.N
	default:
		return 0, ""
	}
	if j.notes.own == 0 && !j.h.Facts.SoleDirect {
		return 0, why + "; but the count is the whole machine's, and others may be writing directly"
	}
	return n, why
}
