package mmapdirty

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// visit acts once on a write in flight and counts what came of it.
func (d *dirtier) visit(a *aim) {
	ok := true
	switch d.kind {
	case Mmap:
		if a.held {
			ok = d.cover(a)
		} else {
			d.storeAndSee(a)
		}
	case Write:
		ok = d.write(a)
	case Read:
		ok = d.transfer(a, unix.Pread)
	case Fsync, Fdatasync, Msync, SyncFileRange:
		ok = d.sync(a)
	case Madvise:
		ok = d.advise(a)
	case Fadvise:
		off := pageDown(a.off, d.page)
		end := pageUp(a.off+int64(a.len), d.page)
		ok = d.took(unix.Fadvise(a.h.fd, off, end-off, unix.FADV_DONTNEED))
	case Truncate:
		ok = d.truncate(a)
	case Punch:
		ok = d.fallocate(a, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, a.off, int64(a.len))
	case Fallocate:
		ok = d.allocate(a)
	}
	c := d.count
	bump(&c.ops)
	c.looks.Store(d.looks)
	if a.held {
		a.held = false
		if a.freed != nil {
			if a.freed.token != 0 {
				d.gauge.note(a.freed.struck)
			}
			*a.freed = freed{token: a.target.token, at: time.Since(d.g.began)}
		}
		a.table.dirtied(a.target)
		return
	}
	if !ok || !a.table.Still(a.target) {
		return
	}
	if d.place == Same {
		bump(&c.overlaps)
	} else {
		bump(&c.beside)
	}
	if now := (visited{a.table, a.target.token}); now != d.last {
		d.last = now
		bump(&c.targets)
	}
}

// nextGen is published before the bytes that carry it.
func (d *dirtier) nextGen() uint64 {
	d.gen++
	d.count.gen.Store(d.gen)
	return d.gen
}

// store writes single words through the mapping; pick has aligned the range.
func (d *dirtier) store(a *aim) {
	gen := d.nextGen()
	base := unsafe.Pointer(&a.h.mem[a.off])
	for range d.how.Words {
		at := d.below(a.len>>3) << 3
		v := d.g.cfg.Word(a.target.File, a.off+int64(at), d.id, gen)
		storeWord((*uint64)(unsafe.Add(base, at)), v)
	}
}

// storeAndSee is store for a write that is not held. Of one that was let go it
// counts, where that matters, whether the store made the page dirty anew.
func (d *dirtier) storeAndSee(a *aim) {
	switch {
	case a.letGo() && d.watches():
		d.strike(a)
	case a.letGo() && d.how.Redirty > 0:
		began := time.Now()
		d.store(a)
		if time.Since(began) >= faultTime && d.faulted() {
			a.freed.faults++
		}
	default:
		d.store(a)
	}
}

// faulted says whether the thread has had a page fault since it was asked last.
func (d *dirtier) faulted() bool {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &u) != nil {
		return true
	}
	was := d.faults
	d.faults = u.Minflt + u.Majflt
	return d.faults != was
}

// cover makes the pages of a write dirty before it is submitted: by write(2) if
// it can, for then they are mapped nowhere, and nobody is interrupted when the
// kernel cleans them; and one that is written in full is not read before.
func (d *dirtier) cover(a *aim) bool {
	if d.g.cfg.Fill == nil || d.g.cfg.Files[a.target.File].Grows {
		d.store(a)
		return true
	}
	return d.write(a)
}

func (d *dirtier) write(a *aim) bool {
	gen := d.nextGen()
	d.g.cfg.Fill(d.buffer(a.len), a.target.File, a.off, d.id, gen)
	return d.transfer(a, unix.Pwrite)
}

func (d *dirtier) transfer(a *aim, call func(int, []byte, int64) (int, error)) bool {
	buf := d.buffer(a.len)
	n, err := call(a.h.fd, buf, a.off)
	for err == unix.EINTR {
		n, err = call(a.h.fd, buf, a.off)
	}
	if err == nil && n < a.len {
		bump(&d.count.short)
		return false
	}
	return d.took(err)
}

// buffer returns n bytes that stay the same memory from call to call.
func (d *dirtier) buffer(n int) []byte {
	if n > len(d.buf) {
		if d.buf != nil {
			unix.Munmap(d.buf)
		}
		b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			panic(fmt.Sprintf("mmapdirty: mmap a buffer of %d bytes: %v", n, err))
		}
		d.buf = b
	}
	return d.buf[:n]
}

func (d *dirtier) sync(a *aim) bool {
	r := SyncResult{Kind: d.kind, Writer: d.id, File: a.target.File, Description: a.h.desc, Off: a.off, Len: int64(a.len)}
	if clock := d.g.cfg.Clock; clock != nil {
		r.Begin = clock()
	}
	err := d.syncCall(a, &r)
	for err == unix.EINTR {
		err = d.syncCall(a, &r)
	}
	if clock := d.g.cfg.Clock; clock != nil {
		r.End = clock()
	}
	r.Errno = errnoOf(err)
	bump(&d.count.syncs)
	if r.Errno == unix.EIO {
		bump(&d.count.syncEIO)
	}
	ok := d.took(err)
	if f := d.g.cfg.OnSync; f != nil {
		f(r)
	}
	return ok
}

func (d *dirtier) syncCall(a *aim, r *SyncResult) error {
	switch d.kind {
	case Fsync, Fdatasync:
		r.Off, r.Len = 0, a.h.size
		if d.kind == Fsync {
			return unix.Fsync(a.h.fd)
		}
		return unix.Fdatasync(a.h.fd)
	case Msync:
		m := a.mapped(d.page)
		r.Off, r.Len = pageDown(a.off, d.page), int64(len(m))
		return unix.Msync(m, unix.MS_SYNC)
	}
	return unix.SyncFileRange(a.h.fd, a.off, int64(a.len),
		unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
}

// COLD and PAGEOUT exist since 5.4; an older kernel answers EINVAL, which is
// counted.
var adviceCycle = [...]int{unix.MADV_DONTNEED, unix.MADV_COLD, unix.MADV_PAGEOUT, unix.MADV_WILLNEED}

func (d *dirtier) advise(a *aim) bool {
	m := a.mapped(d.page)
	// Advice concerns what this mapping holds, so map the pages first.
	for i := int64(0); i+8 <= int64(len(m)); i += d.page {
		d.mapSink ^= loadWord((*uint64)(unsafe.Pointer(&m[i])))
	}
	advice := adviceCycle[d.advice]
	d.advice = (d.advice + 1) % len(adviceCycle)
	return d.took(unix.Madvise(m, advice))
}

// took counts a failed call; true if it did not fail.
func (d *dirtier) took(err error) bool {
	if err == nil {
		return true
	}
	d.count.errno(errnoOf(err))
	return false
}

func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	e, ok := err.(syscall.Errno)
	if !ok {
		panic(fmt.Sprintf("mmapdirty: a system call failed without an errno: %v", err))
	}
	return e
}
