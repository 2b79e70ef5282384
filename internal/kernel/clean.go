package kernel

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CleanTracing removes the tracefs instances and kprobes that dead processes
// of this program left, and names what it removed. It never touches what a
// living process may own. Without access to tracefs it returns an error.
func CleanTracing() (removed []string, err error) {
	fs, err := openTracefs()
	if err != nil {
		return nil, err
	}
	defer fs.close()
	entries, err := os.ReadDir(fs.path("instances"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var errs []error
	for _, e := range entries {
		if pid, ok := ownerOf(e.Name(), "-"); !ok || !dead(pid) {
			continue
		}
		if err := unix.Rmdir(fs.path("instances", e.Name())); err != nil {
			errs = append(errs, fmt.Errorf("tracefs instance %s: %w", e.Name(), err))
			continue
		}
		removed = append(removed, "tracefs instance "+e.Name())
	}
	events, err := os.ReadDir(fs.path("events", namePrefix))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, e := range events {
		if pid, ok := ownerOf(e.Name(), "_"); !ok || !dead(pid) {
			continue
		}
		if err := removeKprobe(fs, namePrefix, e.Name()); err != nil {
			errs = append(errs, fmt.Errorf("kprobe %s: %w", e.Name(), err))
			continue
		}
		removed = append(removed, "kprobe "+e.Name())
	}
	return removed, errors.Join(errs...)
}

// ownerOf reads the pid out of "diostress-PID-N" or "diostress_PID_N".
func ownerOf(name, sep string) (pid int, ok bool) {
	rest, ok := strings.CutPrefix(name, namePrefix+sep)
	if !ok {
		return 0, false
	}
	text, n, ok := strings.Cut(rest, sep)
	if !ok {
		return 0, false
	}
	if _, err := strconv.ParseUint(n, 10, 31); err != nil {
		return 0, false
	}
	p, err := strconv.ParseUint(text, 10, 31)
	return int(p), err == nil && p > 0
}

func dead(pid int) bool { return unix.Kill(pid, 0) == unix.ESRCH }
