package testbed

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// state is what a run has made or is about to make. It is on file before the
// thing is.
type state struct {
	PID       int    `json:"pid"`
	StartTime uint64 `json:"start_time"` // field 22 of /proc/PID/stat
	BootID    string `json:"boot_id"`

	Image    string `json:"image,omitempty"`     // path; its last part is the loop device's tag
	ImageIno uint64 `json:"image_ino,omitempty"` // 0: not made yet
	Loop     string `json:"loop,omitempty"`      // last device tried
	Mount    string `json:"mount,omitempty"`     // mount point
	Subdir   string `json:"subdir,omitempty"`    // directory of ours in the user's
}

// entry is the state directory of one run, locked as long as the run lives:
// the kernel gives the lock back when the process ends, however it ends.
type entry struct {
	dir  string
	lock int // descriptor of dir, flocked
	state
}

const stateFile = "state.json"

// stateBases returns the directories that may hold entries of this user, the
// one for new entries first. The paths are short: the kernel's messages have
// room for 128 bytes of a path.
func stateBases() []string {
	uid := os.Geteuid()
	var bases []string
	if uid == 0 {
		if st, err := os.Stat("/run"); err == nil && st.IsDir() {
			bases = append(bases, "/run/diostress")
		}
	} else {
		for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), "/run/user/" + strconv.Itoa(uid)} {
			if dir != "" && unix.Access(dir, unix.W_OK|unix.X_OK) == nil {
				bases = append(bases, filepath.Join(dir, "diostress"))
			}
		}
	}
	for _, dir := range []string{os.TempDir(), "/tmp"} {
		bases = append(bases, filepath.Join(dir, "diostress-"+strconv.Itoa(uid)))
	}
	return slices.Compact(bases)
}

func stateBase() string { return stateBases()[0] }

// errForeign marks a base that another user made.
var errForeign = errors.New("it belongs to another user")

// checkBase refuses a base that somebody else made or may write to: what lies
// in it names files to remove.
func checkBase(base string) error {
	var st unix.Stat_t
	if err := unix.Lstat(base, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: base, Err: err}
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: %w (uid %d): remove it", base, errForeign, st.Uid)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o022 != 0 {
		return fmt.Errorf("%s must be a directory that nobody else may write to (mode %#o): remove it", base, st.Mode)
	}
	return nil
}

// newEntry makes and locks the state directory of this process's next run.
func newEntry(base string) (*entry, error) {
	pid := os.Getpid()
	_, start, err := procStart(pid)
	if err != nil {
		return nil, err
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	for try, n := 0, 1; try < 1000; try++ {
		if err := os.Mkdir(base, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("state directory: %w", err)
		}
		if err := checkBase(base); errors.Is(err, os.ErrNotExist) {
			continue // a Clean has just removed it
		} else if err != nil {
			return nil, err
		}
		e := &entry{dir: filepath.Join(base, fmt.Sprintf("%d-%d", pid, start)), state: state{PID: pid, StartTime: start, BootID: boot}}
		if n > 1 {
			e.dir += "-" + strconv.Itoa(n)
		}
		switch err := os.Mkdir(e.dir, 0o700); {
		case errors.Is(err, os.ErrExist):
			n++
			continue
		case errors.Is(err, os.ErrNotExist):
			continue
		case err != nil:
			return nil, fmt.Errorf("state directory: %w", err)
		}
		if e.lock, err = lockDir(e.dir, true); err != nil {
			return nil, errors.Join(fmt.Errorf("state directory: %w", err), os.Remove(e.dir))
		}
		return e, nil
	}
	return nil, fmt.Errorf("state directory: %s comes and goes", base)
}

// errBusy means that somebody holds the lock.
var errBusy = errors.New("locked")

// lockDir opens and flocks a directory.
func lockDir(dir string, wait bool) (int, error) {
	fd, err := openRetry(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	for {
		err = unix.Flock(fd, how)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		unix.Close(fd)
		if err == unix.EWOULDBLOCK {
			return -1, errBusy
		}
		return -1, &os.PathError{Op: "flock", Path: dir, Err: err}
	}
	return fd, nil
}

// save writes the state in one step: readers see the old one or the new one.
func (e *entry) save() error {
	b, err := json.Marshal(e.state)
	if err != nil {
		return err
	}
	tmp := filepath.Join(e.dir, stateFile+".new")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(e.dir, stateFile))
}

// load reads what newEntry and save have written. No file means that nothing
// was made.
func (e *entry) load() error {
	b, err := os.ReadFile(filepath.Join(e.dir, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s.PID != e.PID || s.StartTime != e.StartTime {
		return fmt.Errorf("it is of process %d, started at %d", s.PID, s.StartTime)
	}
	e.state = s
	return nil
}

// remove deletes the entry, and the base if it was the last.
func (e *entry) remove() error {
	var errs []error
	for _, name := range []string{stateFile, stateFile + ".new"} {
		if err := os.Remove(filepath.Join(e.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := os.Remove(e.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		unix.Rmdir(filepath.Dir(e.dir)) // fails where others have entries
		unix.Close(e.lock)
	}
	return errors.Join(errs...)
}

func (e *entry) mountPoint() string { return filepath.Join(e.dir, "mnt") }

// procStart returns the state letter and the start time of a process.
func procStart(pid int) (letter byte, start uint64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	return parseStat(string(b))
}

// parseStat reads fields 3 and 22 of /proc/PID/stat. The name in field 2 may
// hold blanks and parentheses.
func parseStat(text string) (letter byte, start uint64, err error) {
	i := strings.LastIndexByte(text, ')')
	if i < 0 {
		return 0, 0, fmt.Errorf("%q is not a line of /proc/PID/stat", text)
	}
	f := strings.Fields(text[i+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return 0, 0, fmt.Errorf("%q is not a line of /proc/PID/stat", text)
	}
	start, err = strconv.ParseUint(f[19], 10, 64)
	return f[0][0], start, err
}

func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

// alive says whether the process that made an entry still runs in this boot.
// A number that was given to another process has another start time.
func (s *state) alive() (bool, error) {
	boot, err := bootID()
	if err != nil {
		return true, err
	}
	if s.BootID != "" && s.BootID != boot {
		return false, nil
	}
	letter, start, err := procStart(s.PID)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	return start == s.StartTime && letter != 'Z' && letter != 'X', nil
}

// parseEntryName reads "PID-STARTTIME" or "PID-STARTTIME-N".
func parseEntryName(name string) (pid int, start uint64, ok bool) {
	parts := strings.Split(name, "-")
	if len(parts) != 2 && len(parts) != 3 {
		return 0, 0, false
	}
	for _, p := range parts {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return 0, 0, false
		}
	}
	p, err1 := strconv.ParseInt(parts[0], 10, 32)
	start, err2 := strconv.ParseUint(parts[1], 10, 64)
	return int(p), start, err1 == nil && err2 == nil && p > 0
}
