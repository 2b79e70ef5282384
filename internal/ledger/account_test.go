package ledger

import (
	"maps"
	"math/rand/v2"
	"testing"
)

const testBS = 4096

// newTest makes an account with depth slots and one file of 16 blocks.
func newTest(depth int) *Account { return NewAccount(3, depth, testBS, []int64{16 * testBS}) }

// submit offers a write from a slot and lets the engine take it.
func submit(a *Account, slot int, block int64) (tag, gen uint64) {
	tag, gen = a.Offer(slot, 0, block*testBS, testBS, 0, false)
	a.Accepted(slot, 100, 110)
	return tag, gen
}

func complete(a *Account, tag uint64, res int64) (Outcome, bool) {
	var e Entry
	_, o, matched := a.Complete(tag, res, 0, 0, 200, &e)
	return o, matched
}

func TestTag(t *testing.T) {
	for _, x := range []struct {
		slot int
		gen  uint64
	}{{0, 1}, {1, 0}, {65535, 1<<48 - 1}, {4095, 123456789012}} {
		if s, g := SplitTag(MakeTag(x.slot, x.gen)); s != x.slot || g != x.gen {
			t.Errorf("%+v came back as %d, %d", x, s, g)
		}
	}
}

func TestOutcomes(t *testing.T) {
	for name, x := range map[string]struct {
		res, res2 int64
		want      Outcome
		check     func(*Counts) bool
	}{
		"full":        {4096, 0, Full, func(c *Counts) bool { return c.Full == 1 && c.Bytes == 4096 }},
		"short":       {512, 0, Short, func(c *Counts) bool { return c.Short == 1 && c.Bytes == 512 }},
		"zero":        {0, 0, Zero, func(c *Counts) bool { return c.Zero == 1 && c.Bytes == 0 }},
		"overlong":    {8192, 0, Overlong, func(c *Counts) bool { return c.Overlong == 1 && c.Bytes == 0 }},
		"EIO":         {-5, 0, Failed, func(c *Counts) bool { return c.Failed[5] == 1 }},
		"EAGAIN":      {-11, 0, Failed, func(c *Counts) bool { return c.Failed[11] == 1 }},
		"last errno":  {-511, 0, Failed, func(c *Counts) bool { return c.Failed[511] == 1 }},
		"ENOTBLK":     {-15, 0, Leaked, func(c *Counts) bool { return c.Leaked[15] == 1 }},
		"ERESTARTSYS": {-512, 0, Leaked, func(c *Counts) bool { return c.Leaked[512] == 1 }},
		"EIOCBQUEUED": {-529, 0, Leaked, func(c *Counts) bool { return c.Leaked[529] == 1 }},
		"no errno":    {-1 << 63, 0, Leaked, func(c *Counts) bool { return len(c.Leaked) == 1 }},
		"res2":        {4096, -1, Full, func(c *Counts) bool { return c.Full == 1 && c.NonzeroRes2 == 1 }},
	} {
		a := newTest(4)
		tag, gen := submit(a, 2, 5)
		var e Entry
		s, o, matched := a.Complete(tag, x.res, x.res2, 7, 210, &e)
		if s != 2 || o != x.want || !matched || !x.check(&a.C) || a.C.Completed != 1 || a.Live() != 0 {
			t.Errorf("%s: slot %d, %v, matched %v, %+v", name, s, o, matched, a.C)
		}
		want := Entry{Gen: gen, Off: 5 * testBS, Res: x.res, Res2: x.res2, SubmitNS: 100, AcceptNS: 110, ReapNS: 210, Len: testBS, Flags: 7, Job: 3, Slot: 2}
		if e != want {
			t.Errorf("%s: entry %+v, want %+v", name, e, want)
		}
		if n := len(a.Unusual); (x.want != Full || x.res2 != 0) != (n == 1) {
			t.Errorf("%s: %d unusual", name, n)
		}
	}
}

func TestUnmatched(t *testing.T) {
	a := newTest(4)
	first, _ := submit(a, 0, 0)
	complete(a, first, testBS)
	second, _ := submit(a, 0, 1) // the same slot again
	third, gen3 := submit(a, 1, 2)
	refused, _ := a.Offer(2, 0, 3*testBS, testBS, 0, false)
	a.Withdraw(2)
	waiting, gen5 := a.Offer(3, 0, 4*testBS, testBS, 0, false) // offered, not yet accepted
	complete(a, third, testBS)

	for _, x := range []struct {
		name string
		tag  uint64
		want Outcome
	}{
		{"the slot's earlier generation", first, Duplicate},
		{"the slot is free again", third, Duplicate},
		{"refused by the engine", refused, Stray},
		{"offered, not accepted", waiting, Stray},
		{"a generation of another slot", MakeTag(2, gen3), Stray},
		{"a generation to come", MakeTag(0, gen5+1), Stray},
		{"no generation", MakeTag(0, 0), Stray},
		{"no such slot", MakeTag(9, 1), Stray},
		{"all bits flipped", ^second, Stray},
	} {
		dup, stray := a.C.Duplicate, a.C.Stray
		o, matched := complete(a, x.tag, testBS)
		if o != x.want || matched {
			t.Errorf("%s: %v, matched %v; want %v", x.name, o, matched, x.want)
		}
		if a.C.Duplicate-dup+a.C.Stray-stray != 1 {
			t.Errorf("%s: counted %d duplicates, %d strays", x.name, a.C.Duplicate-dup, a.C.Stray-stray)
		}
	}
	if o, matched := complete(a, second, testBS); o != Full || !matched {
		t.Errorf("the write in flight: %v, %v", o, matched)
	}
	if p := a.Close(); len(p) != 0 || a.C.Lost != 0 {
		t.Errorf("lost: %+v", p)
	}
}

