package oracle

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"diostress/internal/ledger"
	"diostress/internal/verdict"
)

// runs turns the sums into the report's runs, one for every job. What belongs
// to all jobs together (fsync, data, kernel log, dirtiers) stands in the first.
func (j *Judge) runs(v verdict.Verdict) (out []verdict.Run) {
	for i := range j.t.Jobs {
		out = append(out, j.run(i, v))
	}
	if len(out) == 0 {
		return out
	}
	r := &out[0]
	r.Fsync = j.fsync()
	r.Data = j.dataSum()
	r.KernelLog = verdict.KernelLog{Available: j.h.Facts.Kmsg, OtherDevices: j.notes.n[otherDevice], Dropped: j.t.KmsgDropped,
		BudgetExhausted: j.h.Facts.BudgetSpent, TaintBefore: j.t.TaintBefore, TaintAfter: j.t.TaintAfter}
	r.KernelLog.Lines, r.KernelLog.TimesNS = j.kernelLines()
	for _, d := range j.t.Dirtiers {
		r.Dirtiers = append(r.Dirtiers, verdict.Dirtier{Kind: d.Kind, Count: d.Count, Operations: d.Operations, Overlaps: d.Overlaps, Targets: d.Targets, Faults: d.Faults, Errors: d.Errors})
	}
	if j.pressed() {
		r.Adequacy = j.pressure()
	}
	for _, s := range j.t.Series {
		r.Series = append(r.Series, verdict.Sample{TimeNS: s.TimeNS, Writes: s.Writes, Bytes: s.Bytes, Collisions: s.Collisions, FsyncEIO: s.FsyncEIO, MaxLatNS: s.MaxLatNS})
	}
	r.Offsets = j.t.Offsets
	return out
}

func (j *Judge) run(i int, v verdict.Verdict) verdict.Run {
	s := &j.t.Jobs[i]
	c := &s.Counts
	name := j.h.Run
	if len(j.t.Jobs) > 1 {
		name = fmt.Sprintf("%s.%d", j.h.Run, i)
	}
	r := verdict.Run{
		Name: name, IOEngine: j.h.Engine, Job: i, FSConfig: j.h.Facts.FSConfig, Scenario: j.h.Config.Scenario, Verdict: v, Cut: j.t.Cut, RuntimeNS: s.RunNS,
		IOBytes: c.Bytes, Submits: c.Submits, Reaps: c.Reaps, UserCPUNS: s.UserNS, SysCPUNS: s.SysNS,
		Profile: j.h.Config.Profile, BlockSize: j.h.Config.BS, FileSize: j.h.Config.Size, IODepth: j.h.Config.IODepth, RW: j.h.Config.RW,
		Completions: verdict.Completions{
			Submitted: c.Submitted, Completed: c.Completed, Full: c.Full, Short: c.Short, Zero: c.Zero, Overlong: c.Overlong,
			Failed: byName(c.Failed), Lost: c.Lost, Duplicate: c.Duplicate, Stray: c.Stray, Early: s.Attr.Early,
			LeakedErrno: byName(c.Leaked), NonzeroRes2: c.NonzeroRes2, BackPressure: c.BackPressure,
		},
		Latency: verdict.Latencies{Slat: latency(&s.Slat), Clat: latency(&s.Clat), Lat: latency(&s.Lat), Direct: latency(&s.LatDirect), Collided: latency(&s.LatCollide)},
		Retry: verdict.Retry{Limit: j.t.RetryWanted, Running: s.Attr.RetryRunning, Paused: s.Attr.RetryPaused, GaveUp: s.Attr.GaveUp,
			Permanent: s.Attr.Permanent, Unattributed: s.Attr.RetryUnknown},
	}
	r.Collisions = j.collisions(i)
	return r
}

