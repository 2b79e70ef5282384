package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// frameMark starts a frame; programs under test do not print it.
const frameMark = "\x01vm "

// Kinds of frames.
const (
	FrameBooted = "booted" // Booted
	FrameBegin  = "begin"  // Command
	FrameEnd    = "end"    // Ended
	FrameNote   = "note"   // string: something the init wants known
)

// WriteFrame writes one frame: mark, kind, JSON, newline.
func WriteFrame(w io.Writer, kind string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("frame %s: %w", kind, err)
	}
	_, err = fmt.Fprintf(w, "%s%s %s\n", frameMark, kind, b)
	return err
}

// Splitter takes a serial stream apart: frames go to OnFrame, all other bytes
// to Out, in order. It is an io.Writer for one goroutine.
type Splitter struct {
	Out     io.Writer
	OnFrame func(kind string, body []byte)
	pending []byte
}

// Write implements io.Writer. Bytes that may be the start of a frame are held
// back until that is known.
func (s *Splitter) Write(p []byte) (int, error) {
	s.pending = append(s.pending, p...)
	for len(s.pending) > 0 {
		i := bytes.IndexByte(s.pending, frameMark[0])
		if i != 0 {
			n := len(s.pending)
			if i > 0 {
				n = i
			}
			if err := s.flush(n); err != nil {
				return 0, err
			}
			continue
		}
		if short := min(len(s.pending), len(frameMark)); string(s.pending[:short]) != frameMark[:short] {
			if err := s.flush(1); err != nil {
				return 0, err
			}
			continue
		}
		end := bytes.IndexByte(s.pending, '\n')
		if end < 0 {
			break
		}
		kind, body, _ := bytes.Cut(s.pending[len(frameMark):end], []byte(" "))
		if s.OnFrame != nil {
			s.OnFrame(string(kind), bytes.TrimRight(body, "\r"))
		}
		s.pending = s.pending[end+1:]
	}
	return len(p), nil
}

func (s *Splitter) flush(n int) error {
	if s.Out != nil {
		if _, err := s.Out.Write(s.pending[:n]); err != nil {
			return err
		}
	}
	s.pending = s.pending[n:]
	return nil
}

// Close hands on what was held back: a frame cut off by the guest's death.
func (s *Splitter) Close() error { return s.flush(len(s.pending)) }
