package bedtest

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"unsafe"

	"diostress/internal/testbed"

	"golang.org/x/sys/unix"
)

// FullBacking opens a bed whose image lies on a tmpfs of its own, and returns a
// function that gives back every block of the image that the bed's file system
// does not use, and the blocks of the named files besides, and then fills the
// tmpfs up. From then on the device has no room for any of those blocks: a
// write to them fails with ENOSPC, as on a thin-provisioned device whose pool
// has run dry, or with EIO where the loop driver does not pass the errno on
// (kernels that have lo_write_simple in drivers/block/loop.c). Blocks of files
// that were not named, and the file system's own, can be written as before.
//
// The named files lie on the bed and read as zeros afterwards. fill may be
// called again with other files. The caller holds need.Alone. s may set
// everything but the place of the image.
func FullBacking(t testing.TB, s testbed.Spec) (bed *testbed.Bed, fill func(files ...string)) {
	t.Helper()
	s = sized(t, s)
	s.ImageDir = ownTmpfs(t, strconv.FormatInt(s.Size+slack, 10))
	bed = open(t, s)
	return bed, func(files ...string) {
		t.Helper()
		filler := filepath.Join(s.ImageDir, "filler")
		trim(t, bed.Dir())
		for _, f := range files {
			giveBack(t, bed.Info().Device, f)
		}
		fillUp(t, filler)
	}
}

// trim lets the file system discard its free blocks (FITRIM).
func trim(t testing.TB, dir string) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	// Blocks that a journal still holds are not free yet.
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		t.Fatal(err)
	}
	all := struct{ start, length, minimum uint64 }{0, math.MaxUint64, 0}
	const fitrim = 0xc0185879 // _IOWR('X', 121, struct fstrim_range)
	ioctl(t, d, fitrim, unsafe.Pointer(&all))
}

// giveBack discards the blocks of a file below its file system.
func giveBack(t testing.TB, device, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	extents := fiemap(t, f)
	d, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, e := range extents {
		const blkdiscard = 0x1277 // _IO(0x12, 119)
		where := [2]uint64{e.physical, e.length}
		ioctl(t, d, blkdiscard, unsafe.Pointer(&where))
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
}

// extent is struct fiemap_extent.
type extent struct {
	logical, physical, length uint64
	_                         [2]uint64
	flags                     uint32
	_                         [3]uint32
}

// fiemap lists where a file lies on its device, bytes (FS_IOC_FIEMAP).
func fiemap(t testing.TB, f *os.File) (list []extent) {
	t.Helper()
	const (
		fsIOCFiemap = 0xc020660b
		last        = 0x1 // FIEMAP_EXTENT_LAST
	)
	var m struct {
		start, length                  uint64
		flags, mapped, room, _reserved uint32
		extents                        [64]extent
	}
	for {
		m.length, m.room, m.mapped = math.MaxUint64-m.start, uint32(len(m.extents)), 0
		ioctl(t, f, fsIOCFiemap, unsafe.Pointer(&m))
		got := m.extents[:m.mapped]
		list = append(list, got...)
		if len(got) == 0 || got[len(got)-1].flags&last != 0 {
			return list
		}
		m.start = got[len(got)-1].logical + got[len(got)-1].length
	}
}

func ioctl(t testing.TB, f *os.File, request uintptr, arg unsafe.Pointer) {
	t.Helper()
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg))
		if errno == 0 {
			return
		}
		if errno != unix.EINTR {
			t.Fatalf("ioctl %#x of %s: %v", request, f.Name(), errno)
		}
	}
}
