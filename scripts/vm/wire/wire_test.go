package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

type seen struct {
	kind, body string
}

func split(t *testing.T, chunks ...string) (string, []seen) {
	t.Helper()
	var out bytes.Buffer
	var got []seen
	s := &Splitter{Out: &out, OnFrame: func(kind string, body []byte) { got = append(got, seen{kind, string(body)}) }}
	for _, c := range chunks {
		if n, err := s.Write([]byte(c)); n != len(c) || err != nil {
			t.Fatalf("Write %q: %d, %v", c, n, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String(), got
}

func TestSplitterTakesFramesOutOfTheStream(t *testing.T) {
	var frame bytes.Buffer
	if err := WriteFrame(&frame, FrameNote, "a\nb \x01vm c"); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(frame.String(), "\n"); n != 1 {
		t.Fatalf("a frame of %d lines: %q", n, frame.String())
	}
	stream := "before\n" + frame.String() + "after \x01 not a frame \x01vx\n"
	for size := 1; size <= len(stream); size++ {
		var chunks []string
		for s := stream; s != ""; {
			n := min(size, len(s))
			chunks, s = append(chunks, s[:n]), s[n:]
		}
		out, got := split(t, chunks...)
		if want := "before\nafter \x01 not a frame \x01vx\n"; out != want {
			t.Fatalf("chunks of %d: output %q, want %q", size, out, want)
		}
		if len(got) != 1 || got[0].kind != FrameNote {
			t.Fatalf("chunks of %d: frames %q", size, got)
		}
		var text string
		if err := json.Unmarshal([]byte(got[0].body), &text); err != nil || text != "a\nb \x01vm c" {
			t.Fatalf("chunks of %d: body %q: %v", size, got[0].body, err)
		}
	}
}

func TestSplitterHandsOnAFrameThatDeathCutOff(t *testing.T) {
	out, got := split(t, "text\x01vm end {\"name\":\"x\"")
	if want := "text\x01vm end {\"name\":\"x\""; out != want || len(got) != 0 {
		t.Errorf("output %q, frames %q", out, got)
	}
}

func FuzzSplitter(f *testing.F) {
	f.Add([]byte("a\x01vm note \"x\"\nb"), 3)
	f.Add([]byte("\x01\x01vm \x01vm booted {}\n"), 1)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		var whole, parts bytes.Buffer
		var a, b int
		one := &Splitter{Out: &whole, OnFrame: func(string, []byte) { a++ }}
		one.Write(stream)
		one.Close()
		two := &Splitter{Out: &parts, OnFrame: func(string, []byte) { b++ }}
		for rest, n := stream, max(1, size%64); len(rest) > 0; {
			k := min(n, len(rest))
			two.Write(rest[:k])
			rest = rest[k:]
		}
		two.Close()
		if !bytes.Equal(whole.Bytes(), parts.Bytes()) || a != b {
			t.Fatalf("how the stream is cut changes what it says: %q and %d frames, %q and %d", whole.Bytes(), a, parts.Bytes(), b)
		}
		if a == 0 && !bytes.Equal(whole.Bytes(), stream) {
			t.Fatalf("no frame, yet output %q of stream %q", whole.Bytes(), stream)
		}
	})
}

func disk(t *testing.T, size int, records ...Record) []byte {
	t.Helper()
	var b []byte
	for _, r := range records {
		e, err := EncodeRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(e)%recordAlign != 0 {
			t.Fatalf("record of %d bytes is not a multiple of %d", len(e), recordAlign)
		}
		b = append(b, e...)
	}
	return append(b, make([]byte, max(0, size-len(b)))...)
}

func TestRecordsRoundTrip(t *testing.T) {
	want := []Record{
		{"a", []byte("one")}, {"run/report.json", bytes.Repeat([]byte{0x5a}, recordAlign)},
		{"empty", []byte{}}, {"exact", make([]byte, recordAlign-recordHead-len("exact"))},
	}
	b := disk(t, 1<<20, want...)
	got, err := ReadRecords(bytes.NewReader(b), int64(len(b)))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%d records, %v; want %d", len(got), err, len(want))
	}
}

func TestTornRecordIsNamedAndTheOthersStand(t *testing.T) {
	whole := disk(t, 0, Record{"first", []byte("kept")}, Record{"second", bytes.Repeat([]byte("x"), 3*recordAlign)})
	for _, cut := range []int{recordAlign + recordHead, 2 * recordAlign, 3 * recordAlign} {
		b := append([]byte(nil), whole...)
		clear(b[cut:])
		got, err := ReadRecords(bytes.NewReader(b), int64(len(b)))
		if !errors.Is(err, ErrTorn) || len(got) != 1 || got[0].Name != "first" {
			t.Errorf("cut at %d: %d records, %v", cut, len(got), err)
		}
	}
}

func TestEncodeRecordRefusesNames(t *testing.T) {
	for _, name := range []string{"", strings.Repeat("n", maxName+1)} {
		if _, err := EncodeRecord(Record{Name: name}); err == nil {
			t.Errorf("a name of %d bytes was taken", len(name))
		}
	}
}

func FuzzReadRecords(f *testing.F) {
	good, _ := EncodeRecord(Record{"name", []byte("data")})
	f.Add(good)
	f.Add([]byte("VMR1"))
	huge := bytes.Clone(good)
	for i := 8; i < 16; i++ {
		huge[i] = 0xff
	}
	f.Add(huge)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ReadRecords(bytes.NewReader(b), int64(len(b)))
		if err != nil && !errors.Is(err, ErrTorn) {
			t.Fatalf("a disk of %d bytes cannot be read: %v", len(b), err)
		}
		total := 0
		for _, r := range got {
			total += len(r.Name) + len(r.Data)
		}
		if total > len(b) {
			t.Fatalf("%d bytes of records from a disk of %d", total, len(b))
		}
	})
}

func TestExitCodesRoundTrip(t *testing.T) {
	for status := range 256 {
		rc := int(ExitValue(EndFinished, status))<<1 | 1
		end, got, more := DecodeExit(rc)
		if end != EndFinished || got != min(status, exitMax) || more != (status >= exitMax) {
			t.Fatalf("status %d: end %d, status %d, more %v", status, end, got, more)
		}
		if rc > 255 {
			t.Fatalf("status %d needs QEMU status %d", status, rc)
		}
	}
	for _, end := range []GuestEnd{EndTimeout, EndInitFailed} {
		if got, _, _ := DecodeExit(int(ExitValue(end, 0))<<1 | 1); got != end {
			t.Errorf("end %d came back as %d", end, got)
		}
	}
	for _, rc := range []int{-1, 0, 1, 2, 64, 256} {
		if end, _, _ := DecodeExit(rc); end != EndNone {
			t.Errorf("QEMU status %d is taken for the guest's end %d", rc, end)
		}
	}
}
