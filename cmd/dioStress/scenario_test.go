package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diostress/internal/need"
	"diostress/internal/plan"
	"diostress/internal/verdict"
	"diostress/mmapdirty"
)

func TestScenarioList(t *testing.T) {
	status, stdout, stderr := call("--scenario=list")
	if status != exitPass || stderr != "" {
		t.Errorf("status %d, %q", status, stderr)
	}
	var names []string
	for line := range strings.Lines(stdout) {
		if len(line) > 81 {
			t.Errorf("%d columns: %q", len(line)-1, line)
		}
		if !strings.HasPrefix(line, " ") {
			names = append(names, strings.TrimSpace(line))
		}
	}
	if !slices.Equal(names, plan.ScenarioNames()) || len(names) < 16 {
		t.Errorf("the list names %q", names)
	}
	if n := strings.Count(stdout, "    required: "); n != len(names) {
		t.Errorf("%d of %d scenarios say what they require", n, len(names))
	}
}

func TestScenarioBadInput(t *testing.T) {
	for args, want := range map[string][]string{
		"--scenario=truncte":                         {`"truncte"`, `"truncate"`, "hole-fill"},
		"--scenario=extend,":                         {"empty entry"},
		"--scenario=all,extend":                      {`"all"`, "alone"},
		"--scenario=extend,extend":                   {`"extend"`, "twice"},
		"--scenario=extend --profile=post":           {"--profile post", "--scenario extend"},
		"--scenario=extend --rw=randwrite":           {"--layout empty", "--rw write"},
		"--scenario=readahead,truncate --bs=1":       {"scenario readahead", "--bs 1"},
		"--layout=full":                              {`"full"`, "unwritten", "sparse"},
		"--buffer=shared":                            {`"shared"`, "selfmmap"},
		"--layout=empty":                             {"--rw write"},
		"--buffer=selfmmap --dirty=truncate=1":       {"truncate"},
		"--scenario=self-mmap --fixedbufs":           {"--fixedbufs"},
		"--scenario=self-mmap --exit-style=ltp --bs": {"--bs"},
	} {
		status, stdout, stderr := call(strings.Fields(args)...)
		if (status != exitUsage && status != styled("ltp", exitUsage)) || stdout != "" {
			t.Errorf("%s: status %d, stdout %q", args, status, stdout)
		}
		for _, w := range want {
			if !strings.Contains(stderr, w) {
				t.Errorf("%s: %q lacks %q", args, stderr, w)
			}
		}
	}
}

// TestScenarioSettings: a scenario sets the workload, and flags win over it,
// wherever they stand.
func TestScenarioSettings(t *testing.T) {
	s, err := parseArgs(strings.Fields("--size=1m --scenario=hole-fill,extend --iodepth=2 --fs-config=4k,ext3 --loops=2 --seed=7 --ioengine=libaio"))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.variants) != 2 {
		t.Fatalf("%d variants", len(s.variants))
	}
	for i, want := range []struct{ scenario, layout, rw string }{{"hole-fill", "sparse", "randwrite"}, {"extend", "empty", "write"}} {
		c := s.variants[i]
		if c.Scenario != want.scenario || c.Layout != want.layout || c.RW != want.rw || c.Size != 1<<20 || c.IODepth != 2 || c.Seed != 7 || c.Verify != "full" {
			t.Errorf("variant %d: %+v", i, c)
		}
	}
	x := newSession(s, nil, nil)
	var names []string
	for _, c := range x.matrix() {
		names = append(names, x.name(c, "libaio"))
	}
	want := []string{
		"4k.hole-fill.libaio.loop1", "4k.extend.libaio.loop1", "ext3.hole-fill.libaio.loop1", "ext3.extend.libaio.loop1",
		"4k.hole-fill.libaio.loop2", "4k.extend.libaio.loop2", "ext3.hole-fill.libaio.loop2", "ext3.extend.libaio.loop2",
	}
	if !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	if got := s.repro(); !strings.Contains(got, "--scenario=hole-fill,extend") || !strings.HasSuffix(got, "--seed=0x7") {
		t.Errorf("repro %q", got)
	}
	if s, err = parseArgs([]string{"--scenario=all"}); err != nil || len(s.variants) != len(plan.Scenarios()) {
		t.Fatalf("all: %d variants, %v", len(s.variants), err)
	}
	for _, c := range s.variants {
		if c.Seed != s.cfg.Seed {
			t.Error("scenarios of one invocation have different seeds")
		}
	}
}

