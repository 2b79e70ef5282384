package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"diostress/internal/kernel"
	"diostress/internal/ledger"
	"diostress/internal/plan"
)

// lay makes a file what its layout says it is before the first write: empty,
// all hole, or allocated and unwritten. It proves that the file system did so,
// or the run would not do what it says.
func (f *file) lay(fd int) error {
	if err := whole(func() error { return unix.Ftruncate(fd, 0) }); err != nil {
		return fmt.Errorf("empty %s: %w", f.path, err)
	}
	var err error
	switch f.Layout {
	case plan.LayoutSparse:
		err = whole(func() error { return unix.Ftruncate(fd, f.Size) })
	case plan.LayoutUnwritten:
		err = whole(func() error { return unix.Fallocate(fd, 0, 0, f.Size) })
	}
	if err == nil {
		// Blocks that were freed are for use again once that is committed. The
		// first call may report what the epoch before brought about: nobody
		// asks this description but here.
		if err = whole(func() error { return unix.Fsync(fd) }); err == unix.EIO {
			err = whole(func() error { return unix.Fsync(fd) })
		}
	}
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: --layout %s: the file system has no fallocate for %s (block-mapped files of ext3 and ext2 have no unwritten extents)", ErrUnsupported, f.Layout, f.path)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return noSpace(f, err)
	case err != nil:
		return fmt.Errorf("lay out %s (%s): %w", f.path, f.Layout, err)
	}
	return f.laid(fd)
}

// laid looks for blocks and data where there should be none: st_blocks counts
// what is allocated, and SEEK_DATA passes over unwritten blocks that are not in
// the page cache (iomap_seek_data, fs/iomap/seek.c).
func (f *file) laid(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat %s: %w", f.path, err)
	}
	_, err := unix.Seek(fd, 0, unix.SEEK_DATA)
	have := st.Blocks * 512
	switch {
	case err != unix.ENXIO:
		return fmt.Errorf("%w: --layout %s: %s has data before the first write (SEEK_DATA: %v)", ErrUnsupported, f.Layout, f.path, err)
	case f.Layout == plan.LayoutUnwritten && have < f.Size:
		return fmt.Errorf("%w: --layout %s: %d of %d bytes of %s are allocated", ErrUnsupported, f.Layout, have, f.Size, f.path)
	case f.Layout == plan.LayoutSparse && have >= f.Size:
		return fmt.Errorf("%w: --layout %s: the file system makes no holes: %d bytes of %s are allocated", ErrUnsupported, f.Layout, have, f.path)
	}
	return nil
}

func noSpace(f *file, err error) error {
	return fmt.Errorf("%w: no space for %s (%d bytes): %v; free some or lower --size", ErrUnsupported, f.path, f.Size+f.Tail, err)
}

// whole makes a call again that a signal interrupted.
func whole(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// canAlter asks the file system for what the dirtiers will ask of it.
func (r *run) canAlter() error {
	for _, x := range []struct {
		kind string
		mode uint32
	}{{"fallocate", unix.FALLOC_FL_KEEP_SIZE}, {"punch", unix.FALLOC_FL_KEEP_SIZE | unix.FALLOC_FL_PUNCH_HOLE}} {
		if !r.cfg.Dirties(x.kind) {
			continue
		}
		if err := probe(filepath.Join(r.Dir, "probe"), x.mode, int64(r.cfg.BS)); errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("%w: --dirty %s: the file system has no such fallocate", ErrUnsupported, x.kind)
		} else if err != nil {
			return fmt.Errorf("--dirty %s: %w", x.kind, err)
		}
	}
	return nil
}

func probe(path string, mode uint32, n int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer f.Close()
	if _, err := f.Write(make([]byte, n)); err != nil {
		return err
	}
	return whole(func() error { return unix.Fallocate(int(f.Fd()), mode, 0, n) })
}

// settleSizes looks, with everything at rest, whether a file that grows has
// every completed write within its size, and gives every file its full size, to
// be read back whole.
func (r *run) settleSizes() error {
	for _, f := range r.files {
		if !f.Grows() && !(f.Role == plan.Main && r.cfg.Zeroes()) {
			continue
		}
		size, err := f.size()
		if err != nil {
			return err
		}
		if f.Grows() {
			r.trailer.Work.SizeChecks++
			if end := f.end.Load(); size < end {
				r.rec.put(f.short(r.clock.Now(), size, end, 0, "at rest"))
			}
		}
		if size < f.Size {
			if err := whole(func() error { return unix.Ftruncate(f.cached, f.Size) }); err != nil {
				return fmt.Errorf("grow %s: %w", f.path, err)
			}
		}
	}
	return nil
}

func (f *file) size() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.cached, &st); err != nil {
		return 0, fmt.Errorf("stat %s: %w", f.path, err)
	}
	return st.Size, nil
}

// short is the note of a file that ends before a completed write does.
func (f *file) short(now, size, end int64, gen uint64, when string) *ledger.Note {
	return &ledger.Note{TimeNS: now, Source: "stat", Class: "i_size", File: f.index, Off: size, Gen: gen,
		Text: fmt.Sprintf("%s: %d bytes, yet a write that ends at %d was completed", when, size, end)}
}

// renew lays the files out anew that begin without blocks; dirtiers and workers
// stand still.
func (r *run) renew() error {
	if !r.cfg.Fresh() {
		return nil
	}
	for _, f := range r.files {
		if !f.Fresh() {
			continue
		}
		if err := f.lay(f.cached); err != nil {
			return err
		}
		f.end.Store(0)
		for _, w := range r.workers {
			w.renewed(f)
		}
		if err := r.baseline(f); err != nil {
			return err
		}
	}
	r.trailer.Work.Rounds++
	return nil
}

// baseline reads what a file holds before its first write. One of size 0 gets
// its full size for that.
func (r *run) baseline(f *file) error {
	if r.cfg.Verify != "full" {
		return nil
	}
	size := func(n int64) error {
		if !f.Grows() {
			return nil
		}
		if err := whole(func() error { return unix.Ftruncate(f.cached, n) }); err != nil {
			return fmt.Errorf("size of %s: %w", f.path, err)
		}
		return nil
	}
	if err := size(f.Size); err != nil {
		return err
	}
	r.reader.file(f, f.cached, ledger.Baseline, false)
	kernel.DropFile(f.cached, f.Size)
	return size(0)
}
