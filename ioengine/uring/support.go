package uring

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

const disabledPath = "/proc/sys/kernel/io_uring_disabled" // since 6.6

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ioengine.ErrUnsupported, fmt.Sprintf(format, args...))
}

// setupError translates the errno of io_uring_setup. What this machine rules
// out is unsupported; whatever leaves a doubt stays a plain error.
func setupError(err error, o ioengine.Options) error {
	switch {
	case errors.Is(err, unix.ENOSYS):
		return unsupported("io_uring_setup is not there (ENOSYS): the kernel is older than 5.1, was built without CONFIG_IO_URING, or a seccomp filter hides it: use libaio or psync")
	case errors.Is(err, unix.EPERM):
		return unsupported("%s", refused(os.ReadFile(disabledPath)))
	case errors.Is(err, unix.EINVAL) && len(o.UringFlags) > 0:
		return unsupported("io_uring_setup refused the flags %s (EINVAL): coop_taskrun needs Linux 5.19, single_issuer 6.0, defer_taskrun 6.1: run without them", strings.Join(o.UringFlags, ","))
	case errors.Is(err, unix.ENOMEM):
		if text, hit := memlock(fmt.Sprintf("a ring of depth %d", o.Depth)); hit {
			return unsupported("%s, or use a smaller iodepth", text)
		}
	}
	return fmt.Errorf("io_uring_setup, depth %d: %w", o.Depth, err)
}

// refused explains EPERM by what disabledPath holds.
func refused(content []byte, err error) string {
	value := strings.TrimSpace(string(content))
	switch {
	case err == nil && value == "2":
		return disabledPath + " is 2, io_uring is off for everybody: sysctl -w kernel.io_uring_disabled=0, or use libaio or psync"
	case err == nil && value == "1":
		return disabledPath + " is 1, io_uring is for CAP_SYS_ADMIN and the group kernel.io_uring_group only: run as root, sysctl -w kernel.io_uring_disabled=0, or use libaio or psync"
	case err == nil:
		return "io_uring_setup is forbidden (EPERM) although " + disabledPath + " is " + value + ": a seccomp filter (containers have one) or a security module refuses it: lift it, or use libaio or psync"
	default:
		return "io_uring_setup is forbidden (EPERM), and " + disabledPath + " cannot be read (it is there since 6.6): a seccomp filter (containers have one), a security module, or sqpoll without privilege before 5.11: lift it, or use libaio or psync"
	}
}

// memlock says what to do if the memlock limit binds this process, and whether
// it does. Registered buffers count against it, rings did before 5.12.
func memlock(what string) (text string, binds bool) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim); err != nil || lim.Cur == unix.RLIM_INFINITY {
		return "", false
	}
	if exempt, err := hasIPCLock(); err != nil || exempt {
		return "", false
	}
	return fmt.Sprintf("%s: over the memlock limit of %d bytes (ENOMEM): raise it (ulimit -l unlimited, or LimitMEMLOCK=), grant CAP_IPC_LOCK", what, lim.Cur), true
}

func hasIPCLock() (bool, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // version 3 has two words
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return false, err
	}
	return data[0].Effective&(1<<unix.CAP_IPC_LOCK) != 0, nil
}
