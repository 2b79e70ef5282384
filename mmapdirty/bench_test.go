package mmapdirty

import (
	"testing"
	"time"
)

// BenchmarkStoreLoop is one look at the table, one store and the check after
// it, on a page that is dirty already.
func BenchmarkStoreLoop(b *testing.B) {
	for _, o := range []Order{Newest, Random} {
		b.Run(o.String(), func(b *testing.B) {
			f := newFile(b)
			tab := NewTable(32)
			for s := range 32 {
				tab.Begin(s, 0, int64(s%blocks)*blk, blk)
			}
			cfg := config("mmap", []File{f}, tab)
			cfg.Sets[0].Strategy.Order = o
			g := start(b, cfg)
			for ops(g) == 0 {
			}
			b.ResetTimer()
			for from := ops(g); ops(g) < from+uint64(b.N); {
				time.Sleep(50 * time.Microsecond)
			}
			b.StopTimer()
		})
	}
}

// BenchmarkPause is how long it takes to bring acting dirtiers to a standstill.
func BenchmarkPause(b *testing.B) {
	f := newFile(b)
	tab := NewTable(1)
	tab.Begin(0, 0, 0, blk)
	g := start(b, config("mmap=2", []File{f}, tab))
	var standing time.Duration
	for range b.N {
		gens := g.Writers()
		until(b, "both act", func() bool {
			now := g.Writers()
			return now[0].Gen > gens[0].Gen && now[1].Gen > gens[1].Gen
		})
		from := time.Now()
		if err := g.Pause(patient); err != nil {
			b.Fatal(err)
		}
		standing += time.Since(from)
		g.Resume()
	}
	b.ReportMetric(float64(standing.Nanoseconds())/float64(b.N), "ns/pause")
}

// BenchmarkCollide reports how many direct writes a second fail to invalidate,
// and their share of all, with the default sets.
func BenchmarkCollide(b *testing.B) {
	for _, spec := range []string{"mmap=1", "mmap=2", "mmap=2,write=1", "mmap=2,write=1,fsync=1"} {
		b.Run(spec, func(b *testing.B) {
			dir := mountExt4(b)
			f := fileOn(b, dir, 1<<20)
			fails := countFailures(b, f)
			s, err := ParseSpec(spec)
			if err != nil {
				b.Fatal(err)
			}
			const span = 300 * time.Millisecond
			var writes, failed uint64
			for range b.N {
				c := collide(b, fails, f, DefaultSets(s), 4096, 32, span)
				writes += c.writes
				failed += c.failed
			}
			b.ReportMetric(float64(failed)/(float64(b.N)*span.Seconds()), "failures/s")
			b.ReportMetric(float64(failed)/float64(writes), "failures/write")
		})
	}
}
