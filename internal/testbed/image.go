package testbed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// makeImage makes the image and its loop device. Once attached, the image
// loses its name: a run that is killed, or a machine that crashes, leaves none.
func (b *Bed) makeImage(ctx context.Context) (err error) {
	tag := imagePrefix(os.Getpid()) + rand.Text()[:8] + ".img"
	b.entry.Image = filepath.Join(b.plan.imageDir, tag)
	if b.entry.Image, err = filepath.Abs(b.entry.Image); err != nil {
		return err
	}
	if err := b.entry.save(); err != nil {
		return err
	}
	f, err := os.OpenFile(b.entry.Image, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("image %s: %w", b.entry.Image, err)
	}
	b.entry.ImageIno = st.Ino
	if err := b.entry.save(); err != nil {
		return err
	}
	if err := reserve(ctx, f, b.plan.size); err != nil {
		return err
	}
	b.loop, err = attachLoop(f, tag, b.plan.LoopDirectIO, func(number int) error {
		b.entry.Loop = fmt.Sprintf("/dev/loop%d", number)
		return b.entry.save()
	})
	if err != nil {
		return err
	}
	b.device = b.loop.path
	b.loop.setStable(b.plan.StablePages)
	if b.plan.LoopDirectIO {
		if err := b.loop.asDirect(); err != nil {
			return err
		}
	}
	if err := os.Remove(b.entry.Image); err != nil {
		return fmt.Errorf("image: %w", err)
	}
	return nil
}

// reserve gives the image its size and all its space: a device that runs out
// of space in mid-run answers with errors that are not the kernel's fault.
func reserve(ctx context.Context, f *os.File, size int64) error {
	if err := f.Truncate(size); err != nil {
		return fmt.Errorf("image: %w", err)
	}
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	for err == unix.EINTR && ctx.Err() == nil {
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	}
	if err == unix.EOPNOTSUPP || err == unix.ENOSYS {
		err = writeZeros(ctx, f, size)
	}
	switch {
	case err == nil || ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		free, _ := available(filepath.Dir(f.Name()))
		return unsupported("image %s: no space for %d bytes (%d available): %w", f.Name(), size, free, err)
	}
	return fmt.Errorf("image %s of %d bytes: %w", f.Name(), size, err)
}

// writeZeros is for file systems without fallocate.
func writeZeros(ctx context.Context, f *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for off := int64(0); off < size && ctx.Err() == nil; off += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(size-off, int64(len(zeros)))], off); err != nil {
			return err
		}
	}
	return nil
}
