package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"diostress/internal/ledger"
	"diostress/internal/oracle"
	"diostress/internal/verdict"
)

// runJudge judges a log again. It takes the output flags of a run.
func runJudge(_ context.Context, args []string, stdout, stderr io.Writer) int {
	var path string
	var flags []string
	for _, a := range args {
		switch {
		case strings.HasPrefix(a, "-") || len(flags) > 0 && wantsValue(flags[len(flags)-1]):
			flags = append(flags, a)
		case path == "":
			path = a
		default:
			return usageError(stderr, "", fmt.Errorf("judge: unexpected argument %q; valid: one log file", a))
		}
	}
	s, err := parseArgs(flags)
	switch {
	case errors.Is(err, errHelp):
		io.WriteString(stdout, usage())
		return exitPass
	case err != nil:
		return usageError(stderr, s.exitStyle, err)
	case path == "":
		return usageError(stderr, s.exitStyle, errors.New("judge: no log named; valid: dioStress judge FILE, a file written by --completions"))
	}
	if bad := foreign(flags); bad != "" {
		return usageError(stderr, s.exitStyle, fmt.Errorf("judge: %s has no effect on a run that is over; valid: --output, --output-format, --exit-style", bad))
	}
	if err := s.checkOutputs(); err != nil {
		return usageError(stderr, s.exitStyle, err)
	}
	log, err := ledger.OpenLog(path)
	if err != nil {
		return usageError(stderr, s.exitStyle, fmt.Errorf("judge: %w", err))
	}
	defer log.Close()
	x := newSession(s, stdout, stderr)
	x.res.Environment = verdict.Environment{Engines: map[string]string{}}
	if err := x.rejudge(log); err != nil {
		return usageError(stderr, s.exitStyle, fmt.Errorf("judge %s: %w", path, err))
	}
	x.conclude()
	return x.report()
}

// rejudge reads the runs of a log and judges each.
func (x *session) rejudge(log io.Reader) error {
	var open *oracle.Judge
	finish := func() {
		if open != nil {
			x.add(open.Finish())
			open = nil
		}
	}
	err := ledger.ReadLog(log, func(h *ledger.Header) (ledger.Sink, error) {
		finish()
		if x.cells == 0 && x.res.Repro != h.Repro {
			x.res.Repro, x.res.StartTime, x.res.Seed = h.Repro, h.Start, h.Config.Seed
			if err := fromJSON(h.Env, &x.res.Environment); err != nil {
				return nil, fmt.Errorf("environment: %w", err)
			}
			if err := fromJSON(h.Skipped, &x.res.Skipped); err != nil {
				return nil, fmt.Errorf("skipped: %w", err)
			}
		}
		x.res.Environment.Tracing, x.res.Environment.KmsgBudget = tracingText(&h.Facts), h.Facts.KmsgBudget
		open = oracle.New()
		return open, nil
	})
	if errors.Is(err, ledger.ErrTruncated) {
		fmt.Fprintf(x.stderr, "dioStress: judge: %v\n", err)
		err = nil
	}
	if err == nil {
		finish()
	}
	return err
}

func fromJSON(b json.RawMessage, dst any) error {
	if len(b) == 0 || string(b) == "null" {
		return nil
	}
	return json.Unmarshal(b, dst)
}

// foreign returns the first flag that is about making a run, "" without one.
func foreign(flags []string) string {
	for _, f := range flags {
		if !strings.HasPrefix(f, "--") {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(f, "--"), "=")
		for _, o := range options() {
			if o.name == name && o.group != groupOutput {
				return "--" + name
			}
		}
	}
	return ""
}

// wantsValue says whether a flag as typed takes the next argument as its value.
func wantsValue(flag string) bool {
	name, ok := strings.CutPrefix(flag, "--")
	if !ok || strings.Contains(name, "=") {
		return false
	}
	for _, o := range options() {
		if o.name == name {
			return o.arg != ""
		}
	}
	return false
}
