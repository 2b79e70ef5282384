package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// row is one line of the table. Its goal is reached when got is at least want.
type row struct {
	what, where, ours, theirs, ratio string
	goal                             string // "" for none
	ok                               bool
}

type table struct{ rows []row }

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// print writes the table as Markdown.
func (t *table) print(w io.Writer, about string) {
	fmt.Fprintf(w, "%s\n\n", about)
	fmt.Fprintln(w, "| what | on | dioStress | the other | ratio | goal |")
	fmt.Fprintln(w, "|---|---|---:|---:|---:|---|")
	for _, r := range t.rows {
		goal := r.goal
		if goal != "" {
			goal += map[bool]string{true: ": reached", false: ": **not reached**"}[r.ok]
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join([]string{r.what, r.where, r.ours, r.theirs, r.ratio, goal}, " | "))
	}
}

// reached says whether every goal was.
func (t *table) reached() bool {
	return !slices.ContainsFunc(t.rows, func(r row) bool { return r.goal != "" && !r.ok })
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// pick returns one figure of every window.
func pick(list []figures, get func(figures) float64) (out []float64) {
	for _, f := range list {
		out = append(out, get(f))
	}
	return out
}

// ratios divides pair by pair: what the machine does to both sides of a pair
// cancels out.
func ratios(a, b []float64) (out []float64) {
	for i := range a {
		if b[i] != 0 {
			out = append(out, a[i]/b[i])
		}
	}
	return out
}

// count writes a figure with thousands set off.
func count(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func spread(v []float64) string {
	if len(v) < 2 {
		return ""
	}
	return fmt.Sprintf(" (%.2f to %.2f)", slices.Min(v), slices.Max(v))
}
