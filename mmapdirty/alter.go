package mmapdirty

import "golang.org/x/sys/unix"

// The kinds that change what blocks a file has. All of them take the inode's
// lock and wait for the direct writes in flight (ext4_setattr in
// fs/ext4/inode.c, ext4_fallocate in fs/ext4/extents.c), so an act nearly never
// ends while the write it began at is in flight.

// truncate cuts the file off where the write in flight begins, and gives it
// its full size back. A cut without its way back would stay until the next
// act.
func (d *dirtier) truncate(a *aim) bool {
	cut := d.took(persist(func() error { return unix.Ftruncate(a.h.fd, a.off) }))
	grown := d.took(persist(func() error { return unix.Ftruncate(a.h.fd, a.h.size) }))
	return cut && grown
}

// allocate reserves blocks on both sides of the write in flight, in turn: up to
// its start, which may grow the file to there, and past its end, which does not.
func (d *dirtier) allocate(a *aim) bool {
	n := int64(a.len)
	d.past = !d.past
	if d.past || a.off == 0 {
		return d.fallocate(a, unix.FALLOC_FL_KEEP_SIZE, a.off+n, n)
	}
	from := max(0, a.off-n)
	return d.fallocate(a, 0, from, a.off-from)
}

func (d *dirtier) fallocate(a *aim, mode uint32, off, n int64) bool {
	return d.took(persist(func() error { return unix.Fallocate(a.h.fd, mode, off, n) }))
}

// persist makes a call again that a signal interrupted before it did anything.
func persist(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
