//go:build linux && amd64

package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"diostress/internal/verdict"
	"diostress/scripts/vm/kernels"
	"diostress/scripts/vm/machine"
	"diostress/scripts/vm/trial"
)

func cell(v verdict.Verdict, state machine.State) trial.Outcome {
	o := trial.Outcome{Cell: trial.Cell{Name: "ext4-libaio-1", Format: "ext4", Engine: "libaio"}, State: state, Detail: "what happened", Seconds: 9.5}
	if state == machine.Finished {
		o.Result = &verdict.Result{Verdict: v, Reason: "why", Environment: verdict.Environment{ContractEra: "5.9 and later"}, Runs: []verdict.Run{{
			Completions: verdict.Completions{Completed: 1234},
			Collisions:  verdict.Collisions{PreWrite: verdict.Count{Count: 56, Fidelity: verdict.Exact}, PostWrite: verdict.Count{Count: 7, Fidelity: verdict.AtLeast}},
		}}}
	}
	return o
}

func TestStatusAndTable(t *testing.T) {
	gone := errors.New("the mirror has none")
	warned := cell(verdict.Pass, machine.Finished)
	warned.Oops = []string{"WARNING: at x"}
	for _, c := range []struct {
		name   string
		rows   []*row
		status int
		says   []string
	}{
		{"all pass", []*row{{outcomes: []trial.Outcome{cell(verdict.Pass, machine.Finished)}}}, 0, []string{"pass", "1234", "56", ">=7", "5.9 and later", "9.5", "1 of 1 cells passed"}},
		{"a finding", []*row{{outcomes: []trial.Outcome{cell(verdict.Fail, machine.Finished)}}}, 1, []string{"FAIL", "fail: why"}},
		{"undecided", []*row{{outcomes: []trial.Outcome{cell(verdict.Undecided, machine.Finished)}}}, 3, []string{"UNDECIDED"}},
		{"a panic", []*row{{outcomes: []trial.Outcome{cell(0, machine.Panic)}}}, 1, []string{"PANIC", "panic: what happened"}},
		{"never booted", []*row{{outcomes: []trial.Outcome{cell(0, machine.NeverBooted)}}}, 3, []string{"NEVER_BOOTED"}},
		{"passed, but the console complains", []*row{{outcomes: []trial.Outcome{warned}}}, 1, []string{"WARNING: at x"}},
		{"a series is missing", []*row{{spec: "5.10", missing: gone}, {outcomes: []trial.Outcome{cell(verdict.Pass, machine.Finished)}}}, 0, []string{"5.10", "SKIPPED", "the mirror has none"}},
		{"a required one is missing", []*row{{spec: "6.1", missing: gone}, {outcomes: []trial.Outcome{cell(verdict.Pass, machine.Finished)}}}, 4, []string{"SKIPPED"}},
		{"nothing ran", []*row{{spec: "5.10", missing: gone}}, 4, []string{"0 of 0"}},
		{"machines broke", []*row{{kernel: kernels.Kernel{Version: "6.1.1"}, broken: errors.New("no disk")}}, 3, []string{"BROKEN", "no disk"}},
		{"the worst wins", []*row{{spec: "6.1", missing: gone}, {outcomes: []trial.Outcome{cell(verdict.Undecided, machine.Finished), cell(verdict.Fail, machine.Finished)}}}, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options{required: []string{"6.1"}}
			if got := o.status(c.rows); got != c.status {
				t.Errorf("status %d, want %d", got, c.status)
			}
			var b bytes.Buffer
			printTable(&b, o, c.rows)
			for _, s := range c.says {
				if !strings.Contains(b.String(), s) {
					t.Errorf("%q is not in\n%s", s, &b)
				}
			}
		})
	}
}

func TestUsageNamesWhatIsWrong(t *testing.T) {
	for args, want := range map[string]string{
		"--kernel latest": `"latest"`, "--fs ntfs": `"ntfs"`, "--runs 0": "--runs 0", "--runtime soon": `"soon"`, "stray": `"stray"`,
	} {
		var out, err bytes.Buffer
		if status := run(t.Context(), strings.Fields(args), &out, &err); status != machine.ExitUsage || out.Len() > 0 || !strings.Contains(err.String(), want) {
			t.Errorf("%s: status %d, %q", args, status, &err)
		}
	}
}

func TestCells(t *testing.T) {
	o, err := parse([]string{"--runs", "2", "--fs", "ext4,ext3-1k", "--", "--dirty", "mmap=2"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	cells := o.cells(0)
	if len(cells) != 8 || cells[7].Name != "ext3-1k-libaio-2" || !strings.HasSuffix(strings.Join(cells[0].Args, " "), "--runtime 5 --dirty mmap=2") {
		t.Errorf("%d cells, the last %+v", len(cells), cells[len(cells)-1])
	}
	if c := o.cells(1)[0]; !strings.Contains(strings.Join(c.Args, " "), "--runtime 20 ") || c.Timeout != o.timeout+15 {
		t.Errorf("again: %+v", c)
	}
}
