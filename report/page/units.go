package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// grouped writes 1234567 as 1,234,567.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// duration writes ns with three digits and a unit.
func duration(ns int64) string {
	f := float64(ns)
	a := math.Abs(f)
	switch {
	case a < 1e3:
		return strconv.FormatInt(ns, 10) + " ns"
	case a < 999.5e3:
		return digits(f/1e3) + " µs"
	case a < 999.5e6:
		return digits(f/1e6) + " ms"
	case a < 119.5e9:
		return digits(f/1e9) + " s"
	}
	s := int64(math.Round(f / 1e9))
	if s < 0 {
		return "-" + duration(-ns)
	}
	if s < 3600 {
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	}
	return fmt.Sprintf("%d h %02d min", s/3600, s/60%60)
}

// fraction writes a duration that was computed, ns.
func fraction(ns float64) string {
	if math.IsNaN(ns) || math.Abs(ns) > math.MaxInt64/2 {
		return unknown
	}
	return duration(int64(math.Round(ns)))
}

// round writes a round number of ns for an axis: 10 ms, not 10.0 ms.
func round(ns int64) string {
	value, unit, _ := strings.Cut(duration(ns), " ")
	if strings.Contains(value, ".") {
		value = strings.TrimRight(strings.TrimRight(value, "0"), ".")
	}
	return value + " " + unit
}

// digits writes f with three significant digits, never in exponents.
func digits(f float64) string {
	a := math.Abs(f)
	switch {
	case a >= 99.95:
		return strconv.FormatFloat(f, 'f', 0, 64)
	case a >= 9.995:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}

// size writes bytes in powers of 1024, whole where it is.
func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, u := float64(n), 0
	for f >= 1024 && u < len(units)-1 {
		f, u = f/1024, u+1
	}
	if f == math.Trunc(f) {
		return strconv.FormatFloat(f, 'f', 0, 64) + " " + units[u]
	}
	return digits(f) + " " + units[u]
}

// perSecond writes a rate: whole from ten on. Not-a-number comes from a run
// of no duration.
func perSecond(f float64) string {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0) || f < 0:
		return unknown
	case f >= 9.995 && f < 1<<63:
		return grouped(uint64(math.Round(f)))
	case f == 0:
		return "0"
	}
	return digits(f)
}

// percent writes a fraction of one.
func percent(f float64) string {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return unknown
	case f == 0:
		return "0 %"
	case f > 0 && f < 0.0001:
		return "< 0.01 %"
	}
	return digits(100*f) + " %"
}

// short writes a number for an axis: 1200 is 1.2k.
func short(f float64) string {
	unit := ""
	for _, u := range []string{"k", "M", "G", "T"} {
		if math.Abs(f) < 1000 {
			break
		}
		f, unit = f/1000, u
	}
	return strconv.FormatFloat(f, 'g', 4, 64) + unit
}

// plain makes text from outside fit for a page: valid UTF-8 of at most max
// bytes, with control and direction-changing characters written out, so that
// what is seen is what is there.
func plain(s string, max int) string {
	cut := len(s) > max
	if cut {
		for max > 0 && !utf8.RuneStart(s[max]) {
			max--
		}
	}
	var b strings.Builder
	for i, r := range s {
		if cut && i >= max {
			break
		}
		switch {
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r == utf8.RuneError || unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r):
			if _, n := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && n == 1 {
				fmt.Fprintf(&b, `\x%02x`, s[i])
			} else if r < 0x80 {
				fmt.Fprintf(&b, `\x%02x`, r)
			} else {
				fmt.Fprintf(&b, `\u%04x`, r)
			}
		default:
			b.WriteRune(r)
		}
	}
	if cut {
		fmt.Fprintf(&b, " … (%s bytes more)", grouped(uint64(len(s)-max)))
	}
	return b.String()
}

// taint writes the flags of a tainted kernel by their letters (kernel/panic.c,
// taint_flags, 6.18); bit 0 is P when set.
func taint(bits uint64) string {
	if bits == 0 {
		return "0 (not tainted)"
	}
	const letters = "PFSRMBUDAWCIOELKXTNJ"
	var b strings.Builder
	for i := range 64 {
		switch {
		case bits>>i&1 == 0:
		case i < len(letters):
			b.WriteByte(letters[i])
		default:
			fmt.Fprintf(&b, " bit %d", i)
		}
	}
	return fmt.Sprintf("%d (%s)", bits, strings.TrimSpace(b.String()))
}
