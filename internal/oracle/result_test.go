package oracle

import (
	"slices"
	"strings"
	"testing"

	"diostress/internal/ledger"
	"diostress/internal/verdict"
)

// TestOtherDisks: what the kernel says of disks that are not below the run is
// counted, and neither shown nor held against it.
func TestOtherDisks(t *testing.T) {
	h := healthy()
	for _, n := range []int{1, 2, 3} {
		h.note(otherDevice, "I/O error, dev sdz, sector "+strings.Repeat("8", n))
	}
	h.note("ext4_warning", "EXT4-fs warning (device loop0)")
	o := h.judge()
	k := o.Runs[0].KernelLog
	if k.OtherDevices != 3 || !slices.Equal(k.Lines, []string{"EXT4-fs warning (device loop0)"}) || len(k.TimesNS) != 1 || o.Verdict != verdict.Pass {
		t.Errorf("%v: %+v", o.Verdict, k)
	}
	if r := o.find("kernel_log"); r.Checked != 5 || !strings.Contains(r.Reason, "no new taint") {
		t.Errorf("four lines and the taint mask: %+v", r)
	}
}

// TestCutRun: what only the end of a log tells is marked as such.
func TestCutRun(t *testing.T) {
	h := healthy()
	h.t.Cut = true
	o := h.judge()
	if r := o.Runs[0]; !r.Cut || r.Adequacy.Met || !strings.Contains(r.Adequacy.Reached, "the log was cut") || r.Adequacy.Required == "" {
		t.Errorf("%+v", r.Adequacy)
	}
	whole := healthy().judge()
	if whole.Runs[0].Cut {
		t.Error("a whole log is marked as cut")
	}
}

func TestDataIsMarkedAsChecked(t *testing.T) {
	for _, verify := range []string{"full", "none"} {
		h := healthy()
		h.h.Config.Verify = verify
		if o := h.judge(); o.Runs[0].Data.Checked != (verify == "full") {
			t.Errorf("%s: %v", verify, o.Runs[0].Data.Checked)
		}
	}
}

// TestSourcesSayItOnce: a reason stands once where the fidelity says the rest.
func TestSourcesSayItOnce(t *testing.T) {
	c := count(ledger.TraceCount{Source: "unavailable: no permission"})
	if c.Fidelity != verdict.Unavailable || c.Source != "no permission" {
		t.Errorf("%+v", c)
	}
	h := healthy()
	h.h.Facts.DirectIO, h.t.Trace.PreWrite.N = "no: data=journal", 0
	o := h.judge()
	if r := o.find("adequacy"); !strings.Contains(r.Reason, "(data=journal)") {
		t.Errorf("%+v", r)
	}
}
