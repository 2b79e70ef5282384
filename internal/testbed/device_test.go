package testbed

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"diostress/internal/need"

	"golang.org/x/sys/unix"
)

const diskSize = 64 << 20

// TestDeviceIsFormattedAndGivenBack: it stays as it is used, and is nobody's
// afterwards.
func TestDeviceIsFormattedAndGivenBack(t *testing.T) {
	machine(t)
	disk := rawLoop(t, diskSize, 0)
	s := Spec{Device: disk, DestroyData: true, FS: "ext3", Need: 8 << 20}
	must(t, Check(s))
	b := open(t, s)
	if i := b.Info(); i.Device != disk || i.FS != "ext3" || i.LoopDirectIO != "" || !b.CanRemount() || i.Size < diskSize*3/4 {
		t.Errorf("info %+v", i)
	}
	path := filepath.Join(b.Dir(), "file")
	want := writeDirect(t, path, 10)
	wants(t, Check(s), "usage", disk, "is in use: mounted on "+b.Dir())
	if !unmounted(t, b).Clean {
		t.Error("not clean")
	}
	must(t, b.Remount())
	holds(t, path, want)
	must(t, b.Close())
	nothingLeft(t, os.Getpid())
	if magic := binary.LittleEndian.Uint16(superblock(t, disk)[0x38:]); magic != 0xef53 {
		t.Errorf("magic %#x: the file system is gone from the device", magic)
	}
	must(t, Check(s)) // free again, and what is on it is no reason to refuse

	// A part of the device.
	s.Size = 32 << 20
	b = open(t, s)
	if i := b.Info(); i.Size > s.Size || i.Size < s.Size/2 {
		t.Errorf("a file system of %d bytes in %d", i.Size, s.Size)
	}
	must(t, b.Close())
}

