package plan

// Write is one planned direct write: a whole block of one file.
type Write struct {
	File  int   // index into Plan.Files
	Block int64 // in blocks of Config.BS
}

// Stream yields the writes of one job, in an order that the seed determines:
// the same seed gives the same writes for ever. It is used by one goroutine.
type Stream struct {
	n         uint64
	main      []cursor // round robin; more than one only in audit
	control   *cursor
	neighbour *cursor
	random    bool // with replacement (--overlap)
	rng       uint64
}

// cursor walks one file's blocks: start, start+step, ... in permuted order.
type cursor struct {
	file        int
	start, step int64
	perm        permutation
	pos         uint64
	dwell       uint64 // how often in succession; 0 or 1: once
	width       uint64 // so many blocks at a time
}

// Every so many writes one goes to the files that are there to be judged.
const (
	controlEvery   = 32
	neighbourEvery = 32
)

// Next returns the next write of the stream. Without --overlap and --dwell a
// block comes again only after every other block of its file.
func (s *Stream) Next() Write {
	n := s.n
	s.n++
	switch {
	case s.control != nil && n%controlEvery == controlEvery-1:
		return s.control.next()
	case s.neighbour != nil && n%neighbourEvery == neighbourEvery/2:
		return s.neighbour.next()
	}
	return s.On(int(n % uint64(len(s.main))))
}

// On returns the next write to the k-th of the job's main files: in audit there
// is one for every slot.
func (s *Stream) On(k int) Write {
	c := &s.main[k]
	if s.random {
		s.rng += 0x9E3779B97F4A7C15
		return Write{c.file, c.start + c.step*int64(mix(s.rng)%c.perm.n)}
	}
	return c.next()
}

// MainFile returns the index into Plan.Files of the k-th main file.
func (s *Stream) MainFile(k int) int { return s.main[k].file }

// Round returns how many writes it takes until every block of the job's main
// files was written once: an upper bound with the files beside them.
func (s *Stream) Round() (n uint64) {
	for i := range s.main {
		n += s.main[i].round()
	}
	beside := uint64(0)
	for _, c := range []*cursor{s.control, s.neighbour} {
		if c != nil {
			beside++
		}
	}
	return n + n*beside/(controlEvery-beside) + 1
}

// Restart begins the files again, for those that grow from nothing.
func (s *Stream) Restart() {
	for i := range s.main {
		s.main[i].pos = 0
	}
	if s.control != nil {
		s.control.pos = 0
	}
}

func (c *cursor) next() Write {
	i := c.pos
	if c.dwell > 1 {
		i = (i/(c.dwell*c.width)*c.width + i%c.width) % c.perm.n
	}
	b := c.perm.at(i)
	if c.pos++; c.pos == c.round() {
		c.pos = 0
	}
	return Write{c.file, c.start + c.step*int64(b)}
}

// round is how many writes it takes until every block was written.
func (c *cursor) round() uint64 {
	if c.dwell > 1 {
		return (c.perm.n + c.width - 1) / c.width * c.width * c.dwell
	}
	return c.perm.n
}

// permutation maps 0..n-1 onto itself: a four-round Feistel network over the
// next even power of two, walked until it lands inside. It needs no memory,
// whatever the size of the file.
type permutation struct {
	n    uint64
	half uint
	key  [4]uint64
}

func newPermutation(n, seed uint64, random bool) permutation {
	p := permutation{n: n}
	if !random {
		return p
	}
	for p.half = 1; 1<<(2*p.half) < n; p.half++ {
	}
	for i := range p.key {
		seed = mix(seed + 0x9E3779B97F4A7C15)
		p.key[i] = seed
	}
	return p
}

func (p *permutation) at(i uint64) uint64 {
	if p.half == 0 {
		return i
	}
	mask := uint64(1)<<p.half - 1
	for {
		l, r := i>>p.half, i&mask
		for _, k := range p.key {
			l, r = r, l^(mix(r^k)&mask)
		}
		if i = l<<p.half | r; i < p.n {
			return i
		}
	}
}

func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
