package suites

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"diostress/internal/need"
)

// preamble stands in for xfstests' common/preamble and what it sources: the
// functions that the test calls, doing what theirs do to output, status and
// the notrun file.
const preamble = `
_begin_fstest() {
	seq=$(basename "$0"); seqres=$RESULT_DIR/$seq; here=$(pwd); tmp=$RESULT_DIR/tmp; status=1
	TIME_FACTOR=1; SCRATCH_MNT=$RESULT_DIR/scratch; mkdir -p "$SCRATCH_MNT"
	trap 'exit $status' EXIT
	echo "QA output created by $seq"
}
_notrun() { echo "$*" > $seqres.notrun; echo "$seq not run: $*"; status=0; exit; }
_fail() { echo "$*" | tee -a $seqres.full; echo "(see $seqres.full for details)"; status=1; exit 1; }
_require_scratch() { :; }
_require_odirect() { :; }
_require_aio() { :; }
_require_command() { [ -n "$1" ] && [ -x "$1" ] || _notrun "$2 utility required, skipped this test"; }
_scratch_mkfs() { echo mkfs; }
_scratch_mount() { :; }
`

// tree makes a stand-in of a built xfstests tree with some tests in it.
func tree(t *testing.T, tests ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"check":             "#!/bin/sh\n",
		"common/preamble":   preamble,
		"tools/mkgroupfile": "#!/bin/sh\ngrep -l '^_begin_fstest' * | sort >\"$1\"\n",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	for _, name := range append(tests, "001") {
		write(t, filepath.Join(dir, "tests/generic", name), "_begin_fstest auto\n")
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestXfstestsInstall: a free number, kept when installed again, and nothing
// overwritten.
func TestXfstestsInstall(t *testing.T) {
	install := here(t, "xfstests", "install")
	dir := tree(t, "900", "901-other", "902.out")
	for range 2 {
		r := command(t, dir, nil, install, dir)
		if r.status != 0 || r.stdout != "generic/903-diostress\n" {
			t.Fatalf("%+v", r)
		}
	}
	for _, name := range []string{"903-diostress", "903-diostress.out"} {
		if text := read(t, filepath.Join(dir, "tests/generic", name)); strings.Contains(text, "NNN") || !strings.Contains(text, "903-diostress") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
	if list := read(t, filepath.Join(dir, "tests/generic/group.list")); !strings.Contains(list, "903-diostress\n") {
		t.Errorf("group.list:\n%s", list)
	}
	for name, args := range map[string][]string{
		"taken":    {dir, "901"},
		"no digit": {dir, "9x1"},
		"no tree":  {t.TempDir()},
		"nothing":  {},
	} {
		if r := command(t, dir, nil, append([]string{install}, args...)...); r.status != 2 || r.stderr == "" || r.stdout != "" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if text := read(t, filepath.Join(dir, "tests/generic/901-other")); text != "_begin_fstest auto\n" {
		t.Errorf("a test that was there is changed:\n%s", text)
	}
}

// TestXfstestsOutcome runs the installed test under the stand-in: only a pass
// prints the golden output, and only a skip is a notrun.
func TestXfstestsOutcome(t *testing.T) {
	dir := tree(t)
	if r := command(t, dir, nil, here(t, "xfstests", "install"), dir); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	golden := read(t, filepath.Join(dir, "tests/generic/900-diostress.out"))
	for _, c := range []struct {
		name, program  string
		golden, notrun bool
		says           string
	}{
		{"pass", standIn(t, 0, ""), true, false, ""},
		{"finding", standIn(t, 1, ""), false, false, "misbehaved: RESULT: STAND-IN (status=1)"},
		{"usage", standIn(t, 2, ""), false, false, "status 2"},
		{"broken", standIn(t, 3, ""), false, false, "status 3"},
		{"skip", standIn(t, 4, ""), false, true, "RESULT: STAND-IN (status=4)"},
		{"stuck", standIn(t, 124, ""), false, false, "did not come back"},
		{"interrupted", standIn(t, 130, ""), false, false, "status 130"},
		{"missing", filepath.Join(dir, "no-such-program"), false, true, "dioStress utility required"},
	} {
		t.Run(c.name, func(t *testing.T) {
			results := t.TempDir()
			r := command(t, dir, []string{"RESULT_DIR=" + results, "DIOSTRESS=" + c.program, "DIOSTRESS_ARGS=--runtime 3", "SOAK_DURATION="},
				"bash", "tests/generic/900-diostress")
			_, err := os.Stat(filepath.Join(results, "900-diostress.notrun"))
			if got := r.stdout == golden; got != c.golden {
				t.Errorf("golden output %v, want %v:\n%s", got, c.golden, r.stdout)
			}
			if notrun := err == nil; notrun != c.notrun {
				t.Errorf("notrun %v, want %v", notrun, c.notrun)
			}
			if (r.status == 0) != (c.golden || c.notrun) || !strings.Contains(r.stdout, c.says) {
				t.Errorf("status %d:\n%s%s", r.status, r.stdout, r.stderr)
			}
		})
	}
	pass := standIn(t, 0, "")
	results := t.TempDir()
	command(t, dir, []string{"RESULT_DIR=" + results, "DIOSTRESS=" + pass, "SOAK_DURATION=600"}, "bash", "tests/generic/900-diostress")
	if args := arguments(t, pass); !strings.Contains(args, "--runtime 200 ") || !strings.Contains(args, "--directory "+results+"/scratch ") {
		t.Errorf("SOAK_DURATION=600 runs dioStress %s", args)
	}
}

// TestXfstestsCheck runs xfstests' own check, with the program and with
// stand-ins, on loop devices.
func TestXfstestsCheck(t *testing.T) {
	dir := where(t, "DIOSTRESS_XFSTESTS", "a built xfstests tree")
	need.RootUser(t)
	need.Alone(t)
	config := fmt.Sprintf("export FSTYP=ext4 TEST_DEV=%s TEST_DIR=%s SCRATCH_DEV=%s SCRATCH_MNT=%s\n", loop(t), t.TempDir(), loop(t), t.TempDir())
	host := filepath.Join(t.TempDir(), "local.config")
	write(t, host, config)
	if r := command(t, dir, nil, "sh", "-c", ". "+host+" && PATH=$PATH:/usr/sbin:/sbin mkfs.ext4 -q -F $TEST_DEV"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	r := command(t, dir, nil, here(t, "xfstests", "install"), dir)
	if r.status != 0 {
		t.Fatalf("%+v", r)
	}
	name := strings.TrimSpace(r.stdout)
	for _, c := range []struct {
		name, program, says string
		passes              bool
	}{
		{"program", program(t), "Passed all 1 tests", true},
		{"finding", standIn(t, 1, ""), "Failures: " + name, false},
		{"skip", standIn(t, 4, ""), "Not run: " + name, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := []string{"HOST_OPTIONS=" + host, "DIOSTRESS=" + c.program, "SOAK_DURATION=6", "PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin"}
			r := command(t, dir, env, "./check", name)
			if (r.status == 0) != c.passes || !strings.Contains(r.stdout, c.says) {
				t.Errorf("status %d:\n%s%s", r.status, r.stdout, r.stderr)
			}
		})
	}
}

// loop makes a loop device of 600 MiB for the length of the test.
func loop(t *testing.T) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	write(t, image, "")
	if err := os.Truncate(image, 600<<20); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).Output()
	if err != nil {
		need.Skip(t, need.Tool, "losetup: "+err.Error())
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		exec.Command("umount", device).Run() // check leaves the test device mounted
		if err := exec.Command("losetup", "-d", device).Run(); err != nil {
			t.Errorf("losetup -d %s: %v", device, err)
		}
	})
	return device
}