// TestOldTags: a duplicate stays one after its generation was forgotten, and a
// stray is told from it as long as it was not.
func TestOldTags(t *testing.T) {
	a := newTest(2)
	old, _ := submit(a, 1, 0)
	complete(a, old, testBS)
	for range 2 * owners {
		tag, _ := submit(a, 0, 0)
		complete(a, tag, testBS)
		if a.LastGen() == owners {
			if o, _ := complete(a, MakeTag(0, 1), 1); o != Stray {
				t.Errorf("a generation of another slot, remembered: %v", o)
			}
		}
	}
	if o, _ := complete(a, old, testBS); o != Duplicate {
		t.Errorf("forgotten: %v", o)
	}
}

func TestLost(t *testing.T) {
	a := newTest(4)
	tag, _ := submit(a, 0, 0)
	_, gen := submit(a, 3, 7)
	a.Offer(1, 0, testBS, testBS, 0, false)
	complete(a, tag, testBS)
	p := a.Close()
	want := InFlight{Job: 3, Slot: 3, Gen: gen, Off: 7 * testBS, Len: testBS, SubmitNS: 100}
	if len(p) != 1 || p[0] != want || a.C.Lost != 1 || a.C.Submitted != 2 {
		t.Errorf("%+v, %+v", p, a.C)
	}
	if s := a.String(); s != "job 3: 2 submitted, 1 completed, 1 in flight" {
		t.Error(s)
	}
}

// TestExactlyOnce drives an account at random and holds it against a set of
// what is in flight.
func TestExactlyOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	a := newTest(8)
	flying := map[uint64]int{} // tag to slot
	var over []uint64
	var want Counts
	want.Failed, want.Leaked = map[int64]uint64{}, map[int64]uint64{}
	free := []int{0, 1, 2, 3, 4, 5, 6, 7}
	for range 200_000 {
		switch k := rng.IntN(10); {
		case k < 5 && len(free) > 0:
			s := free[len(free)-1]
			free = free[:len(free)-1]
			tag, _ := submit(a, s, rng.Int64N(16))
			if _, twice := flying[tag]; twice {
				t.Fatalf("tag %#x given twice", tag)
			}
			flying[tag] = s
			want.Submitted++
		case k < 9:
			for tag, s := range flying {
				o, matched := complete(a, tag, testBS)
				if !matched || o != Full {
					t.Fatalf("tag %#x: %v, %v", tag, o, matched)
				}
				delete(flying, tag)
				free = append(free, s)
				over = append(over, tag)
				want.Completed++
				want.Full++
				want.Bytes += testBS
				break
			}
		case len(over) > 0 && rng.IntN(2) == 0:
			if o, matched := complete(a, over[len(over)-1-rng.IntN(min(len(over), 100))], testBS); o != Duplicate || matched {
				t.Fatalf("duplicate: %v, %v", o, matched)
			}
			want.Duplicate++
		default:
			if o, matched := complete(a, rng.Uint64()|1<<63, testBS); o != Stray || matched {
				t.Fatalf("stray: %v, %v", o, matched)
			}
			want.Stray++
		}
		if a.Live() != len(flying) {
			t.Fatalf("%d in flight, want %d", a.Live(), len(flying))
		}
	}
	want.Lost = uint64(len(a.Close()))
	if !maps.Equal(a.C.Failed, want.Failed) || differ(&a.C, &want) != "" || int(want.Lost) != len(flying) {
		t.Errorf("%+v, want %+v", a.C, want)
	}
	if len(a.Unusual) > maxUnusualAll {
		t.Errorf("%d witnesses kept", len(a.Unusual))
	}
}

func TestWitnessesAreBounded(t *testing.T) {
	a := newTest(1)
	for i := range int64(100_000) {
		tag, _ := submit(a, 0, 0)
		complete(a, tag, -(1 + i%4095))
	}
	if n := len(a.Unusual); n != maxUnusualAll {
		t.Errorf("%d witnesses kept, want %d", n, maxUnusualAll)
	}
	b := newTest(1)
	for range 1000 {
		tag, _ := submit(b, 0, 0)
		complete(b, tag, -5)
	}
	if n := len(b.Unusual); n != maxUnusual {
		t.Errorf("%d witnesses of one result kept, want %d", n, maxUnusual)
	}
}

func TestAccountDoesNotAllocate(t *testing.T) {
	a := newTest(8)
	var e Entry
	round := func() {
		for s := range 8 {
			a.Offer(s, 0, int64(s)*testBS, testBS, 0, false)
			a.Accepted(s, 1, 2)
		}
		for s := range 8 {
			a.Complete(MakeTag(s, a.LastGen()-7+uint64(s)), testBS, 0, 0, 3000, &e)
		}
	}
	round()
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
	if a.C.Full != a.C.Submitted || a.C.Stray+a.C.Duplicate != 0 {
		t.Errorf("%+v", a.C)
	}
}
