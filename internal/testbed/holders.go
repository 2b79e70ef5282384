package testbed

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxUsers limits the list of users in an error.
const maxUsers = 8

// unmountRetry unmounts, and tries for so long while the file system is busy:
// the kernel drops the last references to a file after close has returned.
func unmountRetry(point string, wait time.Duration) error {
	pause := 5 * time.Millisecond
	for end := time.Now().Add(wait); ; {
		err := unix.Unmount(point, unix.UMOUNT_NOFOLLOW)
		switch {
		case err == nil:
			return nil
		case err == unix.EINTR:
			continue
		case err != unix.EBUSY || time.Now().After(end):
			return fmt.Errorf("unmount %s: %w", point, err)
		}
		time.Sleep(pause)
		pause = min(2*pause, 200*time.Millisecond)
	}
}

// detachMount takes a busy mount out of the tree (MNT_DETACH): it ends with its
// last user.
func detachMount(point string) error {
	if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("detach %s: %w", point, err)
	}
	return nil
}

// pointUsers names the processes that use a file system: open files, working
// directory, root, mappings.
func pointUsers(dev uint64) []string {
	return scanProcesses(func(proc string) []string {
		var how []string
		for _, link := range []string{"cwd", "root", "exe"} {
			if s, ok := quickStat(filepath.Join(proc, link)); ok && s.dev == dev {
				how = append(how, link)
			}
		}
		for _, fd := range descriptors(proc) {
			if s, ok := quickStat(filepath.Join(proc, "fd", fd)); ok && s.dev == dev {
				how = append(how, "fd "+fd)
			}
		}
		maps, _ := os.ReadFile(filepath.Join(proc, "maps"))
		want := fmt.Sprintf(" %02x:%02x ", unix.Major(dev), unix.Minor(dev))
		if n := strings.Count(string(maps), want); n > 0 {
			how = append(how, fmt.Sprintf("%d mappings", n))
		}
		return how
	})
}

// deviceUsers names who uses a block device: open descriptors, and mounts in
// any mount namespace.
func deviceUsers(path string) string {
	dev, ok := blockDevice(path)
	if !ok {
		return path + " is gone"
	}
	return userNames(scanProcesses(func(proc string) []string {
		var how []string
		for _, fd := range descriptors(proc) {
			if d, ok := blockDevice(filepath.Join(proc, "fd", fd)); ok && d == dev {
				how = append(how, "fd "+fd)
			}
		}
		info, _ := os.ReadFile(filepath.Join(proc, "mountinfo"))
		if strings.Contains(string(info), fmt.Sprintf(" %d:%d ", unix.Major(dev), unix.Minor(dev))) {
			how = append(how, "mounted in its mount namespace")
		}
		return how
	}))
}

// fileStat is what the kernel knows about a file without asking anybody.
type fileStat struct {
	mode      uint16
	dev, rdev uint64
}

// quickStat follows links, but waits for no server: other processes may have
// files open whose file system is dead.
func quickStat(path string) (fileStat, bool) {
	var sx unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &sx) != nil {
		return fileStat{}, false
	}
	return fileStat{sx.Mode, unix.Mkdev(sx.Dev_major, sx.Dev_minor), unix.Mkdev(sx.Rdev_major, sx.Rdev_minor)}, true
}

// descriptors lists the open descriptors of a process, none if it may not be
// looked into.
func descriptors(proc string) []string {
	d, err := os.Open(filepath.Join(proc, "fd"))
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	return names
}

// scanProcesses asks how about every process. A process that may not be looked
// into says nothing.
func scanProcesses(how func(proc string) []string) []string {
	var users []string
	procs, _ := os.ReadDir("/proc")
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		proc := filepath.Join("/proc", p.Name())
		if h := how(proc); len(h) > 0 {
			if len(h) > 4 {
				h = append(slices.Clip(h[:4]), "...")
			}
			users = append(users, fmt.Sprintf("pid %d (%s): %s", pid, readFact(proc, "comm"), strings.Join(h, ", ")))
		}
	}
	return users
}

func userNames(users []string) string {
	switch {
	case len(users) == 0:
		return "no process that can be seen from here (I/O in flight, or another pid namespace)"
	case len(users) > maxUsers:
		return strings.Join(users[:maxUsers], "; ") + fmt.Sprintf("; and %d more", len(users)-maxUsers)
	}
	return strings.Join(users, "; ")
}