func (j *Judge) collisions(i int) (c verdict.Collisions) {
	s := &j.t.Jobs[i]
	c.PreWrite = count(s.PreWrite)
	if j.mixed() && s.PreWrite.Known {
		c.PreWrite.Source += ", which fires for writeback errors too, and there were some"
	}
	c.PostWrite = j.postWrite(i)
	// What did not reach the recorder is not known either.
	known := min(s.Attr.Direct+s.Attr.Fallback, s.Counts.Completed)
	c.Attributed = verdict.Attributed{Direct: s.Attr.Direct, BufferedFallback: s.Attr.Fallback, Unknown: s.Counts.Completed - known}
	if s.RunNS > 0 {
		c.PerSecond = float64(c.PreWrite.Count) / (float64(s.RunNS) / 1e9)
	}
	if n := s.Counts.Completed; n > 0 {
		c.Fraction = float64(c.PreWrite.Count) / float64(n)
	}
	return c
}

// postWrite counts the post-write failures by the best source there is.
func (j *Judge) postWrite(i int) verdict.Count {
	post := j.t.Trace.PostWrite
	calls, told := j.errseq.audited()
	switch {
	case i > 0:
		return verdict.Count{Source: "counted with the first job", Fidelity: verdict.Unavailable}
	case post.Known:
		c := count(post)
		if !j.h.Facts.SoleDirect {
			c.Source += ", the whole machine's"
		}
		return c
	case calls > 0:
		return verdict.Count{Count: told, Source: "audit: the errseq of a witness after every reap", Fidelity: verdict.Exact}
	case j.errseq.calls > 0:
		return verdict.Count{Count: j.settleEIO().Invalidation, Source: "EIO at fsync (coalesces)", Fidelity: verdict.AtLeast}
	}
	return verdict.Count{Source: "no fsync was made", Fidelity: verdict.Unavailable}
}

func count(t ledger.TraceCount) verdict.Count {
	c := verdict.Count{Count: t.N, Source: t.Source, Fidelity: verdict.Exact}
	switch {
	case !t.Known:
		c.Fidelity, c.Source = verdict.Unavailable, strings.TrimPrefix(c.Source, "unavailable: ")
	case t.AtLeast:
		c.Fidelity = verdict.AtLeast
	}
	return c
}

func (j *Judge) fsync() verdict.Fsync {
	f := verdict.Fsync{Calls: max(j.t.Fsync.Calls, j.errseq.calls), EIO: max(j.t.Fsync.EIO, j.errseq.eio), Attributed: j.settleEIO(), Completion: j.completionEIO()}
	// Samples that were counted without being recorded one by one.
	if rest := f.EIO - j.errseq.eio; rest > 0 {
		f.Attributed.Ambiguous += rest
	}
	return f
}

func (j *Judge) dataSum() verdict.Data {
	d := j.data.sum
	d.Checked = j.h.Config.Verify == "full"
	d.Torn, d.LostWrite, d.Foreign, d.Poisoned = j.data.torn.n, j.data.control.n, j.data.foreign.n, j.data.poison.n
	d.Overlap = j.t.Overlaps
	d.ControlWrites = j.total(func(c *ledger.Counts) uint64 { return c.Control })
	d.CacheDropped = j.t.DropsProved
	return d
}

func byName(m map[int64]uint64) map[string]uint64 {
	out := map[string]uint64{}
	for e, n := range m {
		out[ErrnoName(e)] += n
	}
	return out
}

func latency(s *ledger.LatSum) verdict.Latency {
	l := verdict.Latency{Min: s.Min, Max: s.Max, Mean: s.Mean, Stddev: s.Stddev, N: s.N}
	for k, v := range s.Percentiles {
		if p, err := strconv.ParseFloat(k, 64); err == nil {
			l.Percentiles = append(l.Percentiles, verdict.Percentile{P: p, Value: v})
		}
	}
	slices.SortFunc(l.Percentiles, func(a, b verdict.Percentile) int {
		switch {
		case a.P < b.P:
			return -1
		case a.P > b.P:
			return 1
		}
		return 0
	})
	for _, b := range s.Bins {
		l.Bins = append(l.Bins, verdict.Bin{From: b.From, To: b.To, N: b.N})
	}
	return l
}
