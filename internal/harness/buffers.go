package harness

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/internal/plan"
)

// buffers is the memory that the writes of one job come from: one mapping, with
// the buffers of every slot, and of every file where the memory is the file's
// own.
type buffers struct {
	mem      arena
	bs       int
	stride   int
	slots    int
	perFile  int // bytes from one file's buffers to the next one's; 0: all files share them
	page     int
	readOnly bool
}

// newBuffers makes what Config.Buffer names.
func (r *run) newBuffers(job int) (*buffers, error) {
	c := r.cfg
	b := &buffers{bs: c.BS, stride: int(c.BufStride()), slots: c.IODepth, page: os.Getpagesize()}
	size := b.stride * b.slots
	var err error
	switch c.Buffer {
	case plan.BufferZero:
		// Read-only and never written: a fault maps the zero page
		// (do_anonymous_page, mm/memory.c).
		b.readOnly = true
		b.mem, err = mapMemory(size, unix.PROT_READ, 0)
	case plan.BufferSelfMmap:
		b.perFile = size
		err = b.mapFiles(r, job)
	default:
		b.mem, err = newArena(size)
	}
	if err != nil {
		b.free()
		return nil, err
	}
	return b, nil
}

// mapFiles lays the ends of all files beside each other, in one mapping.
func (b *buffers) mapFiles(r *run, job int) (err error) {
	// The engine is told of one arena.
	if b.mem, err = mapMemory(b.perFile*len(r.files), unix.PROT_NONE, unix.MAP_NORESERVE); err != nil {
		return err
	}
	for i, f := range r.files {
		off := f.TailOff()
		if f.Role == plan.Main && r.cfg.Sharers() > 1 {
			off += int64(job) * int64(b.perFile)
		}
		at := unsafe.Pointer(&b.mem[i*b.perFile])
		if _, err := unix.MmapPtr(f.cached, off, at, uintptr(b.perFile), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED); err != nil {
			return fmt.Errorf("map %d bytes at %d of %s: %w", b.perFile, off, f.path, err)
		}
	}
	return nil
}

func (b *buffers) free() { b.mem.free() }

// at returns the buffer of a slot for a write to a file.
func (b *buffers) at(slot, file int) []byte {
	i := slot*b.stride + file*b.perFile
	return b.mem[i : i+b.bs : i+b.bs]
}

// unmap takes a buffer out of the page tables, so that the write has to fault
// it in; what it holds stays in the page cache.
func (b *buffers) unmap(buf []byte) error {
	whole := unsafe.Slice(&buf[0], (len(buf)+b.page-1)/b.page*b.page)
	if err := unix.Madvise(whole, unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("madvise a buffer: %w", err)
	}
	return nil
}

var errBuffer = errors.New("a buffer that lies in a file cannot be touched (SIGBUS): the file was cut, or the disk is full or fails")

// guarded runs f, which touches buffers; a fault that the file system could not
// serve becomes an error.
func (b *buffers) guarded(f func()) (err error) {
	if b.perFile == 0 {
		f()
		return nil
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if x := recover(); x != nil {
			fault, ok := x.(interface{ Addr() uintptr })
			start := uintptr(b.mem.at(0))
			if !ok || fault.Addr() < start || fault.Addr() >= start+uintptr(len(b.mem)) {
				panic(x)
			}
			err = errBuffer
		}
	}()
	f()
	return nil
}

// arena is mmap memory for buffers that are lent to the kernel.
type arena []byte

func newArena(size int) (arena, error) {
	return mapMemory(size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_POPULATE)
}

func mapMemory(size, prot, flags int) (arena, error) {
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(size), prot, flags|unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of buffers: %w", size, err)
	}
	return unsafe.Slice((*byte)(p), size), nil
}

func (a arena) free() {
	if a != nil {
		unix.MunmapPtr(unsafe.Pointer(&a[0]), uintptr(len(a)))
	}
}

func (a arena) at(i int) unsafe.Pointer { return unsafe.Pointer(&a[i]) }
