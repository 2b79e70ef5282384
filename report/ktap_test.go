package report

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ktapTest is a result as a reader of KTAP version 1 understands it.
type ktapTest struct {
	ok              bool
	name, directive string
	data            string
	diagnostics     []string
	subtests        []ktapTest
}

// outcome maps a test onto the words of kselftest's totals.
func (k *ktapTest) outcome() string {
	switch {
	case k.directive == "SKIP":
		return "skip"
	case k.directive == "ERROR":
		return "error"
	case k.ok:
		return "pass"
	}
	return "fail"
}

// ktapReader reads KTAP by the text of Documentation/dev-tools/ktap.rst, and
// more strictly than any tool: there must be a plan, every line must be of one
// of the four kinds, and subtests must be indented by two blanks.
type ktapReader struct {
	lines []string
	at    int
}

var (
	ktapPlan  = regexp.MustCompile(`^1\.\.([0-9]+)( # SKIP .*)?$`)
	ktapLine  = regexp.MustCompile(`^(ok|not ok) ([0-9]+) ([^#]*?)(?: # (.*))?$`)
	ktapWords = map[string]bool{"SKIP": true, "TODO": true, "XFAIL": true, "TIMEOUT": true, "ERROR": true}
)

func (r *ktapReader) next() (string, bool) {
	if r.at == len(r.lines) {
		return "", false
	}
	return r.lines[r.at], true
}

// block reads a version line, a plan and as many tests as planned.
func (r *ktapReader) block(indent string) (tests []ktapTest, diagnostics []string, err error) {
	l, _ := r.next()
	if l != indent+"KTAP version 1" {
		return nil, nil, fmt.Errorf("line %d: %q is no version line", r.at+1, l)
	}
	r.at++
	diagnostics = r.diagnostics(indent)
	l, _ = r.next()
	m := ktapPlan.FindStringSubmatch(strings.TrimPrefix(l, indent))
	if m == nil {
		return nil, nil, fmt.Errorf("line %d: %q is no plan", r.at+1, l)
	}
	r.at++
	n, _ := strconv.Atoi(m[1])
	for i := range n {
		t, err := r.test(indent, i+1)
		if err != nil {
			return nil, nil, err
		}
		tests = append(tests, t)
	}
	return tests, append(diagnostics, r.diagnostics(indent)...), nil
}

func (r *ktapReader) diagnostics(indent string) (out []string) {
	for {
		l, ok := r.next()
		text, is := strings.CutPrefix(l, indent+"# ")
		if !ok || !is {
			return out
		}
		out = append(out, text)
		r.at++
	}
}

func (r *ktapReader) test(indent string, n int) (t ktapTest, err error) {
	t.diagnostics = r.diagnostics(indent)
	if l, _ := r.next(); strings.HasPrefix(l, indent+"  ") {
		var d []string
		if t.subtests, d, err = r.block(indent + "  "); err != nil {
			return t, err
		}
		t.diagnostics = append(append(t.diagnostics, d...), r.diagnostics(indent)...)
	}
	l, _ := r.next()
	rest, indented := strings.CutPrefix(l, indent)
	m := ktapLine.FindStringSubmatch(rest)
	if m == nil || !indented {
		return t, fmt.Errorf("line %d: %q is no result", r.at+1, l)
	}
	r.at++
	if m[2] != strconv.Itoa(n) {
		return t, fmt.Errorf("line %d: number %s, want %d", r.at, m[2], n)
	}
	t.ok, t.name, t.data = m[1] == "ok", m[3], m[4]
	if word, rest, _ := strings.Cut(m[4], " "); ktapWords[word] {
		t.directive, t.data = word, rest
	}
	if t.ok && (t.directive == "TIMEOUT" || t.directive == "ERROR") {
		return t, fmt.Errorf("line %d: %s is ok", r.at, t.directive)
	}
	for _, s := range t.subtests {
		if !s.ok && s.directive != "SKIP" && t.ok {
			return t, fmt.Errorf("line %d: ok over the failing subtest %s", r.at, s.name)
		}
	}
	return t, nil
}

