package ledger

import (
	"fmt"
	"math/bits"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histogram is a latency distribution, ns, to 0.8 %. It is used by one
// goroutine; memory is fixed, 36 KiB.
//
// It counts into the log-linear buckets that fio uses as well, which takes a
// third of the time of hdrhistogram's RecordValue, and folds them into an
// hdrhistogram for everything that is done once.
type Histogram struct {
	n        uint64
	sum      float64
	min, max int64
	counts   [buckets]uint64
}

const (
	maxLatency = int64(3600) * 1e9
	subBits    = 7 // 128 buckets an octave
	octaves    = 42 - subBits - 1
	buckets    = (octaves + 2) << subBits
)

// NewHistogram returns an empty histogram for 0 ns to one hour.
func NewHistogram() *Histogram { return &Histogram{} }

// bucketOf maps 0..maxLatency onto the buckets: values below 256 one by one,
// then 128 for each doubling.
func bucketOf(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// lowest returns the smallest value of a bucket, and how many values it holds.
func lowest(bucket int) (from, width int64) {
	if bucket < 2<<subBits {
		return int64(bucket), 1
	}
	shift := bucket>>subBits - 1
	return int64(bucket-shift<<subBits) << shift, 1 << shift
}

// Record enters a value; values beyond an hour count as an hour, values below
// 0 as 0.
func (h *Histogram) Record(ns int64) {
	ns = max(min(ns, maxLatency), 0)
	if h.n == 0 || ns < h.min {
		h.min = ns
	}
	if ns > h.max {
		h.max = ns
	}
	h.n++
	h.sum += float64(ns)
	h.counts[bucketOf(uint64(ns))]++
}

// Merge adds another histogram.
func (h *Histogram) Merge(o *Histogram) {
	if o.n == 0 {
		return
	}
	if h.n == 0 || o.min < h.min {
		h.min = o.min
	}
	h.max = max(h.max, o.max)
	h.n += o.n
	h.sum += o.sum
	for i, n := range o.counts {
		h.counts[i] += n
	}
}

var percentiles = [...]float64{1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99}

// Sum summarises the distribution with fio's default percentiles.
func (h *Histogram) Sum() LatSum {
	s := LatSum{N: h.n}
	if s.N == 0 {
		return s
	}
	fold := hdrhistogram.New(1, 2*maxLatency, 3)
	for i, n := range h.counts {
		if n > 0 {
			from, width := lowest(i)
			fold.RecordValues(from+width/2, int64(n)) // in range by construction
			s.bin(from, n)
		}
	}
	s.Min, s.Max, s.Mean, s.Stddev = h.min, h.max, h.sum/float64(h.n), fold.StdDev()
	s.Percentiles = map[string]int64{}
	for _, p := range percentiles {
		s.Percentiles[fmt.Sprintf("%f", p)] = min(max(fold.ValueAtPercentile(p), h.min), h.max)
	}
	return s
}

// bin adds a bucket that begins at from to the bins of half an octave, which
// are fine enough to draw. Buckets come in ascending order.
func (s *LatSum) bin(from int64, n uint64) {
	lo, hi := int64(0), int64(1)
	if top := bits.Len64(uint64(from)); top > 0 {
		lo, hi = 1<<(top-1), 1<<top
		if half := lo + lo/2; lo > 1 && from >= half {
			lo = half
		} else if lo > 1 {
			hi = half
		}
	}
	if i := len(s.Bins) - 1; i >= 0 && s.Bins[i].From == lo {
		s.Bins[i].N += n
		return
	}
	s.Bins = append(s.Bins, Bin{lo, hi, n})
}
