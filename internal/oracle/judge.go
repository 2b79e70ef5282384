// Package oracle is the judge: it takes the ledger's records of a run and the
// contract of the kernel that ran it, and says which rules held, which were
// broken, and which could not be decided.
//
// It is pure: no I/O, no clock, no kernel. The same records give the same
// verdict, whether they come from a run that goes on or from a log.
package oracle

import (
	"fmt"
	"slices"
	"strings"

	"diostress/internal/ledger"
	"diostress/internal/verdict"
)

// Judge takes the records of one run. It implements ledger.Sink. Memory is
// bounded by the size of the files, whatever the length of the run.
type Judge struct {
	h        ledger.Header
	t        *ledger.Trailer
	contract Contract
	known    bool // the contract is

	data   data
	errseq errseq
	notes  notes
	cause  causes

	rules    []verdict.Rule
	findings []verdict.Finding
}

// New returns a judge; the first record it takes is the header.
func New() *Judge { return &Judge{} }

// Entry implements ledger.Sink. Single completions are judged from the sums.
func (j *Judge) Entry(*ledger.Entry) {}

// Record implements ledger.Sink.
func (j *Judge) Record(r ledger.Record) {
	switch x := r.(type) {
	case *ledger.Header:
		j.h = *x
		j.contract, j.known = FindContract(x.Facts.Kernel, x.Facts.FSType, x.Engine)
		j.data.begin(&j.h)
		j.errseq.begin(&j.h)
	case *ledger.Sync:
		j.errseq.sample(x)
		j.data.sync(x)
	case *ledger.Note:
		j.notes.add(x)
	case *ledger.Epoch:
		j.data.epoch(x)
	case *ledger.Readback:
		j.data.readback(x)
	case *ledger.Trailer:
		t := *x
		j.t = &t
	}
}

// Outcome is what a judge has to say about one run.
type Outcome struct {
	Verdict     verdict.Verdict
	Reason      string
	Stuck       bool
	Runs        []verdict.Run // one for every job
	Rules       []verdict.Rule
	Findings    []verdict.Finding
	Interrupted bool
	Era         string
	NotChecked  []string
}

// Finish judges. Of a run whose record was cut, what was found by then stands,
// and everything else is undecided.
func (j *Judge) Finish() Outcome {
	if j.t == nil {
		j.t = &ledger.Trailer{Cut: true}
	}
	j.cause = j.findCauses()
	j.accountRules()
	j.early()
	j.fsck()
	j.eioExplained()
	j.kernelContract()
	j.kernelLog()
	j.transience()
	j.errseqRules()
	j.sizeUpdated()
	j.dataRules()
	j.adequacy()
	j.inOrder()
	o := Outcome{
		Rules: j.rules, Findings: j.findings, Stuck: j.stuck(), Interrupted: j.t.Interrupted, Era: j.era(), NotChecked: j.notChecked(),
	}
	o.Verdict, o.Reason = j.verdict()
	o.Runs = j.runs(o.Verdict)
	return o
}

// stuck says whether the watchdog's finding is the kernel's: an engine that
// failed does not reap.
func (j *Judge) stuck() bool { return j.t.Stuck != nil && j.t.Broken == "" }

// incomplete says why the account of a run is not to be trusted in what it does
// not show, "" if it is.
func (j *Judge) incomplete() string {
	switch {
	case j.t.Cut:
		return "the record of the run ends before its trailer"
	case j.t.Broken != "":
		return "the harness broke: " + j.t.Broken
	case len(j.t.Jobs) == 0:
		return "the account is missing"
	}
	return ""
}

// whyBuffered says why O_DIRECT is buffered here.
func (j *Judge) whyBuffered() string { return strings.TrimPrefix(j.h.Facts.DirectIO, "no: ") }

func (j *Judge) era() string {
	if !j.known {
		return "not in the table: " + j.h.Facts.Kernel + " " + j.h.Facts.FSType
	}
	return j.contract.Era
}

// verdict adds the rules up (docs/contract.md, "From rules to a verdict").
func (j *Judge) verdict() (verdict.Verdict, string) {
	switch {
	case len(j.findings) > 0:
		f := &j.findings[0]
		return verdict.Fail, fmt.Sprintf("%s: %s", f.Rule, f.Text)
	case j.t.Broken != "":
		return verdict.Broken, j.t.Broken
	case j.t.Cut:
		return verdict.Undecided, j.incomplete()
	}
	for _, want := range []verdict.Verdict{verdict.Undecided, verdict.Unsupported} {
		for i := range j.rules {
			if r := &j.rules[i]; r.Verdict == want && r.Required {
				return want, fmt.Sprintf("%s: %s", r.Name, r.Reason)
			}
		}
	}
	return verdict.Pass, "no rule was broken"
}

// rule enters a rule's verdict.
func (j *Judge) rule(name string, v verdict.Verdict, checked uint64, reason string) {
	j.rules = append(j.rules, verdict.Rule{Name: name, Run: j.h.Run, Verdict: v, Required: required[name], Checked: checked, Reason: reason})
}

// finding enters a broken rule with its witnesses.
func (j *Judge) finding(name string, count uint64, text string, w []verdict.Witness) {
	j.rule(name, verdict.Fail, count, text)
	j.findings = append(j.findings, verdict.Finding{Rule: name, Verdict: verdict.Fail, Run: j.h.Run, Count: count, Text: text, Witnesses: w})
}

// decide enters the ordinary outcomes of a rule: broken if n > 0, undecided if
// why says what could not be seen, else a pass.
func (j *Judge) decide(name string, checked, n uint64, text, why string, w []verdict.Witness) {
	switch {
	case n > 0:
		j.finding(name, n, text, w)
	case why != "":
		j.rule(name, verdict.Undecided, checked, why)
	default:
		j.rule(name, verdict.Pass, checked, "")
	}
}

func (j *Judge) undecided(name string, checked uint64, why string) {
	j.rule(name, verdict.Undecided, checked, why)
}

func (j *Judge) notApplicable(name, why string) { j.rule(name, verdict.NotApplicable, 0, why) }

// inOrder brings rules and findings into the order of RuleNames.
func (j *Judge) inOrder() {
	names := RuleNames()
	slices.SortStableFunc(j.rules, func(a, b verdict.Rule) int { return slices.Index(names, a.Name) - slices.Index(names, b.Name) })
	slices.SortStableFunc(j.findings, func(a, b verdict.Finding) int { return slices.Index(names, a.Rule) - slices.Index(names, b.Rule) })
}

func (j *Judge) fileName(i int) string {
	if i < 0 || i >= len(j.h.Files) {
		return ""
	}
	return j.h.Files[i].Name
}
