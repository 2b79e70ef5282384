package mmapdirty

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A direct write into dirty pages first writes them back and then drops them.
// Who dirties a page between the two makes the dropping fail; who does it before
// has done it in vain, and has the page mapped, so that cleaning it interrupts
// this CPU. cachestat(2) tells the one from the other without touching the page:
// under writeback it is no longer dirty (since 6.5, mm/filemap.c). So the
// dirtier looks until that is so, stores once, and takes the page out of its
// mapping again (MADV_DONTNEED): what is mapped nowhere is cleaned and dropped
// without interrupting anyone.

// gauge tells whether watching is of use: a dirtier that does not run when it
// should, because the machine is loaded or emulated, finds most pages dropped
// already. Then the times decide for a while, and it is tried again.
type gauge struct {
	writes, struck int // since watching began, or a window ago
	timed          int // writes that the times still decide about
}

const (
	gaugeWindow = 64               // writes
	gaugeTimed  = 16 * gaugeWindow // likewise
)

// note enters a write that was let go and is over.
func (g *gauge) note(struck bool) {
	if g.timed > 0 {
		g.timed--
		return
	}
	g.writes++
	if struck {
		g.struck++
	}
	if g.writes == gaugeWindow {
		if g.struck < gaugeWindow/2 {
			g.timed = gaugeTimed
		}
		g.writes, g.struck = 0, 0
	}
}

// watches says whether it is cachestat that decides when to store.
func (d *dirtier) watches() bool { return d.watching && d.gauge.timed == 0 }

// watcher asks after the pages of a write. The zero watcher may be used.
type watcher struct {
	span unix.CachestatRange
	stat unix.Cachestat_t
}

// ask fills stat. Nothing in the call sleeps. The kernel's answer is ENOSYS
// before 6.5, EPERM under some seccomp filters.
func (w *watcher) ask(fd int, off int64, n int) error {
	w.span = unix.CachestatRange{Off: uint64(off), Len: uint64(n)}
	_, _, e := unix.RawSyscall6(unix.SYS_CACHESTAT, uintptr(fd), uintptr(unsafe.Pointer(&w.span)), uintptr(unsafe.Pointer(&w.stat)), 0, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// ripe says whether the pages of a write are under writeback, and that for
// Strategy.Watch.
func (d *dirtier) ripe(a *aim) bool {
	if a.freed.done {
		return false
	}
	if d.watcher.ask(a.h.fd, a.off, a.len) != nil || d.watcher.stat.Cache == 0 {
		a.freed.done = true // dropped already: to touch them would read them in
		return false
	}
	if d.watcher.stat.Dirty > 0 {
		return false
	}
	for seen := time.Now(); time.Since(seen) < d.how.Watch; {
		spin(1)
	}
	return true
}

// strike stores once to the pages of a write that is ripe.
func (d *dirtier) strike(a *aim) {
	d.store(a)
	a.freed.done, a.freed.struck = true, true
	// A fault may have mapped all of a large folio (finish_fault in mm/memory.c),
	// which is no larger than what one page table covers. The call does not sleep
	// for these pages, so the P is kept. A failure leaves them mapped, which only
	// costs time.
	m := a.mapped(tableSpan)
	unix.RawSyscall(unix.SYS_MADVISE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), unix.MADV_DONTNEED)
}

// tableSpan is what one page table maps with pages of 4 KiB, bytes.
const tableSpan = 2 << 20
