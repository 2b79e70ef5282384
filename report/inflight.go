package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"
)

// InFlight is one write in flight, as the dump on SIGUSR1 shows it.
type InFlight struct {
	Job    int
	Tag    uint64 // sqe.user_data or iocb.aio_data
	File   string
	Offset int64 // bytes
	Length int64 // bytes
	Try    int   // resubmissions of a collided write; 0: the first submission
	Age    time.Duration
}

const maxInFlight = 64

// InFlightTable writes the counters of a run and what it has in flight, the
// oldest first and at most 64 of them. rows keep their order.
func InFlightTable(w io.Writer, s Status, rows []InFlight) error {
	var t sheet
	t.line("%s: %s, %.1f s", clean(s.Run), clean(s.Engine), s.Elapsed.Seconds())
	t.whole("progress", join(s.brackets()))
	coll := unavailable
	if s.CollisionsKnown {
		coll = fmt.Sprintf("%d (%s/s)", s.Collisions, rate(finite(s.CollisionsPerSecond)))
	}
	t.row("counters", "%d submitted, %d completed, %d lost, %s written, collisions %s, %d EIO at fsync", s.Submitted, s.Completed, s.Lost,
		size(float64(s.Bytes)), coll, s.FsyncEIO)
	if len(rows) == 0 {
		t.row("in flight", "nothing")
		return t.flush(w)
	}
	t.row("in flight", "%d", len(rows))
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, func(a, b InFlight) int { return cmp.Compare(b.Age, a.Age) })
	cells := [][]string{{"tag", "age", "job", "file", "offset", "length", "try"}}
	for _, f := range sorted[:min(len(sorted), maxInFlight)] {
		cells = append(cells, []string{fmt.Sprintf("%#x", f.Tag), fmt.Sprintf("%.6f s", f.Age.Seconds()), fmt.Sprint(f.Job), path(f.File),
			fmt.Sprintf("%#x", f.Offset), fmt.Sprint(f.Length), fmt.Sprint(f.Try)})
	}
	t.table("  ", cells)
	if more := len(rows) - maxInFlight; more > 0 {
		t.line("  and %d more, none of them older", more)
	}
	return t.flush(w)
}
