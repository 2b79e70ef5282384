package ledger

import (
	"bufio"
	"io"
	"testing"
)

// BenchmarkAccount is what the ledger costs for each write: offered, accepted,
// completed, timed by three histograms.
func BenchmarkAccount(b *testing.B) {
	for _, x := range []struct {
		name  string
		depth int
		size  int64
	}{{"depth1", 1, 1 << 20}, {"depth32", 32, 1 << 20}, {"depth128of64GiB", 128, 64 << 30}} {
		b.Run(x.name, func(b *testing.B) {
			a := NewAccount(0, x.depth, testBS, []int64{x.size})
			a.NoLegal = x.size > 1<<30
			blocks := uint64(x.size / testBS)
			tags := make([]uint64, x.depth)
			var e Entry
			now, n := int64(1), uint64(0)
			b.ReportAllocs()
			for i := 0; i < b.N; i += x.depth {
				for s := range tags {
					n++
					// The multiplier spreads the blocks without two in flight at once.
					tags[s], _ = a.Offer(s, 0, int64(n*0x9E3779B1%blocks)*testBS, testBS, 0, false)
				}
				for s := range tags {
					a.Accepted(s, now, now+900)
				}
				for s, tag := range tags {
					now += 1500 + int64(n&1023)
					a.Complete(tag, testBS, 0, 0, now+int64(s)*100, &e)
				}
			}
			if a.C.Full != a.C.Submitted {
				b.Fatalf("%+v", a.C)
			}
			b.ReportMetric(float64(a.C.Completed)/b.Elapsed().Seconds()/1e6, "Mcompl/s")
		})
	}
}

func BenchmarkHistogram(b *testing.B) {
	h := NewHistogram()
	v := int64(1)
	for b.Loop() {
		v = v*1103515245 + 12345
		h.Record(v & 0xfffff)
	}
}

// BenchmarkAttributor is what --trace exact costs the recorder for each write
// with three records.
func BenchmarkAttributor(b *testing.B) {
	a := newAttr()
	b.ReportAllocs()
	t := int64(0)
	var e Entry
	evs := [3]KernelEvent{on(0, Begin, ring), on(0, Queued, ring), on(0, Complete, kw, testBS)}
	for b.Loop() {
		t += 100
		for i := range evs {
			evs[i].TimeNS = t + int64(i) + 1
			a.Event(&evs[i])
		}
		e = wrote(t, t+50, testBS)
		a.Entry(&e)
	}
}

func BenchmarkRing(b *testing.B) {
	r := NewRing(1024)
	var e Entry
	for b.Loop() {
		r.Push(&e)
		r.Peek()
		r.Drop()
	}
}

func BenchmarkLogEntry(b *testing.B) {
	l := &Log{w: bufio.NewWriterSize(io.Discard, 1<<18)}
	e := Entry{Gen: 123456, Off: 1 << 20, Len: 4096, Res: 4096, SubmitNS: 1 << 50, AcceptNS: 1<<50 + 900, ReapNS: 1<<50 + 9000, Slot: 17, Attr: Direct}
	b.ReportAllocs()
	for b.Loop() {
		l.Entry(&e)
	}
}
