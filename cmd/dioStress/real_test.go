package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"diostress/internal/need"
	"diostress/internal/verdict"
	"diostress/report"
)

// document is what the tests read of a JSON report.
type document struct {
	Jobs []struct {
		Jobname string
		Write   struct {
			TotalIOs uint64 `json:"total_ios"`
			IOPS     float64
		}
	}
	Diostress verdict.Result
}

func readReport(t *testing.T, path string) (d document) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestRun makes a real run with every format and a log, and judges the log.
func TestRun(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	for _, fs := range []string{"ext4", "ext3"} {
		t.Run(fs, func(t *testing.T) {
			before := traces(t)
			dir := t.TempDir()
			out, log := filepath.Join(dir, "r"), filepath.Join(dir, "log.zst")
			var status int
			var stdout, stderr string
			pressing(func(runtime string) bool {
				status, stdout, stderr = call("--fs="+fs, "--ioengine=io_uring,libaio", "--runtime="+runtime, "--epoch=200ms", "--size=256k",
					"--output="+out, "--output-format="+strings.Join(report.Formats(), ","), "--completions="+log)
				return status != exitBroken
			})
			if status != exitPass {
				t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
			}
			if !strings.HasPrefix(stdout, "RESULT: PASS seed=0x") || strings.Count(stdout, "\n") != 1 {
				t.Errorf("stdout: %q", stdout)
			}
			for _, f := range report.Formats() {
				if st, err := os.Stat(out + "." + f); err != nil || st.Size() == 0 {
					t.Errorf("format %s: %v", f, err)
				}
			}
			d := readReport(t, out+".json")
			r := &d.Diostress
			if r.SchemaVersion != verdict.SchemaVersion || r.Verdict != verdict.Pass || r.Seed == 0 || !strings.Contains(r.Repro, "--seed=") || len(r.Runs) != 2 || len(d.Jobs) != 2 {
				t.Fatalf("report: %+v", r)
			}
			if r.Environment.FSType != fs || r.Environment.Tracing == "" || len(r.Environment.DeviceStack) < 2 {
				t.Errorf("environment: %+v", r.Environment)
			}
			for i, run := range r.Runs {
				c := run.Completions
				if c.Submitted == 0 || c.Submitted != c.Completed || c.Completed != d.Jobs[i].Write.TotalIOs || c.Lost+c.Duplicate+c.Stray != 0 {
					t.Errorf("%s: %+v, job %+v", run.Name, c, d.Jobs[i])
				}
				if run.Collisions.PreWrite.Fidelity != verdict.Exact || !run.Adequacy.Met {
					t.Errorf("%s: %+v, %+v", run.Name, run.Collisions, run.Adequacy)
				}
			}
			if after := traces(t); after != before {
				t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
			}

			status, stdout, stderr = call("judge", log, "--output-format=json", "--output="+out+".again")
			if status != exitPass {
				t.Fatalf("judge: status %d\n%s\n%s", status, stdout, stderr)
			}
			again := readReport(t, out+".again").Diostress
			if again.Repro != r.Repro || again.Seed != r.Seed || again.Environment.Kernel != r.Environment.Kernel || len(again.Rules) != len(r.Rules) {
				t.Errorf("judged again: %q seed %#x kernel %q, %d rules; run: %q, %d rules", again.Repro, again.Seed, again.Environment.Kernel, len(again.Rules), r.Repro, len(r.Rules))
			}
			for i := range again.Runs {
				a, b := again.Runs[i].Completions, r.Runs[i].Completions
				if a.Submitted != b.Submitted || a.Completed != b.Completed || a.Full != b.Full {
					t.Errorf("judged again: %+v, run: %+v", a, b)
				}
			}
		})
	}
}

// TestAuto: what auto chose stands in the report and in the command to repeat.
func TestAuto(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	out := filepath.Join(t.TempDir(), "r.json")
	status, stdout, stderr := call("--profile=auto", "--iodepth=2", "--ioengine=io_uring", "--runtime=300ms", "--output="+out, "--output-format=json")
	if status != exitPass && status != exitBroken {
		t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
	}
	r := readReport(t, out).Diostress
	if !strings.Contains(r.Repro, "--profile=rate") || !strings.Contains(r.Repro, "--dirty-hold=") || strings.Count(r.Repro, "--iodepth=") != 1 || r.Runs[0].IODepth != 2 {
		t.Errorf("repeat: %s, iodepth %d", r.Repro, r.Runs[0].IODepth)
	}
	if !strings.HasPrefix(r.Runs[0].Profile, "auto: of ") || strings.Count(stderr, "collisions/s") != len(candidates()) {
		t.Errorf("profile %q, stderr:\n%s", r.Runs[0].Profile, stderr)
	}
}

// TestCleanRunDefaults: without dirtiers nothing is read back unless asked.
func TestCleanRunDefaults(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	out := filepath.Join(t.TempDir(), "r.json")
	status, stdout, stderr := call("--profile=bench", "--size=1m", "--ioengine=libaio", "--runtime=200ms", "--output="+out, "--output-format=json")
	if status != exitPass {
		t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
	}
	r := readReport(t, out).Diostress
	if len(r.NotChecked) == 0 || r.Runs[0].Data.WordsChecked != 0 {
		t.Errorf("not checked: %q, data %+v", r.NotChecked, r.Runs[0].Data)
	}
}

