package harness

import (
	"golang.org/x/sys/unix"

	"diostress/internal/ledger"
)

// auditor looks at the errseq of a file after every reap. One write is in
// flight on each file, and a failed post-write invalidation sets errseq before
// the completion is posted (fs/iomap/direct-io.c iomap_dio_complete), so EIO
// tells about that very write.
type auditor struct {
	post  uint64
	calls uint64
}

func (a *auditor) sample(w *worker, e *ledger.Entry) {
	f := w.r.files[e.File]
	s, err := f.witness.SampleErrseq()
	if err != nil {
		w.err = err
		return
	}
	a.calls++
	if s.Errno == unix.EIO {
		a.post++
	}
	w.r.rec.sync(ledger.Sync{Call: "sync_file_range", FD: f.index, File: f.index, BeginNS: s.BeginNS, EndNS: s.EndNS, Errno: int(s.Errno), Witness: true, Gen: e.Gen, TID: w.tid.Load()})
	w.now = w.r.clock.Now()
}
