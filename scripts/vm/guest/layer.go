//go:build linux && amd64

package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/scripts/vm/wire"
)

// The part of the device-mapper control interface (include/uapi/linux/dm-ioctl.h,
// version 4) that makes one device and exchanges its table.
const (
	dmDevCreate  = 0xc138fd03
	dmDevSuspend = 0xc138fd06 // without dmSuspendFlag it resumes
	dmTableLoad  = 0xc138fd09
	dmHeadSize   = 312 // struct dm_ioctl
	dmSpecSize   = 40  // struct dm_target_spec

	dmSuspendFlag    = 1 << 1
	dmSkipLockFSFlag = 1 << 10 // the file system above is not frozen
	dmNoFlushFlag    = 1 << 11
)

type dmTarget struct {
	start, length uint64 // 512-byte sectors
	kind, params  string
}

// layered is a disk with a device-mapper device over it.
type layered struct {
	name, dev string
	layer     wire.Layer
	sectors   uint64
}

// layers holds the layered disks of this machine by serial number; acts read
// it, after all of them were made.
type layers map[string]*layered

// add puts a layer over dev and returns its node. Nothing fails yet.
func (m layers) add(serial, dev string, layer wire.Layer) (string, error) {
	f, err := os.Open(dev)
	if err != nil {
		return "", err
	}
	size, err := f.Seek(0, 2)
	f.Close()
	if err != nil {
		return "", err
	}
	d := &layered{name: serial, dev: dev, layer: layer, sectors: uint64(size) / 512}
	if layer.FailFrom >= d.sectors {
		return "", fmt.Errorf("what may fail starts at sector %d of a disk of %d", layer.FailFrom, d.sectors)
	}
	if _, err := dmCall(dmDevCreate, serial, 0, nil); err != nil {
		return "", err
	}
	dev64, err := d.load(false)
	if err != nil {
		return "", err
	}
	m[serial] = d
	node := "/dev/mapper/" + serial
	os.Remove(node)
	// dev64 is huge_encode_dev: minor bits 0-7 and 20-, major bits 8-19.
	return node, unix.Mknod(node, unix.S_IFBLK|0o600, int(unix.Mkdev(uint32(dev64>>8&0xfff), uint32(dev64&0xff|dev64>>12&0xfff00))))
}

// turn makes the writes to what may fail of a disk fail, or succeed again.
func (m layers) turn(serial string, fail bool) error {
	d, ok := m[serial]
	if !ok {
		return fmt.Errorf("disk %s has no part that can fail", serial)
	}
	if _, err := dmCall(dmDevSuspend, serial, dmSuspendFlag|dmSkipLockFSFlag|dmNoFlushFlag, nil); err != nil {
		return err
	}
	_, err := d.load(fail)
	return err
}

// load makes the table that fails or not the device's own and resumes it.
func (d *layered) load(fail bool) (dev uint64, err error) {
	if _, err := dmCall(dmTableLoad, d.name, 0, d.table(fail)); err != nil {
		return 0, err
	}
	return dmCall(dmDevSuspend, d.name, 0, nil)
}

func (d *layered) table(fail bool) []dmTarget {
	at := fmt.Sprintf("%s %d", d.dev, d.layer.FailFrom)
	rest := dmTarget{d.layer.FailFrom, d.sectors - d.layer.FailFrom, "linear", at}
	if fail {
		// Never up, down for as long as it is asked, reads as ever.
		rest.kind, rest.params = "flakey", at+" 0 1 1 error_writes"
	}
	if rest.start == 0 {
		return []dmTarget{rest}
	}
	return []dmTarget{{0, rest.start, "linear", d.dev + " 0"}, rest}
}

// dmCall makes one call and returns the device number it answers with.
func dmCall(cmd uintptr, name string, flags uint32, table []dmTarget) (uint64, error) {
	ctl, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		return 0, fmt.Errorf("device-mapper: %w", err)
	}
	defer ctl.Close()
	b := dmRequest(name, flags, table)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, ctl.Fd(), cmd, uintptr(unsafe.Pointer(&b[0]))); e != 0 {
		return 0, fmt.Errorf("device-mapper: call %#x for %s: %w (table %v)", cmd, name, e, table)
	}
	return binary.LittleEndian.Uint64(b[40:]), nil
}

func dmRequest(name string, flags uint32, targets []dmTarget) []byte {
	b := make([]byte, 16384)
	binary.LittleEndian.PutUint32(b[0:], 4)               // version 4.0.0
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b))) // data_size
	binary.LittleEndian.PutUint32(b[16:], dmHeadSize)     // data_start
	binary.LittleEndian.PutUint32(b[20:], uint32(len(targets)))
	binary.LittleEndian.PutUint32(b[28:], flags)
	copy(b[48:48+127], name)
	off := dmHeadSize
	for _, t := range targets {
		next := (dmSpecSize + len(t.params) + 1 + 7) / 8 * 8
		binary.LittleEndian.PutUint64(b[off:], t.start)
		binary.LittleEndian.PutUint64(b[off+8:], t.length)
		binary.LittleEndian.PutUint32(b[off+20:], uint32(next))
		copy(b[off+24:off+39], t.kind)
		copy(b[off+dmSpecSize:], t.params)
		off += next
	}
	return b
}
