package testbed

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Clean removes what runs of this user that were killed have left: mounts,
// loop devices, images, subdirectories of a user's directory. It writes a line
// for each to w and counts them. What a living run owns is not touched, nor
// what another Clean is busy with; w names them. A mount that stays busy is
// detached lazily, and w says so: it ends with its last user. Where a record
// cannot be read, what it does not take to find is removed, and the error says
// where to look for the rest.
//
// After a reboot the records of root (/run) are gone: a subdirectory
// .diostress-* in a user's directory must then be removed by hand. Images are
// without a name as soon as they are in use, so that nothing else remains.
func Clean(w io.Writer) (removed int, err error) {
	var errs []error
	for _, base := range stateBases() {
		n, err := cleanBase(base, w)
		removed += n
		errs = append(errs, err)
	}
	return removed, errors.Join(errs...)
}

func cleanBase(base string, w io.Writer) (removed int, err error) {
	if err := checkBase(base); errors.Is(err, os.ErrNotExist) || errors.Is(err, errForeign) {
		return 0, nil // newEntry records nothing there either
	} else if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(base)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, d := range entries {
		pid, start, ok := parseEntryName(d.Name())
		if !ok || !d.IsDir() {
			continue
		}
		n, err := cleanEntry(filepath.Join(base, d.Name()), state{PID: pid, StartTime: start}, w)
		removed += n
		if err != nil {
			errs = append(errs, fmt.Errorf("what process %d left (%s): %w", pid, d.Name(), err))
		}
	}
	unix.Rmdir(base) // fails where entries remain
	return removed, errors.Join(errs...)
}

func cleanEntry(dir string, named state, w io.Writer) (removed int, err error) {
	lock, err := lockDir(dir, false)
	if errors.Is(err, errBusy) {
		fmt.Fprintf(w, "pid %d: left alone: it is running, or being cleaned (%s)\n", named.PID, dir)
		return 0, nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	e := &entry{dir: dir, lock: lock, state: named}
	closeLock := true
	defer func() {
		if closeLock {
			unix.Close(lock)
		}
	}()
	// Between opening and locking another Clean may have removed it.
	var mine, there unix.Stat_t
	if unix.Fstat(lock, &mine) != nil || unix.Lstat(dir, &there) != nil || mine.Ino != there.Ino || mine.Dev != there.Dev {
		return 0, nil
	}
	unreadable := e.load()
	if unreadable != nil {
		e.state = named
	}
	if live, err := e.alive(); err != nil {
		return 0, err
	} else if live {
		fmt.Fprintf(w, "pid %d: left alone: it is running (%s)\n", named.PID, dir)
		return 0, nil
	}
	c := cleaner{entry: e, w: w}
	c.run()
	if unreadable != nil {
		c.errs = append(c.errs, fmt.Errorf("%s: %w: an image %s* in /dev/shm or %s and a directory %s* where --directory pointed may be left; remove them, then %s",
			stateFile, unreadable, imagePrefix(named.PID), os.TempDir(), subdirPrefix(named.PID), dir))
	}
	if len(c.errs) == 0 {
		err := e.remove()
		closeLock = err != nil
		if err == nil {
			c.say("removed the state directory %s", dir)
		} else {
			c.errs = append(c.errs, err)
		}
	}
	return c.removed, errors.Join(c.errs...)
}

// cleaner removes what one entry names, in the reverse order of its making.
type cleaner struct {
	*entry
	w       io.Writer
	removed int
	errs    []error
}

func (c *cleaner) say(format string, args ...any) {
	c.removed++
	fmt.Fprintf(c.w, "pid %d: "+format+"\n", append([]any{c.PID}, args...)...)
}

func (c *cleaner) run() {
	c.unmount()
	c.detach()
	if c.Image != "" && strings.HasPrefix(filepath.Base(c.Image), imagePrefix(c.PID)) {
		c.removeImage()
	}
	if c.Subdir != "" && strings.HasPrefix(filepath.Base(c.Subdir), subdirPrefix(c.PID)) {
		if _, err := os.Lstat(c.Subdir); err == nil {
			if err := os.RemoveAll(c.Subdir); err != nil {
				c.errs = append(c.errs, err)
			} else {
				c.say("removed the directory %s", c.Subdir)
			}
		}
	}
	if err := os.Remove(c.mountPoint()); err != nil && !errors.Is(err, os.ErrNotExist) {
		c.errs = append(c.errs, err)
	}
}

func (c *cleaner) unmount() {
	point := c.mountPoint()
	for range 8 { // one over another, if a user did that
		m, mounted, err := mountedAt(point)
		if err != nil {
			c.errs = append(c.errs, err)
		}
		if err != nil || !mounted {
			return
		}
		switch err := unmountRetry(point, time.Second); {
		case err == nil:
			c.say("unmounted %s (%s)", m.source, point)
		case detachMount(point) == nil:
			c.say("unmounted %s (%s) lazily: it ends with its last user: %s", m.source, point, userNames(pointUsers(unix.Mkdev(m.major, m.minor))))
		default:
			c.errs = append(c.errs, err)
			return
		}
	}
}

func (c *cleaner) detach() {
	if c.Image == "" {
		return
	}
	tag := filepath.Base(c.Image)
	loops, err := loopsOver(tag, c.ImageIno)
	if err != nil {
		c.errs = append(c.errs, err)
	}
	for _, n := range loops {
		l := loopDevice{path: fmt.Sprintf("/dev/loop%d", n), number: n}
		if l.fd, err = openRetry(l.path, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			c.errs = append(c.errs, fmt.Errorf("detach %s: %w", l.path, err))
			continue
		}
		if err := l.detach(tag, 2*time.Second); err != nil {
			// It detaches itself with its last user, and nothing more can be done.
			c.say("%s will detach itself: %v", l.path, err)
			continue
		}
		c.say("detached %s", l.path)
	}
}

func (c *cleaner) removeImage() {
	var st unix.Stat_t
	if unix.Lstat(c.Image, &st) != nil || c.ImageIno != 0 && st.Ino != c.ImageIno {
		return
	}
	if err := os.Remove(c.Image); err != nil {
		c.errs = append(c.errs, err)
		return
	}
	c.say("removed the image %s", c.Image)
}
