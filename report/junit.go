package report

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"diostress/internal/verdict"
)

// junitFindings bounds the findings in the body of one failure.
const junitFindings = 50

// writeJUnit renders JUnit in the dialect of xfstests (doc/xunit.xsd there): one
// testsuite, its attributes and properties those of "check -R xunit", and no
// xmlns, which the reader of xfstests-bld refuses. A testcase is a rule of a
// run. What the kernel did wrong is a failure; what we could not do or decide
// is an error. The schema allows no count of errors, and they are not in that
// of the failures: its readers count the elements and would report both.
func writeJUnit(w io.Writer, r *verdict.Result) error {
	b := bufio.NewWriter(w)
	gs := groups(r)
	var n [4]int
	for i := range gs {
		for j := range gs[i].cases {
			n[gs[i].cases[j].state]++
		}
	}
	n[skipped] += len(r.Skipped)
	fmt.Fprintf(b, "%s<testsuite name=\"diostress\" failures=\"%d\" skipped=\"%d\" tests=\"%d\" time=\"%.3f\" hostname=\"%s\"",
		xml.Header, n[failed], n[skipped], n[passed]+n[skipped]+n[errored]+n[failed], float64(r.ElapsedNS)/1e9, attr(hostOf(r)))
	if start, end, ok := times(r); ok {
		const layout = "2006-01-02T15:04:05-07:00"
		fmt.Fprintf(b, " start_timestamp=\"%s\" timestamp=\"%s\" report_timestamp=\"%s\"", start.Format(layout), start.Format(layout), end.Format(layout))
	}
	fmt.Fprint(b, ">\n\t<properties>\n")
	for _, p := range properties(r) {
		fmt.Fprintf(b, "\t\t<property name=\"%s\" value=\"%s\"/>\n", p[0], attr(p[1]))
	}
	fmt.Fprint(b, "\t</properties>\n")
	for i := range gs {
		junitGroup(b, r, &gs[i])
	}
	for _, k := range r.Skipped {
		junitOpen(b, k.Name, "run", 0)
		fmt.Fprintf(b, "\t\t<skipped message=\"%s\"/>\n\t</testcase>\n", attr(k.Reason))
	}
	fmt.Fprint(b, "</testsuite>\n")
	return b.Flush()
}

// junitGroup writes the cases of a run. Its rules were checked side by side
// for the whole run: each gets an equal share of the time, so that sums are
// right.
func junitGroup(b io.Writer, r *verdict.Result, g *group) {
	share := g.seconds() / float64(len(g.cases))
	logged := false
	for i := range g.cases {
		c := &g.cases[i]
		junitOpen(b, g.name, c.name, share)
		switch c.state {
		case skipped:
			fmt.Fprintf(b, "\t\t<skipped message=\"%s\"/>\n", attr(c.told()))
		case errored:
			kind := "Undecided"
			if c.verdict == verdict.Broken {
				kind = "Harness"
			}
			fmt.Fprintf(b, "\t\t<error message=\"%s\" type=\"%s\"/>\n", attr(c.told()), kind)
		case failed:
			kind := "TestFail"
			if c.timeout {
				kind = "Timeout"
			}
			fmt.Fprintf(b, "\t\t<failure message=\"%s\" type=\"%s\">%s</failure>\n", attr(c.told()), kind, cdata(evidence(c)))
		}
		if c.state > skipped {
			fmt.Fprintf(b, "\t\t<system-out>%s</system-out>\n", cdata(fmt.Sprintf("seed %s\nrepeat with: %s\n", seed(r), r.Repro)))
			if !logged && len(g.runs) > 0 && len(g.runs[0].KernelLog.Lines) > 0 {
				logged = true // once a run is enough
				fmt.Fprintf(b, "\t\t<kernel-log>%s</kernel-log>\n", cdata(strings.Join(g.runs[0].KernelLog.Lines, "\n")+"\n"))
			}
		}
		fmt.Fprint(b, "\t</testcase>\n")
	}
}

// junitOpen begins a testcase. The name has the run in it, because the readers
// of xfstests' files show nothing else.
func junitOpen(b io.Writer, run, rule string, seconds float64) {
	fmt.Fprintf(b, "\t<testcase classname=\"diostress.%s\" name=\"%s/%s\" time=\"%.3f\">\n", slug(run), slug(run), slug(rule), seconds)
}

func evidence(c *testCase) string {
	var s strings.Builder
	for _, f := range c.findings[:min(len(c.findings), junitFindings)] {
		fmt.Fprintf(&s, "%d: %s\n", f.Count, brief(f.Text, 600))
		for _, w := range f.Witnesses[:min(len(f.Witnesses), maxWitness)] {
			fmt.Fprintf(&s, "  %s\n", strings.Join(witness(&w), "\n    "))
		}
	}
	if more := len(c.findings) - junitFindings; more > 0 {
		fmt.Fprintf(&s, "and %d more findings\n", more)
	}
	return s.String()
}

// properties are the facts under the names of xfstests where it has them; as
// there, what is empty is left out.
func properties(r *verdict.Result) (out [][2]string) {
	e := &r.Environment
	add := func(name, value string) {
		if value != "" {
			out = append(out, [2]string{name, value})
		}
	}
	number := func(n uint64) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprint(n)
	}
	add("ARCH", e.Machine)
	add("CPUS", number(uint64(max(0, e.CPUs))))
	add("DIOSTRESS_REASON", r.Reason)
	add("DIOSTRESS_REPRO", r.Repro)
	add("DIOSTRESS_SEED", seed(r))
	add("DIOSTRESS_VERDICT", r.Verdict.String())
	add("DIOSTRESS_VERSION", r.Program)
	add("FSTESTCFG", config(r))
	add("FSTYP", e.FSType)
	add("KERNEL", e.Kernel)
	add("MEM_KB", number(e.MemoryBytes/1024))
	add("MKFS_OPTIONS", e.MkfsOptions)
	add("MOUNT_OPTIONS", e.MountOptions)
	add("TEST_DEV", e.Device)
	add("TEST_DEV_LBA_BYTES", number(uint64(max(0, e.LogicalBlock))))
	return out
}

// config names the file system configurations as xfstests-bld does: ext4/4k.
func config(r *verdict.Result) string {
	var names []string
	for i := range r.Runs {
		if c := r.Runs[i].FSConfig; c != "" && !slices.Contains(names, c) {
			names = append(names, c)
		}
	}
	if len(names) == 0 && r.Environment.FSConfig != "" {
		names = []string{r.Environment.FSConfig}
	}
	if len(names) == 0 {
		return r.Environment.FSType
	}
	return r.Environment.FSType + "/" + strings.Join(names, ",")
}

func hostOf(r *verdict.Result) string {
	if h := strings.TrimSpace(r.Environment.Hostname); h != "" {
		return h
	}
	return "localhost"
}

// attr makes text fit for an attribute: one line, escaped.
func attr(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(brief(s, 1000))) // a Builder never fails
	return b.String()
}

// cdata wraps text of several lines.
func cdata(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.ReplaceAll(clean(lines[i]), "]]>", "]]]]><![CDATA[>")
	}
	return "<![CDATA[" + strings.Join(lines, "\n") + "]]>"
}
