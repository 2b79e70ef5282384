package oracle

// The kernel's eras. A row is taken if it is the first that fits. Sources are
// upstream files and commits; a version is that of the first mainline release.
// Distribution kernels carry some of it back, and 4.14.y has the reports of
// 4.16.

var (
	extFS    = []string{"ext4", "ext3"}
	oldFS    = []string{"ext4", "ext3", "ext2"}
	iomapFS  = []string{"ext4", "ext3", "ext2", "xfs", "btrfs", "f2fs", "gfs2"}
	waiting  = []string{"psync"}
	queueing = []string{"io_uring", "libaio"}
)

const (
	srcFallback = "fs/iomap/direct-io.c since 60263d5889e6 (5.9): -ENOTBLK inside, the file system writes through the page cache"
	srcPost     = "mm/filemap.c: kiocb_invalidate_post_direct_write, dio_warn_stale_pagecache: errseq_set(&mapping->wb_err, -EIO), kernel log at most ten times a day"
	srcDSync    = "fs/iomap/direct-io.c, iomap_dio_complete: generic_write_sync after the invalidation consumes the error"
	src27       = "6ccfa806a9cf (2.6.27): -EBUSY becomes 0 in generic_file_direct_write, then buffered; mm/filemap.c of 2.6.32 and 3.16: the second invalidation comes right after submission and its result is dropped"
)

// eagain is legal from io_uring before 5.9, which did not issue a write again
// that the block layer had no request for.
const eagain = 11

