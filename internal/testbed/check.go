package testbed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// blueprint is a Spec with every decision taken.
type blueprint struct {
	Spec
	recipe
	mkfs     mkfsTool
	size     int64  // bytes of the file system
	imageDir string // chosen
	args     []string
}

// Check does everything that can be checked while nothing is created: names
// and options (also by a dry run of mke2fs and by asking the kernel about each
// mount option), places, rights, tools and space. Its errors wrap ErrUsage or
// ErrUnsupported, or neither if the check itself broke. What holds now may not
// hold at Open, which checks again.
func Check(s Spec) error {
	_, err := draw(context.Background(), s)
	return err
}

// maxBytes is the largest file system of ext4 with blocks of 4096 bytes, a
// bound that leaves room to reckon with.
const maxBytes = 1 << 60

// draw checks a Spec: first what was typed, then what was pointed at, then
// what the machine lacks.
func draw(ctx context.Context, s Spec) (*blueprint, error) {
	if s.Need < 0 || s.Size < 0 || s.Need > maxBytes || s.Size > maxBytes {
		return nil, usage("need %d and size %d bytes: valid: 0 to %d", s.Need, s.Size, int64(maxBytes))
	}
	if s.Directory != "" {
		return &blueprint{Spec: s}, checkDirectory(s)
	}
	r, err := resolve(s)
	if err != nil {
		return nil, err
	}
	b := &blueprint{Spec: s, recipe: r, size: s.Size}
	if s.Device != "" && s.ImageDir != "" {
		return nil, usage("an image directory (%s) has no place beside a device (%s)", s.ImageDir, s.Device)
	}
	if s.Device != "" && s.LoopDirectIO {
		return nil, usage("direct I/O of the loop device has no place beside a device (%s): there is no loop device", s.Device)
	}
	const least = 16 << 20
	if s.Size > 0 && s.Size < max(least, s.Need) {
		return nil, usage("size %d bytes is too small: the files need %d, a file system at least %d", s.Size, s.Need, least)
	}
	if s.Device != "" {
		if b.size, err = checkDevice(s); err != nil {
			return nil, err
		}
	} else {
		if s.ImageDir != "" {
			if err := checkWritable("image directory", s.ImageDir); err != nil {
				return nil, err
			}
		}
		if b.size == 0 {
			b.size = r.size(s.Need)
		}
	}
	return b, b.checkMachine(ctx)
}

// checkMachine looks for what the machine lacks.
func (b *blueprint) checkMachine(ctx context.Context) error {
	if ok, err := capable(); err != nil {
		return err
	} else if !ok {
		return unsupported("a file system of its own needs root (CAP_SYS_ADMIN, effective uid is %d); a directory on a mounted file system works without", os.Geteuid())
	}
	var err error
	if b.mkfs, err = findMkfs(ctx); err != nil {
		return err
	}
	if _, err := findTool("e2fsck"); err != nil {
		return err
	}
	if err := b.checkKernel(); err != nil {
		return err
	}
	if b.Device == "" {
		fd, err := openRetry("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return unsupported("no loop devices: /dev/loop-control: %w (modprobe loop, or use a directory or a device)", err)
		}
		unix.Close(fd)
		if b.imageDir, err = placeImage(b.ImageDir, b.size); err != nil {
			return err
		}
	}
	return b.dryRun(ctx)
}

// checkKernel asks whether the kernel knows the file system and its options.
func (b *blueprint) checkKernel() error {
	refused, why, known := acceptsMount(b.fs, b.mount.data)
	if !known {
		return unsupported("this kernel has no file system %s (not in /proc/filesystems, and no module for it)", b.fs)
	}
	if refused != "" {
		user, _ := parseMount(b.MountOptions)
		for _, o := range user.data {
			if o == refused {
				return usage("mount option %q: the kernel refuses it for %s: %s", refused, b.fs, why)
			}
		}
		return unsupported("configuration %s needs the mount option %s, which this kernel refuses: %s", b.config, refused, why)
	}
	// What this ext4 can do lies in /sys once it is loaded.
	const features = "/sys/fs/ext4/features"
	if _, err := os.Stat(features + "/blocksize_gt_pagesize"); err != nil && b.blockSize > int64(os.Getpagesize()) {
		return unsupported("blocks of %d bytes are larger than this machine's pages of %d: this kernel's %s cannot mount them (it needs 6.19 or newer)",
			b.blockSize, os.Getpagesize(), b.fs)
	}
	if _, err := os.Stat(features); err == nil {
		for config, feature := range map[string]string{"encrypt": "test_dummy_encryption_v2", "fast_commit": "fast_commit", "adv": "fast_commit"} {
			if _, err := os.Stat(filepath.Join(features, feature)); b.config == config && errors.Is(err, fs.ErrNotExist) {
				return unsupported("configuration %s: this kernel's ext4 has no %s (%s)", config, feature, features)
			}
		}
	}
	if b.mount.has("dax") || b.mount.has("dax=always") {
		if b.Device == "" {
			return unsupported("mount option dax needs persistent memory, and a loop device has none: name one as device (/dev/pmem0)")
		}
		if !queueDAX(b.Device) {
			return unsupported("mount option dax: %s has no direct access to its memory (queue/dax is not 1)", b.Device)
		}
	}
	return nil
}

