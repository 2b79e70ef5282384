package suites

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"diostress/internal/need"
)

// summary is the end of what a test of the Linux Test Project prints: labels
// and order as its library has them, and as its runner reads them.
var summary = regexp.MustCompile(`\n\nSummary:\npassed +(\d+)\nfailed +(\d+)\nbroken +(\d+)\nskipped +(\d+)\nwarnings +(\d+)\n$`)

// counts are passed, failed, broken, skipped and warnings.
type counts [5]int

func counted(t *testing.T, text string) counts {
	t.Helper()
	m := summary.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no summary at the end of:\n%s", text)
	}
	var c counts
	for i := range c {
		c[i], _ = strconv.Atoi(m[i+1])
	}
	for i, word := range []string{"TPASS", "TFAIL", "TBROK", "TCONF", "TWARN"} {
		if n := len(regexp.MustCompile(`(?m)^diostress \d+ `+word+": .").FindAllString(text, -1)); n != c[i] {
			t.Errorf("%d lines of %s, the summary says %d:\n%s", n, word, c[i], text)
		}
	}
	return c
}

// TestLTPReport turns reports of every kind into LTP's lines and summary.
func TestLTPReport(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		report string
		want   counts
		says   []string
	}{
		{"fail", 1, sample(t, "fail.ktap"), counts{11, 2, 0, 0, 0},
			[]string{"TFAIL: 4k.libaio: completed_once: 2 of 120402 submissions never completed", "TPASS: 4k.io_uring: completed_once", "TINFO: witness: 1.234568 s main.0"}},
		{"stuck", 1, sample(t, "stuck.ktap"), counts{11, 1, 0, 0, 0}, []string{"TFAIL: 4k.io_uring: no_stuck_io: TIMEOUT no completion for 30.0 s"}},
		{"undecided", 2, sample(t, "undecided.ktap"), counts{5, 0, 1, 0, 0}, []string{"TBROK: 4k.io_uring: adequacy: undecided", "TINFO: 4k.io_uring: collisions_pass: not applicable"}},
		{"not root", 32, sample(t, "noroot.ktap"), counts{0, 0, 0, 1, 0}, []string{"TCONF: unsupported: --fs needs root"}},
		{"an engine is not here", 0, "KTAP version 1\n1..2\n  KTAP version 1\n  1..1\n  # run psync\n  ok 1 completed_once # checked=1\nok 1 psync\nok 2 io_uring # SKIP no io_uring\n",
			counts{1, 0, 0, 1, 0}, []string{"TPASS: psync: completed_once: checked=1", "TCONF: io_uring: no io_uring"}},
		{"usage", 2, "", counts{0, 0, 1, 0, 0}, []string{"TBROK: exit status 2"}},
		{"no report of a finding", 1, "", counts{0, 1, 0, 0, 0}, nil},
		{"no report of a skip", 32, "", counts{0, 0, 0, 1, 0}, nil},
		{"interrupted", 130, "", counts{0, 0, 1, 0, 0}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := standIn(t, c.status, c.report)
			r := command(t, t.TempDir(), []string{"DIOSTRESS=" + p, "LTP_RUNTIME_MUL=2.5"}, here(t, "ltp", "diostress.sh"), "--fs", "ext3")
			if r.status != c.status || r.stdout != "" {
				t.Errorf("status %d, stdout %q", r.status, r.stdout)
			}
			if got := counted(t, r.stderr); got != c.want {
				t.Errorf("counts %v, want %v:\n%s", got, c.want, r.stderr)
			}
			for _, s := range c.says {
				if !strings.Contains(r.stderr, s) {
					t.Errorf("no %q in\n%s", s, r.stderr)
				}
			}
			if args := arguments(t, p); !strings.HasPrefix(args, "--exit-style ltp --runtime 25 ") || !strings.HasSuffix(args, " --fs ext3") {
				t.Errorf("runs dioStress %s", args)
			}
		})
	}
}

