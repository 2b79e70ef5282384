package page

import (
	"cmp"
	"fmt"
	"strconv"

	"diostress/internal/verdict"
)

// run is one run: its line in the table of all, and its section.
type run struct {
	N       int
	ID      string
	Name    string
	Verdict string
	Engine  string
	Config  string
	Work    string
	Cells   []fact // of the table
	Section bool   // it has one
	Cut     bool   // the log was: what only its end tells is not known

	Settings  []fact
	Adequacy  []fact
	Over      []*plot // time
	Intervals []interval
	Latency   *plot
	Spread    spread
	Where     *plot
	Tables    []facts
	Retry     retry
	Dirtiers  []dirtier
	Log       kernelLog
	Rules     []ruling // that are no plain pass
	Passed    []fact
	Shared    string // name of the run that holds what belongs to all jobs; "" for this one
	SharedID  string

	in  *verdict.Run
	res *verdict.Result
	x   index
}

func newRun(res *verdict.Result, x index, i int) *run {
	in := &res.Runs[i]
	r := &run{
		N: i, ID: anchor(i), Name: cmp.Or(plain(in.Name, 100), "run "+strconv.Itoa(i+1)), Verdict: in.Verdict.String(),
		Engine: plain(in.IOEngine, 40), Config: plain(in.FSConfig, 60), Cut: in.Cut, in: in, res: res, x: x,
	}
	r.Work = words(plain(in.RW, 40), size(uint64(max(0, in.BlockSize)))+" × "+strconv.Itoa(in.IODepth))
	if first, ok := x[base(in)]; ok && in.Job > 0 && first != i {
		r.Shared, r.SharedID = plain(res.Runs[first].Name, 100), anchor(first)
	}
	r.Cells = r.cells()
	return r
}

// order puts runs that need to be looked at first.
func (r *run) order() int { return rank[r.in.Verdict] }

// Columns are the figures of the table of all runs.
func (d *document) Columns() []string {
	return []string{"writes", "IOPS", "pre-write failures", "per s", "of writes", "post-write failures", "fsync EIO", "completed wrongly", "lat p50", "lat p99"}
}

func (r *run) cells() []fact {
	in := r.in
	c := &in.Collisions
	pre, per, part := count("", c.PreWrite), missing("", ""), missing("", "")
	if known(c.PreWrite) {
		least := ""
		if c.PreWrite.Fidelity == verdict.AtLeast {
			least = "≥ "
		}
		per, part = fact{Value: least + perSecond(c.PerSecond)}, fact{Value: least + percent(c.Fraction)}
	}
	sync := number("", in.Fsync.EIO)
	if in.Fsync.Calls == 0 {
		sync = missing("", "no fsync was called")
	}
	if r.Shared != "" {
		sync = missing("", "counted with "+r.Shared)
	}
	return []fact{
		number("", in.Completions.Completed), {Value: r.iops()}, pre, per, part, count("", c.PostWrite), sync,
		wrong("", misdeeds(&in.Completions)), {Value: quantile(&in.Latency.Lat, 50)}, {Value: quantile(&in.Latency.Lat, 99)},
	}
}

func (r *run) iops() string {
	if r.in.RuntimeNS <= 0 || r.in.Cut {
		return unknown
	}
	return perSecond(float64(r.in.Completions.Completed) / (float64(r.in.RuntimeNS) / 1e9))
}

// quantile looks a percentile up; it is unknown where it was not taken.
func quantile(l *verdict.Latency, p float64) string {
	for _, q := range l.Percentiles {
		if q.P == p && l.N > 0 {
			return duration(q.Value)
		}
	}
	return unknown
}

// fill makes the section: series of at most samples intervals.
func (r *run) fill(d *document, samples int) {
	in := r.in
	r.Settings = []fact{
		{Label: "engine", Value: r.Engine}, {Label: "rw", Value: plain(in.RW, 40)}, {Label: "bs", Value: size(uint64(max(0, in.BlockSize)))},
		{Label: "iodepth", Value: strconv.Itoa(in.IODepth)}, {Label: "size", Value: size(uint64(max(0, in.FileSize)))},
		{Label: "fs-config", Value: cmp.Or(r.Config, unknown)}, {Label: "job", Value: strconv.Itoa(in.Job)}, {Label: "runtime", Value: duration(in.RuntimeNS)},
	}
	if in.Cut {
		r.Settings[len(r.Settings)-1] = missing("runtime", cutShort)
	}
	if in.Profile != "" {
		r.Settings = append(r.Settings, fact{Label: "profile", Value: plain(in.Profile, maxText)})
	}
	if r.Shared == "" {
		r.Adequacy = pressure(in)
		r.Log = newKernelLog(&in.KernelLog)
		r.timeline(d, samples)
		r.Where = where(in)
		r.Dirtiers = dirtiers(in.Dirtiers)
	}
	r.Latency, r.Spread = latencyPlot(in), newSpread(in)
	r.Tables = r.tables()
	r.Retry = newRetry(&in.Retry)
	r.Rules, r.Passed = rulings(r.res, r.x, r.N)
}

