package kernel

// Kind is one thing the kernel can be heard to say.
type Kind uint8

// The kinds. Where a kernel has no such tracepoint the kind is Unavailable.
const (
	// InvalidateFail: iomap:iomap_dio_invalidate_fail, a pre-write failure
	// (since 5.9, fs/iomap/direct-io.c; from 6.5 on also a writeback error met
	// in the same step). Pos, Len, Size.
	InvalidateFail Kind = iota
	// SetWbErr: filemap:filemap_set_wb_err, a writeback error entered the
	// inode's errseq (since 4.13, mm/filemap.c). It does not fire for an
	// invalidation failure. New, Errno.
	SetWbErr
	// AdvanceWbErr: filemap:file_check_and_advance_wb_err, one open file
	// description was told of an error (since 4.13). Old, New, Errno, Ptr.
	AdvanceWbErr
	// BlockError: block:block_rq_error, or block:block_rq_complete filtered on
	// error != 0 where that is missing: the disk below refused a request. Pos
	// and Len are bytes of the disk, File is -1. Errno, Op.
	BlockError
	// DioBegin: iomap:iomap_dio_rw_begin (since 6.4). Pos, Len, Size, Aio.
	DioBegin
	// DioQueued: iomap:iomap_dio_rw_queued, -EIOCBQUEUED is about to be
	// returned (since 6.4). Its position has already moved to the end of the
	// submitted range and its length is what is left, so Pos and Len are those
	// of the record, not of the request. Pos, Len, Size.
	DioQueued
	// DioComplete: iomap:iomap_dio_complete (since 6.4). Pos is after
	// ki_pos += ret on success. Pos, Size, Ret, Errno, Aio.
	DioComplete
	// ReleaseFolio: ext4:ext4_release_folio (ext4_releasepage before 6.5), one
	// for each folio asked to let go of its buffers: noisy. Pos is the byte
	// offset of the folio; its length is not in the record.
	ReleaseFolio
	// StalePagecache: a kprobe on dio_warn_stale_pagecache, a post-write
	// failure. Counted only, and for the whole machine.
	StalePagecache

	numKinds
)

// Kinds lists every kind, ascending.
func Kinds() []Kind {
	ks := make([]Kind, numKinds)
	for i := range ks {
		ks[i] = Kind(i)
	}
	return ks
}

var kindNames = [numKinds]string{
	"iomap_dio_invalidate_fail", "filemap_set_wb_err", "file_check_and_advance_wb_err", "block_rq_error",
	"iomap_dio_rw_begin", "iomap_dio_rw_queued", "iomap_dio_complete", "ext4_release_folio", "dio_warn_stale_pagecache",
}

// String is the current kernel's name of the tracepoint or function.
func (k Kind) String() string {
	if k < numKinds {
		return kindNames[k]
	}
	return "unknown kind"
}

// Event is one trace record that concerns one of the files or their disks.
// Fields that its Kind does not name are zero.
type Event struct {
	TimeNS         int64 // CLOCK_MONOTONIC
	Pos, Len, Size int64 // bytes
	Ret            int64
	Ptr            uint64 // the struct file, as the kernel printed it: equal for one open file description
	Errno          int32  // positive number, 0: none
	TID            int32  // the task it happened in; a kworker for asynchronous completions
	File           int32  // index into Options.Files; -1: not one of them (the disk)
	Old, New       uint32 // errseq values: low 12 bits errno, 0x1000 seen (lib/errseq.c)
	CPU            uint16
	Kind           Kind
	Op             byte // 'W', 'R', 'D'iscard, 'F'lush ...: what the block request was
	Aio            bool // an asynchronous kiocb
}

// source is one tracepoint that can serve a kind.
type source struct {
	system, event string
	also          string // a further filter condition
}

// sources of each kind, in order of preference.
func sourcesOf(k Kind) []source {
	switch k {
	case InvalidateFail, DioBegin, DioQueued, DioComplete:
		return []source{{system: "iomap", event: kindNames[k]}}
	case SetWbErr, AdvanceWbErr:
		return []source{{system: "filemap", event: kindNames[k]}}
	case BlockError:
		return []source{{system: "block", event: "block_rq_error"}, {system: "block", event: "block_rq_complete", also: "error != 0"}}
	case ReleaseFolio:
		return []source{{system: "ext4", event: "ext4_release_folio"}, {system: "ext4", event: "ext4_releasepage"}}
	}
	return nil
}

// tracedKinds of a mode.
func tracedKinds(o *Options) []Kind {
	ks := []Kind{InvalidateFail, SetWbErr, AdvanceWbErr, BlockError}
	if o.Mode == TraceExact {
		ks = append(ks, DioBegin, DioQueued, DioComplete)
	}
	if o.ReleaseFolio {
		ks = append(ks, ReleaseFolio)
	}
	return ks
}
