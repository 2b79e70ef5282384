package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"diostress/internal/kernel"
	"diostress/internal/pattern"
	"diostress/internal/plan"
)

// file is one file of the plan, opened in the ways the run needs.
type file struct {
	plan.File
	index   int
	path    string
	direct  int // O_DIRECT, given to the engine
	cached  int // for read-back through the page cache
	witness *kernel.Witness
	dev     uint64
	ino     uint64
	end     atomic.Int64 // where the completed writes to a file that grows end
}

// openFiles makes and fills every file. On an error it closes and removes what
// it made.
func (r *run) openFiles() (err error) {
	defer func() {
		if err != nil {
			r.closeFiles()
		}
	}()
	if err := r.canAlter(); err != nil {
		return err
	}
	for i, pf := range r.plan.Files {
		f := &file{File: pf, index: i, path: filepath.Join(r.Dir, pf.Name), direct: -1, cached: -1}
		r.files = append(r.files, f)
		if err := r.prefill(f); err != nil {
			return err
		}
		if err := f.open(r.cfg.DSync); err != nil {
			return err
		}
	}
	return nil
}

func (f *file) open(dsync bool) error {
	flags := unix.O_RDWR | unix.O_DIRECT | unix.O_CLOEXEC
	var err error
	if f.direct, err = unix.Open(f.path, flags, 0); err != nil {
		if errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("%w: the file system of %s refuses O_DIRECT; valid: ext4, ext3, xfs and others with direct I/O", ErrUnsupported, f.path)
		}
		return fmt.Errorf("open %s: %w", f.path, err)
	}
	if f.cached, err = unix.Open(f.path, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open %s: %w", f.path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.cached, &st); err != nil {
		return fmt.Errorf("stat %s: %w", f.path, err)
	}
	f.dev, f.ino = st.Dev, st.Ino
	if f.witness, err = kernel.OpenWitness(f.path); err != nil {
		return err
	}
	return nil
}

// prefill writes the whole file with stamps of generation 0, so that every
// write of the run overwrites written blocks: only those are asynchronous
// (fs/ext4/file.c ext4_dio_write_checks). A layout that begins without them is
// laid out instead.
func (r *run) prefill(f *file) error {
	out, err := os.OpenFile(f.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create %s: %w", f.path, err)
	}
	chunk := make([]byte, min(f.Size, 1<<20))
	key := pattern.NewKey(r.cfg.Seed)
	if f.Fresh() {
		return errors.Join(f.lay(int(out.Fd())), out.Close())
	}
	for off := int64(0); off < f.Size; off += int64(len(chunk)) {
		b := chunk[:min(int64(len(chunk)), f.Size-off)]
		key.Fill(b, f.index, off, pattern.Prefill, 0)
		if _, err = out.WriteAt(b, off); err != nil {
			break
		}
	}
	if err == nil && f.Tail > 0 {
		// Written, so that no store to a buffer asks for space.
		_, err = out.WriteAt(make([]byte, f.Tail), f.TailOff())
	}
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return noSpace(f, err)
	case err != nil:
		return fmt.Errorf("fill %s: %w", f.path, err)
	}
	return nil
}

// closeDescriptors closes what is open, so that the file system can be
// unmounted.
func (r *run) closeDescriptors() {
	for _, f := range r.files {
		for _, fd := range []*int{&f.direct, &f.cached} {
			if *fd >= 0 {
				unix.Close(*fd)
				*fd = -1
			}
		}
		if f.witness != nil {
			f.witness.Close()
			f.witness = nil
		}
	}
}

// closeFiles closes and removes every file. Where writes are stuck it leaves
// them alone: whoever waits for one holds the inode's lock, and an unlink would
// wait for that in turn.
func (r *run) closeFiles() {
	if r.trailer.Stuck != nil {
		return
	}
	r.closeDescriptors()
	for _, f := range r.files {
		os.Remove(f.path)
	}
}
