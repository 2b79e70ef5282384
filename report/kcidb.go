package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"diostress/internal/verdict"
)

// kcidbOrigin is the submitting system's name. A lab that submits under a name
// of its own replaces it, and the build's id with the one of its build.
const kcidbOrigin = "diostress"

type kcidbReport struct {
	Version   kcidbVersion    `json:"version"`
	Checkouts []kcidbCheckout `json:"checkouts"`
	Builds    []kcidbBuild    `json:"builds"`
	Tests     []kcidbTest     `json:"tests"`
}

type kcidbVersion struct {
	Major int `json:"major"`
	Minor int `json:"minor"`
}

type kcidbCheckout struct {
	ID      string `json:"id"`
	Origin  string `json:"origin"`
	Comment string `json:"comment"`
}

type kcidbBuild struct {
	ID           string `json:"id"`
	Origin       string `json:"origin"`
	CheckoutID   string `json:"checkout_id"`
	Architecture string `json:"architecture"`
	Comment      string `json:"comment"`
}

type kcidbTest struct {
	ID          string            `json:"id"`
	Origin      string            `json:"origin"`
	BuildID     string            `json:"build_id"`
	Path        string            `json:"path"`
	Status      string            `json:"status"`
	Comment     string            `json:"comment,omitempty"`
	StartTime   string            `json:"start_time,omitempty"`
	Duration    *float64          `json:"duration,omitempty"` // seconds
	Number      *kcidbNumber      `json:"number,omitempty"`
	LogExcerpt  string            `json:"log_excerpt,omitempty"`
	Environment *kcidbEnvironment `json:"environment,omitempty"`
	Misc        map[string]any    `json:"misc,omitempty"`
}

