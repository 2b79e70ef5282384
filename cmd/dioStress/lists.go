package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"diostress/internal/plan"
	"diostress/internal/testbed"
	"diostress/internal/verdict"
	"diostress/mmapdirty"
)

// table renders rows of columns.
func table(rows [][]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	w.Flush()
	return b.String()
}

func listConfigs() string {
	rows := [][]string{{"NAME", "MKFS", "MOUNT", "ABOUT"}}
	for _, c := range testbed.Configs() {
		rows = append(rows, []string{c.Name, dash(c.Mkfs), dash(c.Mount), c.About})
	}
	return table(rows)
}

func listProfiles() string {
	rows := [][]string{{"NAME", "BS", "SIZE", "IODEPTH", "DIRTY", "ABOUT"}}
	for _, p := range plan.Profiles() {
		var c plan.Config
		p.Apply(&c)
		rows = append(rows, []string{p.Name, plan.FormatSize(int64(p.BS)), plan.FormatSize(p.Size), fmt.Sprint(p.IODepth), c.DirtyString(), p.About})
	}
	rows = append(rows, []string{"auto", "-", "-", "-", "-", "tries settings on this machine for some seconds and takes those that collide most"})
	return table(rows)
}

// listScenarios says of each scenario what it provokes, how, and what a run of
// it must reach.
func listScenarios() string {
	var b strings.Builder
	for _, sc := range plan.Scenarios() {
		var c plan.Config
		sc.Apply(&c)
		fmt.Fprintln(&b, sc.Name)
		wrap(&b, sc.Provokes)
		wrap(&b, fmt.Sprintf("%s of %s in %s, iodepth %d, dirty %s, layout %s, buffer %s", c.RW, plan.FormatSize(int64(c.BS)), plan.FormatSize(c.Size),
			c.IODepth, c.DirtyString(), firstOf(c.Layout, plan.LayoutWritten), firstOf(c.Buffer, plan.BufferAnon)))
		wrap(&b, "required: "+sc.Pressure.String())
	}
	return b.String()
}

// wrap writes a text into lines of at most 80 columns, indented.
func wrap(b *strings.Builder, text string) {
	const indent, width = "    ", 80
	col := 0
	for _, w := range strings.Fields(text) {
		switch {
		case col == 0:
			b.WriteString(indent)
			col = len(indent)
		case col+1+len(w) > width:
			b.WriteString("\n" + indent + "  ")
			col = len(indent) + 2
		default:
			b.WriteByte(' ')
			col++
		}
		b.WriteString(w)
		col += len(w)
	}
	b.WriteByte('\n')
}

func listDirtiers() string {
	rows := [][]string{{"KIND", "ABOUT"}}
	for _, k := range mmapdirty.Kinds() {
		rows = append(rows, []string{k.String(), k.Describe()})
	}
	return table(rows)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// flaky lists the runs that failed in some of their repetitions, and in how
// many.
func flaky(runs []verdict.Run) []verdict.Flaky {
	var out []verdict.Flaky
	index := map[string]int{}
	for _, r := range runs {
		if r.Job > 0 {
			continue
		}
		name := r.Name
		if i := strings.LastIndex(name, ".loop"); i >= 0 {
			name = name[:i]
		}
		i, ok := index[name]
		if !ok {
			i = len(out)
			index[name] = i
			out = append(out, verdict.Flaky{Name: name})
		}
		out[i].Total++
		if r.Verdict == verdict.Fail {
			out[i].Failed++
		}
	}
	return slices.DeleteFunc(out, func(f verdict.Flaky) bool { return f.Failed == 0 || f.Failed == f.Total })
}
