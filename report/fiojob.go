package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"diostress/internal/verdict"
)

// fioJob is one entry of fio's jobs[].
type fioJob struct {
	Name       string            `json:"jobname"`
	Group      int               `json:"groupid"`
	Error      int               `json:"error"` // 0: as fio with continue_on_error, which total_err then goes with
	ETA        int64             `json:"eta"`
	Elapsed    int64             `json:"elapsed"` // seconds, rounded up
	Options    map[string]string `json:"job options"`
	Read       fioDirection      `json:"read"`
	Write      fioDirection      `json:"write"`
	Trim       fioDirection      `json:"trim"`
	Sync       fioSync           `json:"sync"`
	JobRuntime int64             `json:"job_runtime"` // ms
	UserCPU    float64           `json:"usr_cpu"`     // per cent
	SysCPU     float64           `json:"sys_cpu"`
	TotalErr   uint64            `json:"total_err"`
}

// fioDirection is what a job did in one direction.
type fioDirection struct {
	IOBytes  uint64  `json:"io_bytes"`
	IOKBytes uint64  `json:"io_kbytes"`
	BWBytes  uint64  `json:"bw_bytes"` // a second
	BW       uint64  `json:"bw"`       // KiB a second
	IOPS     float64 `json:"iops"`
	Runtime  int64   `json:"runtime"` // ms
	TotalIOs uint64  `json:"total_ios"`
	ShortIOs uint64  `json:"short_ios"`
	DropIOs  uint64  `json:"drop_ios"`
	Slat     fioLat  `json:"slat_ns"`
	Clat     fioLat  `json:"clat_ns"`
	Lat      fioLat  `json:"lat_ns"`
	Direct   *fioLat `json:"lat_direct_ns,omitempty"`   // ours: of the writes that went direct
	Collided *fioLat `json:"lat_collided_ns,omitempty"` // ours: of those that fell back
	fioSpread
}

// fioSpread is how rates varied over the samples of the time series; no sample,
// no rates, and fio's readers look at the number of samples.
type fioSpread struct {
	BWMin       uint64  `json:"bw_min"` // KiB a second
	BWMax       uint64  `json:"bw_max"`
	BWAgg       float64 `json:"bw_agg"` // this job's share of all jobs' bandwidth, per cent
	BWMean      float64 `json:"bw_mean"`
	BWDev       float64 `json:"bw_dev"`
	BWSamples   int     `json:"bw_samples"`
	IOPSMin     uint64  `json:"iops_min"`
	IOPSMax     uint64  `json:"iops_max"`
	IOPSMean    float64 `json:"iops_mean"`
	IOPSStddev  float64 `json:"iops_stddev"`
	IOPSSamples int     `json:"iops_samples"`
}

type fioSync struct {
	TotalIOs uint64 `json:"total_ios"`
	Lat      fioLat `json:"lat_ns"`
}

// fioLat is one distribution, ns. N is 0 where it is not known: a call that
// submits and waits in one has no submission latency of its own.
type fioLat struct {
	Min        int64   `json:"min"`
	Max        int64   `json:"max"`
	Mean       float64 `json:"mean"`
	Stddev     float64 `json:"stddev"`
	N          uint64  `json:"N"`
	Percentile ordered `json:"percentile,omitempty"`
	Bins       ordered `json:"bins,omitempty"`
}

// ordered is a JSON object whose members keep their order.
type ordered []member

type member struct {
	key   string
	value int64
}

// MarshalJSON writes the members in order.
func (o ordered) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%d", m.key, m.value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

var _ json.Marshaler = ordered(nil)