type kcidbNumber struct {
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

type kcidbEnvironment struct {
	Comment string         `json:"comment"`
	Misc    map[string]any `json:"misc"`
}

// maxExcerpt is the most characters that the schema allows in a log_excerpt.
const maxExcerpt = 16384

// writeKCIDB renders a submission to KernelCI's database, schema 5.3: a test
// for every run and, below it, one for every rule. The kernel is known here by
// its release alone, so the build and checkout are stand-ins named after it.
func writeKCIDB(w io.Writer, r *verdict.Result) error {
	e := &r.Environment
	release := or(e.Kernel, "unknown")
	k := kcidbReport{
		Version:   kcidbVersion{5, 3},
		Checkouts: []kcidbCheckout{{ID: kcidbOrigin + ":" + release, Origin: kcidbOrigin, Comment: "the source of the kernel that runs as " + release}},
		Tests:     []kcidbTest{},
	}
	build := fmt.Sprintf("%s:%s-%s", kcidbOrigin, release, or(e.Machine, "unknown"))
	k.Builds = []kcidbBuild{{ID: build, Origin: kcidbOrigin, CheckoutID: k.Checkouts[0].ID, Architecture: architecture(e.Machine),
		Comment: strings.TrimSpace(release + " " + clean(e.KernelBuild))}}
	start, _, ok := times(r)
	id := fmt.Sprintf("%s:%s.%s.%s", kcidbOrigin, slug(hostOf(r)), slug(r.StartTime), seed(r))
	add := func(t kcidbTest) {
		t.ID = fmt.Sprintf("%s.%d", id, len(k.Tests)+1)
		t.Origin, t.BuildID, t.Path = kcidbOrigin, build, kcidbOrigin+"."+t.Path
		if ok {
			t.StartTime = start.Format(time.RFC3339)
		}
		k.Tests = append(k.Tests, t)
	}
	gs := groups(r)
	for i := range gs {
		g := &gs[i]
		add(kcidbRun(r, g))
		for j := range g.cases {
			c := &g.cases[j]
			t := kcidbTest{Path: kcidbPath(g.name) + "." + kcidbName(c.name), Status: kcidbStatus(c.state), Comment: brief(c.told(), 1000)}
			if len(c.findings) > 0 {
				t.LogExcerpt = excerpt(evidence(c))
			}
			add(t)
		}
	}
	for _, s := range r.Skipped {
		add(kcidbTest{Path: kcidbPath(s.Name), Status: kcidbStatus(skipped), Comment: brief(s.Reason, 1000)})
	}
	j := json.NewEncoder(w)
	j.SetEscapeHTML(false)
	j.SetIndent("", "  ")
	return j.Encode(&k)
}

// kcidbRun is the test that stands for a whole run.
func kcidbRun(r *verdict.Result, g *group) kcidbTest {
	e := &r.Environment
	t := kcidbTest{
		Path: kcidbPath(g.name), Status: kcidbStatus(g.state), Comment: brief(g.reason, 1000),
		Environment: &kcidbEnvironment{
			Comment: strings.TrimSpace(fmt.Sprintf("%s %s %s", clean(e.FSType), clean(e.FSConfig), clean(strings.Join(e.DeviceStack, ", on ")))),
			Misc: map[string]any{"hostname": clean(e.Hostname), "cpus": e.CPUs, "memory_bytes": e.MemoryBytes, "page_size": e.PageSize,
				"mkfs_options": clean(e.MkfsOptions), "mount_options": clean(e.MountOptions)},
		},
		Misc: map[string]any{"seed": seed(r), "repro": clean(r.Repro), "program": clean(r.Program), "verdict": r.Verdict.String()},
	}
	if len(r.Flaky) > 0 {
		t.Misc["flaky"] = r.Flaky
	}
	if len(g.runs) == 0 {
		return t
	}
	var iops float64
	var jobs []map[string]any
	for _, u := range g.runs {
		iops += perSecond(u.Completions.Completed, u.RuntimeNS)
		j := map[string]any{"name": clean(u.Name), "submitted": u.Completions.Submitted, "completed": u.Completions.Completed, "lost": u.Completions.Lost}
		if known(u.Collisions.PreWrite) { // what could not be counted is not there
			j["pre_write_failures"] = u.Collisions.PreWrite.Count
		}
		jobs = append(jobs, j)
	}
	d := g.seconds()
	t.Duration, t.Number, t.Misc["jobs"] = &d, &kcidbNumber{iops, "IOPS"}, jobs
	var log strings.Builder
	for i := range g.cases {
		if c := &g.cases[i]; c.state > skipped {
			fmt.Fprintf(&log, "%s: %s\n%s", clean(c.name), brief(c.told(), 1000), evidence(c))
		}
	}
	for _, l := range g.runs[0].KernelLog.Lines {
		fmt.Fprintf(&log, "%s\n", l)
	}
	t.LogExcerpt = excerpt(log.String())
	return t
}

func kcidbStatus(s state) string {
	return [...]string{passed: "PASS", skipped: "SKIP", errored: "ERROR", failed: "FAIL"}[s]
}

// kcidbPath makes a node's path of a run's name, whose dots stay levels.
func kcidbPath(name string) string {
	var parts []string
	for p := range strings.SplitSeq(name, ".") {
		if p != "" {
			parts = append(parts, kcidbName(p))
		}
	}
	if len(parts) == 0 {
		return kcidbName("")
	}
	return strings.Join(parts, ".")
}

// kcidbName makes a level of a path, [a-zA-Z0-9_-]+.
func kcidbName(s string) string { return strings.ReplaceAll(slug(s), ".", "_") }

// architecture keeps what the schema takes, [a-z0-9_]*.
func architecture(machine string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(slug(machine)), "-", "_"), ".", "_")
}

// excerpt cleans a text of several lines and cuts it at a line.
func excerpt(s string) string {
	if s == "" {
		return ""
	}
	var b strings.Builder
	n := 0
	for _, l := range cleanLines(s, 400, 400) {
		n += len([]rune(l)) + 1
		if n > maxExcerpt {
			break
		}
		b.WriteString(l + "\n")
	}
	return b.String()
}
