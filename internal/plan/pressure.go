package plan

import (
	"fmt"
	"strings"
)

// Measure names what a run counts that shows how hard it pressed.
type Measure string

// The measures. A write is overlapped if an act of a dirtier began and ended
// while it was in flight, on its bytes; a hundred acts within one slow write
// are a hundred overlaps and one write overlapped. Acts that the kernel makes
// wait for writes in flight (truncate, punch) cannot overlap, and are counted as
// such.
const (
	Writes          Measure = "writes"     // that were completed
	Collisions      Measure = "collisions" // failed invalidations before a write, and after it where a probe counts this run's alone
	InvalidationEIO Measure = "EIOs of failed invalidations at fsync"
	Overlaps        Measure = "writes overlapped" // by one kind of dirtier, or by all that dirty
	OverlapActs     Measure = "overlaps"          // acts that did it, of all that dirty
	Acts            Measure = "acts"              // of one kind of dirtier, whether they overlapped or not
	FirstWrites     Measure = "first writes"      // to blocks that were a hole, unwritten or beyond the end
	Extensions      Measure = "extensions"        // writes that ended past the end of the file
	OnlineReads     Measure = "online reads"      // buffered reads of blocks just written
	UnmappedBuffers Measure = "buffers faulted"   // buffers that the kernel had to fault in
)

// Demand is a least value of a measure.
type Demand struct {
	Of   Measure
	Kind string // of dirtier, for Overlaps and Acts; "": every kind that dirties
	Min  uint64
}

// String reads "100 acts of truncate".
func (d Demand) String() string { return d.Count(d.Min) }

// Count says the same of a number that was reached.
func (d Demand) Count(n uint64) string {
	switch {
	case d.Kind != "" && d.Of == Overlaps:
		return fmt.Sprintf("%d %s by %s", n, d.Of, d.Kind)
	case d.Kind != "":
		return fmt.Sprintf("%d %s of %s", n, d.Of, d.Kind)
	}
	return fmt.Sprintf("%d %s", n, d.Of)
}

// Pressure is what a run must reach for its silence to mean anything: every
// row, by any one of its demands.
type Pressure [][]Demand

// String reads "100 collisions, else 1000 writes overlapped; and ...".
func (p Pressure) String() string {
	var rows []string
	for _, row := range p {
		var any []string
		for _, d := range row {
			any = append(any, d.String())
		}
		rows = append(rows, strings.Join(any, ", else "))
	}
	return strings.Join(rows, "; and ")
}

// Collide is the pressure of a run that names no scenario.
func Collide() Pressure {
	return Pressure{
		{{Of: Collisions, Min: 100}, {Of: OverlapActs, Min: 1000}},
		{{Of: Collisions, Min: 100}, {Of: Overlaps, Min: 50}},
	}
}

// collide is that of a scenario which is about each of its writes: so many of
// them, and so many of these overlapped where collisions cannot be counted. A
// scenario whose writes are slow overlaps few in a short run.
func collide(writes, overlapped uint64) Pressure {
	return Pressure{{{Of: Writes, Min: writes}}, {{Of: Collisions, Min: 100}, {Of: Overlaps, Min: overlapped}}}
}
