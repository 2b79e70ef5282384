package page

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"diostress/internal/verdict"
)

// Bounds of the page.
const (
	maxFindings  = 200
	maxWitnesses = 8       // of one finding
	maxText      = 2000    // bytes of one text from outside
	evidence     = 1 << 20 // bytes of all findings' texts together; later ones are cut short
	maxSections  = 60      // runs with a section of their own
	maxRows      = 2000    // of a table that grows with the runs
	maxList      = 200     // entries of a plain list
)

// What stands for a figure that nobody has.
const (
	unknown     = "unknown"
	unavailable = "unavailable"
	cutShort    = "the log was cut"
)

// document is what the template shows.
type document struct {
	Assets inlined

	Title      string
	Verdict    string
	Meaning    string
	Reason     string
	Tags       []string
	Head       []fact
	Figures    []fact
	Repro      string
	Findings   findings
	Runs       []*run
	MoreRuns   int // in no table
	Sections   []*run
	LeftOut    int // runs without a section
	Rules      rules
	Env        []facts
	Stack      []string
	NotChecked []string
	Skipped    []fact
	Data       []live // for the script, index = chart number
}

// fact is a labelled value. Class says how it looks: "" plain, "na" for what
// is not known, "bad" and "good" for what bears on the verdict.
type fact struct{ Label, Value, Note, Class string }

// facts is a titled group of them.
type facts struct {
	Title string
	List  []fact
}

func newDocument(r *verdict.Result) *document {
	d := &document{
		Verdict: r.Verdict.String(),
		Meaning: meanings[r.Verdict],
		Reason:  plain(r.Reason, maxText),
		Repro:   plain(r.Repro, 16<<10),
	}
	e := &r.Environment
	d.Title = fmt.Sprintf("dioStress %s: %s %s, Linux %s", d.Verdict, plain(e.FSType, 40), plain(e.FSConfig, 40), plain(e.Kernel, 80))
	if r.Stuck {
		d.Tags = append(d.Tags, "stuck: no progress")
	}
	if r.Interrupted {
		d.Tags = append(d.Tags, "interrupted")
	}
	d.Head = []fact{
		{Label: "Kernel", Value: cmp.Or(plain(e.Kernel, 200), unknown)},
		{Label: "File system", Value: words(plain(e.FSType, 80), plain(e.FSConfig, 80), "on "+cmp.Or(plain(e.Device, 200), unknown))},
		{Label: "Host", Value: cmp.Or(words(plain(e.Hostname, 200), plain(e.Machine, 40)), unknown)},
		{Label: "Started", Value: cmp.Or(plain(r.StartTime, 80), unknown)},
		{Label: "Took", Value: duration(r.ElapsedNS)},
		{Label: "Seed", Value: fmt.Sprintf("%#x", r.Seed)},
		{Label: "Program", Value: plain(r.Program, 200)},
	}
	d.Figures = figures(r)
	x := newIndex(r)
	for i := range r.Runs {
		if i == maxRows {
			d.MoreRuns = len(r.Runs) - i
			break
		}
		d.Runs = append(d.Runs, newRun(r, x, i))
	}
	d.pickSections()
	samples := max(120, min(600, 12000/max(1, len(d.Sections))))
	for _, s := range d.Sections {
		s.fill(d, samples)
	}
	d.Findings = newFindings(r, x)
	d.Rules = newRules(r, x)
	d.Env, d.Stack = environment(e), list(e.DeviceStack)
	d.NotChecked = list(r.NotChecked)
	for i, s := range r.Skipped {
		if i == maxList {
			d.Skipped = append(d.Skipped, fact{Label: "…", Value: grouped(uint64(len(r.Skipped)-i)) + " more"})
			break
		}
		d.Skipped = append(d.Skipped, fact{Label: plain(s.Name, 200), Value: plain(s.Reason, maxText)})
	}
	return d
}

var meanings = map[verdict.Verdict]string{
	verdict.Pass:        "Every required rule was checked and held.",
	verdict.Fail:        "The kernel broke a rule.",
	verdict.Undecided:   "A required rule could not be decided. This is not a pass.",
	verdict.Broken:      "The harness broke. This says nothing about the kernel.",
	verdict.Unsupported: "This machine cannot do what was asked. Nothing was tested.",
}

// pickSections gives the first runs a section each; runs that are no plain
// pass come first when there are too many.
func (d *document) pickSections() {
	d.Sections = slices.Clone(d.Runs)
	if n := len(d.Sections); n > maxSections {
		slices.SortStableFunc(d.Sections, func(a, b *run) int { return cmp.Compare(a.order(), b.order()) })
		d.Sections = d.Sections[:maxSections]
		slices.SortFunc(d.Sections, func(a, b *run) int { return cmp.Compare(a.N, b.N) })
		d.LeftOut = n - maxSections
	}
	for _, s := range d.Sections {
		s.Section = true
	}
}

// list makes texts from outside fit for the page.
func list(in []string) (out []string) {
	for i, s := range in {
		if i == maxList {
			return append(out, fmt.Sprintf("… %s more", grouped(uint64(len(in)-i))))
		}
		out = append(out, plain(s, maxText))
	}
	return out
}

// words joins what is not empty.
func words(s ...string) string {
	return strings.Join(slices.DeleteFunc(s, func(w string) bool { return w == "" }), " ")
}

// index finds the section that a run's name in a finding or rule means.
type index map[string]int

// newIndex enters every run under its name, and the first of several jobs
// under the name they share.
func newIndex(r *verdict.Result) index {
	x := index{}
	for i := range r.Runs {
		for _, name := range []string{r.Runs[i].Name, base(&r.Runs[i])} {
			if _, taken := x[name]; !taken {
				x[name] = i
			}
		}
	}
	return x
}

// base is the name that all jobs of a run share: what belongs to all of them
// is reported under it.
func base(r *verdict.Run) string {
	return strings.TrimSuffix(r.Name, "."+strconv.Itoa(r.Job))
}

func anchor(i int) string { return "run-" + strconv.Itoa(i+1) }
