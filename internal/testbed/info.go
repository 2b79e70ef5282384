package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Info describes a file system to work on. Sizes are bytes; 0 and "" mean
// "not known".
type Info struct {
	FS               string // as mounted: ext4, ext3, xfs, tmpfs, ...
	Config           string // "" for a directory of the user's
	BlockSize        int64
	MkfsOptions      []string // all of them, without device and size; nil: not made here
	MountOptions     string   // of the mount and of the file system, as in /proc/self/mountinfo
	MountPoint       string
	Size             int64  // of the file system, statfs
	Available        int64  // to this user
	Device           string // path or name of what is mounted
	Dev              uint64 // st_dev of the files
	Stack            []string
	LogicalBlockSize int64  // of the device (BLKSSZGET)
	DIOMemAlign      uint32 // of a file that is larger than an inode (statx STATX_DIOALIGN, since 6.1)
	DIOOffsetAlign   uint32
	DirectIO         string // "yes", "no: why" or "unknown": whether O_DIRECT goes past the page cache
	LoopDirectIO     string // "yes" or "no", whether the loop device opens its image with O_DIRECT; "" without one
	StablePages      bool   // the device asks for it: who would alter a page under writeback waits, holding its lock
	DataJournal      bool   // data=journal
}

func (i Info) clone() Info {
	i.MkfsOptions, i.Stack = slices.Clone(i.MkfsOptions), slices.Clone(i.Stack)
	return i
}

// look fills b.info.
func (b *Bed) look() error {
	m, err := mountOf(b.dir)
	if err != nil {
		return err
	}
	i := Info{FS: m.fs, Config: b.plan.config, MkfsOptions: slices.Clone(b.plan.args), MountPoint: m.point, Device: m.source,
		MountOptions: joinOptions(m.options, m.super)}
	var fs unix.Statfs_t
	if err := unix.Statfs(b.dir, &fs); err != nil {
		return &os.PathError{Op: "statfs", Path: b.dir, Err: err}
	}
	i.BlockSize, i.Size = int64(fs.Bsize), int64(fs.Blocks)*int64(fs.Frsize)
	if i.Available, err = available(b.dir); err != nil {
		return err
	}
	i.DataJournal = slices.Contains(strings.Split(m.super, ","), "data=journal")
	if err := b.probeFile(&i, m); err != nil {
		return err
	}
	i.LogicalBlockSize = logicalBlock(mountDevice(m))
	i.StablePages = queueFact(mountDevice(m), stablePages) == "1"
	i.Stack = stack(m, 0)
	if b.loop != nil {
		i.LoopDirectIO = map[bool]string{true: "yes", false: "no"}[b.loop.direct()]
	}
	b.info = i
	return nil
}

// joinOptions joins the options of mount and file system; both begin with rw.
func joinOptions(mount, super string) string {
	have := strings.Split(mount, ",")
	for o := range strings.SplitSeq(super, ",") {
		if !slices.Contains(have, o) {
			have = append(have, o)
		}
	}
	return strings.Join(have, ",")
}

