package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// OtherDirectWriters says whether a process other than this one has a file
// open for writing with O_DIRECT now: whatever is counted for the whole machine
// may then be theirs. An error means that not every process could be looked at,
// as without root, and that none of the others has.
func OtherDirectWriters() (bool, error) {
	pids, err := os.ReadDir("/proc")
	if err != nil {
		return false, err
	}
	var unseen error // the first that could not be looked at
	for _, p := range pids {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := filepath.Join("/proc", p.Name(), "fdinfo")
		fds, err := os.ReadDir(dir)
		if gone(err) {
			continue
		}
		if err != nil {
			if unseen == nil {
				unseen = fmt.Errorf("descriptors of process %d: %w", pid, err)
			}
			continue
		}
		for _, fd := range fds {
			text, err := os.ReadFile(filepath.Join(dir, fd.Name()))
			if gone(err) {
				continue
			}
			if err != nil {
				if unseen == nil {
					unseen = fmt.Errorf("descriptor %s of process %d: %w", fd.Name(), pid, err)
				}
				continue
			}
			if flags, ok := openFlags(string(text)); ok && flags&unix.O_DIRECT != 0 && flags&unix.O_ACCMODE != unix.O_RDONLY {
				return true, nil
			}
		}
	}
	return false, unseen
}

// gone says whether a process or descriptor ended while it was looked at.
func gone(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) }

// openFlags reads the flags line of an fdinfo file, which is octal
// (fs/proc/fd.c, seq_show).
func openFlags(fdinfo string) (int64, bool) {
	for line := range strings.Lines(fdinfo) {
		if v, ok := strings.CutPrefix(line, "flags:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 8, 64)
			return n, err == nil
		}
	}
	return 0, false
}
