package ledger

// KernelKind is a tracepoint that tells about one direct write.
type KernelKind uint8

// The kinds. Begin, Queued and Complete exist since 6.4 (fs/iomap/trace.h),
// InvalidateFail since 5.9.
const (
	Begin          KernelKind = iota // iomap_dio_rw_begin
	Queued                           // iomap_dio_rw_queued
	Complete                         // iomap_dio_complete
	InvalidateFail                   // iomap_dio_invalidate_fail
)

// KernelEvent is one tracepoint record about a file of the run.
type KernelEvent struct {
	TimeNS int64 // CLOCK_MONOTONIC
	Kind   KernelKind
	File   int32
	Errno  int32 // Complete: the record's error, as a positive number; 0: none
	TID    int32 // the task that the record was made in; 0: not known
	// Off is a byte of the write: the record's position taken through Within,
	// since for Queued and Complete the kernel has moved the position on.
	Off int64
	Ret int64 // Complete: the record's ret
}

// Within returns the offset of a byte that belongs to the write a record tells
// about, from the record's own position, length, ret and error (positive; 0 for
// none); -1 if there is none. Writes begin and end at multiples of the block
// size, so that byte's block names the write, also where the record is about
// the rest of a write that was taken up again.
//
// At Begin and InvalidateFail the position is where the write begins. At
// Queued iomap_iter has moved it to the end of what was submitted and length
// is what is left of the request, so their sum is the end of the request. At
// Complete ki_pos has moved by what was written, unless nothing was; with dsync
// (O_DSYNC or RWF_DSYNC) also where ret is the error of the sync that follows
// the write (iomap_dio_complete, fs/iomap/direct-io.c, 6.4 to 6.18).
func Within(kind KernelKind, pos, length, ret int64, errno int32, dsync bool) int64 {
	switch {
	case kind == Queued:
		pos += length - 1
	case kind != Complete || errno != 0 || ret == 0:
	case ret > 0 || dsync:
		pos--
	}
	return max(pos, -1)
}
