package harness

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"diostress/internal/kernel"
	"diostress/internal/ledger"
	"diostress/internal/pattern"
	"diostress/internal/plan"
)

// reader turns the blocks of a file into read-back records.
type reader struct {
	r     *run
	buf   arena
	key   pattern.Key
	spans []pattern.Span
	rec   ledger.Readback
}

const readChunk = 1 << 20

func (r *run) newReader() (*reader, error) {
	size := max(readChunk, r.cfg.BS)
	buf, err := newArena(size / r.cfg.BS * r.cfg.BS)
	if err != nil {
		return nil, err
	}
	return &reader{r: r, buf: buf, key: pattern.NewKey(r.cfg.Seed)}, nil
}

// readAll reads every file back in three views: through the page cache as it
// is, past it, and through it after it was dropped.
func (r *run) readAll() error {
	began := time.Now()
	if err := r.dirt.release(); err != nil {
		return err
	}
	for _, f := range r.files {
		r.reader.file(f, f.cached, ledger.Cache, false)
		r.reader.file(f, f.direct, ledger.DirectIO, false)
		proved, why, err := kernel.DropFile(f.cached, f.Size)
		switch {
		case err != nil:
			return fmt.Errorf("drop the page cache of %s: %w", f.path, err)
		case proved:
			r.trailer.DropsProved++
		default:
			r.trailer.DropsFailed++
			r.trailer.DropsWhy = why
		}
		r.reader.file(f, f.cached, ledger.Disk, proved)
		if proved {
			// Leave nothing behind that the run did not put there.
			kernel.DropFile(f.cached, f.Size)
		}
	}
	r.readTook = time.Since(began)
	return nil
}

// file reads one file in one view.
func (rd *reader) file(f *file, fd int, view ledger.View, proved bool) {
	for off := int64(0); off < f.Size; {
		n := min(int64(len(rd.buf)), f.Size-off)
		errno := readFull(fd, rd.buf[:n], off)
		rd.blocks(f, view, proved, off, n, errno)
		off += n
	}
}

func (rd *reader) blocks(f *file, view ledger.View, proved bool, off, n int64, errno int) {
	bs := int64(rd.r.cfg.BS)
	rec := &rd.rec
	for at := int64(0); at < n; at += bs {
		spans := rec.Spans[:0]
		legal, w := rd.legal(rec.Legal[:0], f, off+at)
		*rec = ledger.Readback{Epoch: rd.r.epoch, File: f.index, View: view, Off: off + at, Errno: errno, Proved: proved, Legal: legal}
		if errno == 0 {
			rd.spans = rd.key.Spans(rd.spans[:0], f.index, off+at, rd.buf[at:at+bs])
			spans = translate(rd.key, f, rd.r.zero(f, legal, w), rd.spans, spans)
		}
		rec.Spans = spans
		rd.r.rec.put(rec)
	}
}

// translate turns the words of a block into spans of the ledger; zero, if not
// nil, is the stamp that a zero word stands for.
func translate(key pattern.Key, f *file, zero *ledger.Stamp, spans []pattern.Span, dst []ledger.Span) []ledger.Span {
	sought := 0
	for i := range spans {
		s := &spans[i]
		out := ledger.Span{Words: s.Words, OK: s.OK, By: ledger.Stamp{Writer: uint8(s.By.Writer), Gen: s.By.Gen}}
		switch {
		case s.OK:
		case s.Raw == 0 && zero != nil:
			out.OK, out.By = true, *zero
		default:
			out.By, out.Raw, out.Where = ledger.Stamp{}, s.Raw, -1
			if sought++; sought <= 8 {
				out.Where = key.Where(f.index, f.Size, s.Raw)
			}
		}
		if n := len(dst) - 1; out.OK && n >= 0 && dst[n].OK && dst[n].By == out.By {
			dst[n].Words += out.Words
			continue
		}
		dst = append(dst, out)
	}
	return dst
}

// zero returns the stamp that a zero word of a block stands for, nil if none
// may be there: nobody wrote it. w is the worker that writes the block.
func (r *run) zero(f *file, legal []ledger.Stamp, w *worker) *ledger.Stamp {
	if n := len(legal) - 1; n >= 0 && r.cfg.Buffer == plan.BufferZero && legal[n].Writer != uint8(pattern.Prefill) {
		s := legal[n]
		if s.Gen == ledger.AnyGen {
			s.Gen = w.acct.LastGen()
		}
		return &s
	}
	if f.Fresh() || f.Role == plan.Main && r.cfg.Zeroes() {
		return &ledger.Stamp{Writer: uint8(pattern.Prefill)}
	}
	return nil
}

// legal gives the legal set of a block that only direct writes touch; the odd
// blocks of a neighbour file have none. The worker is the one that writes it.
func (rd *reader) legal(dst []ledger.Stamp, f *file, off int64) ([]ledger.Stamp, *worker) {
	block := off / int64(rd.r.cfg.BS)
	w := rd.r.workers[rd.r.jobOf(plan.Write{File: f.index, Block: block})]
	if f.Role == plan.Neighbour && block%2 != 0 {
		return dst, w
	}
	return w.acct.Legal(dst, f.index, off, uint8(pattern.Prefill), uint8(w.writer)), w
}

// readFull reads exactly len(b) bytes; a short read is EIO's due, not ours.
func readFull(fd int, b []byte, off int64) int {
	for len(b) > 0 {
		n, err := unix.Pread(fd, b, off)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return int(err.(unix.Errno))
		case n == 0:
			return int(unix.ENODATA)
		}
		b, off = b[n:], off+int64(n)
	}
	return 0
}
