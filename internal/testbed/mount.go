package testbed

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mount mounts the device on b.dir. A mount or unmount on /run reaches other
// mount namespaces as /run's own propagation says; MS_PRIVATE keeps what is
// mounted below ours from doing so.
func (b *Bed) mount() error {
	if err := b.mountWith(b.plan.recipe.mount); err != nil {
		return err
	}
	b.mounted = true
	if err := unix.Mount("", b.dir, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make %s private: %w", b.dir, err)
	}
	return nil
}

func (b *Bed) mountWith(m mountOptions) error {
	klog := openKernelLog()
	defer klog.close()
	err := unix.Mount(b.device, b.dir, b.plan.fs, m.flags, strings.Join(m.data, ","))
	if err == nil {
		return nil
	}
	err = fmt.Errorf("mount -t %s -o %q %s %s: %w%s", b.plan.fs, strings.Join(m.data, ","), b.device, b.dir, err,
		klog.about(filepath.Base(b.device)))
	switch {
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV):
		err = unsupported("%w", err)
	case errors.Is(err, unix.ENOENT) && slices.Contains(m.data, "test_dummy_encryption"):
		// Device and directory are there: fscrypt, which up to 6.2 added the test
		// key at the mount, found no HMAC-SHA512 (fs/crypto/hkdf.c).
		err = unsupported("%w: the kernel lacks a cipher?", err)
	}
	return err
}

// blame finds out whether the caller's options are why the first mount failed
// with err. Mount options that exclude each other pass every check before, and
// kernels without file-system contexts check nothing before; mke2fs knows
// features that the kernel may lack.
func (b *Bed) blame(ctx context.Context, err error) error {
	if errors.Is(err, ErrUnsupported) || ctx.Err() != nil {
		return err
	}
	if b.plan.MountOptions != "" && b.mountsBare() {
		return usage("mount options %q: the file system mounts without them: %w", b.plan.MountOptions, err)
	}
	if len(b.plan.user) > 0 {
		plain := b.plan.mkfsArgs(b.plan.size, false, b.plan.mkfs.v147)
		if b.mke2fs(ctx, plain) == nil && b.mountsBare() {
			return unsupported("mkfs options %q: mke2fs takes them, but this kernel does not mount what they make: %w", b.plan.MkfsOptions, err)
		}
	}
	return err
}

// mountsBare tries the configuration's own mount options.
func (b *Bed) mountsBare() bool {
	if b.mountWith(b.plan.bare) != nil {
		return false
	}
	b.mounted = unmountRetry(b.dir, b.patience) != nil // then Close tries again
	return true
}

// kernelLog reads the kernel's messages from a moment on: mount(2) says only
// EINVAL, the reason is in the log.
type kernelLog struct{ fd int }

// openKernelLog begins with the next message. Where /dev/kmsg cannot be read
// there will be none.
func openKernelLog() kernelLog {
	fd, err := openRetry("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return kernelLog{-1}
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		unix.Close(fd)
		return kernelLog{-1}
	}
	return kernelLog{fd}
}

func (k kernelLog) close() {
	if k.fd >= 0 {
		unix.Close(k.fd)
	}
}

// about returns "; kernel log: ..." with the messages since then that name the
// device, or come from ext4 for no device at all, or "".
func (k kernelLog) about(device string) string {
	if k.fd < 0 {
		return ""
	}
	var lines []string
	buf := make([]byte, 8192) // longest record: CONSOLE_EXT_LOG_MAX
	for range 1000 {
		n, err := unix.Read(k.fd, buf)
		if err == unix.EPIPE || err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			break
		}
		_, text, _ := strings.Cut(string(buf[:n]), ";")
		text, _, _ = strings.Cut(text, "\n")
		if strings.Contains(text, "("+device+")") || strings.HasPrefix(text, "EXT4-fs:") {
			lines = append(lines, text)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "; kernel log: " + strings.Join(lines, " | ")
}
