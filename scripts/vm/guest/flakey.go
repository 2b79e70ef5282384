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

// mapped is a disk with a zone that can be made to fail.
type mapped struct {
	name, dev string
	zone      wire.Zone
	sectors   uint64
}

// mapping holds the mapped disks of this machine by serial number; the init's
// commands and acts read it, after all mounts were made.
type mapping map[string]*mapped

// add puts a device-mapper device over dev and returns its node. Nothing fails
// yet.
func (m mapping) add(serial, dev string, z wire.Zone) (string, error) {
	f, err := os.Open(dev)
	if err != nil {
		return "", err
	}
	size, err := f.Seek(0, 2)
	f.Close()
	if err != nil {
		return "", err
	}
	d := &mapped{name: serial, dev: dev, zone: z, sectors: uint64(size) / 512}
	if z.Start >= d.sectors {
		return "", fmt.Errorf("failing zone starts at sector %d of a disk of %d", z.Start, d.sectors)
	}
	if z.Length == 0 || z.Start+z.Length > d.sectors {
		d.zone.Length = d.sectors - z.Start
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

// turn makes the writes to a disk's zone fail, or succeed again.
func (m mapping) turn(serial string, fail bool) error {
	d, ok := m[serial]
	if !ok {
		return fmt.Errorf("disk %s has no zone that can fail", serial)
	}
	if _, err := dmCall(dmDevSuspend, serial, dmSuspendFlag|dmSkipLockFSFlag|dmNoFlushFlag, nil); err != nil {
		return err
	}
	_, err := d.load(fail)
	return err
}

// load makes the table that fails or not the device's own and resumes it.
func (d *mapped) load(fail bool) (dev uint64, err error) {
	z := d.zone
	middle := dmTarget{z.Start, z.Length, "linear", fmt.Sprintf("%s %d", d.dev, z.Start)}
	if fail {
		// Never up, down for as long as it is asked, reads as ever.
		middle.kind = "flakey"
		middle.params += " 0 1 1 error_writes"
	}
	table := []dmTarget{middle}
	if z.Start > 0 {
		table = append([]dmTarget{{0, z.Start, "linear", d.dev + " 0"}}, table...)
	}
	if end := z.Start + z.Length; end < d.sectors {
		table = append(table, dmTarget{end, d.sectors - end, "linear", fmt.Sprintf("%s %d", d.dev, end)})
	}
	if _, err := dmCall(dmTableLoad, d.name, 0, table); err != nil {
		return 0, err
	}
	return dmCall(dmDevSuspend, d.name, 0, nil)
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
