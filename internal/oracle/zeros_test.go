package oracle

import (
	"slices"
	"testing"

	"diostress/internal/ledger"
	"diostress/internal/plan"
)

// TestZeros: where files begin as holes, or dirtiers make some, zeros are data.
// The harness hands them on as words of the prefill.
func TestZeros(t *testing.T) {
	zeros := func(r *ledger.Readback) { r.Spans = whole(0, 0) }
	for _, x := range []struct {
		name string
		edit func(*history)
		want []string
	}{
		{"zeros that nobody can have written", func(x *history) {
			x.change(fControl, 1, notBaseline, func(r *ledger.Readback) { r.Spans = raw(tWords, 0) })
		}, []string{"no_foreign_data"}},
		{"a block that was not written since the file was laid out", func(x *history) { x.change(fControl, 1, notBaseline, zeros) }, nil},
		{"a block that was", func(x *history) { x.change(fControl, 0, notBaseline, zeros) }, []string{"control_data"}},
		{"a main file with holes punched", func(x *history) {
			x.h.Config.Dirty = append(x.h.Config.Dirty, plan.Dirty{Kind: "punch", Count: 1})
			x.change(fMain, 0, notBaseline, zeros)
		}, nil},
		{"one without another dirtier", func(x *history) {
			x.h.Config.Dirty = []plan.Dirty{{Kind: "punch", Count: 1}}
			each(x, func(e *ledger.Epoch) { e.Files[fMain] = ledger.FileEpoch{Zeroes: true} })
			x.change(fMain, 1, notBaseline, zeros)
			x.change(fMain, 0, notBaseline, func(r *ledger.Readback) {
				r.Spans = words(stamped(64, r.Legal[0].Writer, r.Legal[0].Gen), stamped(tWords-64, 0, 0))
			})
		}, nil},
		{"one without another dirtier, an old write", func(x *history) {
			x.h.Config.Dirty = []plan.Dirty{{Kind: "punch", Count: 1}}
			each(x, func(e *ledger.Epoch) { e.Files[fMain] = ledger.FileEpoch{Zeroes: true} })
			x.change(fMain, 1, notBaseline, zeros)
			x.change(fMain, 0, notBaseline, func(r *ledger.Readback) { r.Spans = whole(job, 1) })
		}, []string{"control_data"}},
		{"a control file beside it", func(x *history) {
			x.h.Config.Dirty = append(x.h.Config.Dirty, plan.Dirty{Kind: "punch", Count: 1})
			x.change(fControl, 0, notBaseline, zeros)
		}, []string{"control_data"}},
		{"a file that was laid out anew", func(x *history) {
			for b := range int64(2) {
				x.read(1, fControl, b, ledger.Baseline, whole(0, 0))
			}
			x.acct.Renew(fControl)
			second(x, nil)
		}, nil},
		{"a file that was laid out anew, and shows what it held", func(x *history) {
			for b := range int64(2) {
				x.read(1, fControl, b, ledger.Baseline, whole(0, 0))
			}
			x.acct.Renew(fControl)
			second(x, nil)
			for _, r := range x.records {
				if b, ok := r.(*ledger.Readback); ok && b.Epoch == 1 && b.File == fControl && b.Off == 0 && b.View != ledger.Baseline {
					b.Spans = whole(job, 2)
				}
			}
		}, []string{"control_data"}},
	} {
		h := healthy()
		x.edit(h)
		o := h.judge()
		if got := o.broken(); !slices.Equal(got, x.want) {
			t.Errorf("%s: broken %v, want %v", x.name, got, x.want)
			for _, f := range o.Findings {
				t.Logf("  %s: %s %+v", f.Rule, f.Text, f.Witnesses)
			}
		}
	}
}
