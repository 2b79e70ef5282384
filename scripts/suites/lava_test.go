package suites

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"diostress/internal/need"
)

// signal is the grammar of LAVA's signals, as far as they are used here.
var signal = regexp.MustCompile(`^<LAVA_SIGNAL_(TESTCASE TEST_CASE_ID=[\w.-]+ RESULT=(pass|fail|skip|unknown)( UNITS=\w+ MEASUREMENT=[0-9]+(\.[0-9]+)?)?|TESTSET START [\w.-]+|TESTSET STOP)>$`)

// TestLAVAScript: what the program reports comes out unchanged, the case
// "dioStress" says how it ended, and the step never fails.
func TestLAVAScript(t *testing.T) {
	for _, c := range []struct {
		name    string
		program string
		report  string
		last    string
	}{
		{"pass", standIn(t, 0, sample(t, "fail.lava")), sample(t, "fail.lava"), "pass"},
		{"finding", standIn(t, 1, sample(t, "fail.lava")), sample(t, "fail.lava"), "fail"},
		{"undecided", standIn(t, 3, sample(t, "undecided.lava")), sample(t, "undecided.lava"), "fail"},
		{"usage", standIn(t, 2, ""), "", "fail"},
		{"skip", standIn(t, 4, ""), "", "skip"},
		{"stuck", standIn(t, 124, ""), "", "fail"},
		{"interrupted", standIn(t, 130, ""), "", "fail"},
		{"missing", "no-such-program", "", "skip"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := command(t, t.TempDir(), []string{"DIOSTRESS=" + c.program, "KMSG="}, here(t, "lava", "diostress.sh"), "--runtime", "5")
			text, ok := strings.CutPrefix(r.stdout, c.report)
			if r.status != 0 || !ok {
				t.Errorf("%+v", r)
			}
			if want := "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=dioStress RESULT=" + c.last + ">\n"; !strings.HasSuffix(text, want) || strings.Count(text, "<") != 1 {
				t.Errorf("after the report:\n%s", text)
			}
			for line := range strings.Lines(r.stdout) {
				if strings.Contains(line, "<") && !signal.MatchString(strings.TrimSuffix(line, "\n")) {
					t.Errorf("no signal: %q", line)
				}
			}
			if c.name == "pass" {
				if args := arguments(t, c.program); !strings.HasPrefix(args, "--eta never --output-format lava --output ") || !strings.HasSuffix(args, " --runtime 5") {
					t.Errorf("runs dioStress %s", args)
				}
			}
		})
	}
}

// TestLAVADefinition holds the definition against the files it runs and the
// program it gives flags to. It reads what it needs of the YAML by lines;
// TestLAVASchema has a parser.
func TestLAVADefinition(t *testing.T) {
	text := read(t, "lava/diostress.yaml")
	for _, line := range []string{"metadata:", "    format: \"Lava-Test Test Definition 1.0\"", "    name: diostress", "params:", "run:", "    steps:", "        - cd scripts/suites/lava"} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("lacks the line %q", line)
		}
	}
	if strings.Contains(text, "\t") {
		t.Error("YAML has no tabs")
	}
	m := regexp.MustCompile(`(?m)^        - DIOSTRESS="\$\{DIOSTRESS\}" \./(\S+) \$\{DIOSTRESS_ARGS\}$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("no step that runs the script")
	}
	if _, err := os.Stat(here(t, "..", "..", "scripts", "suites", "lava", m[1])); err != nil {
		t.Error(err)
	}
	args := regexp.MustCompile(`(?m)^    DIOSTRESS_ARGS: "(.*)"$`).FindStringSubmatch(text)
	if args == nil {
		t.Fatal("no DIOSTRESS_ARGS")
	}
	dry(t, program(t), strings.Fields(args[1]))
}

// validate asks LAVA's own schema about the definition, and about one without
// its steps, which it must refuse.
const validate = `
import sys
try:
    import yaml
    from lava_common.schemas.test import testdef
except ImportError as e:
    print(e)
    sys.exit(77)
d = yaml.safe_load(open(sys.argv[1]))
testdef.validate(d)
del d["run"]["steps"]
try:
    testdef.validate(d)
except Exception:
    sys.exit(0)
sys.exit("a definition without steps is valid")
`

// TestLAVASchema: Debian's lava-common has the schema. Its modules are those of
// Debian's own interpreter.
func TestLAVASchema(t *testing.T) {
	tool(t, "/usr/bin/python3")
	out, err := exec.Command("/usr/bin/python3", "-c", validate, here(t, "lava", "diostress.yaml")).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); ok && exit.ExitCode() == 77 {
		need.Skip(t, need.Tool, "lava-common is not installed: "+strings.TrimSpace(string(out)))
	}
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
