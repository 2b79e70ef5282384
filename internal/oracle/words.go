package oracle

import (
	"fmt"

	"diostress/internal/ledger"
	"diostress/internal/pattern"
)

// mayBe says whether a stamp is one of a legal set. The account counts
// generations on, words carry them modulo MaxGen+1.
func (f *fileData) mayBe(legal []ledger.Stamp, s ledger.Stamp) bool {
	for _, l := range legal {
		if l.Writer == s.Writer && (l.Gen == ledger.AnyGen || l.Gen&pattern.MaxGen == s.Gen) {
			return true
		}
	}
	return false
}

// older says whether a stamp is that of the prefill or a direct write other
// than the last: a later one is not there, which dirtiers may legally have
// brought about.
func (f *fileData) older(legal []ledger.Stamp, s ledger.Stamp) bool {
	return s.Writer < uint8(pattern.DirtierBase) && len(legal) > 0 && !f.mayBe(legal, s)
}

// tells says whether a legal set can show a write that is not there: one was
// completed, and the set is not "any of them".
func tells(legal []ledger.Stamp) bool {
	for _, l := range legal {
		if l.Gen == 0 || l.Gen == ledger.AnyGen {
			return false
		}
	}
	return len(legal) > 0
}

// reached says whether a direct write to the block was offered, whatever came
// of it.
func reached(legal []ledger.Stamp) bool {
	return len(legal) > 0 && legal[len(legal)-1].Gen != 0
}

func wordsOf(spans []ledger.Span) (n uint64) {
	for i := range spans {
		n += uint64(spans[i].Words)
	}
	return n
}

func name(s ledger.Stamp) string {
	switch w := pattern.Writer(s.Writer); {
	case s == ledger.Stamp{}:
		return "the prefill"
	case w >= pattern.DirtierBase:
		return fmt.Sprintf("dirtier %d generation %d", w-pattern.DirtierBase, s.Gen)
	default:
		return fmt.Sprintf("job %d generation %d", w-pattern.DirectBase, s.Gen)
	}
}

// last names what a block ought to hold.
func last(legal []ledger.Stamp) string {
	switch len(legal) {
	case 0:
		return "nothing"
	case 1:
		return name(legal[0])
	}
	return fmt.Sprintf("%s, or one of %d that failed, were short or are in flight", name(legal[0]), len(legal)-1)
}

// whose says of a word that is not genuine where it belongs.
func whose(s *ledger.Span, off int64) string {
	switch {
	case s.Raw == 0:
		return "zero, where something was written before"
	case s.Where >= 0 && s.Where != off:
		return fmt.Sprintf("which belongs to offset %d", s.Where)
	}
	return "written by nobody here"
}
