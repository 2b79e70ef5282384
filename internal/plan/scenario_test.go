package plan

import (
	"slices"
	"strings"
	"testing"
)

// wanted are the scenarios that were promised.
var wanted = []string{
	"invalidate-failure", "readahead", "cycle-write", "hole-fill", "extend", "eof-race", "append-fallocate", "truncate",
	"punch", "unwritten", "subblock", "self-mmap", "zero-page", "dsync", "fixedbufs", "sqpoll",
}

func TestScenarios(t *testing.T) {
	if got := ScenarioNames(); !slices.Equal(got, wanted) {
		t.Errorf("scenarios %v, want %v", got, wanted)
	}
	for _, s := range Scenarios() {
		for what, text := range map[string]string{"Provokes": s.Provokes, "Failed": s.Failed, "Expects": s.Expects} {
			if text == "" || strings.ContainsAny(text, "\n\t|") || strings.HasSuffix(text, ".") {
				t.Errorf("%s: %s %q: want one line that fits into a table, without a full stop", s.Name, what, text)
			}
		}
		c := good()
		c.Profile = "rate"
		s.Apply(&c)
		if c.Scenario != s.Name || c.Profile != "" {
			t.Errorf("%s: scenario %q, profile %q", s.Name, c.Scenario, c.Profile)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		again := good()
		s.Apply(&again)
		if len(s.Pressure) == 0 {
			t.Errorf("%s requires no pressure", s.Name)
		}
		for _, row := range s.Pressure {
			reachable := false
			for _, d := range row {
				if d.Min == 0 {
					t.Errorf("%s: %v is no demand", s.Name, d)
				}
				reachable = reachable || d.Kind == "" || c.Dirties(d.Kind)
			}
			if !reachable {
				t.Errorf("%s: nothing in the scenario can make %v", s.Name, row)
			}
		}
		for _, e := range s.Engines {
			if OneOf("engine", e, engineNames) != nil {
				t.Errorf("%s: engine %q", s.Name, e)
			}
		}
		if got, ok := FindScenario(s.Name); !ok || got.Name != s.Name {
			t.Errorf("FindScenario(%q) = %q, %v", s.Name, got.Name, ok)
		}
	}
	if _, ok := FindScenario("kjournald"); ok {
		t.Error("found a scenario that does not exist")
	}
}

func TestScenarioRuns(t *testing.T) {
	for name, want := range map[string]string{"sqpoll": "io_uring", "fixedbufs": "io_uring", "extend": ""} {
		s, _ := FindScenario(name)
		ok, why := s.Runs("libaio")
		if ok != (want == "") || !ok && !strings.Contains(why, want) {
			t.Errorf("%s with libaio: %v, %q", name, ok, why)
		}
		if ok, why := s.Runs("io_uring"); !ok || why != "" {
			t.Errorf("%s with io_uring: %v, %q", name, ok, why)
		}
	}
}

func TestPressureInWords(t *testing.T) {
	p := Pressure{{{Of: Acts, Kind: "truncate", Min: 50}}, {{Of: Collisions, Min: 100}, {Of: Overlaps, Min: 1000}}}
	if got, want := p.String(), "50 acts of truncate; and 100 collisions, else 1000 writes overlapped"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := Collide().String(), "100 collisions, else 1000 overlaps; and 100 collisions, else 50 writes overlapped"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
