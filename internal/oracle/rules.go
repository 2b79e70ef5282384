package oracle

// RuleNames lists every rule, in the order of the report: what a finding is
// named after comes first. docs/contract.md says what each of them means.
func RuleNames() []string {
	return []string{
		"completed_once", "no_stray", "legal_result", "no_leaked_errno", "no_stuck_io", "not_early", "clean_filesystem",
		"eio_explained", "kernel_contract", "kernel_log", "collisions_pass", "errseq_once", "errseq_reported",
		"size_updated", "control_data", "cache_coherent", "stale_reported", "not_torn", "no_foreign_data", "no_poison", "adequacy",
	}
}

// required are the rules without which a run cannot pass. The others are
// reported, their being undecided too, but it leaves the verdict alone: they
// need what many machines do not have, or ask what a healthy kernel need not
// answer in every run.
var required = map[string]bool{
	"completed_once": true, "no_stray": true, "legal_result": true, "no_leaked_errno": true, "no_stuck_io": true,
	"clean_filesystem": true, "adequacy": true, "eio_explained": true, "control_data": true, "cache_coherent": true,
	"no_foreign_data": true, "no_poison": true, "not_torn": true, "kernel_log": true, "collisions_pass": true, "errseq_once": true,
	"size_updated": true,
}

// Required says whether a rule that could not be decided keeps a run from
// passing.
func Required(rule string) bool { return required[rule] }

// notChecked says in words what the chosen options and the machine left
// unchecked.
func (j *Judge) notChecked() (out []string) {
	f := &j.h.Facts
	if j.h.Config.Verify != "full" {
		out = append(out, "data: --verify none, so nothing was read back")
	}
	switch {
	case f.Trace == "off":
		out = append(out, "collisions: --trace off, so nothing was counted but EIO at fsync")
	case f.Trace == "unavailable":
		out = append(out, "collisions: tracing unavailable: "+f.TraceSource)
	case f.Trace == "count":
		out = append(out, "attribution: --trace count, so single writes are not attributed")
	}
	if f.PostProbe == "" {
		out = append(out, "post-write failures: no exact count (kprobes are not allowed here); the EIOs at fsync are a lower bound")
	}
	if j.data.buffered && j.h.Config.Verify == "full" {
		out = append(out, "data on disk: O_DIRECT reads are buffered here ("+j.whyBuffered()+"), so the disk is not checked before the file system was mounted again")
	}
	if !f.Kmsg {
		out = append(out, "kernel log: /dev/kmsg cannot be read")
	}
	if !f.Fsck {
		out = append(out, "file system: it is not ours to unmount and check")
	}
	if j.notes.n["lockdep_off"] > 0 {
		out = append(out, "locking: lockdep has turned itself off: "+j.notes.first["lockdep_off"])
	}
	if n := j.t.LogDropped; n > 0 && j.h.EntriesIn {
		out = append(out, "the log of completions is not complete, the writer fell behind: "+plural(n, "completion")+" are missing in it")
	}
	return out
}
