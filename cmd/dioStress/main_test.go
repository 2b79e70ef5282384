package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// The test binary is the program too, for the tests that need a process.
func TestMain(m *testing.M) {
	if os.Getenv("DIOSTRESS_BE_MAIN") == "1" {
		main()
	}
	os.Exit(m.Run())
}

// process starts this program as a process of its own.
func process(args ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe", args...)
	c.Env = append(os.Environ(), "DIOSTRESS_BE_MAIN=1")
	return c
}

// call runs the program in this process.
func call(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = run(context.Background(), args, &out, &err)
	return status, out.String(), err.String()
}

// pressing tries a run for longer and longer until it did what it should, for
// a loaded machine gets too little done in a short one.
func pressing(try func(runtime string) (done bool)) {
	for _, runtime := range []string{"500ms", "5s", "30s"} {
		if try(runtime) {
			return
		}
	}
}

// tooLittle says whether a run ended with too little done to tell, which on a
// loaded machine is no failure of what is tested.
func tooLittle(c *exec.Cmd, stdout string) bool {
	return strings.Contains(stdout, "RESULT: UNDECIDED ") && c.ProcessState.ExitCode() == exitBroken
}

var ownerRE = regexp.MustCompile(`diostress(?:-kernel-test)?[-/](\d+)[-.]`)

// othersRun says whether a trace belongs to a living process that no test
// started: somebody else's run on this machine.
func othersRun(trace string) bool {
	m := ownerRE.FindStringSubmatch(trace)
	if m == nil {
		return false
	}
	status, err := os.ReadFile("/proc/" + m[1] + "/status")
	return err == nil && m[1] != strconv.Itoa(os.Getpid()) && !strings.Contains(string(status), "\nPPid:\t"+strconv.Itoa(os.Getpid())+"\n")
}

// traces is what a run could leave behind on the machine.
func traces(t testing.TB) string {
	t.Helper()
	var all []string
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "diostress") {
			all = append(all, "mount "+strings.TrimSpace(line))
		}
	}
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range loops {
		if name, err := os.ReadFile(l); err == nil && strings.Contains(string(name), "diostress") {
			all = append(all, "loop "+l+" "+strings.TrimSpace(string(name)))
		}
	}
	for _, dir := range []string{"/dev/shm", os.TempDir()} {
		left, err := filepath.Glob(filepath.Join(dir, "diostress-*.img"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, left...)
	}
	all = slices.DeleteFunc(all, othersRun)
	sort.Strings(all)
	return strings.Join(all, "\n")
}
