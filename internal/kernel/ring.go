package kernel

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is one CPU's perf buffer: a header page and a power of two of pages,
// shared with the kernel, which never overwrites what tail has not passed.
type ring struct {
	mem  []byte
	data []byte
	mask uint64
	cpu  uint16
	lost uint64 // from PERF_RECORD_LOST
	tmp  []byte // a record that wraps round the end
}

func mapRing(fd, cpu, bytes int) (*ring, error) {
	page := os.Getpagesize()
	n := page
	for n < bytes {
		n *= 2
	}
	mem, err := unix.Mmap(fd, 0, page+n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		kb, _ := os.ReadFile("/proc/sys/kernel/perf_event_mlock_kb")
		return nil, fmt.Errorf("perf: mapping a ring of %d bytes on CPU %d: %w (kernel.perf_event_mlock_kb is %s and RLIMIT_MEMLOCK comes on top; raise one, or take a smaller ring)",
			n, cpu, err, strings.TrimSpace(string(kb)))
	}
	return &ring{mem: mem, data: mem[page:], mask: uint64(n - 1), cpu: uint16(cpu)}, nil
}

func (r *ring) close() error { return unix.Munmap(r.mem) }

// read hands every record up to the current head to the trace and gives its
// room back.
func (r *ring) read(t *Trace, q int) error {
	h := (*unix.PerfEventMmapPage)(unsafe.Pointer(&r.mem[0]))
	head := atomic.LoadUint64(&h.Data_head)
	tail := h.Data_tail // only we write it
	for tail < head {
		rec, err := r.recordAt(tail, head)
		if err != nil {
			// The ring cannot be resynchronised: give up what is in it, and say so.
			atomic.StoreUint64(&h.Data_tail, head)
			return err
		}
		r.take(t, q, rec)
		tail += uint64(len(rec))
	}
	atomic.StoreUint64(&h.Data_tail, tail)
	return nil
}

// recordAt is the record at a position, contiguous.
func (r *ring) recordAt(tail, head uint64) ([]byte, error) {
	at := tail & r.mask
	// Records are multiples of 8 bytes, so the 8-byte header never wraps.
	if head-tail < 8 || at+8 > uint64(len(r.data)) {
		return nil, fmt.Errorf("perf ring of CPU %d: %d bytes at %d are no record", r.cpu, head-tail, tail)
	}
	size := uint64(binary.NativeEndian.Uint16(r.data[at+6:]))
	if size < 8 || size%8 != 0 || size > head-tail || size > uint64(len(r.data)) {
		return nil, fmt.Errorf("perf ring of CPU %d: record of %d bytes at %d with %d there", r.cpu, size, tail, head-tail)
	}
	if at+size <= uint64(len(r.data)) {
		return r.data[at : at+size], nil
	}
	r.tmp = append(r.tmp[:0], r.data[at:]...)
	r.tmp = append(r.tmp, r.data[:size-(uint64(len(r.data))-at)]...)
	return r.tmp, nil
}

// take reads one record: the layout that PERF_SAMPLE_TID|TIME|CPU|RAW makes.
func (r *ring) take(t *Trace, q int, rec []byte) {
	switch binary.NativeEndian.Uint32(rec) {
	case unix.PERF_RECORD_SAMPLE:
		if len(rec) < 36 {
			t.malformed++
			return
		}
		n := uint64(binary.NativeEndian.Uint32(rec[32:]))
		if 36+n > uint64(len(rec)) {
			t.malformed++
			return
		}
		t.record(q, int64(binary.NativeEndian.Uint64(rec[16:])), uint16(binary.NativeEndian.Uint32(rec[24:])),
			int32(binary.NativeEndian.Uint32(rec[12:])), rec[36:36+n])
	case unix.PERF_RECORD_LOST:
		if len(rec) < 24 {
			t.malformed++
			return
		}
		r.lost += binary.NativeEndian.Uint64(rec[16:])
	}
}
