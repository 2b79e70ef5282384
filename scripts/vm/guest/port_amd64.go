package main

import (
	"runtime"

	"golang.org/x/sys/unix"

	"diostress/scripts/vm/wire"
)

func outb(port uint16, value uint8)

// preparePort asks for the debug-exit port while memory can still be had
// (ioperm allocates, and a kernel that leaks could refuse it later), and keeps
// the calling goroutine on the thread that got the right. Debian's kernels have
// no /dev/port (CONFIG_DEVPORT=n).
func preparePort() error {
	runtime.LockOSThread()
	if _, _, e := unix.RawSyscall(unix.SYS_IOPERM, wire.ExitPort, 4, 1); e != 0 {
		return e
	}
	return nil
}

// leave ends the machine with the code; it must run on preparePort's thread.
func leave(code byte) {
	outb(wire.ExitPort, code)
	// without the device the write does nothing: reset instead
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {}
}
