package testbed

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is one line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	id           uint64
	major, minor uint32
	point        string
	options      string // of the mount
	fs           string
	source       string
	super        string // options of the file system
}

// parseMountinfo reads a whole file. A line that is not understood is an
// error: a mount that is overlooked could be formatted.
func parseMountinfo(text string) ([]mount, error) {
	var list []mount
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" {
			continue
		}
		m, err := parseMountLine(line)
		if err != nil {
			return nil, fmt.Errorf("mountinfo line %q: %w", line, err)
		}
		list = append(list, m)
	}
	return list, nil
}

func parseMountLine(line string) (mount, error) {
	var m mount
	// A field may be empty (a source of ""), so every blank separates.
	f := strings.Split(line, " ")
	dash := -1
	for i := 6; i < len(f); i++ {
		if f[i] == "-" {
			dash = i
			break
		}
	}
	if dash < 0 || len(f) < dash+4 {
		return m, fmt.Errorf("want 6 fields, optional fields, -, 3 fields")
	}
	var err error
	if m.id, err = strconv.ParseUint(f[0], 10, 64); err != nil {
		return m, err
	}
	major, minor, ok := strings.Cut(f[2], ":")
	ma, err1 := strconv.ParseUint(major, 10, 32)
	mi, err2 := strconv.ParseUint(minor, 10, 32)
	if !ok || err1 != nil || err2 != nil {
		return m, fmt.Errorf("%q is not a device number", f[2])
	}
	m.major, m.minor = uint32(ma), uint32(mi)
	m.point, m.options = unescape(f[4]), unescape(f[5])
	m.fs, m.source, m.super = unescape(f[dash+1]), unescape(f[dash+2]), unescape(strings.Join(f[dash+3:], " "))
	return m, nil
}

// unescape turns the kernel's \ooo back into bytes (mangle, fs/proc_namespace.c).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// mounts reads the mounts of this process.
func mounts() ([]mount, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMountinfo(string(b))
}

// mountedAt returns the topmost mount at exactly that path.
func mountedAt(path string) (mount, bool, error) {
	list, err := mounts()
	if err != nil {
		return mount{}, false, err
	}
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].point == path {
			return list[i], true, nil
		}
	}
	return mount{}, false, nil
}

// mountOf returns the mount that a path lies on: by the mount's number (statx,
// since 5.8), else by device number, else by the longest mount point.
func mountOf(path string) (mount, error) {
	list, err := mounts()
	if err != nil {
		return mount{}, err
	}
	var sx unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &sx); err != nil {
		return mount{}, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	if path, err = filepath.Abs(path); err != nil {
		return mount{}, err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	best := -1
	for i, m := range list {
		if sx.Mask&unix.STATX_MNT_ID != 0 {
			if m.id == sx.Mnt_id {
				return m, nil
			}
			continue
		}
		if !under(path, m.point) {
			continue
		}
		if best < 0 || len(m.point) >= len(list[best].point) {
			best = i
		}
	}
	if best < 0 {
		return mount{}, fmt.Errorf("no mount in /proc/self/mountinfo holds %s", path)
	}
	return list[best], nil
}

// under says whether path is dir or lies below it.
func under(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}
