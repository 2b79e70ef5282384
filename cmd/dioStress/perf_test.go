package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"diostress/internal/need"
	"diostress/internal/verdict"
)

// TestCountAgreesWithPerf counts the same run a second time by perf stat.
func TestCountAgreesWithPerf(t *testing.T) {
	need.RootUser(t)
	perf, err := exec.LookPath("perf")
	if err != nil {
		need.Skip(t, need.Tool, "perf: "+err.Error())
	}
	need.Alone(t)
	for _, engine := range []string{"io_uring", "libaio"} {
		t.Run(engine, func(t *testing.T) {
			dir := t.TempDir()
			stat, out := filepath.Join(dir, "stat"), filepath.Join(dir, "r.json")
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			var text []byte
			pressing(func(runtime string) bool {
				c := process("--runtime="+runtime, "--ioengine="+engine, "--output="+out, "--output-format=json")
				c.Args = append([]string{perf, "stat", "-x,", "-o", stat, "-e", "iomap:iomap_dio_invalidate_fail", self}, c.Args[1:]...)
				c.Path = perf
				text, err = c.CombinedOutput()
				return err == nil
			})
			if err != nil {
				var exit *exec.ExitError
				if !errors.As(err, &exit) {
					need.Skip(t, need.Tool, "perf stat: "+err.Error())
				}
				t.Fatalf("%v\n%s", err, text)
			}
			text, err = os.ReadFile(stat)
			if err != nil {
				t.Fatal(err)
			}
			theirs := int64(-1)
			for line := range strings.Lines(string(text)) {
				if f := strings.Split(line, ","); len(f) > 2 && strings.Contains(line, "iomap_dio_invalidate_fail") {
					if theirs, err = strconv.ParseInt(f[0], 10, 64); err != nil {
						need.Skip(t, need.Tracepoints, "perf stat: "+line)
					}
				}
			}
			ours := readReport(t, out).Diostress.Runs[0].Collisions.PreWrite
			if ours.Fidelity != verdict.Exact || theirs <= 0 || max(int64(ours.Count)-theirs, theirs-int64(ours.Count))*20 > theirs {
				t.Errorf("we count %+v, perf counts %d", ours, theirs)
			}
		})
	}
}