// TestScenarioNamesAreKnown holds the names that plan uses against the rooms
// that own them.
func TestScenarioNamesAreKnown(t *testing.T) {
	for _, sc := range plan.Scenarios() {
		var c plan.Config
		sc.Apply(&c)
		if _, err := mmapdirty.ParseSpec(c.DirtyString()); err != nil {
			t.Errorf("%s: %v", sc.Name, err)
		}
		for _, row := range sc.Pressure {
			for _, d := range row {
				if d.Kind == "" {
					continue
				}
				if _, err := mmapdirty.ParseSpec(d.Kind); err != nil {
					t.Errorf("%s demands %v: %v", sc.Name, d, err)
				}
			}
		}
		for _, e := range sc.Engines {
			findEngine(e)
		}
	}
	for _, k := range mmapdirty.Kinds() {
		c := plan.Config{Dirty: []plan.Dirty{{Kind: k.String(), Count: 1}}}
		if c.Zeroes() != k.Zeroes() {
			t.Errorf("%v: plan says that it makes zeros: %v, mmapdirty: %v", k, c.Zeroes(), k.Zeroes())
		}
		if main := (plan.File{Role: plan.Main}); c.Exact(&main) != (!k.Dirties() && !k.Zeroes()) {
			t.Errorf("%v: plan says that the main file is exact: %v", k, c.Exact(&main))
		}
	}
}

// TestMatrix makes the matrix of a machine, small: what can run passes, what
// cannot is listed.
func TestMatrix(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	before := traces(t)
	out := filepath.Join(t.TempDir(), "r.json")
	status, stdout, stderr := call("--scenario=unwritten,sqpoll", "--fs-config=4k,ext3", "--ioengine=libaio,io_uring", "--runtime=300ms", "--output="+out, "--output-format=json")
	d := readReport(t, out).Diostress
	if len(d.Findings) > 0 || status != exitPass && status != exitBroken {
		t.Errorf("status %d\n%s\n%s", status, stdout, stderr)
	}
	// Whether the pressure was enough is up to the machine.
	var got, skipped []string
	for _, r := range d.Runs {
		got = append(got, r.Name)
		if config, rest, _ := strings.Cut(r.Name, "."); !strings.HasPrefix(rest, r.Scenario+".") || r.FSConfig != config || r.Verdict != verdict.Pass && r.Adequacy.Met {
			t.Errorf("run %s: scenario %q, fs config %q, %v", r.Name, r.Scenario, r.FSConfig, r.Verdict)
		}
	}
	for _, s := range d.Skipped {
		skipped = append(skipped, s.Name)
		if s.Reason == "" {
			t.Errorf("%s is skipped without a reason", s.Name)
		}
	}
	if want := []string{"4k.unwritten.libaio", "4k.unwritten.io_uring", "4k.sqpoll.io_uring", "ext3.sqpoll.io_uring"}; !slices.Equal(got, want) {
		t.Errorf("runs %q, want %q", got, want)
	}
	if want := []string{"4k.sqpoll.libaio", "ext3.unwritten.libaio", "ext3.unwritten.io_uring", "ext3.sqpoll.libaio"}; !slices.Equal(skipped, want) {
		t.Errorf("skipped %q, want %q", skipped, want)
	}
	if !strings.Contains(d.Environment.Engines["io_uring"], "sqpoll") {
		t.Errorf("features of io_uring: %q", d.Environment.Engines["io_uring"])
	}
	if after := traces(t); after != before {
		t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
	}
}

// TestConfigThatCannotBe: one configuration that this machine cannot make is
// skipped beside others, and unsupported alone.
func TestConfigThatCannotBe(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	out := filepath.Join(t.TempDir(), "r.json")
	args := []string{"--scenario=punch", "--ioengine=io_uring", "--runtime=200ms", "--output=" + out, "--output-format=json"}
	call(append(args, "--fs-config=dax,4k")...)
	d := readReport(t, out).Diostress
	if len(d.Runs) != 1 || d.Runs[0].Name != "4k.punch.io_uring" || len(d.Skipped) != 1 || d.Skipped[0].Name != "dax.punch" {
		t.Errorf("runs %+v, skipped %+v", d.Runs, d.Skipped)
	}
	if status, _, stderr := call(append(args, "--fs-config=dax")...); status != exitUnsupported || !strings.Contains(stderr, "dax") {
		t.Errorf("status %d: %q", status, stderr)
	}
}

// TestScenarioThatCannotRun: alone and by name, what cannot run is no pass.
func TestScenarioThatCannotRun(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	for _, args := range []string{"--scenario=fixedbufs --ioengine=libaio", "--scenario=unwritten --fs=ext3 --ioengine=io_uring"} {
		status, stdout, _ := call(strings.Fields(args)...)
		if status != exitUnsupported || !strings.Contains(stdout, "UNSUPPORTED") {
			t.Errorf("%s: status %d, %q", args, status, stdout)
		}
	}
}