var contracts = []Contract{
	{
		Era: "6.5 and later", From: Version{6, 5, 0}, FS: iomapFS,
		Pre: Fallback, Post: FsyncEIO, DSync: ResEIO, Traced: true, AlsoTraced: true, Judged: true,
		Source: srcFallback + "; since 6.5 a writeback error met in that step as well; " + srcPost + "; " + srcDSync,
		Peculiarity: "6.6 completes in the submitter's task work (IOCB_DIO_CALLER_COMP, off again in 6.7); 6.15 to 6.17 write misaligned direct writes through the page cache instead of -EINVAL (fixed by 963845748fe6); " +
			"ext4 has large folios since 6.16; xfs leaves the data of a fallback in the page cache alone, ext4 and btrfs write it back; btrfs writes inodes with checksums through the page cache always (968f19c5b1b7, 6.15)",
	},
	{
		Era: "5.9 to 6.4", From: Version{5, 9, 0}, To: Version{6, 5, 0}, FS: []string{"ext4", "ext3", "ext2", "xfs", "f2fs", "gfs2"},
		Pre: Fallback, Post: FsyncEIO, DSync: ResEIO, Traced: true, Judged: true,
		Source:      srcFallback + "; " + srcPost + "; " + srcDSync,
		Peculiarity: "a writeback error met before the write is the write's own result; iomap_dio_rw_begin, _queued and _complete exist since 6.4 only",
	},
	{
		Era: "5.9 to 6.4", From: Version{5, 10, 0}, To: Version{6, 5, 0}, FS: []string{"btrfs"},
		Pre: Fallback, Post: FsyncEIO, DSync: ResEIO, Traced: true, Judged: true,
		Source: "f85781fb505e (5.10): btrfs on iomap; " + srcPost + "; " + srcDSync,
	},
	{
		Era: "5.5 to 5.8", From: Version{5, 5, 0}, To: Version{5, 9, 0}, FS: extFS, Engines: []string{"io_uring"},
		Pre: FsyncEIO, Post: FsyncEIO, DSync: ResEIO, Errnos: []int64{eagain}, Judged: true,
		Source: "fs/iomap/direct-io.c of 5.7 and 5.8: dio_warn_stale_pagecache, and the direct write goes on, reads too; ext4 on iomap since 378f32bab371 (5.5)",
	},
	{
		Era: "5.5 to 5.8", From: Version{5, 5, 0}, To: Version{5, 9, 0}, FS: extFS,
		Pre: FsyncEIO, Post: FsyncEIO, DSync: ResEIO, Judged: true,
		Source: "fs/iomap/direct-io.c of 5.7 and 5.8: dio_warn_stale_pagecache, and the direct write goes on, reads too; ext4 on iomap since 378f32bab371 (5.5)",
	},
	{
		Era: "4.16 to 5.8 (iomap)", From: Version{4, 16, 0}, To: Version{5, 9, 0}, FS: []string{"xfs"},
		Pre: FsyncEIO, Post: FsyncEIO, DSync: ResEIO, Errnos: []int64{eagain}, Judged: true,
		Source:      "5a9d929d6e13 (4.16), fs/iomap.c: dio_warn_stale_pagecache before and after, the direct write goes on",
		Peculiarity: "reflink falls back with -EREMCHG inside",
	},
	{
		Era: "4.16 to 5.4", From: Version{4, 16, 0}, To: Version{5, 5, 0}, FS: append([]string{"btrfs"}, oldFS...), Engines: queueing,
		Pre: Fallback, Post: FsyncEIO, DSync: ResEIO, Errnos: []int64{eagain}, Judged: true,
		Source: "mm/filemap.c of 4.20, generic_file_direct_write: -EBUSY becomes 0, then buffered; fs/direct-io.c, dio_complete since 5a9d929d6e13 (4.16)",
	},
	{
		Era: "4.16 to 5.4", From: Version{4, 16, 0}, To: Version{5, 5, 0}, FS: append([]string{"btrfs"}, oldFS...), Engines: waiting,
		Pre: Fallback, Post: Silent, DSync: NotTried,
		Source: "mm/filemap.c of 4.20: the invalidation after a write that was waited for drops its result; it warns since 80c1fe902655 (5.5)",
	},
	{
		Era: "5.5 to 5.9 (generic)", From: Version{5, 5, 0}, To: Version{5, 10, 0}, FS: []string{"btrfs"},
		Pre: Fallback, Post: FsyncEIO, DSync: ResEIO, Errnos: []int64{eagain}, Judged: true,
		Source: "as 4.16, waited writes too since 80c1fe902655 (5.5); the iomap conversion of 5.8 was taken back (55e20bd12a56)",
	},
	{
		Era: "4.14 to 4.15", From: Version{4, 14, 0}, To: Version{4, 16, 0}, FS: append([]string{"btrfs", "xfs"}, oldFS...),
		Pre: Fallback, Post: Silent, DSync: NotTried,
		Source:      "332391a9935d (4.14): first invalidation at the completion of an asynchronous write; WARN_ON_ONCE where it fails",
		Peculiarity: "stable 4.14.y from about .177 on reports as 4.16",
	},
	{
		Era: "4.10 to 4.13 (iomap)", From: Version{4, 10, 0}, To: Version{4, 14, 0}, FS: []string{"xfs"},
		Pre: Silent, Post: NotTried, DSync: NotTried,
		Source: "fs/iomap.c of 4.12: WARN_ON_ONCE, and the direct write goes on; no second invalidation of asynchronous writes",
	},
	{
		Era: "2.6.27 to 4.13", From: Version{2, 6, 27}, To: Version{4, 14, 0}, FS: append([]string{"btrfs"}, oldFS...),
		Pre: Fallback, Post: Silent, DSync: NotTried,
		Source: src27,
	},
	{
		Era: "2.6.27 to 4.9 (xfs)", From: Version{2, 6, 27}, To: Version{4, 10, 0}, FS: []string{"xfs"},
		Pre: ResZero, Post: Silent, DSync: NotTried,
		Source: "fs/xfs/xfs_file.c of 3.16 has no buffered fallback: generic_file_direct_write's 0 is the result; WARN_ON_ONCE from 3.17 on",
	},
	{
		Era: "2.6.24 to 2.6.26", From: Version{2, 6, 24}, To: Version{2, 6, 27}, FS: append([]string{"xfs"}, oldFS...),
		Pre: ResEIO, Post: Silent, DSync: NotTried,
		Source: "bdb76ef5a4bc (2.6.24): the second invalidation is always done, its result dropped; mm/filemap.c of 2.6.24",
	},
	{
		Era: "2.6.21 to 2.6.23", From: Version{2, 6, 21}, To: Version{2, 6, 24}, FS: append([]string{"xfs"}, oldFS...),
		Pre: ResEIO, Post: NotTried, DSync: NotTried,
		Source: "65b8291c4000 (2.6.21): invalidation before the write, -EIO without one; after it never, by mistake",
	},
	{
		Era: "2.6.18 to 2.6.20", From: Version{2, 6, 18}, To: Version{2, 6, 21}, FS: append([]string{"xfs"}, oldFS...), Engines: queueing,
		Pre: NotTried, Post: ResEIOTwice, DSync: ResEIOTwice,
		Source: "mm/filemap.c of 2.6.20, generic_file_direct_IO: the result of invalidate_inode_pages2_range over -EIOCBQUEUED; BUG_ON in fs/aio.c, __aio_put_req",
	},
	{
		Era: "2.6.18 to 2.6.20", From: Version{2, 6, 18}, To: Version{2, 6, 21}, FS: append([]string{"xfs"}, oldFS...), Engines: waiting,
		Pre: NotTried, Post: ResEIO, DSync: ResEIO,
		Source: "mm/filemap.c of 2.6.20, generic_file_direct_IO: -EIO although the data is on disk",
	},
}
