package ledger

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// step is a write to block 0: offered from a slot, or completed with a result.
type step struct {
	slot int
	res  int64 // 0: offer
}

const full, short, eio = testBS, 512, -5

func legalGens(a *Account, block int64) (gens []uint64) {
	for _, s := range a.Legal(nil, 0, block*testBS, 0, 1) {
		if (s.Gen == 0) != (s.Writer == 0) {
			panic("wrong writer")
		}
		gens = append(gens, s.Gen)
	}
	return gens
}

func TestLegal(t *testing.T) {
	for _, x := range []struct {
		name  string
		steps []step
		want  []uint64
	}{
		{"nothing written", nil, []uint64{0}},
		{"in flight", []step{{0, 0}}, []uint64{0, 1}},
		{"written", []step{{0, 0}, {0, full}}, []uint64{1}},
		{"written twice", []step{{0, 0}, {0, full}, {0, 0}, {0, full}}, []uint64{2}},
		{"failed", []step{{0, 0}, {0, eio}}, []uint64{0, 1}},
		{"short", []step{{0, 0}, {0, short}}, []uint64{0, 1}},
		{"short, then written", []step{{0, 0}, {0, short}, {0, 0}, {0, full}}, []uint64{2}},
		{"written, then failed twice", []step{{0, 0}, {0, full}, {0, 0}, {0, eio}, {0, 0}, {0, eio}}, []uint64{1, 2, 3}},
		{"failed, next in flight", []step{{0, 0}, {0, eio}, {0, 0}}, []uint64{0, 1, 2}},
		{"overlapping, both written", []step{{0, 0}, {1, 0}, {0, full}, {1, full}}, []uint64{1, 2}},
		{"overlapping, the later ends first", []step{{0, 0}, {1, 0}, {1, full}, {0, full}}, []uint64{2, 1}},
		{"overlapping, one failed", []step{{0, 0}, {1, 0}, {0, eio}, {1, full}}, []uint64{1, 2}},
		{"overlapping, then written", []step{{0, 0}, {1, 0}, {0, full}, {1, full}, {0, 0}, {0, full}}, []uint64{3}},
		{"offered between", []step{{0, 0}, {1, 0}, {0, full}, {0, 0}, {0, full}, {1, full}}, []uint64{3, 2}},
	} {
		a := newTest(4)
		tags := map[int]uint64{}
		for _, s := range x.steps {
			if s.res == 0 {
				tags[s.slot], _ = submit(a, s.slot, 0)
			} else if o, ok := complete(a, tags[s.slot], s.res); !ok {
				t.Fatalf("%s: %v", x.name, o)
			}
		}
		if got := legalGens(a, 0); !slices.Equal(got, x.want) {
			t.Errorf("%s: legal %v, want %v", x.name, got, x.want)
		}
		if got := legalGens(a, 1); !slices.Equal(got, []uint64{0}) {
			t.Errorf("%s: another block: %v", x.name, got)
		}
	}
}

// TestLegalAgainstTheDefinition holds the sets against the definition: a write
// is gone exactly if another one that was offered after its reap completed in
// full.
func TestLegalAgainstTheDefinition(t *testing.T) {
	type write struct {
		gen, tag       uint64
		offered, ended int // step numbers; ended 0: in flight
		slot           int
		full           bool
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		a := newTest(4)
		history := []*write{{full: true, ended: 1, offered: 1}} // the prefill
		free := []int{0, 1, 2, 3}
		var live []*write
		for n := 2; n < 80; n++ {
			if k := rng.IntN(2); k == 0 && len(free) > 0 {
				w := &write{slot: free[0], offered: n}
				free = free[1:]
				w.tag, w.gen = submit(a, w.slot, 0)
				history, live = append(history, w), append(live, w)
			} else if len(live) > 0 {
				i := rng.IntN(len(live))
				w := live[i]
				live = slices.Delete(live, i, i+1)
				res := []int64{full, full, short, eio}[rng.IntN(4)]
				w.ended, w.full = n, res == full
				complete(a, w.tag, res)
				free = append(free, w.slot)
			}
			var want []uint64
			for _, w := range history {
				gone := slices.ContainsFunc(history, func(o *write) bool { return o.full && o.ended > 0 && w.ended > 0 && w.ended < o.offered })
				if !gone {
					want = append(want, w.gen)
				}
			}
			got := legalGens(a, 0)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("step %d: legal %v, want %v", n, got, want)
			}
		}
	}
}

