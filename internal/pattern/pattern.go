// Package pattern makes self-describing bytes: every 8-byte word says who
// wrote it, in which generation, and for which place of which file.
//
// It never reads or writes a file and holds no opinion on which word ought to
// be where: it only makes words and says whether a word is genuine.
//
// A word is, from the top, 36 bits of generation, 5 bits of writer and 23 bits
// of check. The check depends on the key of the run, the file, the word's
// position, the writer and the generation, so a genuine word found at another
// place or left over from another run is not taken for a genuine one (one word
// in 2^23 of random bytes would be).
//
// A sector (512 bytes) that a direct or buffered write fills whole ends in a
// sum word: its check also covers a CRC-32C of the 504 bytes before it.
package pattern

import (
	"encoding/binary"
	"hash/crc32"
)

// Sizes in bytes.
const (
	WordSize   = 8
	SectorSize = 512
)

const (
	wordsPerSector = SectorSize / WordSize
	checkBits      = 23
	checkMask      = 1<<checkBits - 1
	writerBits     = 5
	genShift       = checkBits + writerBits

	golden      = 0x9E3779B97F4A7C15
	poisonCheck = 0x155555
)

// MaxGen is the largest generation a word can hold: words carry generations
// modulo MaxGen+1, and whoever compares them with a count must take it modulo
// MaxGen+1 too. At 200,000 writes a second that is after 95 hours, for a dirtier
// that stores a word every 100 ns after two.
const MaxGen = 1<<36 - 1

// Writer identifies who wrote a word, 0..31.
type Writer uint8

// The writers. Direct writers are DirectBase+job, dirtiers DirtierBase+index,
// each modulo its range. Beyond that they share numbers, each with generations
// of its own, so that a word of one may pass for the other's: a judge sees less
// then, and nothing that is not there.
const (
	Prefill     Writer = 0
	DirectBase  Writer = 1
	directN            = 8
	DirtierBase Writer = 9
	dirtierN           = 21
	PoisonID    Writer = 31
)

// Direct returns the writer of a job's direct writes.
func Direct(job int) Writer { return DirectBase + Writer(job%directN) }

// Dirtier returns the writer of the i-th dirtier.
func Dirtier(i int) Writer { return DirtierBase + Writer(i%dirtierN) }

// Key makes the words of one run unlike those of any other.
type Key uint64

// NewKey derives a key from a seed.
func NewKey(seed uint64) Key { return Key(mix(seed ^ 0x6469_6f53_7472_6573)) }

func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// start returns the running sum whose top bits are the check of word index 0.
// The check of word i is (start + i*golden) >> 41: successive words cost one
// addition.
func (k Key) start(file int, w Writer, gen uint64) uint64 {
	return mix(uint64(k) ^ gen<<genShift ^ uint64(w)<<checkBits ^ uint64(file)*golden)
}

func compose(w Writer, gen, check uint64) uint64 {
	return gen<<genShift | uint64(w)<<checkBits | check
}

// Word returns the word that writer w stores at byte offset off (a multiple of
// 8) of a file in generation gen.
func (k Key) Word(file int, off int64, w Writer, gen uint64) uint64 {
	x := k.start(file, w, gen) + uint64(off/WordSize)*golden
	return compose(w, gen, x>>(64-checkBits))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Fill fills dst (a multiple of 512 bytes) as writer w writes it at byte offset
// off (a multiple of 512) of a file in generation gen.
func (k Key) Fill(dst []byte, file int, off int64, w Writer, gen uint64) {
	x := k.start(file, w, gen) + uint64(off/WordSize)*golden
	head := compose(w, gen, 0)
	for len(dst) >= SectorSize {
		s := dst[:SectorSize:SectorSize]
		for i := 0; i < SectorSize-WordSize; i += WordSize {
			binary.LittleEndian.PutUint64(s[i:i+8], head|x>>(64-checkBits))
			x += golden
		}
		binary.LittleEndian.PutUint64(s[SectorSize-WordSize:], head|sumCheck(x, s))
		x += golden
		dst = dst[SectorSize:]
	}
}

func sumCheck(x uint64, sector []byte) uint64 {
	crc := crc32.Update(0, castagnoli, sector[:SectorSize-WordSize])
	return x>>(64-checkBits) ^ uint64(crc&checkMask)
}

// Poison fills dst with a word that nobody writes on purpose: it marks a
// buffer the kernel has given back after generation gen.
func Poison(dst []byte, gen uint64) {
	if len(dst) < WordSize {
		return
	}
	binary.LittleEndian.PutUint64(dst, compose(PoisonID, gen&MaxGen, poisonCheck))
	for n := WordSize; n < len(dst); n *= 2 {
		copy(dst[n:], dst[:n])
	}
}

// Stamp is what a genuine word says.
type Stamp struct {
	Writer Writer
	Gen    uint64
}

func split(word uint64) (Stamp, uint64) {
	return Stamp{Writer(word >> checkBits & (1<<writerBits - 1)), word >> genShift}, word & checkMask
}

// Decode says whether a word found at byte offset off of a file is genuine
// there: a plain word, the sum word of its place, or poison (which is genuine
// anywhere).
func (k Key) Decode(file int, off int64, word uint64) (Stamp, bool) {
	s, check := split(word)
	if s.Writer == PoisonID {
		return s, check == poisonCheck
	}
	x := k.start(file, s.Writer, s.Gen) + uint64(off/WordSize)*golden
	if check == x>>(64-checkBits) {
		return s, true
	}
	if off%SectorSize != SectorSize-WordSize {
		return s, false
	}
	var sector [SectorSize]byte
	k.Fill(sector[:], file, off-off%SectorSize, s.Writer, s.Gen)
	return s, binary.LittleEndian.Uint64(sector[SectorSize-WordSize:]) == word
}
