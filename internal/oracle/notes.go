package oracle

import (
	"fmt"
	"slices"
	"strings"

	"diostress/internal/ledger"
	"diostress/internal/verdict"
)

// severity says what a kind of kernel message means for the verdict.
type severity uint8

const (
	info     severity = iota // worth showing
	asserted                 // the kernel itself says that it is broken
	device                   // evidence that the device failed
	journal                  // the journal or the file system gave up
	stopped                  // somebody shut the file system down, or it turned read-only
)

// noteClasses says what every class of note means. Data races are information:
// a kernel with KCSAN reports benign ones as well.
var noteClasses = map[string]severity{
	"bug": asserted, "oops": asserted, "panic": asserted, "general_protection": asserted, "warning": asserted, "refcount": asserted,
	"kasan": asserted, "ubsan": asserted, "kfence": asserted, "lockdep": asserted, "hung_task": asserted, "rcu_stall": asserted,
	"lockup": asserted, "slab": asserted, "list_corruption": asserted,
	"io_error": device, "buffer_io_error": device,
	"ext4_error": journal, "jbd2_error": journal, "ext4_shutdown": stopped,

	"other": info, "kcsan": info, "lockdep_off": info, "oom": info, "leak": info, "ext4_warning": info,
	"invalidation": info, "invalidation_file": info, "collision": info, "suppressed": info,
	otherDevice: info, "early": info, "permanent": info, "i_size": info,
}

// otherDevice is the class of what is about a disk that is not below the run.
const otherDevice = "other_device"

// notes keeps what the kernel said, bounded.
type notes struct {
	list  []ledger.Note
	n     map[string]uint64
	first map[string]string
	own   uint64 // invalidation warnings that name a file of the run
}

const maxNotes = 1000

func (n *notes) add(x *ledger.Note) {
	if n.n == nil {
		n.n, n.first = map[string]uint64{}, map[string]string{}
	}
	class := x.Class
	if _, ok := noteClasses[class]; !ok || class == "io_error" && unsupported(x.Text) {
		class = "other"
	}
	if n.n[class]++; n.n[class] == 1 {
		n.first[class] = x.Text
	}
	if class == "invalidation_file" && x.File >= 0 {
		n.own++
	}
	if len(n.list) < maxNotes {
		n.list = append(n.list, *x)
	}
}

// unsupported says whether a disk error is but a device's way of saying that it
// has no discard or write-zeroes (BLK_STS_NOTSUPP, block/blk-core.c).
func unsupported(text string) bool { return strings.Contains(text, "operation not supported error") }

// said counts the notes of some severities and quotes the first.
func (n *notes) said(of ...severity) (count uint64, first string) {
	for i := range n.list {
		if x := &n.list[i]; slices.Contains(of, noteClasses[x.Class]) && !(x.Class == "io_error" && unsupported(x.Text)) {
			first = x.Text
			break
		}
	}
	for class, c := range n.n {
		if slices.Contains(of, noteClasses[class]) {
			count += c
			if first == "" {
				first = n.first[class]
			}
		}
	}
	return count, first
}

// witnesses turns the first notes for which pick holds into evidence.
func (j *Judge) noteWitnesses(pick func(*ledger.Note) bool) (w []verdict.Witness) {
	for i := range j.notes.list {
		if x := &j.notes.list[i]; pick(x) && len(w) < maxWitnesses {
			w = append(w, verdict.Witness{TimeNS: x.TimeNS - j.h.StartNS, File: j.fileName(x.File), Offset: x.Off, Evidence: x.Text})
		}
	}
	return w
}

// maxWitnesses bounds the evidence shown with a finding.
const maxWitnesses = 8

// kernelLines are the lines of the kernel log that the report shows, with
// their times since the start of the run. Those about other disks are counted
// only.
func (j *Judge) kernelLines() (out []string, times []int64) {
	for i := range j.notes.list {
		if x := &j.notes.list[i]; x.Source == "kmsg" && x.Class != otherDevice && len(out) < 100 && !slices.Contains(out, x.Text) {
			out, times = append(out, x.Text), append(times, x.TimeNS-j.h.StartNS)
		}
	}
	return out, times
}

// kernelLog asks whether the kernel itself said that it is broken.
func (j *Judge) kernelLog() {
	const name = "kernel_log"
	severities := []severity{asserted}
	n, first := j.notes.said(asserted)
	// A file system that finds itself corrupt, or a journal that gives up, has
	// a cause: the device, or whoever shut it down.
	if stops, _ := j.notes.said(stopped); j.cause.device == "" && stops == 0 && j.cause.visible {
		severities = append(severities, journal)
		n, first = j.notes.said(severities...)
	}
	// TAINT_DIE (bit 7) and TAINT_WARN (bit 9), include/linux/panic.h.
	const bad = 1<<7 | 1<<9
	fresh := j.t.TaintAfter &^ j.t.TaintBefore & bad
	switch {
	case n > 0:
		j.finding(name, n, fmt.Sprintf("the kernel log has %s of a broken kernel, the first: %s", plural(n, "message"), first),
			j.noteWitnesses(func(x *ledger.Note) bool { return slices.Contains(severities, noteClasses[x.Class]) }))
	case j.t.TaintKnown && fresh != 0:
		j.finding(name, 1, fmt.Sprintf("the kernel became tainted during the run: %#x, was %#x", j.t.TaintAfter, j.t.TaintBefore), nil)
	case !j.h.Facts.Kmsg:
		j.notApplicable(name, "/dev/kmsg cannot be read here")
	case j.t.KmsgDropped > 0:
		j.undecided(name, 0, fmt.Sprintf("%s of the kernel log were overwritten before they could be read", plural(j.t.KmsgDropped, "line")))
	case j.incomplete() != "":
		j.undecided(name, 0, j.incomplete())
	default:
		checked, taint := uint64(0), ""
		for _, c := range j.notes.n {
			checked += c
		}
		if j.t.TaintKnown {
			checked, taint = checked+1, ", no new taint"
		}
		j.rule(name, verdict.Pass, checked, "every line since the start of the run was read"+taint)
	}
}

// plural writes "1 line", "2 lines".
func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
