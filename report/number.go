package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"diostress/internal/verdict"
)

const unavailable = "unavailable"

// cutShort stands for a figure that only the end of a log tells.
const cutShort = "not known: the log was cut"

// counted writes a count with what its fidelity allows to say: a bare number
// for exact, ">= n" for a lower bound, "none seen" for one of 0, and never a number where nobody could
// look.
func counted(c verdict.Count) string {
	switch c.Fidelity {
	case verdict.Exact:
		return strconv.FormatUint(c.Count, 10)
	case verdict.AtLeast:
		if c.Count == 0 {
			return "none seen"
		}
		return fmt.Sprintf(">= %d", c.Count)
	}
	return unavailable
}

func known(c verdict.Count) bool {
	return c.Fidelity == verdict.Exact || c.Fidelity == verdict.AtLeast
}

// rate writes a number per second.
func rate(f float64) string {
	if a := math.Abs(f); a >= 99.95 || a == 0 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'f', 1, 64)
}

// perSecond divides by a run's length; a run of no length has no rate.
func perSecond(n uint64, ns int64) float64 {
	if ns <= 0 {
		return 0
	}
	return float64(n) / (float64(ns) / 1e9)
}

func percent(f float64) string { return strconv.FormatFloat(100*f, 'f', 1, 64) + " %" }

// size writes bytes in powers of 1024 with fio's units.
func size(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	u := 0
	for n >= 1024 && u < len(units)-1 {
		n, u = n/1024, u+1
	}
	if n == math.Trunc(n) {
		return strconv.FormatFloat(n, 'f', 0, 64) + " " + units[u]
	}
	return strconv.FormatFloat(n, 'f', 1, 64) + " " + units[u]
}

func seconds(ns int64) string { return strconv.FormatFloat(float64(ns)/1e9, 'f', 1, 64) + " s" }

// micros writes ns as microseconds.
func micros(ns int64) string {
	us := float64(ns) / 1e3
	switch {
	case us < 9.995:
		return strconv.FormatFloat(us, 'f', 2, 64)
	case us < 999.95:
		return strconv.FormatFloat(us, 'f', 1, 64)
	}
	return strconv.FormatFloat(us, 'f', 0, 64)
}

// percentile looks a point of a distribution up.
func percentile(l *verdict.Latency, p float64) (int64, bool) {
	for _, x := range l.Percentiles {
		if math.Abs(x.P-p) < 1e-9 {
			return x.Value, true
		}
	}
	return 0, false
}

// byName writes a map of counts, sorted by name; "none" for an empty one.
func byName(m map[string]uint64) string {
	parts := make([]string, 0, len(m))
	for k, n := range m {
		parts = append(parts, fmt.Sprintf("%s=%d", clean(k), n))
	}
	if len(parts) == 0 {
		return "none"
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// times returns when the invocation started and when it ended; false if the
// start is not the RFC 3339 that it has to be.
func times(r *verdict.Result) (start, end time.Time, ok bool) {
	start, err := time.Parse(time.RFC3339, r.StartTime)
	if err != nil {
		return start, start, false
	}
	return start, start.Add(time.Duration(r.ElapsedNS)), true
}