// TestDryRun prints the plan and makes nothing.
func TestDryRun(t *testing.T) {
	before := traces(t)
	status, stdout, stderr := call("--directory="+t.TempDir(), "--dry-run", "--seed=5", "--dirty=mmap=2")
	if status != exitPass || !strings.Contains(stdout, "mmap=2") || !strings.Contains(stdout, "--seed=0x5") {
		t.Errorf("status %d\n%s\n%s", status, stdout, stderr)
	}
	if after := traces(t); after != before {
		t.Errorf("left behind:\n%s", after)
	}
}

// TestUnprivileged: a directory of the user's needs no root.
func TestUnprivileged(t *testing.T) {
	need.RootUser(t) // to become somebody else
	need.Alone(t)
	dir, err := os.MkdirTemp("", "dioStress-test")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	prog := filepath.Join(dir, "prog")
	if err := os.WriteFile(prog, self, 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(prog, "--directory="+dir, "--ioengine=libaio", "--runtime=500ms", "--size=256k", "--dirty=mmap=1")
	c.Env = append(os.Environ(), "DIOSTRESS_BE_MAIN=1", "TMPDIR="+dir)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err = c.Run()
	short := tooLittle(c, out.String())
	if err != nil && !short {
		t.Fatalf("%v\n%s\n%s", err, out.String(), errs.String())
	}
	if !short && !strings.Contains(out.String(), "RESULT: PASS") || !strings.Contains(out.String(), "navailable") {
		t.Errorf("%s", out.String())
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".diostress*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// waitFor waits until the process has something on the machine.
func waitFor(t *testing.T, what string) {
	t.Helper()
	for range 200 {
		if strings.Contains(traces(t), what) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the run never got under way")
}

// TestInterrupt: a signal ends the run, and the report is written.
func TestInterrupt(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	before := traces(t)
	c := process("--runtime=60", "--ioengine=io_uring", "--size=256k", "--output-format=json")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "mount ")
	time.Sleep(700 * time.Millisecond)
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := c.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var d document
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if !d.Diostress.Interrupted || len(d.Diostress.Findings) > 0 {
		t.Errorf("%+v", d.Diostress.Findings)
	}
	if !strings.Contains(errs.String(), "RESULT: ") {
		t.Errorf("no RESULT line: %s", errs.String())
	}
	if after := traces(t); after != before {
		t.Errorf("left behind:\n%s", after)
	}
}

// TestKilledAndCleaned: what SIGKILL leaves, clean removes, and nothing of a
// run that lives.
func TestKilledAndCleaned(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	before := traces(t)
	dead := process("--runtime=60", "--ioengine=io_uring", "--size=256k")
	if err := dead.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "mount ")
	time.Sleep(500 * time.Millisecond)
	if err := dead.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	dead.Wait()
	alive := process("--runtime=2", "--ioengine=io_uring", "--size=256k")
	var out bytes.Buffer
	alive.Stdout = &out
	if err := alive.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(700 * time.Millisecond)
	status, stdout, stderr := call("clean")
	if status != exitPass || strings.HasPrefix(stdout, "0 things") {
		t.Errorf("clean: status %d\n%s%s", status, stdout, stderr)
	}
	if err := alive.Wait(); err != nil && !tooLittle(alive, out.String()) {
		t.Errorf("the living run: %v\n%s", err, out.String())
	}
	if after := traces(t); after != before {
		t.Errorf("left behind:\n%s", after)
	}
	if status, stdout, _ := call("clean"); status != exitPass || !strings.Contains(stdout, "0 things removed") {
		t.Errorf("second clean: status %d\n%s", status, stdout)
	}
}

// TestLiveView: a status line where it is asked for, JSON lines, and the dump
// at SIGUSR1.
func TestLiveView(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	c := process("--runtime=3", "--ioengine=libaio", "--size=256k", "--eta=always", "--status-interval=1")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "mount ")
	time.Sleep(1500 * time.Millisecond)
	if err := c.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil && !tooLittle(c, out.String()) {
		t.Fatalf("%v\n%s\n%s", err, out.String(), errs.String())
	}
	text := errs.String()
	for _, want := range []string{"Jobs: 1 (f=", "IOPS]", "in flight", "\r"} {
		if !strings.Contains(text, want) {
			t.Errorf("stderr lacks %q:\n%s", want, text)
		}
	}
	var lines int
	for line := range strings.Lines(text) {
		var v map[string]any
		if i := strings.LastIndex(line, "\r"); i >= 0 {
			line = line[i+1:]
		}
		if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &v) == nil {
			lines++
		}
	}
	if lines == 0 {
		t.Errorf("no JSON status lines:\n%s", text)
	}
	if strings.Contains(out.String(), "Jobs:") {
		t.Error("the status line is on standard output")
	}
}
