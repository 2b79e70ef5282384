package ledger

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// ErrTruncated says that a log ends without the trailer of its last run.
var ErrTruncated = errors.New("the log ends in the middle of a run")

// maxLine bounds one line of a log, bytes.
const maxLine = 64 << 20

// zstdMagic begins a zstd frame (RFC 8878, section 3.1.1).
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// OpenLog opens a log for ReadLog, decompressing what is compressed.
func OpenLog(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var head [4]byte
	n, err := f.ReadAt(head[:], 0)
	if err != nil && err != io.EOF {
		f.Close()
		return nil, err
	}
	if !bytes.Equal(head[:n], zstdMagic) {
		return f, nil
	}
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		f.Close()
		return nil, err
	}
	return &zstdFile{z, f}, nil
}

type zstdFile struct {
	z *zstd.Decoder
	f *os.File
}

func (z *zstdFile) Read(b []byte) (int, error) { return z.z.Read(b) }

func (z *zstdFile) Close() error {
	z.z.Close()
	return z.f.Close()
}

// lines reads a log line by line.
type lines struct {
	in  *bufio.Reader
	buf []byte
	n   int // number of the line read last, from 1
}

// next returns a line without its end, valid until the next call. whole is
// false for a last line without one: the log was cut there. At the end of the
// log it returns nil.
func (l *lines) next() (line []byte, whole bool, err error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.in.ReadSlice('\n')
		l.buf = append(l.buf, part...)
		switch {
		case err == nil:
			l.n++
			return l.buf[:len(l.buf)-1], true, nil
		case errors.Is(err, bufio.ErrBufferFull):
			if len(l.buf) > maxLine {
				l.n++
				return nil, false, fmt.Errorf("a line of more than %d bytes", maxLine)
			}
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			// The latter is a compressed log that was cut.
			if len(l.buf) == 0 {
				return nil, !errors.Is(err, io.ErrUnexpectedEOF), nil
			}
			l.n++
			return l.buf, false, nil
		default:
			l.n++
			return nil, false, err
		}
	}
}

// ReadLog hands the records of a log to the sink that begin returns for every
// header. Account and attribution of a run are counted anew from its entries
// and put into its trailer, so that the judge believes the entries and not the
// sums. A log that was cut gives the records up to there, a trailer marked Cut
// and ErrTruncated. Every error names the line.
func ReadLog(r io.Reader, begin func(*Header) (Sink, error)) error {
	in := lines{in: bufio.NewReaderSize(r, 1<<16)}
	fail := func(err error) error { return fmt.Errorf("line %d: %w", max(in.n, 1), err) }
	var run *replay
	for {
		line, whole, err := in.next()
		switch {
		case err != nil:
			return fail(err)
		case line == nil && in.n == 0:
			return fail(errors.New("the log is empty"))
		case line == nil && run == nil && whole:
			return nil
		case line == nil:
			return fail(run.cut())
		case in.n == 1:
			if err := checkMagic(string(line)); err != nil {
				return fail(err)
			}
			continue
		}
		if !whole && !(len(line) > 2 && line[0] == 'T' && json.Valid(line[2:])) {
			return fail(run.cut())
		}
		done, err := run.line(line, begin, &run)
		if err != nil {
			return fail(err)
		}
		if done {
			run = nil
		}
	}
}

func checkMagic(line string) error {
	v, ok := strings.CutPrefix(line, magic)
	if !ok {
		return fmt.Errorf("not a dioStress log: it does not begin with %q", strings.TrimSpace(magic))
	}
	if v != strconv.Itoa(Format) {
		return fmt.Errorf("log format %q is not known; valid: %d", v, Format)
	}
	return nil
}

// entryNumbers is how many numbers a C line has.
const entryNumbers = 15

// parseEntry reads the numbers of a C line.
func parseEntry(s []byte, e *Entry) error {
	var v [entryNumbers]int64
	i := 0
	for len(s) > 0 {
		word, rest, _ := bytes.Cut(s, []byte(" "))
		s = rest
		if i == len(v) {
			return fmt.Errorf("entry with more than %d numbers", len(v))
		}
		n, err := strconv.ParseInt(string(word), 10, 64)
		if err != nil {
			return fmt.Errorf("entry: number %d is %.20q; valid: a whole number", i+1, word)
		}
		v[i] = n
		i++
	}
	if i != len(v) {
		return fmt.Errorf("entry with %d numbers instead of %d", i, len(v))
	}
	*e = Entry{
		Job: uint16(v[0]), Slot: uint16(v[1]), Gen: uint64(v[2]), File: uint16(v[3]), Off: v[4], Len: uint32(v[5]), Res: v[6], Res2: v[7],
		SubmitNS: v[8], AcceptNS: v[9], ReapNS: v[10], Attr: Attribution(v[11]), Try: uint16(v[12]), Flags: uint32(v[13]), Paused: v[14] != 0,
	}
	for i, ok := range [entryNumbers]bool{
		v[0] == int64(e.Job), v[1] == int64(e.Slot), v[2] > 0, v[3] == int64(e.File), v[4] >= 0, v[5] == int64(e.Len) && v[5] > 0, true, true,
		true, true, true, v[11] >= 0 && v[11] < int64(len(attrNames)), v[12] == int64(e.Try), v[13] == int64(e.Flags), v[14]&^1 == 0,
	} {
		if !ok {
			return fmt.Errorf("entry: number %d is %d, which is out of range", i+1, v[i])
		}
	}
	return nil
}

// decode reads the JSON of a record.
func decode(line []byte, into any) error {
	if err := json.Unmarshal(line, into); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}
