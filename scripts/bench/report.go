package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// statement is what dioStress itself says of a run: the figures that cannot be
// had from outside.
type statement struct {
	Jobs []struct {
		Write struct {
			Runtime int64 `json:"runtime"` // ms
		} `json:"write"`
	} `json:"jobs"`
	DioStress struct {
		Verdict string `json:"verdict"`
		Reason  string `json:"reason"`
		Runs    []struct {
			Collisions struct {
				PostWrite struct {
					Count    uint64 `json:"count"`
					Source   string `json:"source"`
					Fidelity string `json:"fidelity"`
				} `json:"post_write"`
			} `json:"collisions"`
			Completions struct {
				Completed uint64 `json:"completed"`
			} `json:"completions"`
		} `json:"runs"`
	} `json:"diostress"`
}

// finished lets dioStress run to its end for so many seconds and returns what
// it says.
func (b *bench) finished(ctx context.Context, at place, engine string, seconds float64, flags ...string) (*statement, error) {
	out := filepath.Join(b.work, "report.json")
	os.Remove(out)
	args := append([]string{"--directory", at.dir, "--ioengine", engine, "--runtime", fmt.Sprintf("%.1f", seconds), "--eta", "never", "--seed", "1",
		"--output", out, "--output-format", "json"}, flags...)
	said, runErr := exec.CommandContext(ctx, b.binary, args...).CombinedOutput()
	text, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("dioStress %s: %v\n%s", strings.Join(args, " "), runErr, said)
	}
	s := &statement{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("%s: %w", out, err)
	}
	if len(s.DioStress.Runs) != 1 || len(s.Jobs) != 1 {
		return nil, fmt.Errorf("dioStress %s: %s: %s", strings.Join(args, " "), s.DioStress.Verdict, s.DioStress.Reason)
	}
	return s, nil
}
