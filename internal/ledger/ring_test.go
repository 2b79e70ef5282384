package ledger

import (
	"runtime"
	"testing"
)

func TestRing(t *testing.T) {
	r := NewRing(5) // rounded up to 8
	if r.Peek() != nil {
		t.Fatal("not empty")
	}
	for i := range 10 {
		r.Push(&Entry{Gen: uint64(i)})
	}
	if r.Dropped() != 2 {
		t.Errorf("%d dropped, want 2", r.Dropped())
	}
	for i := range 8 {
		if e := r.Peek(); e == nil || e.Gen != uint64(i) {
			t.Fatalf("entry %d: %+v", i, e)
		}
		r.Drop()
	}
	if r.Peek() != nil {
		t.Error("not empty again")
	}
}

// TestRingBetweenThreads: nothing is lost, doubled or torn on the way.
func TestRingBetweenThreads(t *testing.T) {
	r := NewRing(64)
	const n = 100_000
	go func() {
		for i := range uint64(n) {
			for r.tail.Load()-r.head.Load() == uint64(len(r.buf)) {
				runtime.Gosched()
			}
			r.Push(&Entry{Gen: i, Off: int64(i), Res: int64(i), ReapNS: int64(i)})
		}
	}()
	for want := uint64(0); want < n; {
		e := r.Peek()
		if e == nil {
			runtime.Gosched()
			continue
		}
		if e.Gen != want || e.Off != int64(want) || e.Res != int64(want) || e.ReapNS != int64(want) {
			t.Fatalf("entry %d: %+v", want, e)
		}
		r.Drop()
		want++
	}
	if r.Dropped() != 0 {
		t.Errorf("%d dropped", r.Dropped())
	}
}