// probeFile asks about a file of the size that files under test have: a
// smaller one may lie in its inode, where there is no direct I/O.
func (b *Bed) probeFile(i *Info, m mount) error {
	path := filepath.Join(b.dir, "probe")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	// Below encrypt, a hash that the kernel has no code for comes out as ENOENT.
	if errors.Is(err, unix.ENOPKG) || errors.Is(err, unix.EOPNOTSUPP) || b.plan.config == "encrypt" && errors.Is(err, unix.ENOENT) {
		return unsupported("no file can be made in %s (%s): %w: the kernel lacks a cipher?", b.dir, b.plan.config, err)
	}
	if err != nil {
		return fmt.Errorf("no file can be made: %w", err)
	}
	defer os.Remove(path)
	defer f.Close()
	if _, err := f.Write(make([]byte, 128<<10)); err != nil {
		return fmt.Errorf("no file can be written: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	i.Dev = st.Dev
	var sx unix.Statx_t
	known := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &sx) == nil && sx.Mask&unix.STATX_DIOALIGN != 0
	if known {
		i.DIOMemAlign, i.DIOOffsetAlign = sx.Dio_mem_align, sx.Dio_offset_align
	}
	fd, openErr := openRetry(path, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if openErr == nil {
		unix.Close(fd)
	} else if b.plan.Directory != "" && openErr == unix.EINVAL {
		return unsupported("the file system of %s (%s) refuses O_DIRECT: %w", b.plan.Directory, m.fs, openErr)
	}
	i.DirectIO = directIO(m, known, sx.Dio_offset_align, openErr)
	return nil
}

// directIO says whether O_DIRECT is what it says. A file system that has
// direct I/O but not for this file answers statx with an alignment of 0.
func directIO(m mount, known bool, align uint32, openErr error) string {
	super := strings.Split(m.super, ",")
	encrypted := slices.ContainsFunc(super, func(o string) bool { return strings.HasPrefix(o, "test_dummy_encryption") })
	switch {
	case openErr != nil:
		return "no: open with O_DIRECT: " + openErr.Error()
	case m.fs == "tmpfs" || m.fs == "ramfs":
		return "no: " + m.fs + " is the page cache"
	case slices.Contains(super, "data=journal"):
		return "no: data=journal"
	case known && align > 0:
		return "yes"
	case known && encrypted:
		return "no: encryption without inline encryption"
	case known:
		return "no: statx gives the file no alignment for direct I/O"
	case encrypted:
		return "no: encryption"
	}
	return "unknown"
}

// mountDevice is the device number below a mount. File systems with a number
// of their own making (btrfs) name the device only as their source.
func mountDevice(m mount) uint64 {
	if m.major == 0 {
		if dev, ok := blockDevice(m.source); ok && strings.HasPrefix(m.source, "/") {
			return dev
		}
	}
	return unix.Mkdev(m.major, m.minor)
}

// stack lists a file system and what lies below it, top down.
func stack(m mount, depth int) []string {
	dev := mountDevice(m)
	if unix.Major(dev) == 0 {
		if m.source == "" || m.source == "none" || m.source == m.fs || !strings.ContainsAny(m.source, "/:") {
			return []string{m.fs}
		}
		return []string{m.fs + " on " + m.source}
	}
	return append([]string{m.fs + " on " + m.source}, deviceStack(dev, depth)...)
}

const maxDepth = 8

func deviceStack(dev uint64, depth int) []string {
	sys := sysBlock(dev)
	link, err := os.Readlink(sys)
	if err != nil || depth > maxDepth {
		return nil
	}
	name := filepath.Base(link)
	if file := readFact(sys, "loop", "backing_file"); file != "" {
		list := []string{name + " over " + file}
		at := strings.TrimSuffix(file, " (deleted)")
		if _, err := os.Stat(at); err != nil {
			at = filepath.Dir(at)
		}
		if m, err := mountOf(at); err == nil {
			list = append(list, stack(m, depth+1)...)
		}
		return list
	}
	if readFact(sys, "partition") != "" {
		disk, ok := parseDev(readFact(sys, "..", "dev"))
		list := []string{name + " on " + filepath.Base(filepath.Dir(link))}
		if ok {
			list = append(list, deviceStack(disk, depth+1)...)
		}
		return list
	}
	slaves, _ := os.ReadDir(filepath.Join(sys, "slaves"))
	if len(slaves) == 0 {
		if driver, err := os.Readlink(filepath.Join(sys, "device", "driver")); err == nil {
			return []string{name + " (" + filepath.Base(driver) + ")"}
		}
		return []string{name}
	}
	var names, below []string
	for _, s := range slaves {
		names = append(names, s.Name())
		if d, ok := parseDev(readFact(sys, "slaves", s.Name(), "dev")); ok {
			below = append(below, deviceStack(d, depth+1)...)
		}
	}
	return append([]string{name + " over " + strings.Join(names, ", ")}, below...)
}
