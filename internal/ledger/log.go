package ledger

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Format is the version of the log format (docs/log-format.md).
const Format = 1

const magic = "diostress-log "

// Log writes every record it is given as one line of text. A line begins with
// the record's kind; an entry (C) goes on as numbers, everything else as JSON.
// It is used by one goroutine, never by an engine thread.
type Log struct {
	w     *bufio.Writer
	z     *zstd.Encoder // nil: not compressed
	close []io.Closer
	line  []byte
	err   error
}

// CreateLog creates the log file; a name that ends in .zst is compressed.
func CreateLog(path string) (*Log, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	l := &Log{close: []io.Closer{f}}
	var w io.Writer = f
	if strings.HasSuffix(path, ".zst") {
		z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			f.Close()
			return nil, err
		}
		l.z, l.close = z, []io.Closer{z, f}
		w = z
	}
	l.w = bufio.NewWriterSize(w, 1<<18)
	_, l.err = fmt.Fprintf(l.w, "%s%d\n", magic, Format)
	return l, nil
}

// Entry implements Sink.
func (l *Log) Entry(e *Entry) {
	b := append(l.line[:0], 'C')
	for _, v := range [...]int64{
		int64(e.Job), int64(e.Slot), int64(e.Gen), int64(e.File), e.Off, int64(e.Len), e.Res, e.Res2,
		e.SubmitNS, e.AcceptNS, e.ReapNS, int64(e.Attr), int64(e.Try), int64(e.Flags), btoi(e.Paused),
	} {
		b = append(b, ' ')
		b = strconv.AppendInt(b, v, 10)
	}
	l.line = append(b, '\n')
	l.write(l.line)
}

func btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Record implements Sink.
func (l *Log) Record(r Record) {
	b, err := json.Marshal(r)
	if err != nil {
		l.fail(err)
		return
	}
	l.line = append(append(append(l.line[:0], r.Kind(), ' '), b...), '\n')
	l.write(l.line)
	switch r.(type) {
	case *Header, *Epoch, *Unmatched:
		l.flush()
	}
}

// flush lets the file have everything so far: a kernel that dies leaves the log
// up to its last epoch.
func (l *Log) flush() {
	if l.err != nil {
		return
	}
	if l.err = l.w.Flush(); l.err == nil && l.z != nil {
		l.err = l.z.Flush()
	}
}

func (l *Log) write(b []byte) {
	if l.err == nil {
		_, l.err = l.w.Write(b)
	}
}

func (l *Log) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// Err returns the first error of any write.
func (l *Log) Err() error { return l.err }

// Close flushes and closes the file and returns the first error of all.
func (l *Log) Close() error {
	l.fail(l.w.Flush())
	for _, c := range l.close {
		l.fail(c.Close())
	}
	return l.err
}

// Tee hands every record to several sinks.
type Tee []Sink

// Entry implements Sink.
func (t Tee) Entry(e *Entry) {
	for _, s := range t {
		s.Entry(e)
	}
}

// Record implements Sink.
func (t Tee) Record(r Record) {
	for _, s := range t {
		s.Record(r)
	}
}
