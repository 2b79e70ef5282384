package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"diostress/internal/need"
	"diostress/internal/testbed"
)

// documented collects the commands that the documentation shows: the lines of
// fenced blocks that begin with the program's name, and the examples of --help.
func documented(t *testing.T) (lines []string) {
	t.Helper()
	for _, e := range examples() {
		lines = append(lines, e[0])
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		fenced := false
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "```") {
				fenced = !fenced
			}
			line = strings.TrimPrefix(line, "$ ")
			if rest, ok := strings.CutPrefix(line, "./dioStress"); ok {
				line = "dioStress" + rest
			}
			if fenced && (line == "dioStress" || strings.HasPrefix(line, "dioStress ")) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// wrapper is a dioStress for the shell: the test binary, with a short run.
const wrapper = `#!/bin/sh
export DIOSTRESS_BE_MAIN=1
case "$1" in
judge|clean|man|completion|help) exec %[1]s "$@" ;;
esac
case " $* " in
*" --scenario all "*|*" --loops "*|*" --scenario=all "*) exec %[1]s "$@" --runtime=200ms --loops=1 --dry-run ;;
esac
exec %[1]s "$@" --runtime=200ms --epoch=100ms
`

// TestExamples runs every example: nothing that the documentation shows may be
// refused as wrong usage. Runs are shortened; a verdict of a run that short may
// be undecided.
func TestExamples(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	bed, err := testbed.Open(context.Background(), testbed.Spec{FS: "ext4", Need: 200 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer bed.Close()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "dioStress"), fmt.Appendf(nil, wrapper, self), 0o755); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, "vdb.img")
	if err := exec.Command("truncate", "-s", "96M", image).Run(); err != nil {
		t.Fatal(err)
	}
	dev, err := exec.Command("losetup", "--find", "--show", image).Output()
	if err != nil {
		need.Skip(t, need.Tool, "losetup: "+err.Error())
	}
	device := strings.TrimSpace(string(dev))
	defer exec.Command("losetup", "-d", device).Run()
	seen := map[string]bool{}
	for _, line := range documented(t) {
		if i := strings.Index(line, "  #"); i >= 0 {
			line = line[:i]
		}
		line = strings.TrimSpace(line)
		if seen[line] {
			continue
		}
		seen[line] = true
		t.Run(line, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			c := exec.CommandContext(ctx, "sh", "-c", strings.NewReplacer("/mnt/scratch", bed.Dir(), "/dev/vdb", device).Replace(line))
			c.Dir = dir
			c.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
			out, err := c.CombinedOutput()
			status := c.ProcessState.ExitCode()
			if err != nil && status < 0 || status == exitUsage || status == exitFail || status == exitStuck || status >= 126 {
				t.Errorf("status %d: %v\n%.3000s", status, err, out)
			}
		})
	}
	if len(seen) < 10 {
		t.Errorf("only %d examples found", len(seen))
	}
}
