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
// version 4) that makes one device: create, load a table, resume.
const (
	dmDevCreate  = 0xc138fd03
	dmDevSuspend = 0xc138fd06 // without DM_SUSPEND_FLAG it resumes
	dmTableLoad  = 0xc138fd09
	dmHeadSize   = 312 // struct dm_ioctl
	dmSpecSize   = 40  // struct dm_target_spec
)

type dmTarget struct {
	start, length uint64 // 512-byte sectors
	kind, params  string
}

// makeFlakey puts a device-mapper device over dev whose zone z fails writes
// for z.DownSec seconds after every z.UpSec seconds, and returns its node.
func makeFlakey(name, dev string, z wire.Zone) (string, error) {
	f, err := os.Open(dev)
	if err != nil {
		return "", err
	}
	size, err := f.Seek(0, 2)
	f.Close()
	if err != nil {
		return "", err
	}
	sectors := uint64(size) / 512
	if z.Start >= sectors {
		return "", fmt.Errorf("flakey zone starts at sector %d of a disk of %d", z.Start, sectors)
	}
	if z.Length == 0 || z.Start+z.Length > sectors {
		z.Length = sectors - z.Start
	}
	table := []dmTarget{{z.Start, z.Length, "flakey",
		fmt.Sprintf("%s %d %d %d 1 error_writes", dev, z.Start, z.UpSec, z.DownSec)}}
	if z.Start > 0 {
		table = append([]dmTarget{{0, z.Start, "linear", dev + " 0"}}, table...)
	}
	if end := z.Start + z.Length; end < sectors {
		table = append(table, dmTarget{end, sectors - end, "linear", fmt.Sprintf("%s %d", dev, end)})
	}
	ctl, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("device-mapper: %w", err)
	}
	defer ctl.Close()
	minor := uint64(0)
	for _, step := range []struct {
		cmd     uintptr
		targets []dmTarget
		what    string
	}{{dmDevCreate, nil, "create"}, {dmTableLoad, table, "load table"}, {dmDevSuspend, nil, "resume"}} {
		b := dmRequest(name, step.targets)
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, ctl.Fd(), step.cmd, uintptr(unsafe.Pointer(&b[0]))); e != 0 {
			return "", fmt.Errorf("device-mapper: %s %s: %w (table %v)", step.what, name, e, table)
		}
		minor = binary.LittleEndian.Uint64(b[40:])
	}
	node := "/dev/mapper/" + name
	os.Remove(node)
	// dev is huge_encode_dev: minor bits 0-7 and 20-, major bits 8-19
	err = unix.Mknod(node, unix.S_IFBLK|0o600, int(unix.Mkdev(uint32(minor>>8&0xfff), uint32(minor&0xff|minor>>12&0xfff00))))
	return node, err
}

func dmRequest(name string, targets []dmTarget) []byte {
	b := make([]byte, 16384)
	binary.LittleEndian.PutUint32(b[0:], 4)               // version 4.0.0
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b))) // data_size
	binary.LittleEndian.PutUint32(b[16:], dmHeadSize)     // data_start
	binary.LittleEndian.PutUint32(b[20:], uint32(len(targets)))
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
