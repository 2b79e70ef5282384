//go:build linux && amd64

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"diostress/scripts/vm/faults"
	"diostress/scripts/vm/machine"
)

// record is the whole track record.
type record struct {
	lines   []line
	skipped []string
	accel   string
}

// status is 0 if every fault was caught as it must be and every legal one
// passed, 1 if not, 4 if nothing could be run.
func (rec *record) status() int {
	switch {
	case len(rec.lines) == 0:
		return machine.ExitUnavailable
	case slices.ContainsFunc(rec.lines, func(l line) bool { return !l.ok }):
		return machine.ExitMisbehaved
	}
	return 0
}

func isLegal(l line) bool {
	e := l.fault.ExpectFor(l.engine)
	return e.Legal || e.Device
}

// table prints the record for a terminal.
func (rec *record) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "fault\tkernel\tfs\tengine\t\tsays\tseconds\twrites\tg208 says")
	bad := 0
	for i := range rec.lines {
		l := &rec.lines[i]
		mark, says := "ok", l.caught
		if !l.ok {
			bad++
			mark, says = "MISSED", l.why
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t%d\t%s\n", l.fault.Name, l.kernel, l.fs, l.engine, mark, says, l.seconds, l.writes, l.g208)
	}
	t.Flush()
	fmt.Fprintf(w, "%d of %d runs ended as they must\n", len(rec.lines)-bad, len(rec.lines))
	for _, s := range rec.skipped {
		fmt.Fprintln(w, "SKIPPED:", s)
	}
}

const preamble = `# Track record

What dioStress says about kernels that were broken on purpose. ` + "`make vm-faults`" + ` writes this
page from the runs it makes: each row is one run in a throw-away virtual machine whose kernel
was bent by a module (scripts/vm/faults/module), by its disk, or, for ` + "`2007-kernel`" + `, by a
patch that puts the code of 2007 back. The table of faults with the rule that must catch each is
scripts/vm/faults/table.go; the rules are explained in [contract.md](contract.md).

*after* is the guest's time from the start of the run to the first evidence (to the end of the
run where the evidence is in the data that is read back at the end of an epoch), *writes* the
completions until then. *g208* is scripts/vm/g208 under the same fault: the workload commonly
used for this race, AIO writes of 2 MiB against buffered writes and fsyncs, which looks at
completions only and takes -EIO for the lost race.
`

// document is the record as Markdown.
func (rec *record) document() string {
	var b strings.Builder
	b.WriteString(preamble)
	var kernels []string
	missed := 0
	for _, l := range rec.lines {
		if !slices.Contains(kernels, l.kernel) {
			kernels = append(kernels, l.kernel)
		}
		if !l.ok {
			missed++
		}
	}
	fmt.Fprintf(&b, "\nKernels: %s; %s. %d runs, %d of them not as they must be.\n", strings.Join(kernels, ", "), rec.accel, len(rec.lines), missed)
	for _, s := range rec.skipped {
		fmt.Fprintf(&b, "\nNot run: %s.\n", s)
	}
	b.WriteString("\n## The faults\n\n| fault | what is broken | must be caught by |\n|---|---|---|\n")
	var done []string
	for _, l := range rec.lines {
		if !slices.Contains(done, l.fault.Name) {
			done = append(done, l.fault.Name)
			fmt.Fprintf(&b, "| %s | %s | %s |\n", l.fault.Name, l.fault.About, expectation(l.fault))
		}
	}
	b.WriteString("\n## Broken kernels\n\n| fault | kernel | fs | engine | caught by | after s | writes | g208 |\n|---|---|---|---|---|---:|---:|---|\n")
	for _, l := range rec.lines {
		if !isLegal(l) {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %.1f | %d | %s |\n", l.fault.Name, l.kernel, l.fs, l.engine, l.cell(), l.seconds, l.writes, escape(l.g208))
		}
	}
	b.WriteString("\n## What is legal and must pass\n\n| fault | kernel | fs | engine | verdict | counts | writes | g208 |\n|---|---|---|---|---|---|---:|---|\n")
	for _, l := range rec.lines {
		if isLegal(l) {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %d | %s |\n", l.fault.Name, l.kernel, l.fs, l.engine, l.cell(), escape(l.counts), l.writes, escape(l.g208))
		}
	}
	return b.String()
}

func (l *line) cell() string {
	if !l.ok {
		return "**not as it must be**: " + escape(l.why)
	}
	return escape(l.caught)
}

func escape(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

// expectation puts what a case expects into words.
func expectation(c *faults.Case) string {
	var parts []string
	for _, e := range []string{"", "libaio", "io_uring"} {
		x, ok := c.Expect[e]
		if !ok {
			continue
		}
		var s string
		switch {
		case x.Legal:
			s = "nothing: it is legal, and counted exactly"
		case x.Device:
			s = "nothing: it is the device's error, and named as that"
		default:
			s = strings.Join(x.Rules, " and ")
			if len(x.Any) > 0 {
				if s != "" {
					s += ", and "
				}
				s += "one of " + strings.Join(x.Any, ", ")
			}
			if x.Dies {
				s += " (or the kernel dies first)"
			}
		}
		if e != "" {
			s = e + ": " + s
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}
