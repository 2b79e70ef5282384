package oracle

import (
	"fmt"
	"strings"

	"diostress/internal/ledger"
	"diostress/internal/verdict"
)

// causes is the evidence of what else but a failed invalidation can have made
// an error, found once at the end of a run. A text names it; "" is none.
type causes struct {
	device  string
	journal string
	visible bool // an error of the device would have been seen
}

// findCauses looks for evidence in the order of its weight: the direct write's
// own error, the block layer's, the kernel log's.
func (j *Judge) findCauses() (c causes) {
	t := &j.t.Trace
	if n := j.attributed(func(a *ledger.AttrSum) uint64 { return a.FailDevice }); n > 0 {
		c.device = fmt.Sprintf("iomap_dio_complete carried the error of %s", plural(n, "write"))
	} else if t.IomapError.N > 0 {
		c.device = fmt.Sprintf("iomap_dio_complete carried an error %d times", t.IomapError.N)
	} else if t.BlockError.N > 0 {
		c.device = fmt.Sprintf("block_rq_error fired %d times on the device", t.BlockError.N)
	} else if n, first := j.notes.said(device); n > 0 {
		c.device = fmt.Sprintf("kernel log: %q", first)
	}
	if n, first := j.notes.said(journal, stopped); n > 0 {
		c.journal = fmt.Sprintf("kernel log: %q", first)
	}
	c.visible = t.IomapError.Known || (t.BlockError.Known || j.h.Facts.Kmsg) && !errsUnheard(j.h.Facts.Disk)
	return c
}

// errsUnheard says whether a disk's driver ends bios by itself, without a
// request: then neither block_rq_error fires nor does the log say "I/O error"
// (block/blk-mq.c, blk_print_req_error), and only iomap_dio_complete (6.4)
// tells of an error.
func errsUnheard(disk string) bool {
	for _, p := range []string{"dm-", "md", "zram", "ram", "pmem", "btt"} {
		if strings.HasPrefix(disk, p) {
			return true
		}
	}
	return false
}

// any is the first cause there is.
func (c *causes) any() string {
	if c.device != "" {
		return "the device: " + c.device
	}
	if c.journal != "" {
		return "the file system stopped: " + c.journal
	}
	return ""
}

// completionEIO attributes the EIOs of completions: single writes by what was
// traced of them, the rest by what is known of the run.
func (j *Judge) completionEIO() (c verdict.EIOCauses) {
	n := j.failed(eio)
	take := func(have uint64, into *uint64) {
		have = min(have, n)
		*into += have
		n -= have
	}
	take(j.attributed(func(a *ledger.AttrSum) uint64 { return a.FailDevice }), &c.Device)
	if j.h.Config.DSync && j.contract.DSync == ResEIO {
		take(j.attributed(func(a *ledger.AttrSum) uint64 { return a.FailSync }), &c.Invalidation)
	} else {
		take(j.denied(), &c.Ambiguous)
	}
	switch {
	case j.cause.device != "":
		c.Device += n
	case j.cause.journal != "":
		c.Journal += n
	case j.h.Config.DSync && j.contract.DSync == ResEIO:
		c.Invalidation += n
	default:
		c.Ambiguous += n
	}
	return c
}

// denied counts the writes that failed although the kernel traced their
// completion in full. After that a file system may still sync (O_DSYNC) or
// update the inode of a file that grows (fs/ext4/file.c,
// ext4_handle_inode_extension), and fail.
func (j *Judge) denied() uint64 {
	if j.h.Config.DSync || j.h.Config.Fresh() {
		return 0
	}
	return j.attributed(func(a *ledger.AttrSum) uint64 { return a.FailDenied })
}

// eioExplained asks whether every failed write has a cause outside the page
// cache. An -EIO without one is the bug of 2007: the result of a lost race
// passed off as the result of the disk.
func (j *Judge) eioExplained() {
	const name = "eio_explained"
	n, which := j.failures(needsCause)
	done := j.total(completed)
	fsync := j.settleEIO()
	atFsync := ""
	if j.errseq.eio > 0 {
		atFsync = fmt.Sprintf("; at fsync EIO=%d: %s", j.errseq.eio, j.errseq.evidence(fsync))
	}
	pass := func(text string) { j.rule(name, verdict.Pass, done+j.errseq.calls, text+atFsync) }
	w := func() []verdict.Witness {
		return j.entries(func(u *ledger.Unusual) bool {
			return u.Outcome == "failed" && j.classOf(-u.Entry.Res) == needsCause
		})
	}
	switch {
	case n > 0 && j.denied() > 0:
		j.finding(name, j.denied(), fmt.Sprintf("%s in completions, of which the trace has %s completed in full: the errno is not theirs", counts(which), plural(j.denied(), "write")), w())
	case n == 0 && j.incomplete() != "":
		j.undecided(name, done, j.incomplete())
	case n == 0:
		pass("no write failed")
	case j.cause.any() != "":
		pass(fmt.Sprintf("%s: %s", counts(which), j.cause.any()))
	case j.h.Config.DSync && j.contract.DSync == ResEIO && which["EIO"] == n:
		pass(counts(which) + ": O_DSYNC writes, whose sync reports their own failed invalidation")
	case !j.known:
		j.undecided(name, done, counts(which)+": the contract table has no row for "+j.h.Facts.Kernel+" "+j.h.Facts.FSType)
	case !j.contract.Judged:
		j.notApplicable(name, counts(which)+": kernels of the era "+j.contract.Era+" are known to do that")
	case !j.cause.visible:
		j.undecided(name, done, counts(which)+": an error of the device would not have been seen here")
	default:
		text := "%s in completions, and neither device nor journal failed"
		if which["EIO"] > 0 {
			text += ": the kernel reports a lost race as a disk error"
		}
		j.finding(name, n, fmt.Sprintf(text, counts(which)), w())
	}
}
