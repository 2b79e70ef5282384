package pattern

import (
	"encoding/binary"
	"testing"
)

func put(b []byte, off int64, w uint64) { binary.LittleEndian.PutUint64(b[off:], w) }

func total(s []Span) (n int32) {
	for _, x := range s {
		n += x.Words
	}
	return n
}

func TestFillIsOneSpan(t *testing.T) {
	k := NewKey(7)
	b := make([]byte, 4096)
	k.Fill(b, 2, 8192, Direct(1), 123456789)
	s := k.Spans(nil, 2, 8192, b)
	if len(s) != 1 || !s[0].OK || s[0].Words != 512 || s[0].By != (Stamp{Direct(1), 123456789}) {
		t.Fatalf("%+v", s)
	}
}

func TestWrongPlaceFileOrKeyIsNotGenuine(t *testing.T) {
	k := NewKey(7)
	b := make([]byte, 512)
	k.Fill(b, 2, 8192, Direct(0), 5)
	for name, s := range map[string][]Span{
		"offset": k.Spans(nil, 2, 8192+512, b),
		"file":   k.Spans(nil, 3, 8192, b),
		"key":    NewKey(8).Spans(nil, 2, 8192, b),
	} {
		for _, x := range s {
			if x.OK {
				t.Errorf("%s: genuine: %+v", name, x)
			}
		}
		if total(s) != 64 {
			t.Errorf("%s: %d words", name, total(s))
		}
	}
	if got := k.Where(2, 1<<20, binary.LittleEndian.Uint64(b[8:])); got != 8200 {
		t.Errorf("Where = %d, want 8200", got)
	}
}

func TestMixedSector(t *testing.T) {
	k := NewKey(1)
	b := make([]byte, 1024)
	k.Fill(b, 0, 0, Direct(0), 9)
	put(b, 16, k.Word(0, 16, Dirtier(0), 77))
	put(b, 1016, k.Word(0, 1016, Dirtier(1), 78)) // over a sum word
	s := k.Spans(nil, 0, 0, b)
	want := []Span{
		{2, true, Stamp{Direct(0), 9}, 0}, {1, true, Stamp{Dirtier(0), 77}, 0},
		{124, true, Stamp{Direct(0), 9}, 0}, {1, true, Stamp{Dirtier(1), 78}, 0},
	}
	if len(s) != len(want) {
		t.Fatalf("%+v", s)
	}
	for i := range want {
		if s[i] != want[i] {
			t.Errorf("span %d: %+v want %+v", i, s[i], want[i])
		}
	}
}

func TestSumWordCatchesAChangedByte(t *testing.T) {
	k := NewKey(1)
	b := make([]byte, 512)
	k.Fill(b, 0, 0, Direct(0), 9)
	b[100] ^= 1
	bad := 0
	for _, x := range k.Spans(nil, 0, 0, b) {
		if !x.OK {
			bad++
		}
	}
	if bad != 1 {
		t.Errorf("%d words not genuine, want 1", bad)
	}
}

func TestPoison(t *testing.T) {
	k := NewKey(1)
	b := make([]byte, 4096)
	Poison(b, 42)
	s := k.Spans(nil, 0, 4096, b)
	if len(s) != 1 || s[0].By != (Stamp{PoisonID, 42}) || s[0].Words != 512 {
		t.Fatalf("%+v", s)
	}
}

// TestGenerationsWrap: a generation beyond MaxGen makes the same words as the
// one it is modulo MaxGen+1, in every way of making them, and decodes to that.
func TestGenerationsWrap(t *testing.T) {
	k := NewKey(9)
	for _, gen := range []uint64{0, 1, MaxGen, MaxGen - 1, 12345} {
		for _, rounds := range []uint64{1, 7, 1 << 20} {
			far := gen + rounds*(MaxGen+1)
			a, b := make([]byte, 1024), make([]byte, 1024)
			k.Fill(a, 1, 4096, Direct(2), gen)
			k.Fill(b, 1, 4096, Direct(2), far)
			if string(a) != string(b) {
				t.Fatalf("Fill: generation %d and %d differ", gen, far)
			}
			if w := k.Word(1, 4096, Direct(2), far); w != binary.LittleEndian.Uint64(a) {
				t.Fatalf("Word: generation %d and %d differ", gen, far)
			}
			s := k.Spans(nil, 1, 4096, b)
			if len(s) != 1 || !s[0].OK || s[0].By != (Stamp{Direct(2), gen}) {
				t.Fatalf("generation %d decodes as %+v", far, s)
			}
			Poison(a, far)
			if s := k.Spans(nil, 1, 0, a); len(s) != 1 || s[0].By != (Stamp{PoisonID, gen}) {
				t.Fatalf("poison of %d decodes as %+v", far, s)
			}
		}
	}
}