func pressure(in *verdict.Run) []fact {
	a := &in.Adequacy
	if *a == (verdict.Adequacy{}) {
		return nil
	}
	out := []fact{{Label: "pressure required", Value: plain(a.Required, maxText)}, {Label: "reached", Value: plain(a.Reached, maxText)}}
	if in.Cut {
		return append(out, missing("enough", cutShort))
	}
	if a.Met {
		return append(out, fact{Label: "enough", Value: "yes", Class: "good"})
	}
	return append(out, fact{Label: "enough", Value: "no", Class: "bad"})
}

type dirtier struct {
	Kind, Count, Operations, Overlaps string
	Targets, Faults, Errors           fact
}

func dirtiers(in []verdict.Dirtier) (out []dirtier) {
	for i, d := range in {
		if i == maxList {
			break
		}
		targets := number("", d.Targets)
		if d.Targets == 0 && d.Overlaps > 0 {
			targets = missing("", "not counted")
		}
		out = append(out, dirtier{plain(d.Kind, 60), strconv.Itoa(d.Count), grouped(d.Operations), grouped(d.Overlaps), targets, number("", d.Faults), number("", d.Errors)})
	}
	return out
}

// retry is the histogram of tries.
type retry struct {
	Asked bool
	Rows  []retryRow
	Rest  []fact
}

type retryRow struct{ Try, Running, Paused string }

const maxTries = 24 // rows

func newRetry(in *verdict.Retry) retry {
	out := retry{Asked: in.Limit > 0 || len(in.Running) > 0 || len(in.Paused) > 0}
	if !out.Asked {
		return out
	}
	n := max(len(in.Running), len(in.Paused))
	at := func(l []uint64, i int) uint64 {
		if i < len(l) {
			return l[i]
		}
		return 0
	}
	hidden := 0
	for i := range n {
		a, b := at(in.Running, i), at(in.Paused, i)
		if n > maxTries && a == 0 && b == 0 {
			continue
		}
		if len(out.Rows) == maxTries {
			hidden++
			continue
		}
		row := retryRow{strconv.Itoa(i + 1), grouped(a), grouped(b)}
		out.Rows = append(out.Rows, row)
	}
	if hidden > 0 {
		out.Rows = append(out.Rows, retryRow{Try: fmt.Sprintf("… %d rows more", hidden)})
	}
	out.Rest = []fact{
		number(fmt.Sprintf("gave up after %d tries, dirtiers running", in.Limit), in.GaveUp),
		wrong("never went direct, dirtiers paused", in.Permanent),
		number("outcome not traced", in.Unattributed),
	}
	return out
}

// kernelLog is what the kernel said, and when.
type kernelLog struct {
	Available bool
	Timed     bool
	Lines     []logLine
	More      string
	Notes     []fact
}

type logLine struct{ Time, Text string }

func newKernelLog(in *verdict.KernelLog) kernelLog {
	out := kernelLog{Available: in.Available, Timed: len(in.TimesNS) == len(in.Lines) && len(in.Lines) > 0}
	for i, text := range in.Lines {
		if i == maxList {
			out.More = grouped(uint64(len(in.Lines) - i))
			break
		}
		l := logLine{Text: plain(text, maxText)}
		if out.Timed {
			l.Time = fmt.Sprintf("%.6f", float64(in.TimesNS[i])/1e9)
		}
		out.Lines = append(out.Lines, l)
	}
	if in.Dropped > 0 {
		out.Notes = append(out.Notes, fact{Label: "lines dropped unread", Value: grouped(in.Dropped), Class: "bad"})
	}
	if in.OtherDevices > 0 {
		out.Notes = append(out.Notes, fact{Label: "lines about other disks, not shown", Value: grouped(in.OtherDevices)})
	}
	if in.BudgetExhausted {
		out.Notes = append(out.Notes, fact{Label: "invalidation warning", Value: "used up: the kernel prints it ten times a day, so its silence says nothing", Class: "bad"})
	}
	if in.TaintBefore != in.TaintAfter {
		out.Notes = append(out.Notes, fact{Label: "taint changed", Value: taint(in.TaintBefore) + " → " + taint(in.TaintAfter), Class: "bad"})
	} else {
		out.Notes = append(out.Notes, fact{Label: "taint", Value: taint(in.TaintAfter)})
	}
	return out
}
