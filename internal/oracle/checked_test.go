package oracle

import (
	"strings"
	"testing"

	"diostress/internal/ledger"
	"diostress/internal/plan"
	"diostress/internal/verdict"
)

// unwritten makes every block that only direct writes touch one of the prefill.
func unwritten(x *history) {
	for _, f := range []int{fControl, fNeighbour} {
		x.change(f, 0, notBaseline, func(r *ledger.Readback) { r.Legal, r.Spans = []ledger.Stamp{{}}, whole(0, 0) })
	}
}

// TestDataRulesNeedSomethingToJudge: words that no rule can find wrong do not
// make it pass.
func TestDataRulesNeedSomethingToJudge(t *testing.T) {
	exact := []string{"control_data", "not_torn"}
	for _, x := range []struct {
		name  string
		edit  func(*history)
		rules []string
		v     verdict.Verdict
		why   string
	}{
		{"only the prefill", unwritten, exact, verdict.Undecided, "nothing was held against it"},
		{"only writes that may be there or not", func(x *history) {
			for _, f := range []int{fControl, fNeighbour} {
				x.change(f, 0, notBaseline, func(r *ledger.Readback) { r.Legal = []ledger.Stamp{{}, r.Legal[0]} })
			}
		}, exact, verdict.Undecided, "nothing was held against it"},
		{"so many failed that any may be there", func(x *history) {
			for _, f := range []int{fControl, fNeighbour} {
				x.change(f, 0, notBaseline, func(r *ledger.Readback) {
					r.Legal = []ledger.Stamp{r.Legal[0], {Writer: job, Gen: ledger.AnyGen}}
				})
			}
		}, exact, verdict.Undecided, "nothing was held against it"},
		{"only through the page cache", noDisk, exact, verdict.Undecided, "could not be proved empty"},
		{"dirtiers work on every file", func(x *history) {
			x.h.Files[fControl].Role, x.h.Files[fNeighbour].Role = plan.Main, plan.Main
			each(x, func(e *ledger.Epoch) {
				e.Files[fControl], e.Files[fNeighbour] = e.Files[fMain], e.Files[fMain]
			})
			x.change(fNeighbour, 1, notBaseline, func(r *ledger.Readback) { r.Spans = whole(0, 0) })
			x.h.Config.Audit = true
		}, exact, verdict.NotApplicable, "no file that only direct writes touch"},
		{"no block was written", func(x *history) {
			unwritten(x)
			x.change(fMain, 0, notBaseline, func(r *ledger.Readback) { r.Legal, r.Spans = []ledger.Stamp{{}}, whole(0, 0) })
		}, []string{"no_poison"}, verdict.Undecided, "no block that was read back had been written"},
		{"the zero page", func(x *history) { x.h.Config.Buffer = plan.BufferZero }, []string{"no_poison"}, verdict.NotApplicable, "zero page"},
		{"only direct writes", func(x *history) {
			unwritten(x)
			x.h.Config.Dirty = nil
			each(x, func(e *ledger.Epoch) { e.Files[fMain] = ledger.FileEpoch{} })
			x.change(fMain, 0, notBaseline, func(r *ledger.Readback) { r.Spans = whole(job, r.Legal[0].Gen) })
			x.change(fMain, 1, notBaseline, func(r *ledger.Readback) { r.Spans = whole(0, 0) })
		}, exact, verdict.Pass, ""},
	} {
		h := healthy()
		x.edit(h)
		o := h.judge()
		if len(o.Findings) > 0 {
			t.Errorf("%s: broken %v: %+v", x.name, o.broken(), o.Findings)
		}
		for _, name := range x.rules {
			r := o.find(name)
			if r.Verdict != x.v || !strings.Contains(r.Reason, x.why) || x.v != verdict.Pass && r.Checked != 0 {
				t.Errorf("%s: %+v; want %v: %q", x.name, r, x.v, x.why)
			}
		}
	}
}

// TestCheckedWords: checked counts the words that a rule could have found wrong,
// once for every read of the disk.
func TestCheckedWords(t *testing.T) {
	const views = 3 // direct, disk, remount
	o := healthy().judge()
	for name, want := range map[string]uint64{
		"control_data":    2 * views * tWords, // one block of the control file, one of the neighbour file
		"not_torn":        2 * views * tWords,
		"no_poison":       3 * views * tWords, // and one of the main file
		"no_foreign_data": 6 * views * tWords, // every block of every file
	} {
		if r := o.find(name); r.Checked != want {
			t.Errorf("%s: checked %d, want %d", name, r.Checked, want)
		}
	}
	// Holes that a dirtier punched are held against no write.
	h := healthy()
	h.h.Config.Dirty = []plan.Dirty{{Kind: "punch", Count: 1}}
	each(h, func(e *ledger.Epoch) { e.Files[fMain] = ledger.FileEpoch{Zeroes: true} })
	h.change(fMain, 1, notBaseline, func(r *ledger.Readback) { r.Spans = whole(0, 0) })
	h.change(fMain, 0, notBaseline, func(r *ledger.Readback) {
		r.Spans = words(stamped(64, job, r.Legal[0].Gen), stamped(tWords-64, 0, 0))
	})
	o = h.judge()
	if r := o.find("control_data"); r.Checked != 2*views*tWords+views*64 {
		t.Errorf("a punched block: checked %d", r.Checked)
	}
}