// dryRun lets mke2fs judge the options on a file of the right size that is
// only memory and stays empty.
func (b *blueprint) dryRun(ctx context.Context) error {
	fd, err := unix.MemfdCreate("diostress-dry-run", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "memfd")
	defer f.Close()
	if err := f.Truncate(b.size); err != nil {
		return usage("size %d bytes: %w", b.size, err)
	}
	try := func(withUser bool) (toolResult, error) {
		args := append([]string{"-n"}, b.mkfsArgs(b.size, withUser, b.mkfs.v147)...)
		return runTool(ctx, b.mkfs.path, append(args, "/proc/self/fd/3"), f)
	}
	b.args = b.mkfsArgs(b.size, true, b.mkfs.v147)
	res, err := try(true)
	if err != nil || res.exit == 0 {
		return err
	}
	without, err := try(false)
	switch {
	case err != nil:
		return err
	case without.exit == 0:
		return usage("mkfs options %q: mke2fs refuses them: %s (exit status %d)", b.MkfsOptions, res.output, res.exit)
	}
	return unsupported("%s cannot make configuration %s with %d bytes: %s (exit status %d)", b.mkfs.path, b.config, b.size, without.output, without.exit)
}

// checkWritable looks at a directory that was pointed at.
func checkWritable(what, dir string) error {
	st, err := os.Stat(dir)
	if err != nil {
		return usage("%s: %w", what, err)
	}
	if !st.IsDir() {
		return usage("%s %s is not a directory (%s)", what, dir, st.Mode().Type())
	}
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return usage("%s %s cannot be written: %w", what, dir, err)
	}
	return nil
}

// checkDirectory looks at Spec.Directory.
func checkDirectory(s Spec) error {
	for _, x := range []struct{ name, value string }{
		{"device", s.Device}, {"file system", s.FS}, {"file system configuration", s.Config}, {"mkfs options", s.MkfsOptions},
		{"mount options", s.MountOptions}, {"image directory", s.ImageDir},
	} {
		if x.value != "" {
			return usage("directory %s is used as it is mounted: %s %q has no place beside it", s.Directory, x.name, x.value)
		}
	}
	if s.LoopDirectIO || s.Size != 0 {
		return usage("directory %s is used as it is mounted: neither a size nor direct I/O of the loop device has a place beside it", s.Directory)
	}
	if err := checkWritable("directory", s.Directory); err != nil {
		return err
	}
	if free, err := available(s.Directory); err != nil {
		return err
	} else if free < s.Need {
		return unsupported("directory %s has %d bytes available, the files need %d", s.Directory, free, s.Need)
	}
	// A file without a name, so that nothing is created. Where that is not
	// possible, Open finds out.
	fd, err := openRetry(s.Directory, unix.O_TMPFILE|unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return unix.Close(fd)
	}
	if err == unix.EINVAL {
		if fd, plain := openRetry(s.Directory, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600); plain == nil {
			unix.Close(fd)
			return unsupported("the file system of %s refuses O_DIRECT: %w", s.Directory, err)
		}
	}
	return nil
}

func openRetry(path string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Open(path, flags, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// available returns the bytes that this user may still write below path.
func available(path string) (int64, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return 0, &os.PathError{Op: "statfs", Path: path, Err: err}
		}
	}
	blocks := st.Bavail
	if os.Geteuid() == 0 {
		blocks = st.Bfree
	}
	return int64(blocks) * int64(st.Frsize), nil
}

// capable says whether this process has CAP_SYS_ADMIN.
func capable() (bool, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false, err
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && n>>unix.CAP_SYS_ADMIN&1 == 1, err
		}
	}
	return false, errors.New("/proc/self/status has no line CapEff")
}
