package page

import (
	"fmt"
	"math"
	"slices"

	"diostress/internal/verdict"
)

// kinds are the distributions of total latency that a run has: the writes that
// went direct and those that collided, or all together where the two could not
// be told apart.
func kinds(in *verdict.Run) (out []kind, note string) {
	l := &in.Latency
	direct, collided := kind{"direct", "direct", &l.Direct}, kind{"collided", "collided", &l.Collided}
	switch {
	case l.Direct.N > 0 && l.Collided.N > 0:
		return []kind{direct, collided}, ""
	case l.Direct.N > 0 && attributed(in) && in.Collisions.Attributed.BufferedFallback == 0:
		return []kind{direct}, "no write finished by buffered fallback"
	case l.Direct.N > 0:
		return []kind{direct}, "collided: unavailable"
	case l.Collided.N > 0 && attributed(in) && in.Collisions.Attributed.Direct == 0:
		return []kind{collided}, "no write finished direct"
	case l.Collided.N > 0:
		return []kind{collided}, "direct: unavailable"
	case l.Lat.N > 0:
		return []kind{{"all", "all writes", &l.Lat}}, "direct, collided: unavailable"
	}
	return nil, ""
}

type kind struct {
	class, label string
	l            *verdict.Latency
}

const maxBins = 160 // of one distribution; half octaves up to an hour are 84

// latencyPlot is the log histogram: log bins over log counts, so that the one
// slow write in a million shows.
func latencyPlot(in *verdict.Run) *plot {
	p := &plot{Frame: half, Title: "Latency histogram", XTitle: "total latency; both axes are logarithmic"}
	list, note := kinds(in)
	lo, hi, most := math.Inf(1), 0.0, 0.0
	for _, k := range list {
		for _, b := range bins(k.l) {
			lo, hi, most = min(lo, float64(b.From)), max(hi, float64(b.To)), max(most, float64(b.N))
		}
	}
	if hi == 0 {
		p.Missing = "latency: unavailable (no write was timed)"
		return p
	}
	p.Note = note
	x := scale{min: max(lo, 0.5), max: hi, from: half.Left, to: half.Right, log: true}
	// A single write must show, so the axis begins below one.
	y := scale{min: 0.5, max: max(most, 10), from: half.Bottom, to: half.Top, log: true}
	p.XTicks = decades(x, func(v float64) string { return round(int64(math.Round(v))) })
	for v := 1.0; v <= y.max*(1+1e-9); v *= 10 {
		p.YTicks = append(p.YTicks, tick{num(y.at(v)), short(v)})
	}
	for i, k := range list {
		p.Legend = append(p.Legend, key{k.class, fmt.Sprintf("%s (%s)", k.label, grouped(k.l.N))})
		for _, b := range bins(k.l) {
			a, e := x.at(float64(b.From)), x.at(float64(b.To))
			w := (e - a) / float64(len(list))
			a += w * float64(i)
			h := y.at(float64(b.N))
			p.Bars = append(p.Bars, bar{X: num(a), Y: num(h), W: num(max(0.8, w-0.7)), H: num(half.Bottom - h), Class: k.class,
				Tip: fmt.Sprintf("%s – %s: %s %s (%s)", duration(b.From), duration(b.To), grouped(b.N), plural(k.label, b.N), percent(float64(b.N)/float64(k.l.N)))})
		}
	}
	return p
}

func plural(label string, n uint64) string {
	switch {
	case label == "all writes" && n == 1, label == "":
		return "write"
	case label == "all writes":
		return "writes"
	case n == 1:
		return label + " write"
	}
	return label + " writes"
}

// bins are those that can be drawn.
func bins(l *verdict.Latency) []verdict.Bin {
	b := l.Bins[:min(len(l.Bins), maxBins)]
	return slices.DeleteFunc(slices.Clone(b), func(b verdict.Bin) bool { return b.N == 0 || b.To <= b.From || b.From < 0 })
}

// spread is the table of percentiles: one column a distribution.
type spread struct {
	Heads []key
	Rows  []spreadRow
}

type spreadRow struct {
	Label string
	Cells []fact
}

// shown are the percentiles worth a row.
var shown = []float64{1, 10, 50, 90, 95, 99, 99.9, 99.99}

func newSpread(in *verdict.Run) spread {
	l := &in.Latency
	cols := []kind{{"direct", "direct", &l.Direct}, {"collided", "collided", &l.Collided}, {"all", "all", &l.Lat}, {"slat", "slat", &l.Slat}, {"clat", "clat", &l.Clat}}
	var s spread
	for _, c := range cols {
		s.Heads = append(s.Heads, key{c.class, c.label})
	}
	row := func(label string, of func(*verdict.Latency) string) {
		r := spreadRow{Label: label}
		for _, c := range cols {
			f := fact{Value: "–", Class: "na"}
			if c.l.N > 0 {
				f = fact{Value: of(c.l)}
			}
			r.Cells = append(r.Cells, f)
		}
		s.Rows = append(s.Rows, r)
	}
	first := spreadRow{Label: "writes"}
	for i, c := range cols {
		f := fact{Value: grouped(c.l.N)}
		if c.l.N == 0 {
			f = fact{Value: unavailable, Class: "na"}
			a := &in.Collisions.Attributed
			if attributed(in) && (i == 0 && a.Direct == 0 || i == 1 && a.BufferedFallback == 0) {
				f = fact{Value: "0"}
			}
		}
		first.Cells = append(first.Cells, f)
	}
	s.Rows = append(s.Rows, first)
	row("min", func(l *verdict.Latency) string { return duration(l.Min) })
	for _, p := range shown {
		taken := func(c kind) bool {
			return slices.ContainsFunc(c.l.Percentiles, func(q verdict.Percentile) bool { return q.P == p })
		}
		if slices.ContainsFunc(cols, taken) {
			row(fmt.Sprintf("p%g", p), func(l *verdict.Latency) string { return quantile(l, p) })
		}
	}
	row("max", func(l *verdict.Latency) string { return duration(l.Max) })
	row("mean", func(l *verdict.Latency) string { return fraction(l.Mean) })
	row("stddev", func(l *verdict.Latency) string { return fraction(l.Stddev) })
	return s
}
