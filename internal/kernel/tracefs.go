package kernel

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tracefs is a way to the tracing file system. Where none is mounted it is a
// mount of our own that has no place in any directory tree: it lives as long
// as the fd, so a crash leaves nothing behind.
type tracefs struct {
	root string
	fd   int // -1 where the system's own mount is used
}

// openTracefs uses a mounted tracefs, else makes a private one (needs
// CAP_SYS_ADMIN and fsopen, since 5.2).
func openTracefs() (*tracefs, error) {
	var denied error
	for _, dir := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		_, err := os.ReadDir(dir + "/events")
		if err == nil {
			return &tracefs{root: dir, fd: -1}, nil
		}
		if errors.Is(err, os.ErrPermission) {
			denied = err
		}
	}
	fd, err := privateMount("tracefs")
	if err != nil {
		if denied != nil {
			err = denied
		}
		return nil, fmt.Errorf("tracefs is not mounted for us at /sys/kernel/tracing and cannot be mounted privately: %w (run as root, or mount -t tracefs nodev /sys/kernel/tracing)", err)
	}
	return &tracefs{root: "/proc/self/fd/" + strconv.Itoa(fd), fd: fd}, nil
}

// privateMount makes a mount that only the returned fd reaches.
func privateMount(fstype string) (int, error) {
	ctx, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen %s: %w", fstype, err)
	}
	defer unix.Close(ctx)
	if err := unix.FsconfigCreate(ctx); err != nil {
		return -1, fmt.Errorf("fsconfig %s: %w", fstype, err)
	}
	fd, err := unix.Fsmount(ctx, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("fsmount %s: %w", fstype, err)
	}
	return fd, nil
}

func (t *tracefs) close() error {
	if t.fd < 0 {
		return nil
	}
	fd := t.fd
	t.fd = -1
	return unix.Close(fd)
}

func (t *tracefs) path(parts ...string) string { return t.root + "/" + strings.Join(parts, "/") }

// format reads a tracepoint's layout.
func (t *tracefs) format(s source) (Format, error) {
	text, err := os.ReadFile(t.path("events", s.system, s.event, "format"))
	if errors.Is(err, os.ErrNotExist) {
		return Format{}, fmt.Errorf("this kernel has no tracepoint %s:%s", s.system, s.event)
	}
	if err != nil {
		return Format{}, err
	}
	return ParseFormat(text)
}

// writeFile writes a control file in one write; the kernel's errno is kept.
func writeFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// appendFile is writeFile for the control files that O_TRUNC would empty.
func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// onlineCPUs reads the list of CPUs that are online now.
func onlineCPUs() (cpus []int, text string, err error) {
	b, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return nil, "", err
	}
	text = strings.TrimSpace(string(b))
	cpus, err = parseCPUList(text)
	return cpus, text, err
}

const maxCPUs = 1 << 16

// parseCPUList reads "0-3,8,10-11".
func parseCPUList(text string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(text, ",") {
		a, b, ranged := strings.Cut(part, "-")
		if !ranged {
			b = a
		}
		lo, err1 := strconv.Atoi(a)
		hi, err2 := strconv.Atoi(b)
		if err1 != nil || err2 != nil || lo < 0 || hi < lo || hi >= maxCPUs {
			return nil, fmt.Errorf("CPU list %q: bad part %q, want N or N-M", text, part)
		}
		for c := lo; c <= hi; c++ {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}
