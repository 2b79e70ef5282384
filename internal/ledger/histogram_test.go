package ledger

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestHistogram(t *testing.T) {
	h := NewHistogram()
	if s := h.Sum(); s.N != 0 || s.Percentiles != nil || s.Bins != nil {
		t.Errorf("empty: %+v", s)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var all []int64
	var sum float64
	for range 100_000 {
		v := int64(math.Exp(rng.NormFloat64()*1.5 + 10))
		all = append(all, v)
		sum += float64(v)
		h.Record(v)
	}
	slices.Sort(all)
	s := h.Sum()
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > want/100+1 {
			t.Errorf("%s: %v, want %v to 1 %%", what, got, want)
		}
	}
	if s.N != uint64(len(all)) {
		t.Errorf("N %d", s.N)
	}
	near("min", float64(s.Min), float64(all[0]))
	near("max", float64(s.Max), float64(all[len(all)-1]))
	near("mean", s.Mean, sum/float64(len(all)))
	if len(s.Percentiles) != len(percentiles) {
		t.Errorf("%d percentiles", len(s.Percentiles))
	}
	for key, p := range map[string]float64{"50.000000": 0.5, "99.000000": 0.99, "99.990000": 0.9999} {
		near(key, float64(s.Percentiles[key]), float64(all[int(math.Ceil(p*float64(len(all))))-1]))
	}
	var n uint64
	last := int64(-1)
	for _, b := range s.Bins {
		if b.From >= b.To || b.From < last {
			t.Errorf("bin %+v after %d", b, last)
		}
		last = b.To
		n += b.N
	}
	if n != s.N {
		t.Errorf("%d in the bins, %d recorded", n, s.N)
	}
}

func TestHistogramBounds(t *testing.T) {
	h := NewHistogram()
	for _, v := range []int64{-1, 0, 1, 1 << 62, maxLatency, maxLatency + 1} {
		h.Record(v)
	}
	if s := h.Sum(); s.N != 6 || s.Min != 0 || s.Max != maxLatency {
		t.Errorf("%+v", s)
	}
	g := NewHistogram()
	g.Record(500)
	g.Merge(h)
	if s := g.Sum(); s.N != 7 {
		t.Errorf("merged: %d", s.N)
	}
	if s := g.Sum(); s.Min != 0 || s.Max != maxLatency {
		t.Errorf("merged: %+v", s)
	}
	g.Merge(NewHistogram())
	if s := g.Sum(); s.N != 7 || s.Min != 0 {
		t.Errorf("merged with nothing: %+v", s)
	}
	if n := testing.AllocsPerRun(100, func() { h.Record(12345) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestBuckets: every value falls into the bucket that says so, without gaps.
func TestBuckets(t *testing.T) {
	next := int64(0)
	for i := range buckets {
		from, width := lowest(i)
		if from != next {
			t.Fatalf("bucket %d begins at %d, want %d", i, from, next)
		}
		next = from + width
		for _, v := range []int64{from, from + width - 1} {
			if v <= maxLatency && bucketOf(uint64(v)) != i {
				t.Fatalf("%d is in bucket %d, want %d", v, bucketOf(uint64(v)), i)
			}
		}
	}
	if next <= maxLatency {
		t.Errorf("the buckets end at %d", next)
	}
}
