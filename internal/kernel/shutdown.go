package kernel

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ShutdownMode is what becomes of the journal at Shutdown.
type ShutdownMode uint32

// The modes (since 4.12, fs/ext4/ioctl.c; the same numbers as XFS's GOINGDOWN).
const (
	ShutdownFreeze     ShutdownMode = 0 // freeze first: everything is written
	ShutdownFlushLog   ShutdownMode = 1 // the log is flushed, data is not
	ShutdownNoFlushLog ShutdownMode = 2 // as if the power had failed
)

// ext4IOCShutdown is _IOR('X', 125, __u32) in the encoding of amd64 and arm64.
const ext4IOCShutdown = 0x8004587d

// Shutdown makes the ext4 or XFS file system that holds dir refuse all further
// I/O until it is mounted again. Root only; for tests: it ruins a file system
// in use.
func Shutdown(dir string, mode ShutdownMode) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := uint32(mode)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ext4IOCShutdown, uintptr(unsafe.Pointer(&flags)))
	if errno != 0 {
		return &os.PathError{Op: "shutdown", Path: dir, Err: errno}
	}
	return nil
}
