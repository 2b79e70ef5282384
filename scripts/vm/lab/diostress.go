package lab

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"diostress/scripts/vm/disk"
	"diostress/scripts/vm/wire"
)

// GuestProgram is where a guest finds dioStress.
const GuestProgram = "/bin/dioStress"

// TestSerial is the serial number of the disk that dioStress works on.
const TestSerial = "test"

// DefaultDiskSize is what the default settings of dioStress need and some, bytes.
const DefaultDiskSize = 192 << 20

// FSTools are the programs that dioStress calls to make and check a file
// system on a disk of its own.
func FSTools() []Program {
	return []Program{{"mke2fs", "/sbin/mke2fs"}, {"e2fsck", "/sbin/e2fsck"}}
}

// TestTools are the programs that the tests call, of those the host has.
func TestTools() (out []Program) {
	for _, name := range []string{"sh", "cat", "chmod", "cp", "dd", "kill", "losetup", "mkdir", "mkfs.ext4", "mkswap", "mount", "mv", "rm", "sleep", "truncate", "umount", "uname"} {
		if _, err := lookup(name); err == nil {
			out = append(out, Program{name, "/bin/" + name})
		}
	}
	return out
}

// Target is a disk and the arguments that make dioStress work on it.
type Target struct {
	Disk    Disk
	Args    []string
	Modules []string // that the kernel needs for it
	Tools   bool     // FSTools are needed in the guest
}

// Raw gives dioStress a blank disk to format and check itself: it can unmount,
// so the rules on the file system and on what a fresh mount reads are on. The
// format's name becomes --fs and --fs-config.
func Raw(format string, size int64) (Target, error) {
	f, err := disk.FormatByName(format)
	if err != nil {
		return Target{}, err
	}
	if f.FSType == "xfs" {
		return Target{}, fmt.Errorf("dioStress does not make %s; have it formatted on the host (--format host)", f.FSType)
	}
	serial := serialOf(format)
	args := []string{"--device", path.Join(wire.DiskDir, serial), "--destroy-data", "--fs", f.FSType}
	if strings.HasSuffix(format, "-1k") {
		args = append(args, "--fs-config", "1k")
	}
	return Target{Disk: Disk{Serial: serial, Size: size}, Args: args, Tools: true}, nil
}

// Formatted gives dioStress a directory of a file system that was made on the
// host and mounted by the init.
func Formatted(format string, size int64) (Target, error) {
	f, err := disk.FormatByName(format)
	if err != nil {
		return Target{}, err
	}
	serial := serialOf(format)
	dir := "/mnt/" + serial
	t := Target{Disk: Disk{Serial: serial, Format: format, Size: size, Mount: &wire.Mount{Dir: dir}}, Args: []string{"--directory", dir}}
	if f.FSType == "xfs" {
		t.Modules = []string{"xfs"}
		t.Disk.Size = max(size, 320<<20) // mkfs.xfs makes nothing under 300 MiB
	}
	return t, nil
}

// serialOf is the serial number of a format's disk: NVMe allows 20 characters.
func serialOf(format string) string { return TestSerial + "-" + format }

// Targeted says whether arguments of dioStress already say where to work.
func Targeted(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		name, _, _ := strings.Cut(a, "=")
		return name == "--directory" || name == "--device" || name == "--dry-run" || name == "--help" || name == "--version" || name == "-h"
	}) || len(args) > 0 && !strings.HasPrefix(args[0], "-")
}
