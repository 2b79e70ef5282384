package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// counter counts a tracepoint on the whole machine, whoever hits it, as
// `perf stat -a -e EVENT` does: both sides of a comparison are counted by the
// same means.
type counter struct {
	event string
	fds   []int
}

// openCounter starts counting an event such as
// "iomap/iomap_dio_invalidate_fail" on the file systems of one device.
func openCounter(event string, dev uint64) (*counter, error) {
	id, err := eventID(event)
	if err != nil {
		return nil, err
	}
	c := &counter{event: event}
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
	for cpu := range runtime.NumCPU() {
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			c.close()
			return nil, fmt.Errorf("count %s on CPU %d: %w (as root, or with kernel.perf_event_paranoid -1)", event, cpu, err)
		}
		c.fds = append(c.fds, fd)
		if err := setFilter(fd, dev); err != nil {
			c.close()
			return nil, fmt.Errorf("count %s: %w", event, err)
		}
	}
	return c, nil
}

// setFilter lets only events of one device count. Tracepoints carry the
// kernel's own dev_t, with 20 bits of minor number.
func setFilter(fd int, dev uint64) error {
	text := fmt.Sprintf("dev == %d\x00", unix.Major(dev)<<20|unix.Minor(dev))
	b := []byte(text)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_SET_FILTER, uintptr(unsafe.Pointer(&b[0])))
	if errno != 0 {
		return fmt.Errorf("filter %q: %w", text, errno)
	}
	return nil
}

func eventID(event string) (uint64, error) {
	var errs []error
	for _, root := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		b, err := os.ReadFile(root + "/events/" + event + "/id")
		if err == nil {
			return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
		}
		errs = append(errs, err)
	}
	return 0, fmt.Errorf("tracepoint %s: %w", event, errors.Join(errs...))
}

// read returns the count since openCounter, 0 once it is closed.
func (c *counter) read() (sum uint64, err error) {
	for _, fd := range c.fds {
		var b [8]byte
		n, err := unix.Read(fd, b[:])
		if err != nil || n != len(b) {
			return 0, fmt.Errorf("read the counter of %s: %d bytes: %w", c.event, n, err)
		}
		sum += binary.NativeEndian.Uint64(b[:])
	}
	return sum, nil
}

func (c *counter) close() {
	for _, fd := range c.fds {
		unix.Close(fd)
	}
	c.fds = nil
}
