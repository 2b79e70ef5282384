package main

import (
	"fmt"
	"strings"
)

const synopsis = `dioStress drives O_DIRECT writes through io_uring or libaio on ext4 and ext3 while
other threads keep the very same pages dirty, accounts for every completion, and
judges each by what the kernel and the disk really did.
`

// examples stand in --help and in the manual page; a test runs every one.
func examples() [][2]string {
	return [][2]string{
		{"dioStress", "as root: a private loop-mounted ext4, 10 s for each engine, a text report"},
		{"dioStress --fs ext3 --ioengine libaio --runtime 60", "ext3, one engine, a minute"},
		{"dioStress --directory /mnt/scratch --runtime 30", "on a file system of yours, without root as far as that goes"},
		{"dioStress --device /dev/vdb --fs ext4 --destroy-data", "on a whole device, which is formatted"},
		{"dioStress --scenario all --fs-config 4k,1k,ext3", "the classes of bugs that direct I/O has had, on three file systems, in one report"},
		{"dioStress --output r --output-format text,json,html --completions r.log.zst", "several reports and a log of every completion"},
		{"dioStress judge r.log.zst", "judge that log again"},
	}
}

// groups lists the option groups in the order of the help.
func groups() []string {
	return []string{groupTarget, groupWorkload, groupDirt, groupChecks, groupOutput}
}

func usage() string {
	var b strings.Builder
	b.WriteString(synopsis)
	b.WriteString("\nUsage:\n  dioStress [flags]\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-36s %s\n", strings.TrimSpace("dioStress "+c.name+" "+c.args), c.about)
	}
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n%s:\n", g)
		for _, o := range options() {
			if o.group != g {
				continue
			}
			head := "--" + o.name
			if o.arg != "" {
				head += " " + o.arg
			}
			writeOption(&b, head, o.text())
		}
	}
	b.WriteString("\nSizes take k, M, G (powers of 1024), times take us, ms, s, m, h, d (a bare number is seconds).\n\nExamples:\n")
	for _, e := range examples() {
		fmt.Fprintf(&b, "  %s\n      %s\n", e[0], e[1])
	}
	b.WriteString("\nExit status:\n")
	for _, e := range exitTable() {
		fmt.Fprintf(&b, "  %3d  %s\n", e.status, e.about)
	}
	return b.String()
}

// writeOption writes one option, its text wrapped beside it.
func writeOption(b *strings.Builder, head, about string) {
	const indent, width = 30, 96
	fmt.Fprintf(b, "  %-*s", indent-2, head)
	if len(head) > indent-4 {
		fmt.Fprintf(b, "\n%*s", indent, "")
	}
	col := indent
	for i, w := range strings.Fields(about) {
		if i > 0 && col+1+len(w) > width {
			fmt.Fprintf(b, "\n%*s", indent, "")
			col = indent
		} else if i > 0 {
			b.WriteByte(' ')
			col++
		}
		b.WriteString(w)
		col += len(w)
	}
	b.WriteByte('\n')
}