// TestWriters: no number of jobs and dirtiers makes a direct writer look like a
// dirtier, the prefill or poison.
func TestWriters(t *testing.T) {
	for i := range 1000 {
		if w := Direct(i); w < DirectBase || w >= DirtierBase {
			t.Fatalf("job %d is writer %d", i, w)
		}
		if w := Dirtier(i); w < DirtierBase || w >= PoisonID {
			t.Fatalf("dirtier %d is writer %d", i, w)
		}
	}
	if Direct(0) == Direct(1) || Direct(7) == Direct(0) || Direct(8) != Direct(0) {
		t.Error("eight jobs have numbers of their own, the ninth shares the first's")
	}
	if Dirtier(20) == Dirtier(0) || Dirtier(21) != Dirtier(0) {
		t.Error("21 dirtiers have numbers of their own")
	}
}

// TestEveryWordIsItsOwn: words of different writers, generations, files and
// places are never taken for each other.
func TestEveryWordIsItsOwn(t *testing.T) {
	k := NewKey(5)
	wrong := 0
	for i := range uint64(20_000) {
		w := k.Word(3, int64(i)*8, Dirtier(int(i)), i)
		for _, off := range []int64{int64(i)*8 + 8, int64(i)*8 + 4096, int64(i) * 16} {
			if off == int64(i)*8 {
				continue
			}
			if _, ok := k.Decode(3, off, w); ok {
				wrong++
			}
		}
		if _, ok := k.Decode(2, int64(i)*8, w); ok {
			wrong++
		}
		if s, ok := k.Decode(3, int64(i)*8, w); !ok || s != (Stamp{Dirtier(int(i)), i}) {
			t.Fatalf("word %d decodes as %+v, %v", i, s, ok)
		}
	}
	// One in 2^23 is expected of random bytes.
	if wrong > 1 {
		t.Errorf("%d words of 80,000 were taken for genuine elsewhere", wrong)
	}
}

func FuzzSpans(f *testing.F) {
	k := NewKey(3)
	b := make([]byte, 1024)
	k.Fill(b, 0, 0, Direct(0), 1)
	f.Add(b)
	f.Fuzz(func(t *testing.T, data []byte) {
		data = data[:len(data)/512*512]
		s := k.Spans(nil, 0, 0, data)
		if int(total(s))*8 != len(data) {
			t.Fatalf("%d words for %d bytes", total(s), len(data))
		}
		off := int64(0)
		for _, x := range s {
			for i := int32(0); i < x.Words; i++ {
				st, ok := k.Decode(0, off, binary.LittleEndian.Uint64(data[off:]))
				if ok != x.OK || ok && st != x.By {
					t.Fatalf("offset %d: span says %+v, word %+v %v", off, x, st, ok)
				}
				off += 8
			}
		}
	})
}

func BenchmarkFill4k(b *testing.B) {
	k := NewKey(3)
	buf := make([]byte, 4096)
	b.SetBytes(4096)
	for i := 0; i < b.N; i++ {
		k.Fill(buf, 0, int64(i&255)<<12, Direct(0), uint64(i))
	}
}

func BenchmarkPoison4k(b *testing.B) {
	buf := make([]byte, 4096)
	b.SetBytes(4096)
	for i := 0; i < b.N; i++ {
		Poison(buf, uint64(i))
	}
}

func BenchmarkSpans4k(b *testing.B) {
	k := NewKey(3)
	buf := make([]byte, 4096)
	k.Fill(buf, 0, 0, Direct(0), 1)
	var s []Span
	b.SetBytes(4096)
	for i := 0; i < b.N; i++ {
		s = k.Spans(s[:0], 0, 0, buf)
	}
}
