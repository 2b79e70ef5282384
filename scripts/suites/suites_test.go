package suites

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"diostress/internal/need"
)

// program builds dioStress and returns its path.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dioStress")
	c := exec.Command("go", "build", "-ldflags=-checklinkname=0", "-o", path, "diostress/cmd/dioStress")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// ran is what became of a command.
type ran struct {
	stdout, stderr string
	status         int
}

// command runs one with more environment variables.
func command(t *testing.T, dir string, env []string, args ...string) ran {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := exec.Command(args[0], args[1:]...)
	c.Dir, c.Stdout, c.Stderr = dir, &stdout, &stderr
	c.Env = append(os.Environ(), env...)
	var exit *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return ran{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
}

// standIn writes a program that takes dioStress's place: it writes report, if
// there is one, to where --output says, a RESULT line, and exits with status.
func standIn(t *testing.T, status int, report string) string {
	t.Helper()
	dir := t.TempDir()
	text := filepath.Join(dir, "report")
	if err := os.WriteFile(text, []byte(report), 0o644); err != nil {
		t.Fatal(err)
	}
	write := ":"
	if report != "" {
		write = `if [ "$out" = - ]; then cat ` + text + `; else cat ` + text + ` >"$out"; fi`
	}
	path := filepath.Join(dir, "stand-in")
	script := fmt.Sprintf(`#!/bin/sh
echo "$@" >%s/args
out=-
while [ $# -gt 0 ]; do
	[ "$1" = --output ] && out=$2
	shift
done
%s
echo "RESULT: STAND-IN (status=%d) seed=0x1" >&2
exit %d
`, dir, write, status, status)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// arguments are those that a stand-in was last run with.
func arguments(t *testing.T, standIn string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(filepath.Dir(standIn), "args"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// here returns the absolute path of a file of this directory.
func here(t *testing.T, elem ...string) string {
	t.Helper()
	p, err := filepath.Abs(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sample is a report of the room report, as its tests keep it.
func sample(t *testing.T, name string) string {
	return read(t, filepath.Join("..", "..", "report", "testdata", name))
}

// files are those of the suites, without the tests.
func files(t *testing.T) (out []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) != ".go" {
			out = append(out, path)
		}
		return err
	})
	if err != nil || len(out) < 10 {
		t.Fatalf("%d files, %v", len(out), err)
	}
	return out
}

// tool skips unless a program is there.
func tool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		need.Skip(t, need.Tool, name+" is not installed")
	}
}

// where returns what a variable names: a suite's own tree, outside this one.
func where(t *testing.T, variable, what string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		need.Skip(t, need.Tool, variable+" does not say where "+what+" is")
	}
	return dir
}

// flag matches a long flag where a shell or a list of arguments has one.
var flag = regexp.MustCompile("(?:^|[\\s\"'`(\\[|])(--[a-z][a-z-]*[a-z])")

// TestFlags holds every flag in the suites' files against --help. In the text
// for people other programs have theirs.
func TestFlags(t *testing.T) {
	others := []string{
		"--run-suite", "--json-report", // kirk
		"--max-parallel-tasks",                                                   // avocado
		"--kernel", "--rootfs", "--overlay", "--timeouts", "--skip-sudo-warning", // tuxrun
	}
	help := command(t, "", nil, program(t), "--help").stdout
	known := map[string]bool{"--help": true}
	for _, m := range flag.FindAllStringSubmatch(help, -1) {
		known[m[1]] = true
	}
	found := 0
	for _, f := range files(t) {
		for _, m := range flag.FindAllStringSubmatch(read(t, f), -1) {
			found++
			if !known[m[1]] && !(filepath.Ext(f) == ".md" && slices.Contains(others, m[1])) {
				t.Errorf("%s: dioStress --help does not know %s", f, m[1])
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d flags found", found)
	}
}

// TestShell checks the syntax of every script, with shellcheck where it is.
func TestShell(t *testing.T) {
	scripts := 0
	for _, f := range files(t) {
		first, _, _ := strings.Cut(read(t, f), "\n")
		shell, ok := strings.CutPrefix(strings.ReplaceAll(first, " ", ""), "#!/bin/")
		if !ok {
			continue
		}
		scripts++
		if r := command(t, "", nil, shell, "-n", f); r.status != 0 {
			t.Errorf("%s -n %s: %s", shell, f, r.stderr)
		}
		if st, err := os.Stat(f); err != nil || st.Mode()&0o111 == 0 {
			t.Errorf("%s is not executable (%v)", f, err)
		}
		t.Run(f, func(t *testing.T) {
			tool(t, "shellcheck")
			args := []string{"shellcheck", "-s", shell}
			if strings.HasPrefix(f, "xfstests/diostress") {
				// What common/preamble defines and reads, and the words it leaves unquoted.
				args = append(args, "-e", "SC1091,SC2034,SC2086,SC2154")
			}
			if r := command(t, "", nil, append(args, f)...); r.status != 0 {
				t.Errorf("%s", r.stdout)
			}
		})
	}
	if scripts != 5 {
		t.Errorf("%d scripts", scripts)
	}
}

// dry runs dioStress with these arguments as far as it goes without making
// anything: the flags and their values are then known to be right.
func dry(t *testing.T, program string, args []string) {
	t.Helper()
	r := command(t, t.TempDir(), nil, append([]string{program, "--dry-run"}, args...)...)
	if r.status != 0 && r.status != 4 { // 4: what the flags ask for cannot be had here
		t.Errorf("dioStress %s: exit status %d: %s", strings.Join(args, " "), r.status, r.stderr)
	}
}
