package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// busyWait is how long Unmount and Close wait for a busy file system or
// device.
const busyWait = 5 * time.Second

// Bed is a file system, or a directory of one, to work on. Its methods may be
// called from any goroutine; they wait for each other, except that Close stops
// an fsck.
type Bed struct {
	plan     *blueprint
	ctx      context.Context // ends with Close
	stop     context.CancelCauseFunc
	patience time.Duration // busyWait

	mu      sync.Mutex
	entry   *entry
	loop    *loopDevice // nil: none, or detached
	device  string
	dir     string
	mounted bool
	closed  bool // everything is removed
	info    Info
}

// ErrClosed is returned by the methods of a Bed after Close.
var ErrClosed = errors.New("the test bed is closed")

func newBed(p *blueprint, e *entry) *Bed {
	b := &Bed{plan: p, entry: e, patience: busyWait}
	b.ctx, b.stop = context.WithCancelCause(context.Background())
	return b
}

// Dir is where files may be made. Between Unmount and Remount the path exists
// and must not be used.
func (b *Bed) Dir() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dir
}

// Info describes the file system as it was last mounted.
func (b *Bed) Info() Info {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.info.clone()
}

// CanRemount says whether Unmount, Fsck and Remount are possible: whether the
// file system is ours.
func (b *Bed) CanRemount() bool { return b.plan.Directory == "" }

// Sync writes the file system back (syncfs). The error is the kernel's; since
// 5.8 it includes writeback errors that happened during the call.
func (b *Bed) Sync() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return err
	}
	fd, err := openRetry(b.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: b.dir, Err: err}
	}
	defer unix.Close(fd)
	for {
		err := unix.Syncfs(fd)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return &os.PathError{Op: "syncfs", Path: b.dir, Err: err}
		}
	}
}

// usable says why nothing can be done in the directory, if so.
func (b *Bed) usable() error {
	switch {
	case b.closed || b.ctx.Err() != nil:
		return ErrClosed
	case b.CanRemount() && !b.mounted:
		return fmt.Errorf("%s is not mounted", b.device)
	}
	return nil
}

// Unmount unmounts the file system and waits until the kernel has let go of
// the device. If it stays busy for five seconds the error names who uses it.
// Without effect if it is not mounted.
func (b *Bed) Unmount() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	if !b.CanRemount() {
		return fmt.Errorf("%s is not ours to unmount", b.plan.Directory)
	}
	return b.unmount()
}

func (b *Bed) unmount() error {
	if !b.mounted {
		return nil
	}
	if m, there, err := mountedAt(b.dir); err != nil {
		return err
	} else if there {
		if err := unmountRetry(b.dir, b.patience); err != nil {
			return fmt.Errorf("%w; used by %s", err, userNames(pointUsers(unix.Mkdev(m.major, m.minor))))
		}
	}
	// A mount namespace that was copied meanwhile keeps it mounted.
	for end := time.Now().Add(b.patience); ; time.Sleep(10 * time.Millisecond) {
		fd, err := openRetry(b.device, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
			b.mounted = false
			return nil
		}
		if err != unix.EBUSY || time.Now().After(end) {
			return fmt.Errorf("%s was unmounted from %s, yet it does not open exclusively: %w; used by %s", b.device, b.dir, err, deviceUsers(b.device))
		}
	}
}

// Remount mounts the file system again where it was. Without effect if it is
// mounted.
func (b *Bed) Remount() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed || b.ctx.Err() != nil:
		return ErrClosed
	case !b.CanRemount():
		return fmt.Errorf("%s is not ours to mount", b.plan.Directory)
	case b.mounted:
		return nil
	}
	if err := b.mount(); err != nil {
		return err
	}
	return b.look()
}

// Close removes everything that Open made: it stops an fsck, unmounts,
// detaches, deletes. It may be called any number of times, from any goroutine
// and in the middle of anything.
//
// A file system that stays busy for five seconds is detached lazily: it is
// gone from every path, and ends, with its loop device and its image, when its
// last user does. The error names the users; nothing is left to do. Any other
// error names what could not be removed, which stays on record: Close may be
// tried again, and Clean removes it when this process is gone.
func (b *Bed) Close() error {
	b.stop(ErrClosed)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	busy, err := b.letGo()
	if err != nil {
		return err
	}
	errs := b.deleteAll()
	b.closed = len(errs) == 0
	return errors.Join(append(errs, busy)...)
}

// letGo unmounts and detaches, lazily where something is in use: busy says by
// whom.
func (b *Bed) letGo() (busy, err error) {
	if err := b.unmount(); err != nil {
		m, there, lerr := mountedAt(b.dir)
		if lerr != nil || !there {
			return nil, fmt.Errorf("not removed: mount %s, device %s: %w", b.dir, b.device, errors.Join(err, lerr))
		}
		if lerr := detachMount(m.point); lerr != nil {
			return nil, fmt.Errorf("not removed: mount %s, device %s: %w", b.dir, b.device, errors.Join(err, lerr))
		}
		b.mounted = false
		busy = fmt.Errorf("%w; detached: %s ends with its last user", err, b.device)
	}
	if b.loop == nil {
		return busy, nil
	}
	wait := b.patience
	if busy != nil {
		wait = 0
	}
	if err := b.loop.detach(filepath.Base(b.entry.Image), wait); err != nil && busy == nil {
		return nil, fmt.Errorf("not removed: %w", err)
	}
	b.loop = nil
	return busy, nil
}

// deleteAll deletes files and directories, the record last.
func (b *Bed) deleteAll() (errs []error) {
	gone := func(err error) {
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("not removed: %w", err))
		}
	}
	if b.entry.Image != "" {
		gone(os.Remove(b.entry.Image))
	}
	if b.entry.Mount != "" {
		gone(os.Remove(b.entry.Mount))
	}
	if b.entry.Subdir != "" {
		gone(os.RemoveAll(b.entry.Subdir))
	}
	if len(errs) == 0 {
		gone(b.entry.remove())
	}
	return errs
}
