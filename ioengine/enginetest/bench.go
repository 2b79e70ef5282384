package enginetest

import (
	"errors"
	"runtime"
	"testing"

	"diostress/internal/need"
	"diostress/ioengine"
)

// Bench writes random 4 KiB blocks of a small file, b.N of them, keeping depth
// in flight: by SubmitReap where the engine has it and combined is set, else by
// Submit and Reap. It reports ops/s. name is what need.Skip reports where this
// machine cannot run the engine.
func Bench(b *testing.B, name string, open ioengine.Opener, depth int, combined bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const blocks = 16384
	k := &kit{dir: b.TempDir(), open: open, patience: -1}
	r, err := k.rig(depth, 1, blocks)
	if errors.Is(err, ioengine.ErrUnsupported) {
		need.Skip(b, name, err.Error())
	}
	if err != nil {
		b.Fatal(err)
	}
	both, ok := r.eng.(ioengine.SubmitReaper)
	if combined && !ok {
		b.Fatal("the engine has no combined call")
	}
	reqs := make([]ioengine.Request, 0, depth)
	for i := range depth {
		reqs = append(reqs, r.write(uint64(i), i, 0, i, uint64(i)))
	}
	all := append([]ioengine.Request(nil), reqs...)
	sent, done := 0, 0
	b.ReportAllocs()
	b.ResetTimer()
	for done < b.N {
		if left := b.N - sent; len(reqs) > left {
			reqs = reqs[:left]
		}
		s, n, err := 0, 0, error(nil)
		if combined {
			s, n, err = both.SubmitReap(reqs, r.cqes, 1, 0)
		} else {
			if len(reqs) > 0 {
				s, err = r.eng.Submit(reqs)
			}
			if err == nil {
				n, err = r.eng.Reap(r.cqes, 1, 0)
			}
		}
		if err != nil {
			b.Fatal(err)
		}
		sent += s
		reqs = reqs[:copy(reqs, reqs[s:])]
		for _, c := range r.cqes[:n] {
			if c.Res != blockSize {
				b.Fatalf("completion %+v", c)
			}
			q := all[c.Tag]
			q.Off = int64(r.rng.below(blocks)) * blockSize
			reqs = append(reqs, q)
		}
		done += n
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	if err := r.close(); err != nil {
		b.Fatal(err)
	}
}
