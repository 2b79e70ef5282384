package mmapdirty

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// handle is one dirtier's own way to one file: an open file description and,
// where the kind needs it, a mapping of all of it. The zero handle is closed.
type handle struct {
	open bool
	fd   int
	desc int
	size int64
	mem  []byte // MAP_SHARED
}

func openHandle(f File, mapped bool, desc int) (h handle, err error) {
	fd := -1
	if f.Open != nil {
		fd, err = f.Open()
	} else {
		fd, err = ignoringEINTR(func() (int, error) { return unix.Open(f.Path, unix.O_RDWR|unix.O_CLOEXEC, 0) })
	}
	if err != nil {
		return handle{}, fmt.Errorf("open %s for dirtying: %w", f.Path, err)
	}
	h = handle{open: true, fd: fd, desc: desc, size: f.Size}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		h.close()
		return handle{}, fmt.Errorf("fstat %s: %w", f.Path, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size < f.Size && !f.Grows {
		h.close()
		return handle{}, fmt.Errorf("%s holds %d bytes, but %d are to be dirtied: write the file in full first, or set Grows", f.Path, st.Size, f.Size)
	}
	if !mapped {
		return h, nil
	}
	if int64(int(f.Size)) != f.Size {
		h.close()
		return handle{}, fmt.Errorf("%s: %d bytes do not fit into the address space", f.Path, f.Size)
	}
	h.mem, err = unix.Mmap(fd, 0, int(f.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		h.close()
		return handle{}, fmt.Errorf("mmap %d bytes of %s shared: %w", f.Size, f.Path, err)
	}
	return h, nil
}

func (h *handle) close() error {
	if !h.open {
		return nil
	}
	var first error
	if h.mem != nil {
		first = unix.Munmap(h.mem)
	}
	// close(2) releases the descriptor even when it reports EINTR.
	if err := unix.Close(h.fd); err != nil && err != unix.EINTR && first == nil {
		first = err
	}
	*h = handle{}
	return first
}

func ignoringEINTR(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err != unix.EINTR {
			return n, err
		}
	}
}
