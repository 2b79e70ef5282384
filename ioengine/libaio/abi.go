package libaio

import (
	"sync/atomic"
	"unsafe"
)

// Opcodes of an iocb (include/uapi/linux/aio_abi.h).
const (
	cmdPwrite = 1
	cmdFsync  = 2
)

// iocb is struct iocb (include/uapi/linux/aio_abi.h), 64 bytes. The key and
// the flags share a word whose halves big-endian machines swap.
type iocb struct {
	data      uint64
	keyFlags  [2]uint32
	opcode    uint16
	reqprio   int16
	fd        uint32
	buf       uint64
	nbytes    uint64
	offset    int64
	reserved2 uint64
	flags     uint32
	resfd     uint32
}

// event is struct io_event, 32 bytes.
type event struct {
	data uint64
	obj  uint64
	res  int64
	res2 int64
}

// ring is struct aio_ring (fs/aio.c), mapped into the process at the address
// that io_setup gives as the context. The events follow it.
type ring struct {
	id           uint32
	nr           uint32 // events
	head         uint32 // the reaper's
	tail         uint32 // the kernel's
	magic        uint32
	compat       uint32
	incompat     uint32
	headerLength uint32 // bytes
}

const ringMagic = 0xa10a10a1 // AIO_RING_MAGIC

// readable tells whether events may be taken from the mapping. The layout is
// no promise of the kernel's: it says so by another magic or an incompatible
// feature.
func (r *ring) readable() bool {
	return r.magic == ringMagic && r.incompat == 0 && uintptr(r.headerLength) == unsafe.Sizeof(ring{})
}

func (r *ring) event(i uint32) *event {
	return (*event)(unsafe.Add(unsafe.Pointer(r), unsafe.Sizeof(ring{})+uintptr(i)*unsafe.Sizeof(event{})))
}

// ready is the number of events in the ring. Only the reaper stores head.
func (r *ring) ready() uint32 {
	tail := atomic.LoadUint32(&r.tail)
	if head := r.head; tail < head {
		return r.nr - head + tail
	} else {
		return tail - head
	}
}
