package report

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Status is a snapshot of a run for the live view. Rates are those of the last
// interval.
type Status struct {
	Run    string // name of the run, as in the report
	Engine string
	RW     string // randwrite or write

	Jobs     int
	Files    int // open, of all jobs
	Dirtiers int // threads

	Elapsed  time.Duration // of this run
	Fraction float64       // of it, 0..1; negative: not known
	ETA      time.Duration // until the end of the invocation; negative: not known

	BytesPerSecond float64
	IOPS           float64

	CollisionsKnown     bool // false: nobody could look, and the two counts below say nothing
	CollisionsPerSecond float64
	Collisions          uint64 // since the start of the run, like all that follows

	FsyncEIO  uint64
	Lost      uint64
	Submitted uint64
	Completed uint64
	Bytes     uint64

	Oldest time.Duration // age of the oldest write in flight; 0: nothing is in flight
}

// bracket is one part of the status line.
type bracket struct {
	text    string
	reserve int // width that the part gets in the layout, so that it stays while its numbers grow
	drop    int // the part with the highest goes first when there is no room
}

// StatusLine renders the live view in fio's manner, without a newline, padded
// to exactly width-1 columns: a terminal of width columns neither wraps nor
// keeps the end of the line before. Parts that have no room are left out, the
// least important first, and which ones depends on width alone as long as the
// numbers stay below their usual limits. A width of 0 or less is no limit, and
// nothing is padded.
func StatusLine(s Status, width int) string {
	parts := s.brackets()
	if width <= 0 {
		return join(parts)
	}
	limit := width - 1
	for room(parts, func(b bracket) int { return max(b.reserve, utf8.RuneCountInString(b.text)) }) > limit && len(parts) > 1 {
		last := 0
		for i := range parts {
			if parts[i].drop > parts[last].drop {
				last = i
			}
		}
		parts = append(parts[:last], parts[last+1:]...)
	}
	line := []rune(join(parts))
	if len(line) > limit {
		line = line[:limit]
	}
	return string(line) + strings.Repeat(" ", limit-len(line))
}

func room(parts []bracket, width func(bracket) int) (n int) {
	for _, p := range parts {
		n += width(p)
	}
	return n
}

func join(parts []bracket) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.text)
	}
	return b.String()
}

// brackets returns the parts in the order of the line. What a user waits for
// (how far, how many collisions, what went wrong) stays longest.
func (s *Status) brackets() []bracket {
	letter := "w"
	if s.RW == "write" {
		letter = "W"
	}
	pct := "[-.-%]"
	if s.Fraction >= 0 {
		pct = fmt.Sprintf("[%.1f%%]", 100*min(s.Fraction, 1))
	}
	coll := "[coll=?]"
	if s.CollisionsKnown {
		coll = fmt.Sprintf("[coll=%s/s]", short(s.CollisionsPerSecond))
	}
	return []bracket{
		{fmt.Sprintf("Jobs: %d (f=%d): ", s.Jobs, s.Files), 17, 8},
		{fmt.Sprintf("[%s]", brief(s.Run, 24)), 26, 9},
		{fmt.Sprintf("[%s(%d),D(%d)]", letter, s.Jobs, s.Dirtiers), 13, 7},
		{pct, 8, 0},
		{fmt.Sprintf("[w=%s/s]", speed(s.BytesPerSecond)), 14, 6},
		{fmt.Sprintf("[w=%s IOPS]", short(s.IOPS)), 14, 4},
		{coll, 14, 2},
		{fmt.Sprintf("[eio=%s lost=%d oldest=%s]", tight(s.FsyncEIO), s.Lost, age(s.Oldest)), 30, 1},
		{fmt.Sprintf("[eta %s]", clock(s.ETA)), 13, 3},
	}
}

// short writes a number in at most five characters: 9999, 12.3k, 4.56M.
func short(f float64) string {
	f = finite(f)
	if f < 9999.5 {
		return strconv.FormatFloat(math.Round(f), 'f', 0, 64)
	}
	for _, u := range []string{"k", "M", "G", "T", "P", "E"} {
		f /= 1000
		switch {
		case f < 9.995:
			return strconv.FormatFloat(f, 'f', 2, 64) + u
		case f < 99.95:
			return strconv.FormatFloat(f, 'f', 1, 64) + u
		case f < 999.5:
			return strconv.FormatFloat(f, 'f', 0, 64) + u
		}
	}
	return "huge"
}

