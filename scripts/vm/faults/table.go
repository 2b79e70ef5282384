package faults

import "slices"

// The functions that the cases bend, and who calls them:
//   - invalidate_inode_pages2_range (mm/truncate.c) is called before a direct
//     write by __iomap_dio_rw up to 6.4, by kiocb_invalidate_pages since 6.5; after
//     it by iomap_dio_complete, since 6.5 by kiocb_invalidate_post_direct_write.
//     6.1 has the newer functions too since 6.1.192, and iomap does not call them.
//   - dio_warn_stale_pagecache (mm/filemap.c) sets the mapping's errseq.
//   - ext4_file_write_iter (fs/ext4/file.c) is what both engines call; its
//     result is -EIOCBQUEUED (-529) for a write that will complete later.
//   - aio_complete_rw (fs/aio.c) and io_complete_rw (io_uring/rw.c) are the
//     ki_complete of a write.
const (
	before = "caller=__iomap_dio_rw,kiocb_invalidate_pages,filemap_invalidate_pages"
	after  = "caller=iomap_dio_complete,kiocb_invalidate_post_direct_write"
)

func same[T any](v T) map[string]T { return map[string]T{"": v} }

func must(rules ...string) map[string]Expect { return same(Expect{Rules: rules}) }

var legal = same(Expect{Legal: true})

// Dirtiers of the cases. Beside readers every block has one legal value; write(2)
// makes no collision after the write on kernels whose ext4_buffered_write_iter
// waits for direct writes (6.1.192, 6.12.117, 7.3), mmap does on all.
var (
	none   = []string{"--dirty", "none", "--verify", "full", "--trace", "exact"}
	reads  = []string{"--dirty", "read=1"}
	writes = []string{"--dirty", "write=1"}
	// A kernel that loops allocates as it goes: dioStress must speak before the
	// memory is gone.
	quick = []string{"--dirty", "write=1", "--stuck-timeout", "4s"}
	real  = []string{"--dirty", "mmap=1,write=1"}
	// Of a write whose page is dirty the writeback fails instead, and the fallback.
	direct = []string{"--dirty", "write=1", "--dirty-hold", "0"}
)

// Cases returns the table.
func Cases() []Case {
	return slices.Concat(bug2007(), invalidation(), results(), data(), device())
}

// bug2007 is -EIO over -EIOCBQUEUED. Up to 4.20 each of the two completions
// posted an event (fs/aio.c); later kernels hold one reference for the submitter
// and one for the completion and post once: the count runs below zero instead,
// and the buffer is given back while the device reads it.
func bug2007() []Case {
	queued := "sym=ext4_file_write_iter how=return direct=1 match=-529 "
	dies := map[string]Expect{
		"libaio": {Rules: []string{"eio_explained"}, Any: []string{"kernel_log", "no_poison", "no_foreign_data", "control_data"}, Dies: true},
		// Duplicates, silence or a thread that hangs, by version and luck.
		"io_uring": {Any: []string{"eio_explained", "completed_once", "no_stuck_io"}, Dies: true},
	}
	return []Case{
		{
			Name: "2007-once", About: "-EIO over -EIOCBQUEUED, one write", Module: "retfault",
			Params: same(queued + "val=-5 start=50 times=1"), Expect: dies, Args: quick, Deadly: true,
		},
		{
			Name: "2007-rate", About: "-EIO over -EIOCBQUEUED, one write in fifty", Module: "retfault",
			Params: same(queued + "val=-5 every=50"), Expect: dies, Args: quick, Deadly: true,
		},
		{
			Name: "early", About: "a queued write reported complete at once", Module: "retfault",
			Params: same(queued + "full=1 every=50"), Deadly: true, Args: quick,
			Expect: same(Expect{Any: []string{"not_early", "no_poison", "no_foreign_data", "kernel_log", "completed_once", "no_stray", "no_stuck_io"}, Dies: true}),
		},
		{
			// Pages enough in every write, and most of them dirtied in one visit, that
			// one is dirty again before the submission has looked at the last, and
			// I/Os slow enough to be under way then.
			Name: "2007-kernel", About: "the code of 2.6.20 in a kernel of 6.1, no injector: mmap dirtiers on a slow disk", Own: true,
			Expect: dies, Deadly: true, Alone: true, WriteIOPS: 1500,
			Args: []string{"--bs", "64k", "--size", "2m", "--iodepth", "8", "--dirty", "mmap=2", "--stuck-timeout", "4s",
				"--dirty-words", "32", "--runtime", "9", "--dirty-hold", "0", "--dirty-from", "0", "--dirty-redirty", "0"},
		},
	}
}