// TestLTPMissing: no program is a TCONF.
func TestLTPMissing(t *testing.T) {
	r := command(t, "", []string{"DIOSTRESS=no-such-program"}, here(t, "ltp", "diostress.sh"))
	if r.status != 32 || counted(t, r.stderr) != (counts{0, 0, 0, 1, 0}) {
		t.Errorf("%+v", r)
	}
}

// entries are the lines of the runtest file: tag and arguments.
func entries(t *testing.T) (out [][]string) {
	t.Helper()
	seen := map[string]bool{}
	for line := range strings.Lines(read(t, "ltp/diostress")) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if len(f) < 3 || seen[f[0]] || f[1] != "diostress.sh" {
			t.Fatalf("line %q", line)
		}
		seen[f[0]] = true
		out = append(out, append(f[:1], f[2:]...))
	}
	if len(out) < 5 {
		t.Fatalf("%d entries", len(out))
	}
	return out
}

// TestLTPRuntest: the program takes the arguments of every line.
func TestLTPRuntest(t *testing.T) {
	p := program(t)
	for _, e := range entries(t) {
		dry(t, p, e[1:])
	}
}

// TestLTPReal runs the program through the wrapper.
func TestLTPReal(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	r := command(t, t.TempDir(), []string{"DIOSTRESS=" + program(t), "LTP_RUNTIME_MUL=0.1"}, here(t, "ltp", "diostress.sh"), "--ioengine", "psync")
	c := counted(t, r.stderr)
	if r.status != 0 && r.status != 2 || c[0] < 10 || c[1] != 0 || (r.status == 2) != (c[2] > 0) { // 2: a loaded machine collides too little
		t.Errorf("status %d, %v:\n%s", r.status, c, r.stderr)
	}
}

// TestLTPKirk runs LTP's own runner on the runtest file, and on stand-ins.
func TestLTPKirk(t *testing.T) {
	kirk := where(t, "DIOSTRESS_KIRK", "the program kirk")
	need.RootUser(t)
	need.Alone(t)
	root := t.TempDir()
	bin := filepath.Join(root, "testcases/bin")
	write(t, filepath.Join(bin, "diostress.sh"), read(t, "ltp/diostress.sh"))
	write(t, filepath.Join(root, "runtest/diostress"), read(t, "ltp/diostress"))
	if err := os.Symlink(program(t), filepath.Join(bin, "dioStress")); err != nil {
		t.Fatal(err)
	}
	var others strings.Builder
	want := map[string]string{"none": "conf"}
	others.WriteString("none env DIOSTRESS=no-such-program diostress.sh\n")
	for status, result := range map[int]string{1: "fail", 2: "brok", 32: "conf"} {
		tag := fmt.Sprintf("status%d", status)
		want[tag] = result
		fmt.Fprintf(&others, "%s env DIOSTRESS=%s diostress.sh\n", tag, standIn(t, status, ""))
	}
	write(t, filepath.Join(root, "runtest/others"), others.String())
	for _, e := range entries(t) {
		want[e[0]] = "pass"
	}
	report := filepath.Join(root, "report.json")
	r := command(t, "", []string{"LTPROOT=" + root, "LTP_RUNTIME_MUL=0.3"}, kirk, "--run-suite", "diostress", "others", "--json-report", report)
	var got struct {
		Results []struct {
			Name   string `json:"test_fqn"`
			Status string
			Test   struct{ Log string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, report)), &got); err != nil || len(got.Results) != len(want) {
		t.Fatalf("%v, %d results\n%s%s", err, len(got.Results), r.stdout, r.stderr)
	}
	for _, e := range got.Results {
		if want[e.Name] != e.Status {
			t.Errorf("%s: %s, want %s:\n%s", e.Name, e.Status, want[e.Name], e.Test.Log)
		}
		counted(t, e.Test.Log)
	}
}
