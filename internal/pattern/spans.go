package pattern

import "encoding/binary"

// Span is a run of consecutive words with the same stamp, or of one word that
// is not genuine.
type Span struct {
	Words int32  // length in words of 8 bytes
	OK    bool   // genuine; else Raw holds the word as found
	By    Stamp  // meaningful if OK
	Raw   uint64 // meaningful if not OK
}

// Spans appends to dst what data, found at byte offset off (a multiple of 512)
// of a file, consists of. len(data) is a multiple of 512.
func (k Key) Spans(dst []Span, file int, off int64, data []byte) []Span {
	first := len(dst)
	for len(data) >= SectorSize {
		dst = k.sector(dst, first, file, off, data[:SectorSize])
		off += SectorSize
		data = data[SectorSize:]
	}
	return dst
}

// sector takes the quick way while words repeat the stamp before them, which
// is nearly always.
func (k Key) sector(dst []Span, first int, file int, off int64, s []byte) []Span {
	var head, x uint64
	have := false
	for i := 0; i < SectorSize; i += WordSize {
		word := binary.LittleEndian.Uint64(s[i:])
		if have {
			want := head | x>>(64-checkBits)
			if i == SectorSize-WordSize && word != want {
				want = head | sumCheck(x, s)
			}
			if word == want {
				x += golden
				dst[len(dst)-1].Words++
				continue
			}
		}
		st, ok := k.Decode(file, off+int64(i), word)
		if !ok {
			dst = append(dst, Span{Words: 1, Raw: word})
			have = false
			continue
		}
		if n := len(dst) - 1; n >= first && dst[n].OK && dst[n].By == st {
			dst[n].Words++
		} else {
			dst = append(dst, Span{Words: 1, OK: true, By: st})
		}
		have = st.Writer != PoisonID
		if have {
			head = compose(st.Writer, st.Gen, 0)
			x = k.start(file, st.Writer, st.Gen) + uint64(off/WordSize+int64(i/WordSize)+1)*golden
		}
	}
	return dst
}

// Where looks for the place of the same file, within size bytes, at which a
// word that is not genuine where it was found would be: a write that landed
// elsewhere. It returns -1 if there is none.
func (k Key) Where(file int, size int64, word uint64) int64 {
	s, check := split(word)
	if s.Writer == PoisonID {
		return -1
	}
	x := k.start(file, s.Writer, s.Gen)
	for off := int64(0); off < size; off += WordSize {
		if x>>(64-checkBits) == check {
			return off
		}
		x += golden
	}
	return -1
}
