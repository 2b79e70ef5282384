//go:build linux && amd64

// Command guest is process 1 of a throw-away virtual machine: it mounts what a
// program expects, runs the commands of the work order in the initramfs, and
// ends the machine through QEMU's isa-debug-exit.
//
// It decides nothing: what a command's status means is the host's affair. It
// never writes to a disk other than the result disk.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"diostress/scripts/vm/wire"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: this is the init of a virtual machine; it runs only as process 1")
		os.Exit(2)
	}
	portErr := preparePort()
	mountSystem()
	link := openLink()
	if portErr != nil {
		link.note("ioperm: %v: the machine will end by a reset", portErr)
	}
	var u unix.Utsname
	unix.Uname(&u)
	link.frame(wire.FrameBooted, wire.Booted{
		Release: unix.ByteSliceToString(u.Release[:]), Version: unix.ByteSliceToString(u.Version[:]), UptimeSec: uptime(),
	})
	spec, err := readSpec()
	if err != nil {
		link.fail("%v", err)
	}
	link.frames = spec.Frames
	// A leaking kernel must not take the init's pages.
	unix.Mlockall(unix.MCL_CURRENT)
	results, disks, err := prepare(spec)
	if err != nil {
		link.fail("%v", err)
	}
	status, timedOut := 0, false
	for _, c := range spec.Commands {
		ended := run(c, spec.SysRq, link, results, disks)
		if ended.Timeout {
			timedOut = true
			break
		}
		if ended.Status != 0 {
			status = ended.Status
		}
	}
	results.close(link)
	if timedOut {
		// Not even sync: what hangs may hang it too.
		link.drain()
		leave(wire.ExitValue(wire.EndTimeout, 0))
	}
	for i := len(spec.Mounts) - 1; i >= 0; i-- {
		if err := unix.Unmount(spec.Mounts[i].Dir, 0); err != nil {
			link.note("umount %s: %v", spec.Mounts[i].Dir, err)
		}
	}
	unix.Sync()
	link.drain()
	leave(wire.ExitValue(wire.EndFinished, status))
}

func readSpec() (wire.Spec, error) {
	var s wire.Spec
	b, err := os.ReadFile(wire.SpecPath)
	if err != nil {
		return s, fmt.Errorf("work order: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("work order %s: %w", wire.SpecPath, err)
	}
	return s, nil
}

// prepare loads the modules, waits for the disks and mounts the file systems.
func prepare(spec wire.Spec) (*resultDisk, layers, error) {
	disks := layers{}
	for _, m := range spec.Modules {
		if err := loadModule(m); err != nil {
			return nil, nil, err
		}
	}
	results, err := openResults()
	if err != nil {
		return nil, nil, err
	}
	for _, d := range spec.Disks {
		if err := disks.present(d); err != nil {
			return nil, nil, err
		}
	}
	for _, m := range spec.Mounts {
		if err := os.MkdirAll(m.Dir, 0o755); err != nil {
			return nil, nil, err
		}
		dev := filepath.Join(wire.DiskDir, m.Serial)
		if err := unix.Mount(dev, m.Dir, m.FSType, 0, m.Options); err != nil {
			return nil, nil, fmt.Errorf("mount -t %s -o %q %s %s: %w", m.FSType, m.Options, dev, m.Dir, err)
		}
	}
	return results, disks, nil
}

// mountSystem mounts the file systems every program expects. A kernel without
// one of them (debugfs) still runs: the mount is simply absent.
func mountSystem() {
	for _, m := range []struct{ src, dir, typ string }{
		{"proc", "/proc", "proc"}, {"sys", "/sys", "sysfs"}, {"dev", "/dev", "devtmpfs"},
		{"shm", "/dev/shm", "tmpfs"}, {"tmp", "/tmp", "tmpfs"}, {"out", wire.OutDir, "tmpfs"}, {"run", "/run", "tmpfs"},
		{"tracefs", "/sys/kernel/tracing", "tracefs"}, {"debugfs", "/sys/kernel/debug", "debugfs"},
	} {
		os.MkdirAll(m.dir, 0o755)
		if m.typ == "tmpfs" && holds(m.dir) {
			continue
		}
		if err := unix.Mount(m.src, m.dir, m.typ, 0, ""); err != nil {
			fmt.Printf("guest: mount -t %s %s: %v\n", m.typ, m.dir, err)
		}
	}
	os.MkdirAll("/etc", 0o755)
	for name, text := range map[string]string{"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "/etc/group": "root:x:0:\n", "/etc/hosts": "127.0.0.1 localhost\n"} {
		if _, err := os.Stat(name); err != nil {
			os.WriteFile(name, []byte(text), 0o644)
		}
	}
	os.Symlink("/proc/self/mounts", "/etc/mtab")
	unix.Sethostname([]byte("vm"))
	for _, kv := range []string{"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/root", "TMPDIR=/tmp", "USER=root"} {
		k, v, _ := strings.Cut(kv, "=")
		os.Setenv(k, v)
	}
}

// holds says whether the initramfs brought something there that a mount would
// hide: the repository may lie in /tmp.
func holds(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) > 0
}

// link is the second serial port: program output and frames.
type link struct {
	w      io.Writer
	f      *os.File
	frames bool
	col    lastByte
}

func openLink() *link {
	l := &link{frames: true}
	f, err := os.OpenFile("/dev/ttyS1", os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		fmt.Printf("guest: /dev/ttyS1: %v; output goes to the console\n", err)
		f = os.Stdout
	} else if t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
		t.Oflag &^= unix.OPOST // \n stays \n
		unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t)
	}
	l.f = f
	l.w = io.MultiWriter(f, &l.col)
	return l
}

// lastByte remembers whether the stream stands at the start of a line.
type lastByte struct{ mid bool }

func (b *lastByte) Write(p []byte) (int, error) {
	if len(p) > 0 {
		b.mid = p[len(p)-1] != '\n'
	}
	return len(p), nil
}

func (l *link) frame(kind string, v any) {
	if !l.frames && kind != wire.FrameBooted && kind != wire.FrameEnd && kind != wire.FrameNote {
		return
	}
	if err := wire.WriteFrame(l.f, kind, v); err != nil {
		fmt.Printf("guest: %v\n", err)
	}
}

func (l *link) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Println("guest:", text)
	l.frame(wire.FrameNote, text)
}

func (l *link) fail(format string, args ...any) {
	l.note(format, args...)
	l.drain()
	leave(wire.ExitValue(wire.EndInitFailed, 0))
}

// drain waits until the serial port has sent everything.
func (l *link) drain() {
	unix.IoctlSetInt(int(l.f.Fd()), unix.TCSBRK, 1)
	time.Sleep(30 * time.Millisecond)
}

func uptime() float64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return float64(ts.Nano()) / 1e9
}
