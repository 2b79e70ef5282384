package oracle

import (
	"testing"

	"diostress/internal/ledger"
	"diostress/internal/plan"
	"diostress/internal/verdict"
)

func TestAdequacy(t *testing.T) {
	for _, x := range []struct {
		name string
		edit func(*history)
		met  bool
	}{
		{"collisions", func(x *history) { x.t.Trace.PreWrite.N, x.t.Overlaps = 100, 0 }, true},
		{"collisions after the write", func(x *history) { x.t.Trace.PreWrite.N, x.t.Trace.PostWrite.N, x.t.Overlaps = 50, 50, 0 }, true},
		{"collisions after the write, some of them perhaps another's", func(x *history) {
			x.t.Trace.PreWrite.N, x.t.Trace.PostWrite.N, x.t.Overlaps = 50, 50, 0
			x.h.Facts.SoleDirect = false
		}, false},
		{"overlaps", func(x *history) { x.t.Trace.PreWrite.N, x.t.Overlaps = 99, 1000; writes(x, 1000) }, true},
		{"overlaps of few writes", func(x *history) { x.t.Trace.PreWrite.N, x.t.Overlaps = 99, 8e6; writes(x, 49) }, false},
		{"overlaps that met few writes", func(x *history) {
			x.t.Trace.PreWrite.N, x.t.Overlaps, x.t.Targets = 99, 8e6, 49
			writes(x, 5000)
		}, false},
		{"overlaps that met enough writes", func(x *history) {
			x.t.Trace.PreWrite.N, x.t.Overlaps, x.t.Targets = 99, 8e6, 50
			writes(x, 5000)
		}, true},
		{"back and forth between few writes", func(x *history) {
			x.t.Trace.PreWrite.N, x.t.Overlaps, x.t.Targets = 99, 8e6, 8e6
			writes(x, 49)
		}, false},
		{"neither", func(x *history) { x.t.Trace.PreWrite.N, x.t.Overlaps = 99, 999; writes(x, 5000) }, false},
		{"not counted, overlaps", func(x *history) { x.t.Trace.PreWrite = ledger.TraceCount{}; x.t.Overlaps = 1000; writes(x, 1000) }, true},
		{"not counted, too few overlaps", func(x *history) { x.t.Trace.PreWrite = ledger.TraceCount{}; x.t.Overlaps = 999; writes(x, 5000) }, false},
		{"the events were writeback errors", func(x *history) { x.t.Trace.SetWBErr.N, x.t.Overlaps = 7, 10 }, false},
		{"a scenario's own pressure", func(x *history) {
			x.h.Config.Scenario = "punch"
			writes(x, 500)
			x.t.Dirtiers = []ledger.DirtierSum{{Kind: "punch", Operations: 50}, {Kind: "read", Overlaps: 100}}
		}, true},
		{"a scenario's own pressure, half of it", func(x *history) {
			x.h.Config.Scenario = "punch"
			writes(x, 500)
			x.t.Dirtiers = []ledger.DirtierSum{{Kind: "punch", Operations: 50}, {Kind: "read", Overlaps: 99}}
		}, false},
	} {
		h := healthy()
		h.t.Trace.PostWrite.N = 0 // a case says it if there are any
		x.edit(h)
		o := h.judge()
		a := o.Runs[0].Adequacy
		if r := o.find("adequacy"); (r.Verdict == verdict.Pass) != x.met || a.Met != x.met || a.Required == "" || a.Reached == "" {
			t.Errorf("%s: %+v, %+v", x.name, r, a)
		}
	}
	// Whatever a scenario demands can be counted.
	for _, s := range plan.Scenarios() {
		h := healthy()
		h.h.Config.Scenario = s.Name
		j := New()
		h.play(j)
		j.Finish()
		for _, row := range s.Pressure {
			for _, d := range row {
				if _, known := j.measure(d); !known {
					t.Errorf("%s: %s cannot be counted", s.Name, d)
				}
			}
		}
	}
}
