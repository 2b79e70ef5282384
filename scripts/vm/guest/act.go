//go:build linux && amd64

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"diostress/scripts/vm/wire"
)

// act does one act unless the command ends first.
func act(a wire.Act, stop <-chan struct{}, l *link, disks layers) {
	if a.OnLog != "" && !logHolds(a.OnLog, stop, l) {
		return
	}
	select {
	case <-stop:
		return
	case <-time.After(time.Duration(a.AfterMS) * time.Millisecond):
	}
	what, err := "", error(nil)
	switch {
	case a.Path != "":
		what, err = fmt.Sprintf("write %q to %s", a.Value, a.Path), os.WriteFile(a.Path, []byte(a.Value), 0o644)
	case a.ZeroOut != "":
		what, err = "zero the end of disk "+a.ZeroOut, zeroOut(a.ZeroOut)
	case a.Fail != "":
		what, err = fmt.Sprintf("fail writes to disk %s for %d ms", a.Fail, a.ForMS), disks.turn(a.Fail, true)
		if err == nil {
			time.Sleep(time.Duration(a.ForMS) * time.Millisecond)
			err = disks.turn(a.Fail, false)
		}
	}
	if err != nil {
		l.note("%s: %v", what, err)
		return
	}
	fmt.Println("guest:", what)
}

// logHolds waits for a new line of the kernel log that holds text; false: the
// command ended first.
func logHolds(text string, stop <-chan struct{}, l *link) bool {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		l.note("/dev/kmsg: %v", err)
		return false
	}
	defer unix.Close(fd)
	unix.Seek(fd, 0, unix.SEEK_END)
	line := make([]byte, 8192)
	for {
		n, err := unix.Read(fd, line)
		switch {
		case n > 0:
			if strings.Contains(string(line[:n]), text) {
				return true
			}
			continue
		case errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR): // lines were overwritten unread
			continue
		case !errors.Is(err, unix.EAGAIN):
			l.note("/dev/kmsg: %v", err)
			return false
		}
		select {
		case <-stop:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}
