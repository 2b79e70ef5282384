package harness_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"diostress/internal/harness"
	"diostress/internal/ledger"
	"diostress/internal/plan"
	"diostress/ioengine/enginetest"
)

// lastTrailer keeps the trailer of a run.
type lastTrailer struct{ t *ledger.Trailer }

func (s *lastTrailer) Entry(*ledger.Entry) {}
func (s *lastTrailer) Record(r ledger.Record) {
	if t, ok := r.(*ledger.Trailer); ok {
		s.t = t
	}
}

// BenchmarkLoop is the whole loop on an engine that answers at once and does
// nothing: what dioStress itself costs for each write. A run has its price, so
// one operation of the benchmark is one run, and the figures are reported
// beside it.
func BenchmarkLoop(b *testing.B) {
	for _, entries := range []bool{false, true} {
		for _, both := range []bool{false, true} {
			for _, depth := range []int{1, 32} {
				b.Run(fmt.Sprintf("entries=%v/combined=%v/iodepth=%d", entries, both, depth), func(b *testing.B) {
					c := config(func(c *plan.Config) {
						p, _ := plan.FindProfile("bench")
						p.Apply(c)
						c.IODepth, c.Verify, c.Trace, c.Runtime, c.Epoch = depth, "none", "off", time.Second, time.Hour
					})
					var before, after runtime.MemStats
					sink := &lastTrailer{}
					dir := b.TempDir()
					var writes, allocs, ns float64
					for range b.N {
						s := setup(b, c, dir, enginetest.Fake(enginetest.Script{NoIO: true, SubmitReap: both}), sink)
						s.Entries = entries
						runtime.ReadMemStats(&before)
						if err := harness.Run(context.Background(), s); err != nil {
							b.Fatal(err)
						}
						runtime.ReadMemStats(&after)
						j := &sink.t.Jobs[0]
						writes += float64(j.Counts.Completed)
						ns += float64(j.UserNS + j.SysNS)
						allocs += float64(after.Mallocs - before.Mallocs)
					}
					b.ReportMetric(writes/float64(b.N), "writes/s")
					b.ReportMetric(ns/writes, "cpu-ns/write")
					b.ReportMetric(allocs/writes, "allocs/write")
				})
			}
		}
	}
}
