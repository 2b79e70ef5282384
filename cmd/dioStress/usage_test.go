package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diostress/internal/plan"
	"diostress/internal/testbed"
	"diostress/mmapdirty"
	"diostress/report"
)

// TestBadInput: what is typed or pointed at wrongly gives status 2, an error
// that quotes it and says what is valid, an empty standard output, and nothing
// left behind.
func TestBadInput(t *testing.T) {
	before := traces(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		args string
		want []string
	}{
		{"--bogus=1", []string{"--bogus"}},
		{"--ioengin=libaio", []string{"--ioengin", "--ioengine"}},
		{"--ioengine=liburing", []string{`"liburing"`, "io_uring", "libaio", "psync"}},
		{"--ioengine=libaio,libaio", []string{`"libaio" twice`}},
		{"--ioengine=,libaio", []string{`",libaio"`}},
		{"--dirty=mmmap=2", []string{"mmmap", "mmap"}},
		{"--dirty=mmap=0x", []string{"0x"}},
		{"--dirty=mmap=1000", []string{"1000"}},
		{"--bs=4q", []string{`"4q"`, "4k"}},
		{"--bs=-5", []string{`"-5"`}},
		{"--bs=1000", []string{"1000", "512"}},
		{"--size=1k --bs=4k", []string{"1k", "4k"}},
		{"--size=1x", []string{`"1x"`}},
		{"--runtime=5y", []string{`"5y"`, "ms"}},
		{"--runtime=0", []string{"--runtime", "0"}},
		{"--stuck-timeout=0", []string{"--stuck-timeout"}},
		{"--iodepth=1000000", []string{"1000000", "4096"}},
		{"--iodepth=0", []string{"0"}},
		{"--iodepth=x", []string{`"x"`}},
		{"--numjobs=0", []string{"--numjobs"}},
		{"--fs=ext5", []string{`"ext5"`, "ext4"}},
		{"--fs-config=5k", []string{`"5k"`, "4k"}},
		{"--rw=wrote", []string{`"wrote"`, "randwrite"}},
		{"--seed=abc", []string{`"abc"`}},
		{"--verify=some", []string{`"some"`, "full"}},
		{"--trace=all", []string{`"all"`, "exact"}},
		{"--profile=fast", []string{`"fast"`, "rate"}},
		{"--uring-flags=sqpol", []string{`"sqpol"`, "sqpoll"}},
		{"--exit-style=bash", []string{`"bash"`, "ltp"}},
		{"--output-format=xml", []string{`"xml"`, "json"}},
		{"--output-format=text,json", []string{"--output"}},
		{"--output=/no/such/dir/r.json", []string{"/no/such/dir"}},
		{"--output=" + dir, []string{dir, "directory"}},
		{"--completions=/no/such/dir/log", []string{"/no/such/dir"}},
		{"--directory=/no/such/dir", []string{"/no/such/dir"}},
		{"--directory=" + file, []string{file, "director"}},
		{"--directory=/tmp --fs=ext4", []string{"--directory", "--fs"}},
		{"--directory=/tmp --device=/dev/null", []string{"--directory", "--device"}},
		{"--device=/dev/null", []string{"/dev/null", "--destroy-data"}},
		{"--device=/dev/null --destroy-data", []string{"/dev/null", "block device"}},
		{"--device=/no/such/dev --destroy-data", []string{"/no/such/dev"}},
		{"--mkfs-options='-b", []string{"'-b"}},
		{"--image-dir=/no/such/dir", []string{"/no/such/dir"}},
		{"--retry=1 --trace=off", []string{"--retry", "--trace exact"}},
		{"--loops=0", []string{"--loops", "0"}},
		{"clena", []string{`"clena"`, `"clean"`}},
		{"clean everything", []string{`"everything"`}},
		{"judge", []string{"judge", "FILE"}},
		{"judge /no/such/log", []string{"/no/such/log"}},
		{"judge " + file, []string{file}},
		{"judge " + file + " --bs=4k", []string{"--bs"}},
		{"completion tcsh", []string{`"tcsh"`, "fish"}},
		{"--eta=maybe", []string{`"maybe"`, "never"}},
		{"--destroy-data=perhaps", []string{`"perhaps"`}},
	} {
		t.Run(x.args, func(t *testing.T) {
			status, stdout, stderr := call(strings.Fields(x.args)...)
			if status != exitUsage {
				t.Errorf("status %d; stderr: %s", status, stderr)
			}
			if stdout != "" {
				t.Errorf("standard output is not empty: %.200s", stdout)
			}
			if !strings.HasPrefix(stderr, "dioStress: ") || strings.Count(stderr, "\n") != 1 {
				t.Errorf("stderr is not one line of ours: %q", stderr)
			}
			for _, w := range x.want {
				if !strings.Contains(stderr, w) {
					t.Errorf("%q does not mention %q", stderr, w)
				}
			}
		})
	}
	if after := traces(t); after != before {
		t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
	}
}

