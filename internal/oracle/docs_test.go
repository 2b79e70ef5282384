package oracle

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"diostress/internal/ledger"
	"diostress/internal/plan"
	"diostress/internal/verdict"
)

func doc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sections returns the parts of a page that begin with "### `name`".
func sections(text string) (names []string, body map[string]string) {
	body = map[string]string{}
	for _, part := range strings.Split(text, "\n### `")[1:] {
		name, rest, _ := strings.Cut(part, "`")
		rest, _, _ = strings.Cut(rest, "\n## ")
		names = append(names, name)
		body[name] = rest
	}
	return names, body
}

// TestContractPage: docs/contract.md describes every rule, and nothing else as
// one, in the order of the report.
func TestContractPage(t *testing.T) {
	names, body := sections(doc(t, "contract.md"))
	if !slices.Equal(names, RuleNames()) {
		t.Errorf("docs/contract.md describes\n%v, want\n%v", names, RuleNames())
	}
	for name, text := range body {
		for _, part := range []string{"**Says.**", "**Evidence.**", "**Cannot see.**"} {
			if !strings.Contains(text, part) {
				t.Errorf("docs/contract.md: %s has no %s", name, part)
			}
		}
		want := "*Required.*"
		if !Required(name) {
			want = "*Not required.*"
		}
		if !strings.Contains(text, want) {
			t.Errorf("docs/contract.md: %s does not say %s", name, want)
		}
	}
}

// TestFindingsPage: docs/findings.md tells of every rule what a finding means.
func TestFindingsPage(t *testing.T) {
	names, body := sections(doc(t, "findings.md"))
	if !slices.Equal(names, RuleNames()) {
		t.Errorf("docs/findings.md describes\n%v, want\n%v", names, RuleNames())
	}
	for name, text := range body {
		for _, part := range []string{"**It means.**", "**Reproduce.**", "**Look at.**"} {
			if !strings.Contains(text, part) {
				t.Errorf("docs/findings.md: %s has no %s", name, part)
			}
		}
	}
}

// TestContractPageEras: the table of eras in docs/contract.md is the judge's.
func TestContractPageEras(t *testing.T) {
	text := doc(t, "contract.md")
	for i := range contracts {
		c := &contracts[i]
		to := "today"
		if c.To != (Version{}) {
			to = "before " + c.To.String()
		}
		engines := "all"
		if c.Engines != nil {
			engines = strings.Join(c.Engines, ", ")
		}
		judged := "yes"
		if !c.Judged {
			judged = "no"
		}
		row := fmt.Sprintf("| %s | %v, %s | %s | %s | %s | %s | %s | %s |", c.Era, c.From, to, strings.Join(c.FS, ", "), engines, c.Pre, c.Post, c.DSync, judged)
		if !strings.Contains(text, row) {
			t.Errorf("docs/contract.md lacks the row\n%s", row)
		}
		for _, s := range []string{c.Source, c.Peculiarity} {
			if s != "" && !strings.Contains(text, s) {
				t.Errorf("docs/contract.md lacks, of %s,\n%s", c.Era, s)
			}
		}
	}
	for n, e := range errnos {
		class := "needs a cause"
		if e.class == environment {
			class = "legal"
		}
		row := fmt.Sprintf("| %s | %d | %s | %s |", e.name, n, class, e.source)
		if !strings.Contains(text, row) {
			t.Errorf("docs/contract.md lacks the row\n%s", row)
		}
	}
}

// untracedRun takes what only single trace records tell out of a history.
func untracedRun(x *history) {
	x.h.Facts.Trace, x.h.Facts.Events = "count", []string{"iomap_dio_invalidate_fail", "filemap_set_wb_err"}
	x.h.Config.Retry, x.t.RetryWanted = 0, 0
	x.t.Jobs[0].Attr, x.t.Trace.IomapError = ledger.AttrSum{}, ledger.TraceCount{}
	for i := range x.entries {
		x.entries[i].Attr = ledger.Unknown
	}
	each(x, func(s *ledger.Sync) { s.CanTell, s.Advanced, s.SetErr, s.Old, s.New = false, false, false, 0, 0 })
}

// modes are the ways to run that docs/contract.md has a column for.
var modes = []struct {
	name string
	edit func(*history)
}{
	{"default", func(x *history) { x.h.Config.Retry, x.t.RetryWanted = 0, 0 }},
	{"`--retry`", func(*history) {}},
	{"`--trace count`", untracedRun},
	{"`--trace off`", func(x *history) {
		untracedRun(x)
		x.h.Facts.Trace, x.h.Facts.Events, x.h.Facts.PostProbe = "off", nil, ""
		x.t.Trace = ledger.TraceSum{}
	}},
	{"`--verify none`", func(x *history) {
		x.h.Config.Verify, x.h.Config.Retry, x.t.RetryWanted = "none", 0, 0
		without[*ledger.Readback](x)
	}},
	{"`--dirty none`", func(x *history) {
		untracedRun(x)
		x.h.Config.Verify, x.h.Config.Dirty = "none", nil
		x.t.Trace.PreWrite.N, x.t.Trace.PostWrite.N, x.t.Overlaps = 0, 0, 0
		without[*ledger.Readback](x)
		for f := range x.h.Files {
			clean(x, f)
		}
	}},
	{"`--directory`, no root", func(x *history) {
		untracedRun(x)
		x.h.Facts.Trace, x.h.Facts.TraceSource, x.h.Facts.Events, x.h.Facts.PostProbe = "unavailable", "permission denied", nil, ""
		x.h.Facts.Kmsg, x.h.Facts.Fsck, x.t.Fsck = false, false, ledger.FsckSum{}
		x.t.Trace = ledger.TraceSum{}
		x.t.SyncFSKnown = true
	}},
	{"data=journal", func(x *history) {
		x.h.Config.Retry, x.t.RetryWanted = 0, 0
		x.h.Facts.DirectIO, x.t.Trace.PreWrite.N, x.t.Trace.PostWrite.N = "no: data=journal", 0, 0
		for f := range x.h.Files {
			clean(x, f)
		}
	}},
}

// TestContractPageModes: the table that says which rule is required in which
// mode is what the judge does.
func TestContractPageModes(t *testing.T) {
	text := doc(t, "contract.md")
	head := "| rule |"
	cells := map[string]string{}
	for _, m := range modes {
		head += " " + m.name + " |"
		h := healthy()
		m.edit(h)
		o := h.judge()
		if len(o.Findings) > 0 || o.Verdict == verdict.Broken {
			t.Errorf("%s: %v: %s", m.name, o.Verdict, o.Reason)
		}
		for _, r := range o.Rules {
			cell := "reported"
			switch {
			case r.Verdict == verdict.NotApplicable:
				cell = "–"
			case r.Required:
				cell = "required"
			}
			cells[r.Name] += " " + cell + " |"
		}
	}
	if !strings.Contains(text, head) {
		t.Errorf("docs/contract.md lacks the head\n%s", head)
	}
	for _, name := range RuleNames() {
		if row := "| `" + name + "` |" + cells[name]; !strings.Contains(text, row) {
			t.Errorf("docs/contract.md lacks the row\n%s", row)
		}
	}
}

// TestContractPagePressure: the page names the pressure that is asked for.
func TestContractPagePressure(t *testing.T) {
	if text := doc(t, "contract.md"); !strings.Contains(text, plan.Collide().String()) {
		t.Errorf("docs/contract.md does not say %q", plan.Collide())
	}
}
