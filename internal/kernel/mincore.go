package kernel

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mincore fills one byte for each page of the mapping; bit 0: resident.
func mincore(m, vec []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&vec[0])))
	if errno != 0 {
		return os.NewSyscallError("mincore", errno)
	}
	return nil
}
