package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/ioengine"
	"diostress/ioengine/libaio"
)

// Large asynchronous direct writes against buffered write(2) on the same
// bytes: the workload of the only regression test that looks for this bug,
// generic/208 of xfstests, which goes by whether it crashes. Here every direct
// write is followed by a look at the file's errseq, so that the post-write
// invalidation failures are counted.
const largeWrite = 32 << 20 // bytes of one write, as there

// against208 runs the workload in dir until the time is up and prints how many
// direct writes completed and how many of them failed to invalidate.
func against208(dir string, seconds int) error {
	runtime.LockOSThread()
	path := filepath.Join(dir, "large.dat")
	fill, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer os.Remove(path)
	buf, err := unix.Mmap(-1, 0, largeWrite, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return err
	}
	if _, err := unix.Pwrite(fill, buf, 0); err != nil {
		return err
	}
	if err := unix.Fsync(fill); err != nil {
		return err
	}
	direct, err := unix.Open(path, unix.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	witness, err := unix.Open(path, unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	eng, err := libaio.Open(ioengine.Options{Files: []int{direct}, Depth: 1, Arena: buf, BufSize: largeWrite})
	if err != nil {
		return err
	}
	go func() {
		for {
			unix.Pwrite(fill, buf, 0)
		}
	}()
	writes, failed := 0, 0
	began := time.Now()
	for time.Since(began) < time.Duration(seconds)*time.Second {
		if _, err := eng.Submit([]ioengine.Request{{Tag: 1, Buf: unsafe.Pointer(&buf[0]), Len: largeWrite}}); err != nil {
			return err
		}
		var done [1]ioengine.Completion
		n, err := eng.Reap(done[:], 1, 0)
		if err != nil {
			return err
		}
		writes += n
		if errseq(witness) == unix.EIO {
			failed++
		}
	}
	fmt.Printf("%d %d %.3f\n", writes, failed, time.Since(began).Seconds())
	return nil
}

// errseq returns, once for this descriptor, the error that the kernel keeps
// for a file: sync_file_range with WAIT_BEFORE looks at it without writing
// anything (fs/sync.c, file_fdatawait_range in mm/filemap.c), and beyond the
// end of the file there is nothing to wait for.
func errseq(fd int) error {
	return unix.SyncFileRange(fd, 1<<40, 1, unix.SYNC_FILE_RANGE_WAIT_BEFORE)
}
