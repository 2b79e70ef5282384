package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// loopDevice is a loop device over an image of ours. fd keeps it attached
// while nothing is mounted: the device detaches itself with its last user
// (LO_FLAGS_AUTOCLEAR), so that a killed run leaves at most a mount.
type loopDevice struct {
	path   string // /dev/loopN
	number int
	fd     int // read-only: a writer would keep CONFIG_BLK_DEV_WRITE_MOUNTED=n kernels from mounting
}

// attachLoop attaches image to a free loop device. tag becomes the device's
// name for the file, by which leftovers are recognised (at most 63 bytes).
// before is called with the device's number ahead of each try.
func attachLoop(image *os.File, tag string, direct bool, before func(number int) error) (*loopDevice, error) {
	control, err := openRetry("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, unsupported("no loop devices: /dev/loop-control: %w (modprobe loop)", err)
	}
	defer unix.Close(control)
	for try := 0; ; try++ {
		number, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, unsupported("no free loop device: LOOP_CTL_GET_FREE: %w", err)
		}
		if err := before(number); err != nil {
			return nil, err
		}
		l, err := attachTo(number, image, tag, direct, configureLoop)
		if err == nil {
			return l, nil
		}
		// Another process may have taken the number, or the node is not there yet.
		if retry := err == unix.EBUSY || errors.Is(err, os.ErrNotExist); retry && try < 100 {
			time.Sleep(time.Duration(min(try, 20)) * time.Millisecond)
			continue
		}
		err = fmt.Errorf("loop%d over %s: %w", number, image.Name(), err)
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
			err = unsupported("%w (a container without its host's /dev?)", err)
		case direct && errors.Is(err, unix.EINVAL):
			err = unsupported("the file system of the image refuses direct I/O of the loop device: %w (name another image directory)", err)
		}
		return nil, err
	}
}

// asDirect refuses a device that fell back to buffered I/O, which
// LOOP_CONFIGURE does without a word.
func (l *loopDevice) asDirect() error {
	if l.direct() {
		return nil
	}
	return unsupported("the file system of the image refuses direct I/O of the loop device: %s/loop/dio is not 1 (name another image directory)", l.sys())
}

func (l *loopDevice) sys() string { return fmt.Sprintf("/sys/block/loop%d", l.number) }

// stablePages is an attribute of a device's queue, as RAID 5 and devices that
// check sums have it set. The file system looks at it when it is mounted
// (setup_bdev_super in fs/super.c).
const stablePages = "stable_writes"

// setStable asks for stable pages or takes that back. It outlives the
// attachment. Where the kernel has no such attribute nothing happens.
func (l *loopDevice) setStable(want bool) {
	path, value := l.sys()+"/queue/"+stablePages, "0"
	if want {
		value = "1"
	}
	if readFact(path) != value {
		os.WriteFile(path, []byte(value), 0)
	}
}

// direct says whether the device opens its image with O_DIRECT.
func (l *loopDevice) direct() bool { return readFact(l.sys(), "loop/dio") == "1" }

type configure func(fd, image int, info *unix.LoopInfo64) error

func attachTo(number int, image *os.File, tag string, direct bool, set configure) (*loopDevice, error) {
	path := fmt.Sprintf("/dev/loop%d", number)
	// Attaching through a read-only descriptor makes a read-only device.
	w, err := openRetry(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(w)
	info := unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}
	if direct {
		info.Flags |= unix.LO_FLAGS_DIRECT_IO
	}
	copy(info.File_name[:len(info.File_name)-1], tag)
	if err := set(w, int(image.Fd()), &info); err != nil {
		return nil, err
	}
	r, err := openRetry(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err // closing w detaches
	}
	return &loopDevice{path: path, number: number, fd: r}, nil
}

// configureLoop attaches in one step (LOOP_CONFIGURE, since 5.8), else in two.
func configureLoop(fd, image int, info *unix.LoopInfo64) error {
	err := unix.IoctlLoopConfigure(fd, &unix.LoopConfig{Fd: uint32(image), Info: *info})
	if err != unix.EINVAL && err != unix.ENOTTY {
		return err
	}
	if older := configureLoopInSteps(fd, image, info); older != nil {
		return older
	}
	return nil
}

// configureLoopInSteps is for kernels before 5.8.
func configureLoopInSteps(fd, image int, info *unix.LoopInfo64) error {
	if err := unix.IoctlSetInt(fd, unix.LOOP_SET_FD, image); err != nil {
		return err
	}
	set := *info
	set.Flags &^= unix.LO_FLAGS_DIRECT_IO // not settable here
	err := unix.IoctlLoopSetStatus64(fd, &set)
	if err == nil && info.Flags&unix.LO_FLAGS_DIRECT_IO != 0 {
		err = unix.IoctlSetInt(fd, unix.LOOP_SET_DIRECT_IO, 1)
	}
	if err != nil {
		return errors.Join(err, unix.IoctlSetInt(fd, unix.LOOP_CLR_FD, 0))
	}
	return nil
}

// detach gives the device back and waits until the kernel has done so, which
// is when its last user is gone.
func (l *loopDevice) detach(tag string, wait time.Duration) error {
	if l.fd >= 0 {
		l.setStable(false) // the next one to use the device has not asked for it
		err := unix.IoctlSetInt(l.fd, unix.LOOP_CLR_FD, 0)
		unix.Close(l.fd)
		l.fd = -1
		if err != nil && err != unix.ENXIO && err != unix.EBUSY {
			return fmt.Errorf("detach %s: %w", l.path, err)
		}
	}
	for end := time.Now().Add(wait); boundTo(l.number, tag); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s is still attached to %s: %s", l.path, tag, deviceUsers(l.path))
		}
	}
	return nil
}

// boundTo says whether a loop device is attached to a file of that name.
func boundTo(number int, tag string) bool {
	file := readFact(fmt.Sprintf("/sys/block/loop%d/loop", number), "backing_file")
	return strings.TrimSuffix(filepath.Base(file), " (deleted)") == tag
}

// loopsOver finds the loop devices over the image: by its name, and by its
// inode where that is known.
func loopsOver(tag string, ino uint64) ([]int, error) {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}
	var list []int
	for _, f := range files {
		var n int
		if _, err := fmt.Sscanf(f, "/sys/block/loop%d/loop", &n); err != nil || !boundTo(n, tag) {
			continue
		}
		fd, err := openRetry(fmt.Sprintf("/dev/loop%d", n), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return list, fmt.Errorf("loop%d over %s: %w", n, tag, err)
		}
		info, err := unix.IoctlLoopGetStatus64(fd)
		unix.Close(fd)
		if err == nil && (ino == 0 || info.Inode == ino) {
			list = append(list, n)
		}
	}
	return list, nil
}
