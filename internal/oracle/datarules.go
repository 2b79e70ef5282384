package oracle

import (
	"fmt"

	"diostress/internal/plan"
	"diostress/internal/verdict"
)

// named gives the witnesses of a tally the names of their files.
func (j *Judge) named(t *tally) []verdict.Witness {
	out := make([]verdict.Witness, len(t.w))
	for i, x := range t.w {
		x.Witness.File = j.fileName(x.file)
		out[i] = x.Witness
	}
	return out
}

// dataWhy says why nothing can be said about data that was not found wrong.
func (j *Judge) dataWhy() string {
	d := &j.data
	switch {
	case j.incomplete() != "":
		return j.incomplete()
	case d.sum.Epochs == 0:
		return "no epoch was read back"
	case !d.drained:
		return "writes were still in flight when the run ended"
	case d.readErrors > 0:
		return fmt.Sprintf("%s could not be read back (%s)", plural(d.readErrors, "block"), d.readError)
	}
	return ""
}

func (j *Judge) dataRules() {
	d := &j.data
	names := []string{"control_data", "cache_coherent", "stale_reported", "not_torn", "no_foreign_data", "no_poison"}
	if j.h.Config.Verify != "full" {
		for _, n := range names {
			j.notApplicable(n, "--verify none")
		}
		return
	}
	why := j.dataWhy()
	j.exactly("control_data", &d.control, "words of blocks that only direct writes touch are not what was written last", j.excusedLoss(why))
	j.cacheCoherent(why)
	j.staleReported(why)
	j.exactly("not_torn", &d.torn, "words of sectors that hold parts of two writes which were not concurrent", why)
	j.onDisk("no_foreign_data", d.diskWords, &d.foreign, "words that nobody wrote at that place in that time", why)
	if j.h.Config.Buffer == plan.BufferZero && d.poison.n == 0 {
		j.notApplicable("no_poison", "the data come from the kernel's zero page, which cannot be poisoned")
		return
	}
	if why == "" && d.diskWords > 0 && d.writtenWords == 0 {
		why = "no block that was read back had been written"
	}
	j.onDisk("no_poison", d.writtenWords, &d.poison, "words of poison on disk: the kernel gave buffers back and went on reading them", why)
}

// exactly decides a rule about blocks that nothing but direct writes touch. The
// prefill of a block that no write had reached shows nothing.
func (j *Judge) exactly(name string, t *tally, text, why string) {
	d := &j.data
	switch {
	case t.n == 0 && d.exactWords == 0 && !j.hasExact():
		j.notApplicable(name, "no file that only direct writes touch: dirtiers work on every one (--profile audit)")
		return
	case why == "" && d.diskWords > 0 && d.exactWords == 0:
		why = "nothing was held against it: no block that only direct writes touch had been written when it was read back; a longer run writes some"
	}
	j.onDisk(name, d.exactWords, t, text, why)
}

// hasExact says whether the plan has a file with blocks that no dirtier
// changes by other than zeros.
func (j *Judge) hasExact() bool {
	for i := range j.data.files {
		switch f := &j.data.files[i]; f.Role {
		case plan.Control:
			return true
		case plan.Neighbour:
			if !f.inside {
				return true
			}
		case plan.Main:
			if !j.h.Config.Dirties("mmap", "write") {
				return true
			}
		}
	}
	return false
}

// onDisk decides a rule about what is on the disk.
func (j *Judge) onDisk(name string, checked uint64, t *tally, text, why string) {
	d := &j.data
	if t.n == 0 && why == "" && d.diskWords == 0 {
		if d.buffered {
			j.notApplicable(name, "O_DIRECT reads are buffered here ("+j.whyBuffered()+"): the disk cannot be read before the file system is mounted again")
			return
		}
		why = j.noProof()
	}
	j.decide(name, checked, t.n, fmt.Sprintf("%d %s", t.n, text), why, j.named(t))
}

func (j *Judge) noProof() string {
	return "the page cache could not be proved empty before the disk was read: " + orElse(j.t.DropsWhy, "no reason given")
}

// excusedLoss adds the losses in files whose fsync had returned an error: with
// a device or journal that failed they are its, without they are findings.
func (j *Judge) excusedLoss(why string) string {
	d := &j.data
	if d.excused.n == 0 {
		return why
	}
	if cause := j.cause.any(); cause != "" {
		return orElse(why, fmt.Sprintf("%d words were lost in files whose fsync had returned an error: %s", d.excused.n, cause))
	}
	d.control.n += d.excused.n
	d.control.w = append(d.control.w, d.excused.w...)
	return why
}

func (j *Judge) cacheCoherent(why string) {
	const name = "cache_coherent"
	d := &j.data
	why = orElse(why, d.staleOpen())
	if d.stale.n == 0 && why == "" && d.coherent == 0 {
		if d.buffered {
			j.notApplicable(name, "O_DIRECT reads are buffered here ("+j.whyBuffered()+"): there is nothing to compare the page cache with")
			return
		}
		why = j.noProof()
	}
	j.decide(name, d.coherent, d.stale.n, fmt.Sprintf("%d words of the page cache differ from the disk, and no fsync of the file reported an error", d.stale.n), why, j.named(&d.stale))
}

// staleReported is about direct writes beside write(2) dirtiers in the same
// folio: the disk is certain there, and a cache that stayed stale must have
// been reported at fsync.
func (j *Judge) staleReported(why string) {
	const name = "stale_reported"
	d := &j.data
	has, inside := false, false
	for i := range d.files {
		if f := &d.files[i]; f.Role == plan.Neighbour {
			has, inside = true, inside || f.inside
		}
	}
	f := &j.h.Facts
	shared := j.h.Config.BS < f.PageSize || LargeFolios(f.Kernel, f.FSType)
	switch {
	case d.unreported.n > 0 && (!j.known || j.contract.Post == FsyncEIO):
		j.finding(name, d.unreported.n, fmt.Sprintf("%d words of the page cache stayed stale beside write(2) dirtiers, and no fsync reported it: the error was swallowed", d.unreported.n), j.named(&d.unreported))
	case !has:
		j.notApplicable(name, "no write(2) dirtier (--dirty write=N)")
	case j.known && j.contract.Post != FsyncEIO:
		j.notApplicable(name, "kernels of the era "+j.contract.Era+" do not report it")
	case inside:
		j.notApplicable(name, "direct and buffered writes may share a block here: what is on disk is not certain")
	case !shared:
		j.notApplicable(name, "a folio holds one block of --bs here (page size, no large folios)")
	case why != "":
		j.undecided(name, d.neighbour, why)
	case d.neighbour == 0:
		j.undecided(name, 0, "the page cache of these files was never compared with the disk")
	case j.errseq.reportedOn(&j.h, plan.Neighbour) == 0:
		j.undecided(name, d.neighbour, "no post-write failure was reported on the shared folios, so a swallowed one cannot be excluded; a slower device makes more")
	default:
		j.rule(name, verdict.Pass, d.neighbour, "")
	}
}
