package kernel

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Witness is an open file description that was there before the first write,
// so that its next fsync tells once of any error since (errseq_t, since 4.13,
// mm/filemap.c). It is the only sign of a post-write invalidation failure that
// every kernel gives.
//
// Several errors between two samples show as one. An error nobody had seen when
// the witness was opened shows too: sample once after opening. On ext4 an fsync
// that returns EIO has stopped before the journal commit and made nothing
// durable (fs/ext4/fsync.c): sample again before relying on it.
type Witness struct {
	fd    int
	file  TraceFile
	clock Clock
}

// WitnessSample is one fsync, sync_file_range or syncfs: what it returned and
// when.
type WitnessSample struct {
	Errno          unix.Errno // 0: no error to tell of
	BeginNS, EndNS int64      // CLOCK_MONOTONIC around the call
}

// OpenWitness opens path for reading and writing, buffered.
func OpenWitness(path string) (*Witness, error) {
	clock, err := NewClock()
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open witness", Path: path, Err: err}
	}
	w := &Witness{fd: fd, clock: clock}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		w.Close()
		return nil, &os.PathError{Op: "stat witness", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		w.Close()
		return nil, fmt.Errorf("witness %s: not a regular file", path)
	}
	w.file = TraceFile{Dev: uint64(st.Dev), Ino: st.Ino}
	return w, nil
}

// ID is unique among the open witnesses of this process: the descriptor.
func (w *Witness) ID() int { return w.fd }

// File is the inode it watches.
func (w *Witness) File() TraceFile { return w.file }

// Sample does one fsync. The errno is the kernel's, EINTR included: it is not
// repeated, since a repeated fsync would tell of nothing.
func (w *Witness) Sample() (WitnessSample, error) { return w.sample(unix.Fsync) }

// SampleErrseq looks at errseq as fsync does, and does nothing else: it writes
// nothing back and waits for nothing (sync_file_range with WAIT_BEFORE beyond
// any end of a file: fs/sync.c, file_fdatawait_range in mm/filemap.c). It takes
// a fraction of a microsecond.
func (w *Witness) SampleErrseq() (WitnessSample, error) {
	return w.sample(func(fd int) error { return unix.SyncFileRange(fd, 1<<60, 1, unix.SYNC_FILE_RANGE_WAIT_BEFORE) })
}

// SampleFS does one syncfs: it tells of writeback errors of the whole file
// system (since 5.8, fs/sync.c) and, on ext4, of none by invalidation. Before
// 5.8 it returns no error whatever happened.
func (w *Witness) SampleFS() (WitnessSample, error) { return w.sample(unix.Syncfs) }

func (w *Witness) sample(call func(int) error) (WitnessSample, error) {
	if w.fd < 0 {
		return WitnessSample{}, errors.New("witness: closed")
	}
	s := WitnessSample{BeginNS: w.clock.Now()}
	err := call(w.fd)
	s.EndNS = w.clock.Now()
	if err != nil && !errors.As(err, &s.Errno) {
		return s, err
	}
	return s, nil
}

// Close gives the descriptor back. A second Close does nothing.
func (w *Witness) Close() error {
	if w.fd < 0 {
		return nil
	}
	fd := w.fd
	w.fd = -1
	return unix.Close(fd)
}
