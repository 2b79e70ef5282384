package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"diostress/internal/testbed"
	"diostress/internal/verdict"
)

// run is the whole program: what it prints and the exit status it returns are
// its interface (docs/exit-status.md).
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		if c := findCommand(args[0]); c != nil {
			if slices.ContainsFunc(args[1:], func(a string) bool { return a == "--help" || a == "-h" }) {
				fmt.Fprintf(stdout, "Usage: dioStress %s\n\n%s\n", strings.TrimSpace(c.name+" "+c.args), sentence(c.about))
				return exitPass
			}
			return c.run(ctx, args[1:], stdout, stderr)
		}
	}
	return runStress(ctx, args, stdout, stderr)
}

// runStress is the main job.
func runStress(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parseArgs(args)
	switch {
	case errors.Is(err, errHelp):
		io.WriteString(stdout, usage())
		return 0
	case err != nil:
		return usageError(stderr, s.exitStyle, err)
	case s.version:
		fmt.Fprintln(stdout, program())
		return 0
	case s.list != "":
		io.WriteString(stdout, s.list)
		return 0
	}
	if err := s.checkOutputs(); err != nil {
		return usageError(stderr, s.exitStyle, err)
	}
	if s.dryRun {
		return dryRun(s, stdout, stderr)
	}
	x := newSession(s, stdout, stderr)
	if err := x.check(); err != nil {
		return x.refuse(err)
	}
	ctx, stop := onSignals(ctx, stderr)
	defer stop()
	x.work(ctx)
	return x.report()
}

// usageError is about what was typed or pointed at wrongly: nothing was made,
// and stdout stays empty.
func usageError(stderr io.Writer, style string, err error) int {
	fmt.Fprintf(stderr, "dioStress: %v\n", err)
	return styled(style, exitUsage)
}

// refuse ends a session before its first run.
func (x *session) refuse(err error) int {
	switch {
	case errors.Is(err, testbed.ErrUsage), errors.Is(err, errUsage):
		return usageError(x.stderr, x.s.exitStyle, err)
	case errors.Is(err, testbed.ErrUnsupported):
		x.res.Verdict = verdict.Unsupported
	default:
		x.res.Verdict = verdict.Broken
	}
	x.res.Reason = err.Error()
	fmt.Fprintf(x.stderr, "dioStress: %v\n", err)
	return x.report()
}

// errUsage marks errors about what the user typed or pointed at.
var errUsage = errors.New("wrong usage")

// usagef makes such an error; its text is the message alone.
func usagef(format string, args ...any) error {
	return usageErr{fmt.Errorf(format, args...)}
}

type usageErr struct{ error }

func (e usageErr) Is(target error) bool { return target == errUsage }
func (e usageErr) Unwrap() error        { return e.error }
