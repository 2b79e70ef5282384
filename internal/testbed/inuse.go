package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// inUse names who uses a block device or one of its partitions; "" if nobody
// can be seen. Who claims it exclusively without a trace here (a mount in
// another mount namespace) shows when it is opened exclusively; the others do
// not.
func inUse(dev uint64) (string, error) {
	devs := withPartitions(dev)
	for _, look := range []func(map[uint64]string) (string, error){mountUse, swapUse, heldUse, loopUse, writerUse} {
		if why, err := look(devs); why != "" || err != nil {
			return why, err
		}
	}
	return "", nil
}

// withPartitions maps the device and its partitions to how a sentence about
// them begins.
func withPartitions(dev uint64) map[uint64]string {
	devs := map[uint64]string{dev: ""}
	sys := sysBlock(dev)
	entries, err := os.ReadDir(sys)
	if err != nil {
		return devs // no /sys: every check by number still works
	}
	for _, e := range entries {
		if part := filepath.Join(sys, e.Name()); readFact(part, "partition") != "" {
			if d, ok := parseDev(readFact(part, "dev")); ok {
				devs[d] = "its partition " + e.Name() + " is "
			}
		}
	}
	return devs
}

func mountUse(devs map[uint64]string) (string, error) {
	list, err := mounts()
	if err != nil {
		return "", err
	}
	for _, m := range list {
		if which, ok := devs[mountDevice(m)]; ok {
			return fmt.Sprintf("%smounted on %s (%s)", which, m.point, m.fs), nil
		}
	}
	return "", nil
}

func swapUse(devs map[uint64]string) (string, error) {
	swaps, err := os.ReadFile("/proc/swaps")
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for line := range strings.SplitSeq(string(swaps), "\n") {
		name, _, _ := strings.Cut(line, " ")
		if d, ok := blockDevice(unescape(name)); ok {
			if which, ok := devs[d]; ok {
				return which + "swap space", nil
			}
		}
	}
	return "", nil
}

// heldUse finds what is built upon the device: dm, RAID, bcache.
func heldUse(devs map[uint64]string) (string, error) {
	for d, which := range devs {
		if holder := holderOf(sysBlock(d)); holder != "" {
			return fmt.Sprintf("%sheld by %s", which, holder), nil
		}
	}
	return "", nil
}

func holderOf(sys string) string {
	if held, _ := os.ReadDir(filepath.Join(sys, "holders")); len(held) > 0 {
		return held[0].Name()
	}
	return ""
}

// loopUse finds loop devices over the device: they do not claim it.
func loopUse(devs map[uint64]string) (string, error) {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if d, ok := blockDevice(readFact(f)); ok {
			if which, ok := devs[d]; ok {
				return which + "what /dev/" + filepath.Base(filepath.Dir(filepath.Dir(f))) + " is attached to", nil
			}
		}
	}
	return "", nil
}

// writerUse finds processes that may write to the device: virtual machines and
// network exports do so without a claim. A reader is not in the way.
func writerUse(devs map[uint64]string) (string, error) {
	own := strconv.Itoa(os.Getpid())
	which := ""
	users := scanProcesses(func(proc string) []string {
		if filepath.Base(proc) == own {
			return nil
		}
		var how []string
		for _, fd := range descriptors(proc) {
			d, ok := blockDevice(filepath.Join(proc, "fd", fd))
			if w, ours := devs[d]; ok && ours && openForWriting(filepath.Join(proc, "fdinfo", fd)) {
				how, which = append(how, "fd "+fd), w
			}
		}
		return how
	})
	if len(users) == 0 {
		return "", nil
	}
	return which + "open for writing by " + userNames(users), nil
}

// openForWriting reads the access mode in /proc/PID/fdinfo/N.
func openForWriting(path string) bool {
	b, err := os.ReadFile(path)
	if err != nil {
		return false // closed by now
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if flags, ok := strings.CutPrefix(line, "flags:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(flags), 8, 64)
			return err == nil && n&unix.O_ACCMODE != unix.O_RDONLY
		}
	}
	return false
}

// blockDevice returns the number of the block device at path.
func blockDevice(path string) (uint64, bool) {
	s, ok := quickStat(path)
	return s.rdev, ok && s.mode&unix.S_IFMT == unix.S_IFBLK
}
