//go:build linux && amd64

package main

import (
	"bytes"
	"strings"
	"testing"

	"diostress/internal/verdict"
	"diostress/scripts/vm/faults"
	"diostress/scripts/vm/machine"
	"diostress/scripts/vm/trial"
)

func fault(t *testing.T, name string) *faults.Case {
	t.Helper()
	c, err := faults.Select([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	return &c[0]
}

func ended(engine string, r *verdict.Result, texts map[string]string) *trial.Outcome {
	return &trial.Outcome{Cell: trial.Cell{Engine: engine, Format: "ext4"}, State: machine.Finished, Result: r, Texts: texts}
}

// result of one run with findings; at is the time of their witness, ns.
func result(v verdict.Verdict, at int64, rules ...string) *verdict.Result {
	r := &verdict.Result{Verdict: v, Runs: []verdict.Run{{
		RuntimeNS: 5e9, Completions: verdict.Completions{Completed: 900},
		Series: []verdict.Sample{{TimeNS: 1e9, Writes: 100}, {TimeNS: 2e9, Writes: 200}, {TimeNS: 3e9, Writes: 300}},
	}}}
	for _, name := range rules {
		r.Findings = append(r.Findings, verdict.Finding{Rule: name, Verdict: verdict.Fail, Witnesses: []verdict.Witness{{TimeNS: at}}})
	}
	return r
}

func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name, fault, engine string
		result              *verdict.Result
		ok                  bool
		seconds             float64
		writes              uint64
	}{
		{"caught", "short", "libaio", result(verdict.Fail, 15e8, "legal_result"), true, 1.5, 300},
		{"caught in the data", "lost", "libaio", result(verdict.Fail, 0, "control_data"), true, 5, 900},
		{"another rule", "short", "libaio", result(verdict.Fail, 15e8, "no_stuck_io"), false, 5, 900},
		{"passed", "short", "libaio", result(verdict.Pass, 0), false, 5, 900},
		{"undecided", "short", "libaio", result(verdict.Undecided, 0), false, 5, 900},
		{"one of any", "reissue-buffer", "libaio", result(verdict.Fail, 0, "no_poison"), true, 5, 900},
		{"none of any", "reissue-buffer", "libaio", result(verdict.Fail, 0, "not_torn"), false, 5, 900},
		{"only the event of 2007", "2007-rate", "libaio", result(verdict.Fail, 1e9, "eio_explained"), false, 1, 100},
		{"event and log of 2007", "2007-rate", "libaio", result(verdict.Fail, 1e9, "eio_explained", "kernel_log"), true, 1, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := assess(fault(t, c.fault), ended(c.engine, c.result, nil))
			if l.ok != c.ok || (l.why == "") != c.ok || l.seconds != c.seconds || l.writes != c.writes {
				t.Errorf("%+v", l)
			}
		})
	}
	late := result(verdict.Fail, 11e9, "legal_result")
	late.Runs[0].RuntimeNS = 12e9
	if l := assess(fault(t, "short"), ended("libaio", late, nil)); l.ok || !strings.Contains(l.why, "later than") {
		t.Errorf("late: %+v", l)
	}
}

func TestDeathOfTheKernel(t *testing.T) {
	dead := &trial.Outcome{Cell: trial.Cell{Engine: "io_uring", Format: "ext4"}, State: machine.Oops, Detail: "BUG: x"}
	if l := assess(fault(t, "2007-once"), dead); !l.ok || !strings.Contains(l.caught, "BUG: x") {
		t.Errorf("where it may die: %+v", l)
	}
	if l := assess(fault(t, "short"), dead); l.ok || !strings.Contains(l.why, "no report") {
		t.Errorf("where it may not: %+v", l)
	}
	unbooted := &trial.Outcome{Cell: trial.Cell{Engine: "io_uring"}, State: machine.NeverBooted}
	if l := assess(fault(t, "2007-once"), unbooted); l.ok {
		t.Errorf("a kernel that never booted caught something: %+v", l)
	}
}

func counters(bent, failed, missed string) map[string]string {
	return map[string]string{
		"/sys/module/retfault/parameters/bent": bent, "/sys/module/retfault/parameters/failed": failed, "/sys/module/retfault/parameters/missed": missed,
	}
}

func TestLegalFaults(t *testing.T) {
	counted := func(v verdict.Verdict, n uint64, f verdict.Fidelity) *verdict.Result {
		r := result(v, 0)
		r.Runs[0].Collisions.PreWrite = verdict.Count{Count: n, Fidelity: f}
		return r
	}
	for _, c := range []struct {
		name   string
		result *verdict.Result
		texts  map[string]string
		ok     bool
	}{
		{"exact", counted(verdict.Pass, 12, verdict.Exact), counters("10\n", "2\n", "0\n"), true},
		{"false alarm", counted(verdict.Fail, 12, verdict.Exact), counters("10", "2", "0"), false},
		{"wrong count", counted(verdict.Pass, 11, verdict.Exact), counters("10", "2", "0"), false},
		{"not exact", counted(verdict.Pass, 12, verdict.AtLeast), counters("10", "2", "0"), false},
		{"the module was blind", counted(verdict.Pass, 12, verdict.Exact), counters("10", "2", "1"), false},
		{"nothing was bent", counted(verdict.Pass, 0, verdict.Exact), counters("0", "0", "0"), false},
		{"no counters", counted(verdict.Pass, 12, verdict.Exact), nil, false},
	} {
		if l := assess(fault(t, "pre-write"), ended("libaio", c.result, c.texts)); l.ok != c.ok || (l.why == "") != c.ok {
			t.Errorf("%s: %+v", c.name, l)
		}
	}
}

