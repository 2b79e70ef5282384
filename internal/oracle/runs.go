package oracle

import (
	"diostress/internal/ledger"
	"diostress/internal/pattern"
)

// A block is kept as the runs of its words: 16 bytes for each change of stamp,
// so that what is kept of a file is bounded by twice its size.
type blockRun struct {
	words   int32
	genuine bool
	v       uint64 // the packed stamp, or the word as found
}

func packStamp(s ledger.Stamp) uint64 { return s.Gen<<8 | uint64(s.Writer) }

func runOf(s *ledger.Span) blockRun {
	if s.OK {
		return blockRun{s.Words, true, packStamp(s.By)}
	}
	return blockRun{s.Words, false, s.Raw}
}

// keepRuns copies spans into dst, whose memory it uses again unless that is far
// too large.
func keepRuns(dst []blockRun, spans []ledger.Span) []blockRun {
	if cap(dst) > 4*len(spans)+8 {
		dst = make([]blockRun, 0, len(spans))
	}
	dst = dst[:0]
	for i := range spans {
		dst = append(dst, runOf(&spans[i]))
	}
	return dst
}

// cursor walks the runs of a block in step with its spans.
type cursor struct {
	runs []blockRun
	i    int
	used int32
}

// matches consumes as many words as s has and says whether all of them are the
// same as those of s.
func (c *cursor) matches(s *ledger.Span) bool {
	want := runOf(s)
	same := true
	for left := s.Words; left > 0; {
		if c.i >= len(c.runs) {
			return false
		}
		b := &c.runs[c.i]
		n := min(left, b.words-c.used)
		same = same && b.genuine == want.genuine && b.v == want.v
		left -= n
		if c.used += n; c.used == b.words {
			c.i, c.used = c.i+1, 0
		}
	}
	return same
}

// diff counts the words in which a block differs from what was kept of it.
func diff(kept []blockRun, spans []ledger.Span) (words int32) {
	c := cursor{runs: kept}
	for i := range spans {
		s := spans[i]
		// Run by run, so that one word's difference is one word.
		for s.Words > 0 {
			piece := s
			if c.i < len(c.runs) {
				piece.Words = min(s.Words, c.runs[c.i].words-c.used)
			}
			if !c.matches(&piece) {
				words += piece.Words
			}
			s.Words -= piece.Words
		}
	}
	return words
}

// ranges are the generations that writers may have written.
type ranges []ledger.GenRange

// holds says whether a stamp lies in the ranges. Words carry generations modulo
// MaxGen+1, the account does not.
func (r ranges) holds(s ledger.Stamp) bool {
	for i := range r {
		if x := &r[i]; x.Writer == s.Writer && x.First <= x.Last && (s.Gen-x.First)&pattern.MaxGen <= x.Last-x.First {
			return true
		}
	}
	return false
}

// join adds ranges, growing those it can: writers count on, so one stays one.
func (r ranges) join(more []ledger.GenRange) ranges {
	for _, m := range more {
		grown := false
		for i := range r {
			x := &r[i]
			if x.Writer == m.Writer && m.First <= x.Last+1 && m.Last+1 >= x.First {
				x.First, x.Last, grown = min(x.First, m.First), max(x.Last, m.Last), true
				break
			}
		}
		if !grown {
			r = append(r, m)
		}
	}
	return r
}
