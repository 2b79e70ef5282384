package main

import (
	"context"
	"fmt"
	"io"
	"strings"
)

func runMan(_ context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		return usageError(stderr, "", fmt.Errorf("man: unexpected argument %q; valid: none", args[0]))
	}
	io.WriteString(stdout, manPage())
	return exitPass
}

// manPage is dioStress(8), from the same tables as --help.
func manPage() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p(`.TH DIOSTRESS 8 "" "%s" "System Administration"`, roff(program()))
	p(".SH NAME\ndioStress \\- collide direct writes with the page cache and judge every completion")
	p(".SH SYNOPSIS\n.B dioStress\n[\\fIflags\\fR]")
	for _, c := range commands() {
		p(".br\n%s", strings.TrimSpace(`\fBdioStress `+c.name+`\fR `+roff(c.args)))
	}
	p(".SH DESCRIPTION\n%s", roff(strings.TrimSpace(synopsis)))
	p(".PP\n%s", roff("Run without flags, as root, it makes a private ext4 file system in an image, works on it with every engine in turn, checks and removes it. The report says first whether the kernel misbehaved, then what it did."))
	p(".SH COMMANDS")
	for _, c := range commands() {
		p(".TP\n.B %s %s\n%s", c.name, roff(c.args), roff(c.about))
	}
	p(".SH OPTIONS\n%s", roff("Sizes take k, M, G (also KiB, MiB ...; powers of 1024, Ki too, where fio differs). Times take us, ms, s, m, h, d; a bare number is seconds."))
	for _, g := range groups() {
		p(".SS %s", roff(g))
		for _, o := range options() {
			if o.group != g {
				continue
			}
			head := `\fB` + roff("--"+o.name) + `\fR`
			if o.arg != "" {
				head += ` \fI` + roff(o.arg) + `\fR`
			}
			p(".TP\n%s\n%s", head, roff(sentence(o.text())))
		}
	}
	p(".SH EXIT STATUS")
	for _, e := range exitTable() {
		p(".TP\n.B %d\n%s", e.status, roff(sentence(e.about)))
	}
	p("%s", roff("With --exit-style=ltp: 0, 1, 2 (usage, broken, undecided), 32 (cannot run here), 1 (stuck), 130."))
	p(".SH SIGNALS\n%s", roff("SIGINT, SIGTERM and SIGHUP end the run: it is drained, judged and reported. A second one ends the program at once; dioStress clean then removes what is left. SIGUSR1 prints the counters and what is in flight on standard error."))
	p(".SH EXAMPLES")
	for _, e := range examples() {
		p(".TP\n.B %s\n%s", roff(e[0]), roff(sentence(e[1])))
	}
	p(".SH SEE ALSO\n.BR fio (1),\n.BR io_uring (7),\n.BR io_submit (2),\n.BR open (2)")
	return b.String()
}

// roff escapes text for a man page.
func roff(s string) string {
	s = strings.ReplaceAll(s, `\`, `\e`)
	s = strings.ReplaceAll(s, "-", `\-`)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// sentence begins a phrase with a capital and ends it with a full stop.
func sentence(s string) string {
	first, _, _ := strings.Cut(s, " ")
	if strings.IndexFunc(first, func(r rune) bool { return r < 'a' || r > 'z' }) < 0 {
		s = strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):]
	}
	return strings.TrimRight(s, ".") + "."
}

type exitRow struct {
	status int
	about  string
}

// exitTable is the table of exit statuses.
func exitTable() []exitRow {
	return []exitRow{
		{exitPass, "pass: no rule was broken, and the pressure was enough to tell"},
		{exitFail, "the kernel misbehaved: a rule was broken (a finding)"},
		{exitUsage, "something was typed or pointed at wrongly; nothing was made, standard output is empty"},
		{exitBroken, "the harness broke, or a required rule could not be decided"},
		{exitUnsupported, "this machine lacks what the run needs (a skip)"},
		{exitStuck, "writes did not come back from the kernel (stuck); this is a finding"},
		{exitInterrupted, "interrupted by a signal, with no finding; the report is written"},
	}
}
