package kernel

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// CacheStat is what the page cache holds of a range of a file, in pages. A
// folio is dirty as a whole: one dirty byte counts all of its pages within the
// range.
type CacheStat struct {
	Cached, Dirty, Writeback, Evicted, RecentlyEvicted uint64
}

// Cachestat asks for off .. off+length, bytes; length 0: to the end of the
// file. ENOSYS before 6.5 (mm/filemap.c, cachestat).
func Cachestat(fd int, off, length int64) (CacheStat, error) {
	if off < 0 || length < 0 {
		return CacheStat{}, fmt.Errorf("cachestat: range %d+%d; want offsets of 0 and above", off, length)
	}
	var s unix.Cachestat_t
	if err := unix.Cachestat(uint(fd), &unix.CachestatRange{Off: uint64(off), Len: uint64(length)}, &s, 0); err != nil {
		return CacheStat{}, os.NewSyscallError("cachestat", err)
	}
	return CacheStat{s.Cache, s.Dirty, s.Writeback, s.Evicted, s.Recently_evicted}, nil
}

// Resident counts the cached pages of the first size bytes with mincore, which
// every kernel has. It counts pages that are up to date as a whole: one with
// some blocks cached and others not, on a file system with blocks smaller than
// a page, is not counted. Since 5.2 it tells the truth only to the file's owner
// or to whoever may write it (mm/mincore.c); to others every page is resident.
func Resident(fd int, size int64) (pages uint64, err error) {
	const chunk = 64 << 20
	page := int64(os.Getpagesize())
	for off := int64(0); off < size; off += chunk {
		n := min(chunk, size-off)
		m, err := unix.Mmap(fd, off, int(n), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return 0, os.NewSyscallError("mmap", err)
		}
		vec := make([]byte, (n+page-1)/page)
		err = mincore(m, vec)
		if err = errors.Join(err, unix.Munmap(m)); err != nil {
			return 0, err
		}
		for _, v := range vec {
			pages += uint64(v & 1)
		}
	}
	return pages, nil
}

// fillPages reads the whole file, so that a page cached in part is cached whole
// and mincore sees it, and does nothing where a block is a page at least.
func fillPages(fd int, size int64) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if int64(st.Blksize) >= int64(os.Getpagesize()) {
		return nil
	}
	buf := make([]byte, 256<<10)
	for off := int64(0); off < size; {
		n, err := unix.Pread(fd, buf, off)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return os.NewSyscallError("pread", err)
		case n == 0:
			return nil
		default:
			off += int64(n)
		}
	}
	return nil
}

// cachedPages says how many pages of the file are cached, and by which means.
func cachedPages(fd int, size int64) (cached, dirty uint64, by string, err error) {
	s, err := Cachestat(fd, 0, 0)
	if err == nil {
		return s.Cached, s.Dirty + s.Writeback, "cachestat", nil
	}
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EOPNOTSUPP) {
		return 0, 0, "", err
	}
	n, err := Resident(fd, size)
	return n, 0, "mincore", err
}

// DropFile drops a file's clean page cache (fd must be readable), so that the next read comes from
// the device, and proves it. size is the file's length in bytes. proved false
// says the cache may still hold some of it, and why tells what and by which
// means it was seen. Dirty pages cannot be dropped: fdatasync first. Where
// fadvise does not do, root falls back to vm.drop_caches=1, which empties the
// whole machine's page cache. An error is a failed system call.
func DropFile(fd int, size int64) (proved bool, why string, err error) {
	if size < 0 {
		return false, "", fmt.Errorf("drop: size %d; want 0 or more bytes", size)
	}
	if _, err := Cachestat(fd, 0, 0); err != nil {
		if err := fillPages(fd, size); err != nil {
			return false, "", err
		}
	}
	for round := range 3 {
		if round == 2 {
			if err := writeFile("/proc/sys/vm/drop_caches", "1"); err != nil {
				return false, fmt.Sprintf("%s; %v", why, err), nil
			}
		} else if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
			return false, "", os.NewSyscallError("fadvise", err)
		}
		cached, dirty, by, err := cachedPages(fd, size)
		if err != nil {
			return false, "", err
		}
		if cached == 0 {
			return true, by + ": no page is cached", nil
		}
		why = fmt.Sprintf("%s: %d pages are still cached", by, cached)
		if dirty > 0 {
			why = fmt.Sprintf("%s: %d pages are still cached, %d of them dirty or in writeback: fdatasync first", by, cached, dirty)
		}
	}
	return false, why, nil
}
