package oracle

import (
	"testing"

	"diostress/internal/ledger"
	"diostress/internal/pattern"
)

func TestRuns(t *testing.T) {
	for _, x := range []struct {
		a, b []ledger.Span
		want int32
	}{
		{whole(1, 1), whole(1, 1), 0},
		{whole(1, 1), whole(1, 2), tWords},
		{words(stamped(3, 1, 1), stamped(5, 1, 2)), words(stamped(4, 1, 1), stamped(4, 1, 2)), 1},
		{raw(2, 7), raw(2, 7), 0},
		{raw(2, 7), words(stamped(2, 0, 7)), 2},
		{words(stamped(2, 1, 1)), words(stamped(4, 1, 1)), 2},
		{nil, words(stamped(4, 1, 1)), 4},
	} {
		if got := diff(keepRuns(nil, x.a), x.b); got != x.want {
			t.Errorf("%v and %v differ in %d words, want %d", x.a, x.b, got, x.want)
		}
	}
	// What is kept is bounded by its content, and memory is used again.
	big := make([]ledger.Span, 400)
	for i := range big {
		big[i] = stamped(1, 1, uint64(i))
	}
	kept := keepRuns(nil, big)
	if again := keepRuns(kept, big); &again[0] != &kept[0] {
		t.Error("allocated again")
	}
	if small := keepRuns(kept, whole(1, 1)); cap(small) > 100 {
		t.Errorf("%d runs held for one", cap(small))
	}
}

func TestRanges(t *testing.T) {
	r := ranges{}.join([]ledger.GenRange{{Writer: 9, First: 1, Last: 100}, {Writer: 9, First: 1, Last: 50}, {Writer: 10, First: 5, Last: 4}})
	r = r.join([]ledger.GenRange{{Writer: 9, First: 101, Last: 200}, {Writer: 9, First: 51, Last: 70}})
	if len(r) != 2 || r[0] != (ledger.GenRange{Writer: 9, First: 1, Last: 200}) {
		t.Errorf("%+v", r)
	}
	for s, want := range map[ledger.Stamp]bool{{Writer: 9, Gen: 1}: true, {Writer: 9, Gen: 200}: true, {Writer: 9, Gen: 201}: false, {Writer: 9, Gen: 0}: false, {Writer: 10, Gen: 5}: false} {
		if r.holds(s) != want {
			t.Errorf("%+v: %v", s, !want)
		}
	}
	// More generations than a word can count: any may be there.
	if all := (ranges{{Writer: 1, First: 5, Last: 5 + 2*pattern.MaxGen}}); !all.holds(ledger.Stamp{Writer: 1, Gen: 3}) {
		t.Error("a range that goes all the way round")
	}
}