// jobOf translates a run. The time series is of all jobs together, so it says
// something about a job only where there is one.
func jobOf(u *verdict.Run, alone bool) fioJob {
	ms := u.RuntimeNS / 1e6
	j := fioJob{
		Name:    u.Name,
		Elapsed: (u.RuntimeNS + 1e9 - 1) / 1e9,
		Options: map[string]string{
			"name": u.Name, "ioengine": u.IOEngine, "rw": u.RW, "bs": strconv.Itoa(u.BlockSize), "size": strconv.FormatInt(u.FileSize, 10),
			"iodepth": strconv.Itoa(u.IODepth), "direct": "1", "continue_on_error": "all",
		},
		JobRuntime: ms,
		Write: fioDirection{
			IOBytes: u.IOBytes, IOKBytes: u.IOBytes / 1024, Runtime: ms, TotalIOs: u.Completions.Completed, ShortIOs: u.Completions.Short,
			IOPS: perSecond(u.Completions.Completed, u.RuntimeNS), Slat: latOf(&u.Latency.Slat), Clat: latOf(&u.Latency.Clat), Lat: latOf(&u.Latency.Lat),
		},
		Sync: fioSync{TotalIOs: u.Fsync.Calls},
	}
	w := &j.Write
	w.BWBytes = uint64(perSecond(u.IOBytes, u.RuntimeNS))
	w.BW = w.BWBytes / 1024
	if u.RuntimeNS > 0 {
		j.UserCPU = 100 * float64(u.UserCPUNS) / float64(u.RuntimeNS)
		j.SysCPU = 100 * float64(u.SysCPUNS) / float64(u.RuntimeNS)
	}
	for _, n := range u.Completions.Failed {
		j.TotalErr += n
	}
	for _, n := range u.Completions.LeakedErrno {
		j.TotalErr += n
	}
	if l := latOf(&u.Latency.Direct); l.N > 0 {
		w.Direct = &l
	}
	if l := latOf(&u.Latency.Collided); l.N > 0 {
		w.Collided = &l
	}
	if alone {
		w.fioSpread = spreadOf(u.Series)
	}
	return j
}

// maxBin is the last bin of fio's own histogram, ns; its converters look for
// no bin beyond.
const maxBin = 17112760320

func latOf(l *verdict.Latency) fioLat {
	f := fioLat{Min: l.Min, Max: l.Max, Mean: finite(l.Mean), Stddev: finite(l.Stddev), N: l.N}
	for _, p := range l.Percentiles {
		f.Percentile = append(f.Percentile, member{strconv.FormatFloat(finite(p.P), 'f', 6, 64), p.Value})
	}
	bins := map[int64]uint64{}
	for _, b := range l.Bins {
		bins[min(b.From, maxBin)] += b.N
	}
	for from, n := range bins {
		f.Bins = append(f.Bins, member{strconv.FormatInt(from, 10), int64(min(n, math.MaxInt64))})
	}
	slices.SortFunc(f.Bins, func(a, b member) int {
		return cmp.Or(cmp.Compare(len(a.key), len(b.key)), cmp.Compare(a.key, b.key))
	})
	return f
}

// spreadOf sums up the rates of the samples.
func spreadOf(series []verdict.Sample) (s fioSpread) {
	var bw, iops []float64
	last := int64(0)
	for _, x := range series {
		if d := x.TimeNS - last; d > 0 {
			bw = append(bw, perSecond(x.Bytes, d)/1024)
			iops = append(iops, perSecond(x.Writes, d))
		}
		last = x.TimeNS
	}
	if len(bw) == 0 {
		return s
	}
	s.BWSamples, s.IOPSSamples, s.BWAgg = len(bw), len(iops), 100
	s.BWMean, s.BWDev = meanDev(bw)
	s.IOPSMean, s.IOPSStddev = meanDev(iops)
	s.BWMin, s.BWMax = uint64(slices.Min(bw)), uint64(slices.Max(bw))
	s.IOPSMin, s.IOPSMax = uint64(slices.Min(iops)), uint64(slices.Max(iops))
	return s
}

func meanDev(x []float64) (mean, dev float64) {
	for _, v := range x {
		mean += v
	}
	mean /= float64(len(x))
	for _, v := range x {
		dev += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(dev / float64(len(x)))
}
