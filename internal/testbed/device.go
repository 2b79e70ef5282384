package testbed

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// checkDevice looks at Spec.Device and returns how many bytes of it are used.
func checkDevice(s Spec) (int64, error) {
	var st unix.Stat_t
	if err := unix.Stat(s.Device, &st); err != nil {
		return 0, usage("device: %w", &os.PathError{Op: "stat", Path: s.Device, Err: err})
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, usage("device %s is not a block device", s.Device)
	}
	if !s.DestroyData {
		return 0, usage("device %s would be formatted: say that everything on it may go (--destroy-data)", s.Device)
	}
	sys := sysBlock(st.Rdev)
	if why, err := inUse(st.Rdev); err != nil {
		return 0, err
	} else if why != "" {
		return 0, usage("device %s is in use: %s", s.Device, why)
	}
	if readFact(sys, "ro") == "1" {
		return 0, usage("device %s is read-only", s.Device)
	}
	fd, err := openRetry(s.Device, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
	switch {
	case err == unix.EBUSY:
		return 0, usage("device %s is in use: it does not open exclusively (%w); a mount in another mount namespace, RAID, LVM or dm may hold it: %s",
			s.Device, err, deviceUsers(s.Device))
	case err == unix.EACCES || err == unix.EPERM:
		return 0, unsupported("device %s needs root: %w", s.Device, err)
	case err != nil:
		return 0, usage("device %s does not open: %w", s.Device, err)
	}
	defer unix.Close(fd)
	size, err := unix.Seek(fd, 0, unix.SEEK_END)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", s.Device, err)
	}
	r, err := resolve(s)
	if err != nil {
		return 0, err
	}
	if lb := logicalBlock(st.Rdev); r.blockSize < lb {
		return 0, usage("device %s has logical blocks of %d bytes: configuration %s with blocks of %d is not possible on it", s.Device, lb, r.config, r.blockSize)
	}
	switch least := r.size(s.Need); {
	case s.Size > size:
		return 0, usage("size %d bytes is more than device %s has: %d", s.Size, s.Device, size)
	case s.Size > 0:
		return s.Size, nil
	case size < least:
		return 0, unsupported("device %s has %d bytes, the files and their file system need %d", s.Device, size, least)
	}
	return size, nil
}

// sysBlock is the directory of a block device in /sys.
func sysBlock(dev uint64) string {
	return fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(dev), unix.Minor(dev))
}

// readFact reads a one-line file of /sys; "" if there is none. The path is not
// tidied up: a ".." goes up from where a link leads.
func readFact(dir string, name ...string) string {
	b, err := os.ReadFile(strings.Join(append([]string{dir}, name...), "/"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// parseDev reads "8:1".
func parseDev(text string) (uint64, bool) {
	major, minor, ok := strings.Cut(text, ":")
	a, err1 := strconv.ParseUint(major, 10, 32)
	b, err2 := strconv.ParseUint(minor, 10, 32)
	return unix.Mkdev(uint32(a), uint32(b)), ok && err1 == nil && err2 == nil
}

// queueFact reads a fact of a device's queue; a partition has its disk's.
func queueFact(dev uint64, name string) string {
	if v := readFact(sysBlock(dev), "queue", name); v != "" {
		return v
	}
	return readFact(sysBlock(dev), "..", "queue", name)
}

// LogicalBlock is the logical block size, bytes, of the device that s works
// on: direct I/O must be a multiple of it. 0 means not known: it cannot be
// read, or the device is yet to be made (a loop device of ours takes 512).
func LogicalBlock(s Spec) int64 {
	dev := uint64(0)
	switch {
	case s.Device != "":
		dev, _ = blockDevice(s.Device)
	case s.Directory != "":
		m, err := mountOf(s.Directory)
		if err != nil {
			return 0
		}
		dev = mountDevice(m)
	}
	return logicalBlock(dev)
}

func logicalBlock(dev uint64) int64 {
	n, err := strconv.ParseInt(queueFact(dev, "logical_block_size"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func queueDAX(path string) bool {
	dev, ok := blockDevice(path)
	return ok && queueFact(dev, "dax") == "1"
}
