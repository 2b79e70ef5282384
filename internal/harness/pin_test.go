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
	if p := newPlaces(&plan.Strategy{}); p.engines != nil || p.dirtiers != nil || p.others != nil {
		t.Errorf("nothing asked for: %+v", p)
	}
	p := newPlaces(&plan.Strategy{Pack: true})
	if len(p.engines) != 1 || !slices.Equal(p.engines, p.dirtiers) || !slices.Equal(append(slices.Clone(p.engines), p.others...), all) {
		t.Errorf("packed: %+v of %v", p, all)
	}
	if p = newPlaces(&plan.Strategy{Pin: true}); len(all) > 1 && !slices.Equal(append(slices.Clone(p.engines), p.dirtiers...), all) {
		t.Errorf("pinned: %+v of %v", p, all)
	}
}
