package mmapdirty

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

func TestTableSlotIsOneCacheLine(t *testing.T) {
	if n := unsafe.Sizeof(slot{}); n != cacheLine {
		t.Errorf("a slot takes %d bytes, want %d", n, cacheLine)
	}
	tab := NewTable(100)
	if at := uintptr(unsafe.Pointer(&tab.slots[0])); at%cacheLine != 0 {
		t.Errorf("slots begin at %#x, not on a cache line", at)
	}
}

func TestTableOrders(t *testing.T) {
	for _, slots := range []int{1, 2, 63, 64, 65, 200, 1000} {
		tab := NewTable(slots)
		for _, o := range []Order{Newest, Random, Oldest} {
			if target, ok := tab.Pick(o, rand.Uint64()); ok {
				t.Errorf("%d slots, %v: picked %+v from an empty table", slots, o, target)
			}
		}
		// Submitted in a shuffled order, at most 64 so that the search is exact.
		order := rand.Perm(slots)[:min(slots, maxWalk)]
		for i, s := range order {
			tab.Begin(s, i, int64(s)*4096, 4096)
			if tab.InFlight() != i+1 {
				t.Fatalf("%d slots: %d in flight after %d", slots, tab.InFlight(), i+1)
			}
		}
		for i := 0; i < len(order); i++ { // ends the oldest each time
			newest := len(order) - 1
			for _, c := range []struct {
				o    Order
				want int
			}{{Newest, newest}, {Oldest, i}} {
				target, ok := tab.Pick(c.o, rand.Uint64())
				want := Target{Slot: order[c.want], File: c.want, Off: int64(order[c.want]) * 4096, Len: 4096, token: target.token}
				if !ok || target != want || !tab.Still(target) {
					t.Fatalf("%d slots, %v: got %+v %v, want %+v in flight", slots, c.o, target, ok, want)
				}
			}
			gone, _ := tab.Pick(Oldest, 0)
			tab.End(order[i])
			tab.End(order[i]) // twice changes nothing
			if tab.Still(gone) {
				t.Fatalf("%d slots: an ended write is still in flight", slots)
			}
		}
		if tab.InFlight() != 0 {
			t.Errorf("%d slots: %d in flight at the end", slots, tab.InFlight())
		}
	}
}

func TestTableNewestAfterItEnded(t *testing.T) {
	tab := NewTable(32)
	for s := range 32 {
		tab.Begin(s, 0, int64(s), 1)
	}
	for s := 31; s > 0; s-- {
		tab.End(s)
		if target, ok := tab.Pick(Newest, rand.Uint64()); !ok || target.Slot != s-1 {
			t.Fatalf("newest is slot %d %v, want %d", target.Slot, ok, s-1)
		}
	}
}

func TestTableReuseIsAnotherSubmission(t *testing.T) {
	tab := NewTable(1)
	tab.Begin(0, 0, 0, 4096)
	first, _ := tab.Pick(Newest, 0)
	tab.End(0)
	tab.Begin(0, 0, 0, 4096)
	if tab.Still(first) {
		t.Error("the same slot, file, offset and length pass for the submission before")
	}
	tab.Begin(0, 0, 0, 4096) // taken over without End
	second, _ := tab.Pick(Newest, 0)
	if !tab.Still(second) || tab.InFlight() != 1 {
		t.Errorf("still %v, %d in flight, want true and 1", tab.Still(second), tab.InFlight())
	}
}

func TestTableRandomReachesAll(t *testing.T) {
	tab := NewTable(130)
	for s := range 130 {
		tab.Begin(s, 0, int64(s), 1)
	}
	seen := map[int]int{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 130 * 100 {
		target, _ := tab.Pick(Random, r.Uint64())
		seen[target.Slot]++
	}
	for s := range 130 {
		if seen[s] < 40 || seen[s] > 200 {
			t.Errorf("slot %d picked %d times, want about 100", s, seen[s])
		}
	}
}

// Every field of a write is derived from one number, so that a mixture of two
// writes shows.
func TestTableConsistentUnderLoad(t *testing.T) {
	const slots, writers = 96, 3
	tab := NewTable(slots)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 7))
			for !stop.Load() {
				s := r.IntN(slots/writers)*writers + w // slots of its own
				n := r.IntN(1 << 20)
				tab.Begin(s, n&0xfff, int64(n)*512, n+1)
				tab.End(s)
			}
		})
	}
	var picked, ended atomic.Uint64
	for _, o := range []Order{Newest, Random, Oldest} {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(o), 9))
			for !stop.Load() {
				target, ok := tab.Pick(o, r.Uint64())
				if !ok {
					continue
				}
				n := target.Len - 1
				if target.File != n&0xfff || target.Off != int64(n)*512 {
					t.Errorf("%v: %+v mixes two writes", o, target)
					return
				}
				picked.Add(1)
				if !tab.Still(target) {
					ended.Add(1)
				}
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	stop.Store(true)
	wg.Wait()
	if picked.Load() == 0 || ended.Load() == 0 {
		t.Errorf("picked %d, of which %d ended meanwhile: the test saw no contention", picked.Load(), ended.Load())
	}
	if tab.InFlight() != 0 {
		t.Errorf("%d in flight at the end", tab.InFlight())
	}
}

func TestTableDoesNotAllocate(t *testing.T) {
	tab := NewTable(64)
	tab.Begin(3, 0, 0, 4096)
	for _, o := range []Order{Newest, Random, Oldest} {
		if n := testing.AllocsPerRun(1000, func() {
			tab.Begin(5, 0, 4096, 4096)
			target, _ := tab.Pick(o, 12345)
			tab.Still(target)
			tab.End(5)
		}); n != 0 {
			t.Errorf("%v: %v allocations a look", o, n)
		}
	}
}

func BenchmarkBeginEnd(b *testing.B) {
	tab := NewTable(32)
	for i := 0; b.Loop(); i++ {
		tab.Begin(i&31, 0, int64(i), 4096)
		tab.End(i & 31)
	}
}

func BenchmarkPick(b *testing.B) {
	for _, o := range []Order{Newest, Random, Oldest} {
		b.Run(o.String(), func(b *testing.B) {
			tab := NewTable(32)
			for s := range 32 {
				tab.Begin(s, 0, int64(s)*4096, 4096)
			}
			var r uint64
			for b.Loop() {
				r += 0x9e3779b97f4a7c15
				if target, ok := tab.Pick(o, r); !ok || !tab.Still(target) {
					b.Fatal("nothing found")
				}
			}
		})
	}
}