func TestDevicePointedAtWrongly(t *testing.T) {
	machine(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	disk := rawLoop(t, diskSize, 0)
	readOnly := rawLoop(t, diskSize, unix.LO_FLAGS_READ_ONLY)
	for _, c := range []struct {
		spec  Spec
		class string
		words []string
	}{
		{Spec{Device: filepath.Join(dir, "none")}, "usage", []string{filepath.Join(dir, "none"), "no such file"}},
		{Spec{Device: dir}, "usage", []string{dir, "is not a block device"}},
		{Spec{Device: file}, "usage", []string{file, "is not a block device"}},
		{Spec{Device: "/dev/null"}, "usage", []string{"/dev/null", "is not a block device"}},
		{Spec{Device: disk}, "usage", []string{disk, "would be formatted", "--destroy-data"}},
		{Spec{Device: readOnly, DestroyData: true}, "usage", []string{readOnly, "read-only"}},
		{Spec{Device: disk, DestroyData: true, Size: diskSize + 1}, "usage", []string{disk, fmt.Sprint(diskSize + 1), fmt.Sprint(diskSize)}},
		{Spec{Device: disk, DestroyData: true, Need: 60 << 20}, "unsupported", []string{disk, fmt.Sprint(diskSize), "need"}},
		{Spec{Device: disk, DestroyData: true, ImageDir: dir}, "usage", []string{dir, disk}},
		{Spec{Device: disk, DestroyData: true, LoopDirectIO: true}, "usage", []string{disk, "no loop device"}},
		{Spec{Device: disk, DestroyData: true, Config: "dax"}, "unsupported", []string{disk, "dax"}},
		{Spec{Device: disk, Directory: dir}, "usage", []string{dir, disk}},
	} {
		wants(t, Check(c.spec), c.class, c.words...)
		_, err := Open(t.Context(), c.spec)
		wants(t, err, c.class, c.words...)
	}
	if b := superblock(t, disk); !bytes.Equal(b, make([]byte, len(b))) {
		t.Error("the device was written to")
	}
	nothingLeft(t, os.Getpid())
}

// TestDeviceWithLargeLogicalBlocks.
func TestDeviceWithLargeLogicalBlocks(t *testing.T) {
	machine(t)
	disk := rawLoop(t, diskSize, 0)
	fd, err := openRetry(disk, unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	err = unix.IoctlSetInt(fd, unix.LOOP_SET_BLOCK_SIZE, 4096)
	unix.Close(fd)
	must(t, err)
	if n := LogicalBlock(Spec{Device: disk}); n != 4096 {
		t.Errorf("logical block of %d bytes, want 4096", n)
	}
	wants(t, Check(Spec{Device: disk, DestroyData: true, Config: "1k"}), "usage", disk, "4096", "configuration 1k")
	b := open(t, Spec{Device: disk, DestroyData: true})
	if i := b.Info(); i.LogicalBlockSize != 4096 || i.DirectIO != "yes" {
		t.Errorf("info %+v", i)
	}
	if n := LogicalBlock(Spec{Directory: b.Dir()}); n != 4096 {
		t.Errorf("logical block of %d bytes below a directory, want 4096", n)
	}
	must(t, b.Close())
}

// TestDeviceInUse is refused, whoever uses it, and named where it can be.
func TestDeviceInUse(t *testing.T) {
	machine(t)
	hold := func(flags int) func(*testing.T, string) []string {
		return func(t *testing.T, disk string) []string {
			c := start(t, order{Act: "hold", Path: disk, Flags: flags}, nil)
			wantsText(t, c.Err, c.Class, "")
			return []string{fmt.Sprintf("pid %d (", c.pid())}
		}
	}
	for _, c := range []struct {
		name string
		free bool // it may be used all the same
		use  func(t *testing.T, disk string) (words []string)
	}{
		{"mounted", false, func(t *testing.T, disk string) []string {
			makeExt4(t, disk)
			dir := t.TempDir()
			must(t, unix.Mount(disk, dir, "ext4", unix.MS_RDONLY, ""))
			t.Cleanup(func() { must(t, unmountRetry(dir, busyWait)) })
			return []string{"mounted on " + dir + " (ext4)"}
		}},
		{"mounted in another namespace", false, func(t *testing.T, disk string) []string {
			makeExt4(t, disk)
			c := start(t, order{Cover: []string{"/tmp"}, Act: "mount", Path: disk}, nil)
			wantsText(t, c.Err, c.Class, "")
			return []string{"does not open exclusively", fmt.Sprintf("pid %d (", c.pid()), "mount namespace"}
		}},
		{"swap", false, func(t *testing.T, disk string) []string {
			if _, err := exec.LookPath("mkswap"); err != nil {
				need.Skip(t, need.Tool, err.Error())
			}
			if out, err := exec.Command("mkswap", disk).CombinedOutput(); err != nil {
				t.Fatalf("mkswap: %v: %s", err, out)
			}
			swap := func(call uintptr) {
				p, err := unix.BytePtrFromString(disk)
				must(t, err)
				if _, _, errno := unix.Syscall(call, uintptr(unsafe.Pointer(p)), 0, 0); errno != 0 {
					t.Fatal(errno)
				}
			}
			swap(unix.SYS_SWAPON)
			t.Cleanup(func() { swap(unix.SYS_SWAPOFF) })
			return []string{"swap space"}
		}},
		{"claimed", false, hold(unix.O_RDONLY | unix.O_EXCL)},
		{"open for writing", false, hold(unix.O_WRONLY)},
		{"open for reading and writing", false, hold(unix.O_RDWR)},
		{"open for reading", true, hold(unix.O_RDONLY)},
		{"below a loop device", false, func(t *testing.T, disk string) []string {
			f, err := os.OpenFile(disk, os.O_RDWR, 0)
			must(t, err)
			defer f.Close()
			return []string{"what " + attachRaw(t, f, 0) + " is attached to"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := rawLoop(t, diskSize, 0)
			words := append(c.use(t, disk), disk, "is in use")
			err := Check(Spec{Device: disk, DestroyData: true})
			if c.free {
				must(t, err)
				return
			}
			wants(t, err, "usage", words...)
			_, err = Open(t.Context(), Spec{Device: disk, DestroyData: true})
			wants(t, err, "usage", words...)
		})
	}
	nothingLeft(t, os.Getpid())
}

func makeExt4(t *testing.T, disk string) {
	t.Helper()
	tool, err := findTool("mke2fs")
	must(t, err)
	if out, err := exec.Command(tool, "-q", "-F", "-t", "ext4", disk).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
}

// addPartition tells the kernel of a partition, without a table on the disk
// (BLKPG): not every kernel reads tables.
func addPartition(t *testing.T, disk string, start, length int64) (device string) {
	t.Helper()
	p := struct {
		start, length int64
		number        int32
		names         [128]byte
	}{start: start, length: length, number: 1}
	arg := unix.BlkpgIoctlArg{Op: unix.BLKPG_ADD_PARTITION, Datalen: int32(unsafe.Sizeof(p)), Data: (*byte)(unsafe.Pointer(&p))}
	fd, err := openRetry(disk, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	const blkpg = 0x1269 // _IO(0x12, 105)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), blkpg, uintptr(unsafe.Pointer(&arg))); errno != 0 {
		t.Fatalf("add a partition to %s: %v", disk, errno)
	}
	device = disk + "p1"
	until(t, device+" is there", func() bool { _, err := os.Stat(device); return err == nil })
	return device
}

// TestDeviceWithAPartitionInUse: the disk is, too.
func TestDeviceWithAPartitionInUse(t *testing.T) {
	machine(t)
	disk := rawLoop(t, diskSize, unix.LO_FLAGS_PARTSCAN)
	part := addPartition(t, disk, 1<<20, 32<<20)
	must(t, Check(Spec{Device: disk, DestroyData: true}))
	b := open(t, Spec{Device: part, DestroyData: true, Size: 16 << 20})
	wants(t, Check(Spec{Device: disk, DestroyData: true}), "usage", disk, "its partition "+filepath.Base(part)+" is mounted on "+b.Dir())
	wants(t, Check(Spec{Device: part, DestroyData: true}), "usage", part, "mounted on "+b.Dir())
	if n := LogicalBlock(Spec{Device: part}); n != 512 || b.Info().LogicalBlockSize != 512 {
		t.Errorf("logical block %d, %d; want 512", n, b.Info().LogicalBlockSize)
	}
	if s := b.Info().Stack; len(s) < 3 || !strings.Contains(strings.Join(s, "\n"), filepath.Base(part)+" on "+filepath.Base(disk)) {
		t.Errorf("stack %q", s)
	}
	must(t, b.Close())

	c := start(t, order{Act: "hold", Path: part, Flags: unix.O_WRONLY}, nil)
	wants(t, Check(Spec{Device: disk, DestroyData: true}), "usage", "its partition "+filepath.Base(part)+" is open for writing by pid "+fmt.Sprint(c.pid()))
	c.kill()

	whole := start(t, order{Act: "hold", Path: disk, Flags: unix.O_RDONLY | unix.O_EXCL}, nil)
	wants(t, Check(Spec{Device: part, DestroyData: true}), "usage", part, "does not open exclusively")
	whole.kill()
}

// TestHolder: dm, RAID and bcache show in /sys.
func TestHolder(t *testing.T) {
	sys := t.TempDir()
	if h := holderOf(sys); h != "" {
		t.Errorf("no directory of holders: %q", h)
	}
	must(t, os.MkdirAll(filepath.Join(sys, "holders"), 0o700))
	if h := holderOf(sys); h != "" {
		t.Errorf("no holder: %q", h)
	}
	must(t, os.Symlink("../../dm-3", filepath.Join(sys, "holders", "dm-3")))
	if h := holderOf(sys); h != "dm-3" {
		t.Errorf("holder %q, want dm-3", h)
	}
}