func TestExitStyleIsUsedForUsageErrors(t *testing.T) {
	if status, _, _ := call("--exit-style=ltp", "--bogus"); status != 2 {
		t.Errorf("status %d", status)
	}
}

func TestNamesAgree(t *testing.T) {
	var names []string
	for _, e := range engines() {
		names = append(names, e.name)
	}
	if !slices.Equal(names, plan.EngineNames()) {
		t.Errorf("engines %v, plan says %v", names, plan.EngineNames())
	}
	for _, n := range plan.ProfileNames() {
		if _, ok := plan.FindProfile(n); !ok && n != "auto" {
			t.Errorf("profile %s is named and is not there", n)
		}
	}
	for _, p := range plan.Profiles() {
		if !slices.Contains(plan.ProfileNames(), p.Name) {
			t.Errorf("profile %s is not named", p.Name)
		}
		var c plan.Config
		p.Apply(&c)
		if spec, err := mmapdirty.ParseSpec(c.DirtyString()); err != nil || spec.String() != c.DirtyString() {
			t.Errorf("profile %s: dirtiers %s: %v", p.Name, c.DirtyString(), err)
		}
	}
	seen := map[string]bool{}
	for _, o := range options() {
		if seen[o.name] || o.about == "" || !slices.Contains(groups(), o.group) {
			t.Errorf("option %s stands twice, or has no text, or no group", o.name)
		}
		seen[o.name] = true
	}
}

func TestHelpTexts(t *testing.T) {
	status, help, _ := call("--help")
	if status != exitPass {
		t.Errorf("status %d", status)
	}
	_, man, _ := call("man")
	for _, o := range options() {
		if !strings.Contains(help, "--"+o.name) {
			t.Errorf("help lacks --%s", o.name)
		}
		if !strings.Contains(man, roff("--"+o.name)) {
			t.Errorf("the manual lacks --%s", o.name)
		}
		for _, sh := range shells {
			if _, text, _ := call("completion", sh); !strings.Contains(text, o.name) {
				t.Errorf("completion for %s lacks --%s", sh, o.name)
			}
		}
	}
	for line := range strings.Lines(help) {
		if len(line) > 121 {
			t.Errorf("help line of %d columns: %s", len(line), line)
		}
	}
	for _, c := range testbed.ConfigNames() {
		if _, list, _ := call("--fs-config=list"); !strings.Contains(list, c) {
			t.Errorf("--fs-config=list lacks %s", c)
		}
	}
	for _, k := range mmapdirty.Kinds() {
		if _, list, _ := call("--dirty=list"); !strings.Contains(list, k.String()) {
			t.Errorf("--dirty=list lacks %s", k)
		}
	}
	for _, f := range report.Formats() {
		if !strings.Contains(bashCompletion(), f) {
			t.Errorf("completion lacks format %s", f)
		}
	}
}
