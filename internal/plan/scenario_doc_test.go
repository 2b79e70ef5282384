package plan

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// section is what docs/scenarios.md has to say about a scenario.
func section(s Scenario) []string {
	var c Config
	s.Apply(&c)
	set := fmt.Sprintf("--bs %s --size %s --iodepth %d --rw %s --dirty %s", FormatSize(int64(c.BS)), FormatSize(c.Size), c.IODepth, c.RW, c.DirtyString())
	for _, x := range []struct {
		given bool
		text  string
	}{
		{c.Fresh(), " --layout " + c.Layout},
		{c.Buffer != "", " --buffer " + c.Buffer},
		{c.DSync, " --dsync"},
		{c.FixedBufs, " --fixedbufs"},
		{c.RegisterFiles, " --registerfiles"},
		{len(c.UringFlags) > 0, " --uring-flags " + strings.Join(c.UringFlags, ",")},
	} {
		if x.given {
			set += x.text
		}
	}
	engines := "every one"
	if s.Engines != nil {
		engines = strings.Join(s.Engines, ", ")
	}
	return []string{
		"### " + s.Name,
		"* Provokes: " + s.Provokes + ".",
		"* Once failed: " + s.Failed + ".",
		"* Expects: " + s.Expects + ".",
		"* Required: " + s.Pressure.String() + ".",
		"* Settings: `" + set + "`; engines: " + engines + ".",
	}
}

func TestScenariosAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "\n## The scenarios\n")
	if !ok {
		t.Fatal(`docs/scenarios.md has no part "The scenarios"`)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var got []string
	for line := range strings.Lines(rest) {
		if line = strings.TrimSpace(line); line != "" {
			got = append(got, line)
		}
	}
	var want []string
	for _, s := range Scenarios() {
		want = append(want, section(s)...)
	}
	for i := range max(len(got), len(want)) {
		g, w := "(nothing)", "(nothing)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Fatalf("docs/scenarios.md, part \"The scenarios\":\n has %s\nwant %s", g, w)
		}
	}
}
