//go:build linux && amd64

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/scripts/vm/wire"
)

// diskBySerial finds the NVMe disk with that serial number and waits for its
// node. Names are not stable: NVMe probes asynchronously (all kernels since
// 6.12 give them in varying order).
func diskBySerial(want string, wait time.Duration) (string, error) {
	deadline := time.Now().Add(wait)
	for {
		var have []string
		files, _ := filepath.Glob("/sys/class/nvme/nvme*/serial")
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				continue
			}
			serial := strings.TrimSpace(string(b))
			have = append(have, serial)
			if serial != want {
				continue
			}
			dev := "/dev/" + filepath.Base(filepath.Dir(f)) + "n1"
			if _, err := os.Stat(dev); err == nil {
				return dev, nil
			}
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("no disk with serial %q after %s; there are %q", want, wait, have)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// present waits for a disk, puts its layer over it and makes it known under its
// serial number.
func (m layers) present(d wire.Disk) error {
	dev, err := diskBySerial(d.Serial, 10*time.Second)
	if err != nil {
		return err
	}
	if d.Layer != nil {
		if dev, err = m.add(d.Serial, dev, *d.Layer); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(wire.DiskDir, 0o755); err != nil {
		return err
	}
	return os.Symlink(dev, filepath.Join(wire.DiskDir, d.Serial))
}

// resultDisk is the raw disk that takes the records. A nil one takes nothing.
type resultDisk struct {
	f   *os.File
	off int64
}

func openResults() (*resultDisk, error) {
	dev, err := diskBySerial(wire.ResultSerial, 10*time.Second)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("result disk: %w", err)
	}
	return &resultDisk{f: f}, nil
}

// add writes one record and makes it durable, because the next command may
// take the kernel down.
func (d *resultDisk) add(l *link, name string, data []byte) {
	b, err := wire.EncodeRecord(wire.Record{Name: name, Data: data})
	if err == nil {
		_, err = d.f.WriteAt(b, d.off)
	}
	if err == nil {
		err = d.f.Sync()
	}
	if err != nil {
		l.note("result disk: %s (%d bytes): %v", name, len(data), err)
		return
	}
	d.off += int64(len(b))
}

func (d *resultDisk) close(l *link) {
	if err := d.f.Close(); err != nil {
		l.note("result disk: %v", err)
	}
}

// zeroOut zeroes the last 4 KiB of a disk by write-zeroes commands.
func zeroOut(serial string) error {
	dev, err := diskBySerial(serial, time.Second)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(dev, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, 2)
	if err != nil {
		return err
	}
	span := [2]uint64{uint64(size) - 4096, 4096}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKZEROOUT, uintptr(unsafe.Pointer(&span))); e != 0 {
		return e
	}
	return nil
}
