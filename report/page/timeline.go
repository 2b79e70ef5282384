package page

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"diostress/internal/verdict"
)

// span is an interval of the series, its counts as they were.
type span struct {
	from, to float64 // seconds since the start of the run
	s        verdict.Sample
}

func (s *span) rate(n uint64) float64 { return math.Round(float64(n)/(s.to-s.from)*100) / 100 }

// spans turns samples into at most n intervals, adding neighbours up. A sample
// that does not end after the one before it cannot be a rate; its counts go to
// the next one.
func spans(in []verdict.Sample, n int) (out []span) {
	group := (len(in) + n - 1) / max(1, n)
	var cur span
	held := 0
	for i := range in {
		s := &in[i]
		cur.s.Writes += s.Writes
		cur.s.Bytes += s.Bytes
		cur.s.Collisions += s.Collisions
		cur.s.FsyncEIO += s.FsyncEIO
		cur.s.MaxLatNS = max(cur.s.MaxLatNS, s.MaxLatNS)
		held++
		end := float64(s.TimeNS) / 1e9
		if end <= cur.from || held < group && i < len(in)-1 {
			continue
		}
		cur.to = end
		out = append(out, cur)
		cur, held = span{from: end}, 0
	}
	return out
}

// live is the data of one chart, for the script. Y[i] is the value from T[i] to
// T[i+1].
type live struct {
	Group string    `json:"group"` // charts with the same one move their cursors together
	T     []float64 `json:"t"`     // seconds
	series
	Tips  []string  `json:"tips,omitempty"`  // one a value, beside it
	Marks []float64 `json:"marks,omitempty"` // seconds
}

// series holds values per second.
type series struct {
	Label string    `json:"label"`
	Class string    `json:"class"`
	Y     []float64 `json:"y"`
}

// interval is a row of the table beside the charts.
type interval struct{ Time, Writes, Bandwidth, Collisions, EIO, MaxLat string }

const (
	tableIntervals = 20
	maxMarks       = 100
)

// timeline makes the charts over time, one above the other with the same time
// axis and each with a scale of its own, and the table of the same.
func (r *run) timeline(d *document, samples int) {
	in := r.in
	iops := &plot{Frame: wide, Title: "Writes per second"}
	collided := &plot{Frame: wide, Title: "Pre-write failures per second"}
	eio := &plot{Frame: wide, Title: "fsync EIO per second"}
	all := spans(in.Series, samples)
	if len(all) == 0 {
		r.Over = []*plot{{Frame: wide, Title: "Writes and collisions over time", Missing: "unavailable: no time series was recorded"}}
		return
	}
	r.Over = []*plot{iops, collided, eio}
	canCollide, canSync := known(in.Collisions.PreWrite), in.Fsync.Calls > 0

	tips := make([]string, len(all))
	for i := range all {
		s := &all[i]
		tips[i] = size(uint64(s.rate(s.s.Bytes))) + "/s, slowest write " + duration(s.s.MaxLatNS)
	}
	r.draw(d, iops, all, series{Label: "writes", Class: "iops", Y: rates(all, func(s *verdict.Sample) uint64 { return s.Writes })}, tips)
	if canCollide {
		r.draw(d, collided, all, series{Label: "pre-write failures", Class: "collided", Y: rates(all, func(s *verdict.Sample) uint64 { return s.Collisions })}, nil)
		if in.Collisions.PreWrite.Fidelity == verdict.AtLeast {
			collided.Note = "at least: " + plain(in.Collisions.PreWrite.Source, 200)
		}
	} else {
		collided.Missing = "unavailable: " + cmp.Or(plain(in.Collisions.PreWrite.Source, 200), "nobody could look")
	}
	if canSync {
		r.draw(d, eio, all, series{Label: "fsync EIO", Class: "eio", Y: rates(all, func(s *verdict.Sample) uint64 { return s.FsyncEIO })}, nil)
	} else {
		eio.Missing = "unavailable: no fsync was called"
	}

	for _, s := range spans(in.Series, tableIntervals) {
		row := interval{
			Time: fmt.Sprintf("%.1f – %.1f", s.from, s.to), Writes: perSecond(s.rate(s.s.Writes)), Bandwidth: size(uint64(s.rate(s.s.Bytes))) + "/s",
			Collisions: unavailable, EIO: unavailable, MaxLat: duration(s.s.MaxLatNS),
		}
		if canCollide {
			row.Collisions = grouped(s.s.Collisions)
		}
		if canSync {
			row.EIO = grouped(s.s.FsyncEIO)
		}
		r.Intervals = append(r.Intervals, row)
	}
}

func rates(all []span, of func(*verdict.Sample) uint64) (out []float64) {
	for i := range all {
		out = append(out, all[i].rate(of(&all[i].s)))
	}
	return out
}

// draw fills p with the curve and enters the live data.
func (r *run) draw(d *document, p *plot, all []span, s series, tips []string) {
	xs := []float64{all[0].from}
	for i := range all {
		xs = append(xs, math.Round(all[i].to*1000)/1000)
	}
	x, xt := exact(xs[len(xs)-1], p.Frame.Left, p.Frame.Right, 12, func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) + " s" })
	y, yt := linear(slices.Max(s.Y), p.Frame.Bottom, p.Frame.Top, 4, short)
	p.XTicks, p.YTicks = xt, yt
	p.Curves = append(p.Curves, curve{s.Class, stairs(xs, s.Y, x, y)})
	l := live{Group: r.ID, T: xs, Tips: tips, series: s}
	for i, line := range r.Log.Lines {
		if !r.Log.Timed || i >= maxMarks {
			break
		}
		t := float64(r.in.KernelLog.TimesNS[i]) / 1e9
		if t < 0 || t > x.max {
			continue
		}
		l.Marks = append(l.Marks, math.Round(t*1e6)/1e6)
		p.Marks = append(p.Marks, bar{X: num(x.at(t)), Tip: fmt.Sprintf("%.3f s: %s", t, plain(line.Text, 200))})
	}
	if len(p.Marks) > 0 && p == r.Over[0] { // one legend for all
		p.Legend = append(p.Legend, key{"kernel", "kernel log line"})
	}
	d.Data = append(d.Data, l)
	p.Chart = len(d.Data)
}
