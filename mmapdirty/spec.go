package mmapdirty

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxCount is the most dirtiers of one kind in a Spec.
const MaxCount = 64

// Spec says how many dirtiers of each kind to run. The zero value is "none".
// Specs are comparable with ==.
type Spec struct {
	n [numKinds]uint8
}

// ParseSpec reads "none" or a list such as "mmap=2,write=1,fsync". A kind
// without a count means one; counts are 1..MaxCount; a kind stands at most
// once. The error quotes the offending text and lists what is valid.
func ParseSpec(s string) (Spec, error) {
	var spec Spec
	if s == "none" {
		return spec, nil
	}
	if s == "" {
		return Spec{}, fmt.Errorf("empty list of dirtiers: give \"none\" or kinds with counts such as \"mmap=2,write=1\"; valid kinds: %s", validKinds())
	}
	for item := range strings.SplitSeq(s, ",") {
		name, count, counted := strings.Cut(item, "=")
		k, err := parseKind(name, s)
		if err != nil {
			return Spec{}, err
		}
		if spec.n[k] != 0 {
			return Spec{}, fmt.Errorf("dirtier %q stands twice in %q: give each kind once, with its count", name, s)
		}
		n := 1
		if counted {
			if n, err = parseCount(count, item); err != nil {
				return Spec{}, err
			}
		}
		spec.n[k] = uint8(n)
	}
	return spec, nil
}

func parseCount(count, item string) (int, error) {
	n, err := strconv.ParseUint(count, 10, 16)
	if err != nil || n < 1 || n > MaxCount {
		return 0, fmt.Errorf("bad count %q in %q: give a whole number from 1 to %d, or leave the kind out for none of it", count, item, MaxCount)
	}
	return int(n), nil
}

func parseKind(name, list string) (Kind, error) {
	for k := range Kind(numKinds) {
		if kindTable[k].name == name {
			return k, nil
		}
	}
	if name == "none" {
		return 0, fmt.Errorf("\"none\" in %q: it stands alone, without a count or other kinds", list)
	}
	if name == "" {
		return 0, fmt.Errorf("a kind of dirtier is missing in %q: valid kinds: %s", list, validKinds())
	}
	hint := ""
	if near := nearest(name); near != "" {
		hint = fmt.Sprintf(" Did you mean %q?", near)
	}
	return 0, fmt.Errorf("unknown kind of dirtier %q in %q: valid kinds: %s, or \"none\" alone.%s", name, list, validKinds(), hint)
}

func validKinds() string {
	names := make([]string, numKinds)
	for i, k := range kindTable {
		names[i] = k.name
	}
	return strings.Join(names, ", ")
}

// nearest returns the kind that name was probably meant to be, or "".
func nearest(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if len(name) > 32 {
		return ""
	}
	best, bestDist := "", 3
	for _, k := range kindTable {
		if d := distance(name, k.name); d < bestDist && d < len(name) {
			best, bestDist = k.name, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two short strings, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// With returns a copy of s that runs n dirtiers of kind k, n in 0..MaxCount.
// It panics on any other n and on an unknown kind.
func (s Spec) With(k Kind, n int) Spec {
	if n < 0 || n > MaxCount {
		panic(fmt.Sprintf("mmapdirty: Spec.With(%v, %d): count outside 0..%d", k, n, MaxCount))
	}
	s.n[k] = uint8(n)
	return s
}

// Count returns how many dirtiers of kind k to run.
func (s Spec) Count(k Kind) int { return int(s.n[k]) }

// Total returns how many dirtiers s asks for.
func (s Spec) Total() int {
	t := 0
	for _, n := range s.n {
		t += int(n)
	}
	return t
}

// String returns the canonical form, which ParseSpec reads back to the same
// Spec: "none", or every kind in the order of Kinds with its count.
func (s Spec) String() string {
	var b strings.Builder
	for k, n := range s.n {
		if n == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s=%d", Kind(k), n)
	}
	if b.Len() == 0 {
		return "none"
	}
	return b.String()
}
