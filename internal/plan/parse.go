package plan

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var sizeUnits = map[string]uint{
	"": 0, "b": 0,
	"k": 10, "kb": 10, "ki": 10, "kib": 10,
	"m": 20, "mb": 20, "mi": 20, "mib": 20,
	"g": 30, "gb": 30, "gi": 30, "gib": 30,
	"t": 40, "tb": 40, "ti": 40, "tib": 40,
}

// ParseSize reads a size in bytes: a whole number with an optional unit, in
// any case. All units are powers of 1024, Ki included (fio takes Ki for 1000).
func ParseSize(s string) (int64, error) {
	fail := func(why string) (int64, error) {
		return 0, fmt.Errorf("size %q: %s; valid: a whole number with an optional unit k, M, G or T (also KiB, MiB, ...; powers of 1024), such as 4k or 1m", s, why)
	}
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == 0 {
		return fail("does not start with a digit")
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	if err != nil {
		return fail("number too large")
	}
	shift, ok := sizeUnits[strings.ToLower(s[i:])]
	if !ok {
		return fail(fmt.Sprintf("unknown unit %q", s[i:]))
	}
	if n > math.MaxInt64>>shift {
		return fail("number too large")
	}
	return n << shift, nil
}

// FormatSize writes a size so that ParseSize reads it back.
func FormatSize(n int64) string {
	for _, u := range []struct {
		shift uint
		name  string
	}{{30, "g"}, {20, "m"}, {10, "k"}} {
		if n != 0 && n&(1<<u.shift-1) == 0 {
			return strconv.FormatInt(n>>u.shift, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

var timeUnits = map[string]time.Duration{
	"": time.Second, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second,
	"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
}

// ParseTime reads a time: a number (a fraction is allowed) with an optional
// unit us, ms, s, m, h or d; a bare number is seconds, as in fio.
func ParseTime(s string) (time.Duration, error) {
	fail := func(why string) (time.Duration, error) {
		return 0, fmt.Errorf("time %q: %s; valid: a number with an optional unit us, ms, s, m, h or d (a bare number is seconds), such as 30, 500ms or 2m", s, why)
	}
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
		i++
	}
	if i == 0 {
		return fail("does not start with a digit")
	}
	f, err := strconv.ParseFloat(s[:i], 64)
	if err != nil {
		return fail("not a number")
	}
	unit, ok := timeUnits[s[i:]]
	if !ok {
		return fail(fmt.Sprintf("unknown unit %q", s[i:]))
	}
	if f*float64(unit) > float64(math.MaxInt64/2) {
		return fail("too long")
	}
	return time.Duration(f * float64(unit)), nil
}

// FormatTime writes a time so that ParseTime reads it back.
func FormatTime(d time.Duration) string {
	switch {
	case d%time.Second == 0:
		return strconv.FormatInt(int64(d/time.Second), 10)
	case d%time.Millisecond == 0:
		return strconv.FormatInt(int64(d/time.Millisecond), 10) + "ms"
	}
	return strconv.FormatInt(int64(d/time.Microsecond), 10) + "us"
}

// OneOf returns an error that quotes an unknown value, proposes the nearest
// valid one and lists them all; nil if got is valid.
func OneOf(what, got string, valid []string) error {
	for _, v := range valid {
		if v == got {
			return nil
		}
	}
	msg := fmt.Sprintf("%s %q is not known", what, got)
	if n := Nearest(got, valid); n != "" {
		msg += fmt.Sprintf(" (did you mean %q?)", n)
	}
	return fmt.Errorf("%s; valid: %s", msg, strings.Join(valid, ", "))
}

// Nearest returns the valid word closest to got, or "" if none is close.
func Nearest(got string, valid []string) string {
	best, bestD := "", len(got)/2+1
	for _, v := range valid {
		if d := distance(strings.ToLower(got), strings.ToLower(v)); d < bestD {
			best, bestD = v, d
		}
	}
	return best
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diag, row[j] = row[j], min(row[j]+1, row[j-1]+1, diag+cost)
		}
	}
	return row[len(b)]
}
