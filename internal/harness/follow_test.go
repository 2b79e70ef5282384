package harness

import (
	"slices"
	"testing"
)

func TestLook(t *testing.T) {
	for _, c := range []struct {
		name          string
		times, writes uint64
		want          bool
	}{
		{"twice in every write", 1000, 500, true},
		{"three times in two", 750, 500, true},
		{"once in every write", 500, 500, false},
		{"few, but the writes are slow", 10, 10, false},
		{"nothing", 0, 0, false},
	} {
		f := follower{}
		if f.look(1000, 500) {
			t.Errorf("%s: the first look counts from before the run", c.name)
		}
		got := false
		for i := range uint64(followFirst) {
			if got {
				t.Errorf("%s: exchanged after %d looks", c.name, i)
			}
			got = f.look(1000+(i+1)*c.times, 500+(i+1)*c.writes)
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestLookPutsOff: where exchanges do not help they become rare, and one that
// helps makes the next prompt again.
func TestLookPutsOff(t *testing.T) {
	f := follower{}
	times, writes := uint64(1), uint64(1)
	f.look(times, writes)
	look := func(crowded bool) bool {
		writes += 1000
		if crowded {
			times += 2000
		}
		return f.look(times, writes)
	}
	var at []int
	for i := range 400 {
		if look(true) {
			at = append(at, i)
		}
	}
	if want := []int{1, 5, 13, 29, 61, 125, 189, 253, 317, 381}; !slices.Equal(at, want) {
		t.Errorf("exchanged at looks %v, want %v", at, want)
	}
	if look(false) {
		t.Error("exchanged with nobody there")
	}
	for i := range followFirst {
		if got, want := look(true), i == followFirst-1; got != want {
			t.Errorf("after one that helped, look %d: %v, want %v", i, got, want)
		}
	}
}