// invalidation fails before or after the write: legal, if it is told.
func invalidation() []Case {
	fails := "sym=invalidate_inode_pages2_range how=return any=1 val=-16 "
	pre := []Count{{"pre_write", []string{"bent", "failed"}}}
	post := []Count{{"post_write", []string{"bent", "failed"}}}
	return []Case{
		{Name: "pre-write", About: "invalidation fails before one write in five, nothing dirties", Module: "retfault",
			Params: same(fails + before + " every=5"), Expect: legal, Counts: pre, Args: none},
		{Name: "pre-write-dirty", About: "invalidation fails before one write in five, with dirtiers", Module: "retfault",
			Params: same(fails + before + " every=5"), Expect: legal, Counts: pre, Args: real},
		{Name: "post-write", About: "invalidation fails after one write in five, pages cached and clean", Module: "retfault",
			Params: same(fails + after + " every=5"), Expect: legal, Counts: post, Args: reads},
		{Name: "post-write-dirty", About: "invalidation fails after one write in five, with dirtiers", Module: "retfault",
			Params: same(fails + after + " every=5"), Expect: legal, Counts: post, Args: real},
		{Name: "swallowed", About: "a failed post-write invalidation sets no errseq", Module: "retfault",
			Params: same("sym=errseq_set how=skip caller=dio_warn_stale_pagecache val=0"), Expect: must("kernel_contract"), Args: real},
		{Name: "stale", About: "post-write invalidation is left out for every other write, and nobody is told", Module: "retfault",
			Params: same("sym=invalidate_inode_pages2_range how=skip val=0 every=2 " + after), WriteIOPS: 400,
			// What is stale stays so until the next write to the block: the ends of epochs
			// show it.
			Args:   []string{"--size", "64k", "--iodepth", "8", "--dirty", "read=3", "--epoch", "500ms", "--runtime", "8"},
			Expect: same(Expect{Any: []string{"cache_coherent", "control_data", "stale_reported"}})},
	}
}

// results are completions that lie.
func results() []Case {
	never := map[string]string{
		"libaio":   "sym=aio_complete_rw how=skip start=50 every=50 times=3",
		"io_uring": "sym=io_complete_rw how=skip start=50 every=50 times=3",
	}
	return []Case{
		{Name: "never", About: "three completions never come", Module: "retfault", Params: never, Expect: must("no_stuck_io"),
			Args: quick, Deadly: true},
		{Name: "short", About: "a short count for a write that was whole", Module: "retfault",
			Params: same("sym=iomap_dio_complete how=return counts=1 less=512 every=50"), Expect: must("legal_result"), Args: writes},
		{Name: "enotblk", About: "-ENOTBLK let out instead of the buffered fallback", Module: "retfault",
			Params: same("sym=ext4_file_write_iter how=skip direct=1 val=-15 every=50"), Expect: must("no_leaked_errno"), Args: writes},
		{Name: "eiocbqueued", About: "-EIOCBQUEUED let out as a result", Module: "retfault",
			Params: same("sym=iomap_dio_complete how=return counts=1 caller=iomap_dio_complete_work val=-529 every=50"), Expect: must("no_leaked_errno"), Args: writes},
	}
}

// data that is not what the completions say.
func data() []Case {
	return []Case{
		{Name: "lost", About: "a write completed whose bytes never reached the device", Module: "biofault",
			Params: same("how=drop every=20"), Expect: must("control_data"), Args: reads},
		{Name: "reissue", About: "a write issued again after its completion, over a later one", Module: "biofault",
			Params: same("how=again every=3 delay_ms=300"), Args: append([]string{"--size", "64k", "--iodepth", "8"}, reads...),
			Expect: same(Expect{Any: []string{"control_data", "cache_coherent"}})},
		{Name: "reissue-buffer", About: "the same, reading the user's buffer again, as the retry of the old patch did", Module: "biofault",
			Params: same("how=reread every=3 delay_ms=300"), Args: append([]string{"--size", "64k", "--iodepth", "8"}, reads...),
			Expect: same(Expect{Any: []string{"no_poison", "no_foreign_data"}})},
	}
}

// device errors are not the page cache's.
func device() []Case {
	return []Case{
		{Name: "device-blkdebug", About: "the disk fails writes of some blocks for a while (QEMU blkdebug)", Expect: same(Expect{Device: true}), Args: direct, Format: "-packed", Blkdebug: true},
		{Name: "device-flakey", About: "the disk fails all writes of the data for a while (dm-flakey)", Expect: same(Expect{Device: true}), Args: direct, Format: "-packed", Flakey: true},
	}
}