// tight writes a count in at most four characters: 9999, 12k, 345M.
func tight(n uint64) string {
	for _, u := range []string{"", "k", "M", "G", "T", "P", "E"} {
		if n < 1000 || u == "" && n < 10000 {
			return strconv.FormatUint(n, 10) + u
		}
		n /= 1000
	}
	return "huge"
}

// speed writes bytes a second as fio does: 23.5MiB.
func speed(f float64) string {
	f = finite(f)
	for _, u := range []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"} {
		if f < 999.5 {
			if f < 99.95 && u != "B" {
				return strconv.FormatFloat(f, 'f', 1, 64) + u
			}
			return strconv.FormatFloat(f, 'f', 0, 64) + u
		}
		f /= 1024
	}
	return "huge"
}

// age writes a time in at most five characters, up to a year: 99.9s, 9999s, 8760h.
func age(d time.Duration) string {
	switch s := d.Seconds(); {
	case s < 99.95:
		return fmt.Sprintf("%.1fs", max(0, s))
	case s < 9999.5:
		return fmt.Sprintf("%.0fs", s)
	default:
		return fmt.Sprintf("%.0fh", s/3600)
	}
}

// clock writes a time to wait as fio does: 01m:31s, 02h:00m:05s.
func clock(d time.Duration) string {
	if d < 0 {
		return "--m:--s"
	}
	n := int64(d.Round(time.Second) / time.Second)
	days, hours := n/86400, n/3600%24
	s := fmt.Sprintf("%02dm:%02ds", n/60%60, n%60)
	switch {
	case days > 0:
		return fmt.Sprintf("%02dd:%02dh:%s", days, hours, s)
	case hours > 0:
		return fmt.Sprintf("%02dh:%s", hours, s)
	}
	return s
}

// statusRecord is the line of --status-interval. What is not known is null.
type statusRecord struct {
	Type           string       `json:"type"` // "status"
	Run            string       `json:"run"`
	Engine         string       `json:"ioengine"`
	Jobs           int          `json:"jobs"`
	Files          int          `json:"files"`
	Dirtiers       int          `json:"dirtiers"`
	ElapsedNS      int64        `json:"elapsed_ns"`
	Percent        *float64     `json:"percent"`
	ETANS          *int64       `json:"eta_ns"`
	BytesPerSecond float64      `json:"bw_bytes"`
	IOPS           float64      `json:"iops"`
	Collisions     *float64     `json:"collisions_per_second"`
	OldestNS       int64        `json:"oldest_in_flight_ns"`
	Totals         statusTotals `json:"totals"`
}

type statusTotals struct {
	Submitted  uint64  `json:"submitted"`
	Completed  uint64  `json:"completed"`
	Bytes      uint64  `json:"io_bytes"`
	Collisions *uint64 `json:"collisions"`
	FsyncEIO   uint64  `json:"fsync_eio"`
	Lost       uint64  `json:"lost"`
}

// StatusJSON renders the snapshot as one line of JSON, the newline included.
func StatusJSON(s Status) []byte {
	r := statusRecord{
		Type: "status", Run: s.Run, Engine: s.Engine, Jobs: s.Jobs, Files: s.Files, Dirtiers: s.Dirtiers, ElapsedNS: int64(s.Elapsed),
		BytesPerSecond: finite(s.BytesPerSecond), IOPS: finite(s.IOPS), OldestNS: int64(s.Oldest),
		Totals: statusTotals{Submitted: s.Submitted, Completed: s.Completed, Bytes: s.Bytes, FsyncEIO: s.FsyncEIO, Lost: s.Lost},
	}
	if s.Fraction >= 0 {
		p := 100 * min(s.Fraction, 1)
		r.Percent = &p
	}
	if s.ETA >= 0 {
		n := int64(s.ETA)
		r.ETANS = &n
	}
	if s.CollisionsKnown {
		p, n := finite(s.CollisionsPerSecond), s.Collisions
		r.Collisions, r.Totals.Collisions = &p, &n
	}
	b, err := json.Marshal(&r)
	if err != nil {
		// Every field is a string, a number or nil, and every float is finite.
		panic("report: status: " + err.Error())
	}
	return append(b, '\n')
}
