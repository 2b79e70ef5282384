package harness

import (
	"slices"
	"testing"

	"diostress/internal/plan"
)

func TestPlaces(t *testing.T) {
	all := usable()
	if len(all) == 0 || !slices.IsSorted(all) {
		t.Fatalf("usable processors: %v", all)
	}
	if p := newPlaces(&plan.Strategy{}); p.engines != nil || p.dirtiers != nil {
		t.Errorf("nothing asked for: %+v", p)
	}
	p := newPlaces(&plan.Strategy{Pin: true})
	switch {
	case len(all) < 2 && (p.engines != nil || p.dirtiers != nil):
		t.Errorf("one processor cannot be divided: %+v", p)
	case len(all) > 1 && !slices.Equal(append(slices.Clone(p.engines), p.dirtiers...), all):
		t.Errorf("pinned: %+v of %v", p, all)
	}
}
