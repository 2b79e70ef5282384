package ledger

import "slices"

// AnyGen in a Legal stamp stands for every generation of its writer: so many
// writes to the block ended without certainty that they are not listed.
const AnyGen = ^uint64(0)

// maxCandidates bounds what is remembered of the uncertain writes to one block
// before AnyGen takes their place. A device that fails for good fails every
// write.
const maxCandidates = 32

// shadow remembers, for every block of one file, what a reader may find there
// if nobody but the direct writes of one job touches it. A write that
// completed in full replaces exactly those that were reaped before it was
// offered; a write that failed, was short or is still in flight may or may not
// be there.
type shadow struct {
	blocks int64
	legal  bool     // keep last and many
	last   []uint64 // the only candidate of a block that is not in many; 0: the prefill
	many   map[int64][]candidate
	live   sparse[uint16] // writes offered or in flight
}

type candidate struct {
	gen     uint64
	reapGen uint64 // newest generation that had been offered when this one was reaped
}

// open allocates on the first write to the file: most jobs write to few of the
// files.
func (s *shadow) open(legal bool) {
	s.live = newSparse[uint16](s.blocks)
	if s.legal = legal; legal {
		s.last, s.many = make([]uint64, s.blocks), map[int64][]candidate{}
	}
}

func (s *shadow) begin(block int64, legal bool) {
	if s.live.pages == nil {
		s.open(legal)
	}
	if n := s.live.at(block); n != nil && *n != 0 {
		*n++
		return
	}
	*s.live.use(block) = 1
}

// end takes one write off the block and returns how many are left.
func (s *shadow) end(block int64) uint16 {
	n := s.live.at(block)
	*n--
	left := *n
	if left == 0 {
		s.live.done(block)
	}
	return left
}

func (s *shadow) busy(block int64) bool {
	if s.live.pages == nil {
		return false
	}
	n := s.live.at(block)
	return n != nil && *n != 0
}

// done enters a finished write; newest is the newest generation offered so far.
func (s *shadow) done(block int64, gen uint64, full bool, newest uint64) {
	left := s.end(block)
	if !s.legal {
		return
	}
	if full && left == 0 && len(s.many) == 0 {
		s.last[block] = gen
		return
	}
	list, had := s.many[block]
	switch {
	case full && left == 0 && !had:
		s.last[block] = gen
		return
	case !had:
		// It was entered with nothing else in flight on the block, so it had
		// been reaped before any write that is in flight now was offered.
		list = append(list, candidate{gen: s.last[block]})
	}
	if full {
		list = slices.DeleteFunc(list, func(c candidate) bool { return c.reapGen < gen })
	}
	list = append(list, candidate{gen, newest})
	if len(list) > maxCandidates {
		// The first stays: it may be the prefill, which AnyGen does not cover.
		list = append(list[:1], candidate{AnyGen, newest})
	}
	if len(list) == 1 && full && left == 0 {
		s.last[block] = gen
		delete(s.many, block)
		return
	}
	s.many[block] = list
}

// renew forgets every write: the file holds the prefill again.
func (s *shadow) renew() {
	clear(s.last)
	clear(s.many)
}

// Renew says that a file was laid out anew, so that every block of it holds the
// prefill, generation 0, again. Nothing may be in flight on it.
func (a *Account) Renew(file int) { a.shadow[file].renew() }

// Legal appends the stamps that a block of a file without dirtiers may hold:
// prefill is the writer of generation 0, direct the writer of every other. The
// first is the oldest; with more than one the content is not certain. Writes
// in flight count as uncertain. An account that was told NoLegal answers that
// any generation is legal.
func (a *Account) Legal(dst []Stamp, file int, off int64, prefill, direct uint8) []Stamp {
	sh, b := &a.shadow[file], off/a.bs
	stamp := func(gen uint64) Stamp {
		if gen == 0 {
			return Stamp{prefill, 0}
		}
		return Stamp{direct, gen}
	}
	if a.NoLegal {
		return append(dst, stamp(0), Stamp{direct, AnyGen})
	}
	if sh.last == nil {
		return append(dst, stamp(0))
	}
	if list := sh.many[b]; list != nil {
		for _, c := range list {
			dst = append(dst, stamp(c.gen))
		}
	} else {
		dst = append(dst, stamp(sh.last[b]))
	}
	if sh.busy(b) {
		for i := range a.slots {
			if sl := &a.slots[i]; sl.state != free && int(sl.file) == file && sl.off/a.bs == b {
				dst = append(dst, stamp(sl.gen))
			}
		}
	}
	return dst
}