// TestLegalIsBounded: a device that fails every write does not fill the memory,
// and what is forgotten counts as legal.
func TestLegalIsBounded(t *testing.T) {
	a := newTest(1)
	for range 10_000 {
		tag, _ := submit(a, 0, 0)
		complete(a, tag, eio)
	}
	got := legalGens(a, 0)
	if len(got) > maxCandidates+1 || !slices.Contains(got, 0) || !slices.Contains(got, AnyGen) {
		t.Fatalf("legal %v", got)
	}
	tag, gen := submit(a, 0, 0)
	complete(a, tag, full)
	if got := legalGens(a, 0); !slices.Equal(got, []uint64{gen}) {
		t.Errorf("after a full write: %v", got)
	}
}

func TestNoLegal(t *testing.T) {
	a := newTest(1)
	a.NoLegal = true
	tag, _ := submit(a, 0, 0)
	complete(a, tag, full)
	if got := legalGens(a, 0); !slices.Contains(got, AnyGen) || a.shadow[0].last != nil {
		t.Errorf("legal %v", got)
	}
}

func TestBusy(t *testing.T) {
	a := newTest(4)
	if a.Busy(0, 0) {
		t.Error("busy before the first write")
	}
	first, _ := submit(a, 0, 3)
	second, _ := submit(a, 1, 3)
	a.Offer(2, 0, 4*testBS, testBS, 0, false)
	if !a.Busy(0, 3*testBS) || !a.Busy(0, 4*testBS) || a.Busy(0, 5*testBS) {
		t.Error("busy: wrong blocks")
	}
	a.Withdraw(2)
	complete(a, first, full)
	if !a.Busy(0, 3*testBS) || a.Busy(0, 4*testBS) {
		t.Error("busy: after one of two")
	}
	complete(a, second, full)
	if a.Busy(0, 3*testBS) {
		t.Error("busy: after both")
	}
}

// TestAccountOfAHugeFile: what is kept of the writes in flight does not grow
// with the file.
func TestAccountOfAHugeFile(t *testing.T) {
	const blocks = 1 << 28 // 1 TiB
	a := NewAccount(0, 64, testBS, []int64{blocks * testBS})
	a.NoLegal = true
	rng := rand.New(rand.NewPCG(5, 6))
	var tags []uint64
	for i := range 100_000 {
		s := i % 64
		if len(tags) == 64 {
			complete(a, tags[s], full)
		}
		tag, _ := a.Offer(s, 0, rng.Int64N(blocks)*testBS, testBS, 0, false)
		a.Accepted(s, 1, 2)
		if len(tags) < 64 {
			tags = append(tags, tag)
		}
		tags[s] = tag
	}
	n := 0
	for p := a.shadow[0].live.free; p != nil; p = p.next {
		n++
	}
	for _, p := range a.shadow[0].live.pages {
		if p != nil {
			n++
		}
	}
	if n > 65 {
		t.Errorf("%d pages for 64 writes in flight", n)
	}
}

func TestRenew(t *testing.T) {
	a := newTest(4)
	tag, _ := submit(a, 0, 0)
	complete(a, tag, full)
	tag, _ = submit(a, 0, 1)
	complete(a, tag, eio)
	for block, want := range [][]uint64{{1}, {0, 2}} {
		if got := legalGens(a, int64(block)); !slices.Equal(got, want) {
			t.Fatalf("block %d: legal %v, want %v", block, got, want)
		}
	}
	a.Renew(0)
	for block := range int64(2) {
		if got := legalGens(a, block); !slices.Equal(got, []uint64{0}) {
			t.Errorf("block %d: legal %v after the file was laid out anew, want the prefill", block, got)
		}
	}
	tag, _ = submit(a, 0, 0)
	complete(a, tag, full)
	if got := legalGens(a, 0); !slices.Equal(got, []uint64{3}) {
		t.Errorf("legal %v, want the write after that", got)
	}
}