// readKTAP reads a whole output and holds the totals line against it.
func readKTAP(text string) ([]ktapTest, error) {
	r := ktapReader{lines: strings.Split(strings.TrimSuffix(text, "\n"), "\n")}
	if len(r.lines) == 2 && strings.HasPrefix(r.lines[1], "1..0 # SKIP ") {
		return nil, nil
	}
	tests, d, err := r.block("")
	if err != nil {
		return nil, err
	}
	if r.at != len(r.lines) {
		return nil, fmt.Errorf("line %d: %q is beyond the plan", r.at+1, r.lines[r.at])
	}
	n := map[string]int{}
	for i := range tests {
		n[tests[i].outcome()]++
	}
	want := fmt.Sprintf("Totals: pass:%d fail:%d xfail:0 xpass:0 skip:%d error:%d", n["pass"], n["fail"], n["skip"], n["error"])
	if len(d) == 0 || d[len(d)-1] != want {
		return nil, fmt.Errorf("last diagnostics %q, want %q", d, want)
	}
	return tests, nil
}

func TestKTAP(t *testing.T) {
	all := results()
	for _, c := range []struct {
		name string
		want []string // outcome of every top-level test
		subs string   // outcomes of the last one's subtests
	}{
		{"pass", []string{"pass", "pass"}, "pass=6 skip=2"},
		{"fail", []string{"pass", "fail"}, "fail=2 pass=5 skip=2"},
		{"stuck", []string{"fail", "pass"}, "pass=6 skip=2"},
		{"undecided", []string{"error"}, "error=1 pass=5 skip=2"},
		{"broken", []string{"error"}, "error=1"},
		{"unsupported", []string{"skip"}, ""},
		{"noroot", nil, ""},
		{"quiet", []string{"pass", "pass"}, "pass=6 skip=2"},
		{"flood", []string{"fail", "pass"}, "pass=6 skip=2"},
		{"empty", []string{"error"}, "error=1"},
	} {
		text := render(t, "ktap", all[c.name])
		tests, err := readKTAP(text)
		if err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, text)
			continue
		}
		var got []string
		subs := map[string]int{}
		for i := range tests {
			got = append(got, tests[i].outcome())
		}
		if n := len(tests); n > 0 {
			for i := range tests[n-1].subtests {
				subs[tests[n-1].subtests[i].outcome()]++
			}
		}
		var s []string
		for _, k := range slices.Sorted(maps.Keys(subs)) {
			s = append(s, fmt.Sprintf("%s=%d", k, subs[k]))
		}
		if !slices.Equal(got, c.want) || strings.Join(s, " ") != c.subs {
			t.Errorf("%s: %q with %q, want %q with %q", c.name, got, s, c.want, c.subs)
		}
	}
}

// TestKTAPMatrix looks at what only many runs show: two jobs make one test, the
// run that broke before its jobs began has one, what was skipped comes last.
func TestKTAPMatrix(t *testing.T) {
	text := render(t, "ktap", matrix())
	tests, err := readKTAP(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(tests) != 32 {
		t.Fatalf("%d tests, want 30 runs, a broken one and a skipped engine", len(tests))
	}
	if a := tests[30]; a.name != "dax.extend.io_uring" || a.outcome() != "error" {
		t.Errorf("%+v", a)
	}
	if a := tests[31]; a.name != "libaio" || a.outcome() != "skip" {
		t.Errorf("%+v", a)
	}
	if !strings.Contains(text, "\n# Flaky: 1k.extend.io_uring: 40% (2/5)\n") {
		t.Error("no flaky line")
	}
}

func TestKTAPTimeout(t *testing.T) {
	tests, err := readKTAP(render(t, "ktap", stuck()))
	if err != nil {
		t.Fatal(err)
	}
	if d := tests[0].directive; d != "TIMEOUT" {
		t.Errorf("directive %q", d)
	}
	if d := tests[0].subtests[3]; d.name != "no_stuck_io" || d.directive != "TIMEOUT" {
		t.Errorf("%+v", d)
	}
	if b := render(t, "ktap", flood(10_000)); strings.Count(b, "\n") > 150 {
		t.Errorf("%d lines for 10,000 findings", strings.Count(b, "\n"))
	}
}

// TestKTAPData keeps text from outside from being read as something else.
func TestKTAPData(t *testing.T) {
	for _, s := range []string{"SKIP me", "# SKIP me", "x # SKIP", "\n# Subtest: x", "skip", "Kernel panic - not syncing: VFS: x", "a\nok 1 b", "reboot: System halted"} {
		r := passing()
		fail(r, "4k.libaio", "no_stray", 1, s)
		text := render(t, "ktap", r)
		tests, err := readKTAP(text)
		if err != nil || len(tests) != 2 || tests[1].outcome() != "fail" || tests[1].subtests[1].outcome() != "fail" {
			t.Errorf("%q: %v\n%s", s, err, text)
		}
		if strings.Contains(text, "VFS:") || strings.Contains(text, "reboot: System halted") {
			t.Errorf("%q ends the results for kunit.py", s)
		}
	}
}
