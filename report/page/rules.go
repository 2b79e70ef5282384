package page

import (
	"slices"

	"diostress/internal/verdict"
)

// rules is every rule of every run: one row a run, one column a rule.
type rules struct {
	Names  []string
	Rows   []ruleRow
	More   string
	Totals []fact   // how many of each verdict
	Whole  []ruling // of the invocation as a whole, or of runs the page does not list
}

type ruleRow struct {
	Run, Anchor string
	Cells       []ruleCell
}

type ruleCell struct{ Verdict, Sign, Tip string }

// ruling is one rule's outcome in the section of its run.
type ruling struct {
	Name, Run, Verdict, Checked, Reason string
	Required                            bool
}

// signs are what a cell shows, so that it can be told without its colour.
var signs = map[verdict.Verdict]string{
	verdict.Pass: "✓", verdict.Fail: "✗", verdict.Undecided: "?", verdict.Broken: "!", verdict.Unsupported: "∅", verdict.NotApplicable: "–",
}

const maxRuleNames = 60 // columns

func newRules(r *verdict.Result, x index) rules {
	var out rules
	column := map[string]int{}
	row := map[string]int{} // by the run's name in the rule
	verdicts := map[verdict.Verdict]uint64{}
	lost := 0
	for i := range r.Rules {
		in := &r.Rules[i]
		verdicts[in.Verdict]++
		at, listed := x[in.Run]
		if !listed {
			if len(out.Whole) < maxList {
				out.Whole = append(out.Whole, newRuling(in))
			} else {
				lost++
			}
			continue
		}
		c, ok := column[in.Name]
		if !ok && len(out.Names) < maxRuleNames {
			c, ok = len(out.Names), true
			column[in.Name] = c
			out.Names = append(out.Names, plain(in.Name, 60))
		}
		n, have := row[in.Run]
		if !have && len(out.Rows) < maxRows {
			n, have = len(out.Rows), true
			row[in.Run] = n
			out.Rows = append(out.Rows, ruleRow{Run: plain(in.Run, 100), Anchor: anchor(at)})
		}
		if !ok || !have {
			lost++
			continue
		}
		cells := &out.Rows[n].Cells
		for len(*cells) <= c {
			*cells = append(*cells, ruleCell{})
		}
		cell := ruleCell{Verdict: in.Verdict.String(), Sign: signs[in.Verdict], Tip: plain(in.Name, 60) + ": " + in.Verdict.String()}
		if in.Reason != "" {
			cell.Tip += ": " + plain(in.Reason, 200)
		}
		(*cells)[c] = cell
	}
	for i := range out.Rows {
		for len(out.Rows[i].Cells) < len(out.Names) {
			out.Rows[i].Cells = append(out.Rows[i].Cells, ruleCell{})
		}
	}
	if lost > 0 {
		out.More = grouped(uint64(lost))
	}
	for _, v := range []verdict.Verdict{verdict.Fail, verdict.Broken, verdict.Undecided, verdict.Unsupported, verdict.Pass, verdict.NotApplicable} {
		if n := verdicts[v]; n > 0 {
			out.Totals = append(out.Totals, fact{Label: v.String(), Value: grouped(n), Note: signs[v], Class: v.String()})
		}
	}
	return out
}

func newRuling(in *verdict.Rule) ruling {
	u := ruling{Name: plain(in.Name, 100), Run: plain(in.Run, 100), Verdict: in.Verdict.String(), Checked: grouped(in.Checked), Reason: plain(in.Reason, 600), Required: in.Required}
	if in.Checked == 0 && in.Verdict != verdict.Pass {
		u.Checked = "" // nothing was held against it
	}
	return u
}

// rulings are the rules of one run: those that are no plain pass, broken ones
// first, with their reasons; and the passes, with how much was checked.
func rulings(r *verdict.Result, x index, run int) (rest []ruling, passed []fact) {
	var mine []*verdict.Rule
	for i := range r.Rules {
		if n, ok := x[r.Rules[i].Run]; ok && n == run && len(mine) < maxList {
			mine = append(mine, &r.Rules[i])
		}
	}
	slices.SortStableFunc(mine, func(a, b *verdict.Rule) int { return rank[a.Verdict] - rank[b.Verdict] })
	for _, m := range mine {
		if m.Verdict != verdict.Pass {
			rest = append(rest, newRuling(m))
			continue
		}
		f := fact{Label: plain(m.Name, 100), Value: grouped(m.Checked) + " checked", Note: plain(m.Reason, 300)}
		if !m.Required {
			f.Note = words(f.Note, "(not required)")
		}
		passed = append(passed, f)
	}
	return rest, passed
}

var rank = map[verdict.Verdict]int{verdict.Fail: 0, verdict.Broken: 1, verdict.Undecided: 2, verdict.Unsupported: 3, verdict.Pass: 4, verdict.NotApplicable: 5}
