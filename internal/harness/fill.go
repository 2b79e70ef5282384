package harness

import (
	"diostress/internal/ledger"
	"diostress/internal/pattern"
)

// fill puts the stamps of one write into its buffer, and takes a buffer that
// lies in a file out of the page tables. With an error the write is submitted
// all the same, and the run ends.
func (w *worker) fill(buf []byte, file int, off int64, gen uint64) {
	if w.bufs.perFile == 0 {
		if w.stamp {
			w.key.Fill(buf, file, off, w.writer, gen)
		}
		return
	}
	err := w.bufs.guarded(func() {
		if w.stamp {
			w.key.Fill(buf, file, off, w.writer, gen)
		}
	})
	if err == nil {
		err = w.bufs.unmap(buf)
	}
	if err != nil {
		w.fail(err)
		return
	}
	w.look.sum.Unmapped++
}

// poison marks a buffer that the kernel has given back: a device that still
// reads it writes the mark.
func (w *worker) poison(slot int, e *ledger.Entry) {
	if !w.stamp {
		return
	}
	buf := w.bufs.at(slot, int(e.File))
	if err := w.bufs.guarded(func() { pattern.Poison(buf, e.Gen) }); err != nil {
		w.fail(err)
	}
}

// freeBuffers gives the memory back; the thread and its engine are gone, and
// with them whatever was in flight.
func (w *worker) freeBuffers() {
	w.bufs.free()
	w.look.buf.free()
}