func TestDeviceErrors(t *testing.T) {
	device := func(failed, invalidation, ambiguous uint64, reason string) *verdict.Result {
		r := result(verdict.Pass, 0)
		r.Runs[0].Completions.Failed = map[string]uint64{"EIO": failed}
		r.Runs[0].Fsync.Completion = verdict.EIOCauses{Device: failed, Invalidation: invalidation, Ambiguous: ambiguous}
		r.Rules = []verdict.Rule{{Name: "eio_explained", Verdict: verdict.Pass, Reason: reason}}
		return r
	}
	for _, c := range []struct {
		name string
		r    *verdict.Result
		ok   bool
	}{
		{"named", device(3, 0, 0, "EIO=3: the device: block_rq_error fired"), true},
		{"nothing failed", device(0, 0, 0, "no write failed"), false},
		{"blamed on invalidation", device(3, 1, 0, "the device: x"), false},
		{"blamed on nobody", device(3, 0, 1, "the device: x"), false},
		{"not named", device(3, 0, 0, "the journal: x"), false},
	} {
		if l := assess(fault(t, "device-flakey"), ended("libaio", c.r, nil)); l.ok != c.ok || (l.why == "") != c.ok {
			t.Errorf("%s: %+v", c.name, l)
		}
	}
}

func TestWhatG208Said(t *testing.T) {
	for _, c := range []struct {
		text   string
		ended  bool
		state  machine.State
		detail string
		want   string
	}{
		{`{"verdict":"pass","writes":9,"eio":2}`, true, "", "", "pass (9 writes, 2 EIO)"},
		{`{"verdict":"fail","why":"completion with result -15","writes":9}`, true, "", "", "fail (9 writes, 0 EIO): completion with result -15"},
		{"", true, "", "", "broke"},
		{"", false, machine.Oops, "BUG: x", "nothing: the machine ended (oops: BUG: x)"},
	} {
		if got := g208Says(c.text, c.ended, c.state, c.detail); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestRecordIsWritten(t *testing.T) {
	caught := assess(fault(t, "short"), ended("libaio", result(verdict.Fail, 15e8, "legal_result"), nil))
	missed := assess(fault(t, "lost"), ended("io_uring", result(verdict.Pass, 0), nil))
	legal := assess(fault(t, "device-flakey"), ended("libaio", result(verdict.Pass, 0), nil))
	caught.kernel, missed.kernel, legal.kernel = "6.1.192-2", "6.1.192-2", "6.12.117"
	caught.g208 = "pass (9 writes, 2 EIO)"
	rec := &record{lines: []line{caught, missed, legal}, skipped: []string{"kernel 9.9: gone"}, accel: "tcg"}
	doc := rec.document()
	for _, want := range []string{
		"| short | 6.1.192-2 | ext4 | libaio | legal_result | 1.5 | 300 | pass (9 writes, 2 EIO) |", "**not as it must be**", "Not run: kernel 9.9: gone",
		"3 runs, 2 of them not as they must be", "6.1.192-2, 6.12.117", "## What is legal",
	} {
		if !strings.Contains(doc, want) {
			t.Errorf("%q is not in\n%s", want, doc)
		}
	}
	var b bytes.Buffer
	rec.table(&b)
	if !strings.Contains(b.String(), "1 of 3 runs ended as they must") || !strings.Contains(b.String(), "SKIPPED: kernel 9.9") {
		t.Errorf("%s", &b)
	}
	if rec.status() != machine.ExitMisbehaved || (&record{}).status() != machine.ExitUnavailable || (&record{lines: []line{caught}}).status() != 0 {
		t.Error("exit statuses")
	}
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]string{"--fault nothing": `"nothing"`, "--fs xfs": `"xfs"`, "--jobs 0": "--jobs 0", "x": `"x"`} {
		var out, err bytes.Buffer
		if status := run(t.Context(), strings.Fields(args), &out, &err); status != machine.ExitUsage || out.Len() > 0 || !strings.Contains(err.String(), want) {
			t.Errorf("%s: status %d, %q", args, status, &err)
		}
	}
	var out, err bytes.Buffer
	if status := run(t.Context(), []string{"--list"}, &out, &err); status != 0 || strings.Count(out.String(), "\n") != len(faults.Cases()) {
		t.Errorf("--list: status %d\n%s%s", status, &out, &err)
	}
}
