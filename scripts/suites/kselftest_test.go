package suites

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"diostress/internal/need"
)

// TestKselftestWrapper: the report on standard output, everything else on
// standard error, the program's exit status, and the runner's arguments.
func TestKselftestWrapper(t *testing.T) {
	wrapper := here(t, "kselftest", "diostress.sh")
	for status, report := range map[int]string{0: "fail.ktap", 1: "fail.ktap", 3: "undecided.ktap", 4: "noroot.ktap", 124: "stuck.ktap"} {
		p := standIn(t, status, sample(t, report))
		r := command(t, "", []string{"DIOSTRESS=" + p}, wrapper, "--fs", "ext3")
		if r.status != status || r.stdout != sample(t, report) || !strings.HasPrefix(r.stderr, "RESULT: ") {
			t.Errorf("status %d: %+v", status, r)
		}
		if args := arguments(t, p); args != "--runtime 10 --output-format ktap --output - --fs ext3" {
			t.Errorf("runs dioStress %s", args)
		}
	}
	r := command(t, t.TempDir(), []string{"DIOSTRESS=no-such-program"}, wrapper)
	if want := "KTAP version 1\n1..0 # SKIP there is no program no-such-program\n"; r.status != 4 || r.stdout != want {
		t.Errorf("no program: %+v", r)
	}
	// As it is installed: the program beside it.
	dir := t.TempDir()
	write(t, filepath.Join(dir, "diostress.sh"), read(t, wrapper))
	p := standIn(t, 0, "KTAP version 1\n")
	if err := os.Rename(p, filepath.Join(dir, "dioStress")); err != nil {
		t.Fatal(err)
	}
	if r := command(t, dir, []string{"DIOSTRESS="}, "./diostress.sh"); r.status != 0 || r.stdout != "KTAP version 1\n" {
		t.Errorf("beside: %+v", r)
	}
}

// TestKselftestFiles: the time that settings gives is enough for the run that
// the wrapper asks for, in the form that the runner reads; the Makefile names
// what there is; the program takes the wrapper's arguments.
func TestKselftestFiles(t *testing.T) {
	setting := map[string]string{}
	for line := range strings.Lines(read(t, "kselftest/settings")) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := regexp.MustCompile(`^([a-z]+)=([0-9]+)\n$`).FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("settings: line %q", line)
		}
		setting[m[1]] = m[2]
	}
	m := regexp.MustCompile(`--runtime ([0-9]+) (.*) "\$@"`).FindStringSubmatch(read(t, "kselftest/diostress.sh"))
	if m == nil {
		t.Fatal("the wrapper gives no --runtime")
	}
	runtime, _ := strconv.Atoi(m[1])
	timeout, _ := strconv.Atoi(setting["timeout"])
	if enough := 3*(2*runtime+30) + 30; len(setting) != 1 || timeout < enough {
		t.Errorf("settings %v: three runs of %d s may take %d s", setting, runtime, enough)
	}
	dry(t, program(t), append([]string{"--runtime", m[1]}, strings.Fields(m[2])...))

	text := read(t, "kselftest/Makefile")
	for _, line := range []string{"TEST_PROGS := diostress.sh\n", "\ninclude ../lib.mk\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("Makefile lacks %q", line)
		}
	}
	for line := range strings.Lines(read(t, "kselftest/config")) {
		if !regexp.MustCompile(`^CONFIG_[A-Z0-9_]+=y\n$`).MatchString(line) {
			t.Errorf("config: line %q", line)
		}
	}
}

// TestKselftestRunner installs the test into a copy of the kernel's selftests
// and runs it with their own runner, the program and stand-ins.
func TestKselftestRunner(t *testing.T) {
	tree := where(t, "DIOSTRESS_KSELFTEST", "a kernel's tools/testing/selftests")
	need.RootUser(t)
	need.Alone(t)
	tool(t, "rsync")
	top := t.TempDir()
	work := filepath.Join(top, "tools", "testing", "selftests")
	if err := os.MkdirAll(work, 0o755); err != nil {
		t.Fatal(err)
	}
	// What the Makefile includes of the rest of a newer kernel's tree.
	if arch := filepath.Join(tree, "../../../scripts/subarch.include"); exists(arch) {
		write(t, filepath.Join(top, "scripts/subarch.include"), read(t, arch))
	}
	for _, name := range []string{"Makefile", "lib.mk", "run_kselftest.sh", "kselftest", "kselftest_deps.sh"} {
		if out, err := exec.Command("cp", "-rL", filepath.Join(tree, name), work).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if out, err := exec.Command("cp", "-r", here(t, "kselftest"), filepath.Join(work, "diostress")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Rename(program(t), filepath.Join(work, "diostress", "dioStress")); err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	if r := command(t, work, nil, "make", "-s", "TARGETS=diostress", "FORCE_TARGETS=1", "INSTALL_PATH="+target, "install"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	const name = "selftests: diostress: diostress.sh"
	for _, c := range []struct{ program, args, last string }{
		{"", "--ioengine psync --runtime 2", "ok 1 " + name},
		{"", "--no-such-flag", "not ok 1 " + name + " # exit=2"},
		{standIn(t, 1, ""), "", "not ok 1 " + name + " # exit=1"},
		{standIn(t, 4, ""), "", "ok 1 " + name + " # SKIP"},
		{standIn(t, 124, ""), "", "not ok 1 " + name + " # TIMEOUT 300 seconds"},
		{"no-such-program", "", "ok 1 " + name + " # SKIP"},
	} {
		r := command(t, target, []string{"DIOSTRESS=" + c.program, "KSELFTEST_DIOSTRESS_SH_ARGS=" + c.args}, "sh", "-c", "./run_kselftest.sh -c diostress 2>&1 | cat")
		lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
		if got := lines[len(lines)-1]; got != c.last {
			t.Errorf("%s %s: %q, want %q:\n%s", c.program, c.args, got, c.last, r.stdout)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
