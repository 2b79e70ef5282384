package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"diostress/internal/verdict"
)

// findings is the list of broken rules, bounded.
type findings struct {
	Total  string
	List   []finding
	More   string // how many are not shown; "" for none
	ByRule []fact // every finding, the ones not shown too
}

type finding struct {
	N             int
	Rule, Verdict string
	Run, Anchor   string
	Count, Text   string
	Columns       []string // of the witnesses: only what one of them has
	Witnesses     [][]string
	More          string
	Open          bool
}

func newFindings(r *verdict.Result, x index) findings {
	f := findings{Total: grouped(uint64(len(r.Findings)))}
	by := map[string]uint64{}
	left := evidence
	for i := range r.Findings {
		in := &r.Findings[i]
		by[in.Rule]++
		if i >= maxFindings {
			continue
		}
		f.List = append(f.List, newFinding(i, in, x, &left))
	}
	if n := len(r.Findings) - maxFindings; n > 0 {
		f.More = grouped(uint64(n))
	}
	rules := slices.Collect(maps.Keys(by))
	slices.SortFunc(rules, func(a, b string) int { return cmp.Or(cmp.Compare(by[b], by[a]), cmp.Compare(a, b)) })
	for i, name := range rules {
		if i == maxList {
			f.ByRule = append(f.ByRule, fact{Label: "…", Value: grouped(uint64(len(rules)-i)) + " rules more"})
			break
		}
		f.ByRule = append(f.ByRule, number(plain(name, 100), by[name]))
	}
	return f
}

func newFinding(i int, in *verdict.Finding, x index, left *int) finding {
	text := func(s string) string {
		n := maxText
		if *left < n {
			n = 200
		}
		s = plain(s, n)
		*left -= len(s)
		return s
	}
	f := finding{N: i + 1, Rule: plain(in.Rule, 100), Verdict: in.Verdict.String(), Run: plain(in.Run, 100), Count: grouped(in.Count),
		Text: text(in.Text), Open: i < 3}
	if n, ok := x[in.Run]; ok {
		f.Anchor = anchor(n)
	}
	list := in.Witnesses
	if n := len(list) - maxWitnesses; n > 0 {
		list, f.More = list[:maxWitnesses], grouped(uint64(n))
	}
	for _, c := range witnessColumns {
		if slices.ContainsFunc(list, c.has) {
			f.Columns = append(f.Columns, c.name)
		}
	}
	for k := range list {
		var row []string
		for _, c := range witnessColumns {
			if slices.Contains(f.Columns, c.name) {
				cell := ""
				if c.has(list[k]) {
					cell = text(c.show(&list[k]))
				}
				row = append(row, cell)
			}
		}
		f.Witnesses = append(f.Witnesses, row)
	}
	return f
}

// witnessColumns are the parts of a witness; a part that does not concern it
// is zero. An offset of 0 is one if the witness names a file.
var witnessColumns = []struct {
	name string
	has  func(verdict.Witness) bool
	show func(*verdict.Witness) string
}{
	{"time", func(w verdict.Witness) bool { return w.TimeNS != 0 }, func(w *verdict.Witness) string { return fmt.Sprintf("%.6f s", float64(w.TimeNS)/1e9) }},
	{"file", func(w verdict.Witness) bool { return w.File != "" }, func(w *verdict.Witness) string { return w.File }},
	{"offset", func(w verdict.Witness) bool { return w.Offset != 0 || w.File != "" && w.Length != 0 }, func(w *verdict.Witness) string { return strconv.FormatInt(w.Offset, 10) }},
	{"length", func(w verdict.Witness) bool { return w.Length != 0 }, func(w *verdict.Witness) string { return strconv.FormatInt(w.Length, 10) }},
	{"tag", func(w verdict.Witness) bool { return w.Tag != 0 }, func(w *verdict.Witness) string { return fmt.Sprintf("%#x", w.Tag) }},
	{"res", func(w verdict.Witness) bool { return w.Res != 0 }, func(w *verdict.Witness) string { return strconv.FormatInt(w.Res, 10) }},
	{"evidence", func(w verdict.Witness) bool { return w.Evidence != "" }, func(w *verdict.Witness) string { return w.Evidence }},
}
