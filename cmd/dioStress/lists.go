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

func listScenarios() string {
	rows := [][]string{{"NAME", "BS", "SIZE", "IODEPTH", "DIRTY", "PROVOKES"}}
	for _, sc := range plan.Scenarios() {
		var c plan.Config
		sc.Apply(&c)
		rows = append(rows, []string{sc.Name, plan.FormatSize(int64(c.BS)), plan.FormatSize(c.Size), fmt.Sprint(c.IODepth), c.DirtyString(), sc.Provokes})
	}
	return table(rows)
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
