package main

import (
	"fmt"
	"io"
	"os/exec"
	"strconv"

	"diostress/internal/harness"
)

// keepBusyCommand is for the program's own use: it starts itself so, to keep a
// processor busy.
const keepBusyCommand = "keep-busy"

// crowder is the command that keeps one processor busy.
func crowder(cpu int) *exec.Cmd {
	return exec.Command("/proc/self/exe", keepBusyCommand, strconv.Itoa(cpu))
}

func keepBusy(cpu string, stderr io.Writer) int {
	fmt.Fprintf(stderr, "dioStress: %s %s: %v\n", keepBusyCommand, cpu, harness.KeepBusy(cpu))
	return exitBroken
}
