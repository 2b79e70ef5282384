package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"diostress/internal/kernel"
	"diostress/internal/testbed"
)

// command is what may stand in place of flags.
type command struct {
	name, args, about string
	run               func(ctx context.Context, args []string, stdout, stderr io.Writer) int
}

// commands is the table of commands, for parsing and for the help texts.
func commands() []command {
	return []command{
		{"judge", "LOG", "judge a log of --completions again, without the file system", runJudge},
		{"clean", "", "remove what killed runs have left: mounts, loop devices, images, trace instances", runClean},
		{"completion", "bash|zsh|fish", "print a completion script for a shell", runCompletion},
		{"man", "", "print the manual page, dioStress(8)", runMan},
		{"help", "", "print this help", runHelp},
	}
}

func findCommand(name string) *command {
	for _, c := range commands() {
		if c.name == name {
			return &c
		}
	}
	return nil
}

func runHelp(_ context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		return usageError(stderr, "", fmt.Errorf("help: unexpected argument %q; valid: none", args[0]))
	}
	io.WriteString(stdout, usage())
	return exitPass
}

func runClean(_ context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		return usageError(stderr, "", fmt.Errorf("clean: unexpected argument %q; valid: none", args[0]))
	}
	if uid := os.Geteuid(); uid != 0 {
		fmt.Fprintf(stdout, "not root: only what runs of uid %d have left is looked for\n", uid)
	}
	n, err := testbed.Clean(stdout)
	traces, terr := kernel.CleanTracing()
	for _, t := range traces {
		fmt.Fprintf(stdout, "removed %s\n", t)
	}
	fmt.Fprintf(stdout, "%d things removed\n", n+len(traces))
	if err != nil {
		fmt.Fprintf(stderr, "dioStress: clean: %v\n", err)
		return exitBroken
	}
	if terr != nil && len(traces) > 0 {
		fmt.Fprintf(stderr, "dioStress: clean: %v\n", terr)
		return exitBroken
	}
	return exitPass
}
