package oracle

import (
	"strings"
	"testing"

	"diostress/internal/ledger"
	"diostress/internal/plan"
	"diostress/internal/verdict"
)

// reach lets a run come to n of something that is demanded.
func reach(x *history, d plan.Demand, n uint64) {
	kind := func() *ledger.DirtierSum {
		for i := range x.t.Dirtiers {
			if x.t.Dirtiers[i].Kind == d.Kind {
				return &x.t.Dirtiers[i]
			}
		}
		x.t.Dirtiers = append(x.t.Dirtiers, ledger.DirtierSum{Kind: d.Kind, Count: 1})
		return &x.t.Dirtiers[len(x.t.Dirtiers)-1]
	}
	switch {
	case d.Of == plan.Writes:
		x.acct.C.Submitted, x.acct.C.Completed, x.acct.C.Full = n, n, n
	case d.Of == plan.Collisions:
		x.t.Trace.PreWrite.N, x.t.Trace.PostWrite.N = n, 0
	case d.Of == plan.Overlaps && d.Kind == "":
		x.t.Overlaps, x.t.Targets = 1e6, n
		writes(x, n)
	case d.Of == plan.Overlaps:
		kind().Overlaps, kind().Targets = 1e6, n
		writes(x, n)
	case d.Of == plan.Acts:
		kind().Operations = n
	case d.Of == plan.FirstWrites:
		x.t.Work.FirstWrites = n
	case d.Of == plan.Extensions:
		x.t.Work.Extensions = n
	case d.Of == plan.OnlineReads:
		x.t.OnlineReads = n
	case d.Of == plan.UnmappedBuffers:
		x.t.Work.Unmapped = n
	}
}

// writes lets a run have completed at least n.
func writes(x *history, n uint64) {
	c := &x.acct.C
	if more := n - min(n, c.Completed); more > 0 {
		c.Submitted, c.Completed, c.Full = c.Submitted+more, c.Completed+more, c.Full+more
	}
}

// TestScenarioPressure: for every scenario, exactly what it demands is enough,
// and one less of any row is not.
func TestScenarioPressure(t *testing.T) {
	for _, sc := range plan.Scenarios() {
		adequacy := func(edit func(*history)) verdict.Rule {
			x := healthy()
			x.h.Config.Scenario = sc.Name
			without[*ledger.Sync](x) // no EIO at fsync
			for _, row := range sc.Pressure {
				for i, d := range row {
					n := uint64(0)
					if i == len(row)-1 {
						n = d.Min
					}
					reach(x, d, n)
				}
			}
			edit(x)
			o := x.judge()
			return o.find("adequacy")
		}
		if r := adequacy(func(*history) {}); r.Verdict != verdict.Pass {
			t.Errorf("%s: what it demands: %v: %s", sc.Name, r.Verdict, r.Reason)
		}
		for _, row := range sc.Pressure {
			last := row[len(row)-1]
			r := adequacy(func(x *history) { reach(x, last, last.Min-1) })
			if r.Verdict != verdict.Undecided || !strings.Contains(r.Reason, last.String()) || !strings.Contains(r.Reason, last.Count(last.Min-1)) {
				t.Errorf("%s: one less than %v: %v: %s", sc.Name, last, r.Verdict, r.Reason)
			}
			for _, d := range row[:len(row)-1] {
				if d.Of == plan.InvalidationEIO {
					continue // TestFsyncEIOIsAttributed
				}
				if r := adequacy(func(x *history) { reach(x, last, last.Min-1); reach(x, d, d.Min) }); r.Verdict != verdict.Pass {
					t.Errorf("%s: %v instead of %v: %v: %s", sc.Name, d, last, r.Verdict, r.Reason)
				}
			}
		}
	}
}

// TestOnlineReadsNeedVerify: without anybody who reads, their number is not
// known, and not 0.
func TestOnlineReadsNeedVerify(t *testing.T) {
	x := healthy()
	x.h.Config.Scenario, x.h.Config.Verify = "readahead", "none"
	reach(x, plan.Demand{Of: plan.Overlaps, Kind: "read"}, 1000)
	o := x.judge()
	if r := o.find("adequacy"); r.Verdict != verdict.Undecided || !strings.Contains(r.Reason, "could not be counted") {
		t.Errorf("%v: %s", r.Verdict, r.Reason)
	}
}
