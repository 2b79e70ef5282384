package ledger

// SyncMatcher tells, for every sample of errseq, what the trace says of it:
// whether the call reported from errseq at all, and whether a writeback error
// is among what it reported. Nothing else enters errseq on a local file system
// but a failed post-write invalidation, which fires no tracepoint
// (dio_warn_stale_pagecache calls errseq_set itself, mm/filemap.c, 5.5 to
// 6.18).
//
// An errseq value is an errno (12 bits), a flag that somebody has seen it
// (0x1000) and a counter (lib/errseq.c): the counter moves when an error is set
// after the last was seen. So the counter tells which errors a report covers,
// whatever the order in which two CPUs' records were stamped.
//
// Records come in order of time, a sample after all records up to its end. It
// is used by one goroutine; memory is bounded.
type SyncMatcher struct {
	files []fileErrs
	last  map[int]int64 // by open file description: begin of its last sample
	lost  int64         // records older than this may be missing
}

type fileErrs struct {
	advances []advance
	sets     []setErr
	dropped  int64 // records older than this were dropped for want of room
}

type advance struct {
	t        int64
	tid      int32
	old, new uint32
}

// setErr is one counter value under which writeback errors were set.
type setErr struct {
	t     int64 // the last of them
	count uint32
}

const maxErrRecords = 4096

// The parts of an errseq value.
const (
	seqErrno = 0xfff
	seqSeen  = 0x1000
	seqShift = 13
	seqMask  = 1<<(32-seqShift) - 1
)

// NewSyncMatcher makes a matcher for n files.
func NewSyncMatcher(n int) *SyncMatcher {
	return &SyncMatcher{files: make([]fileErrs, n), last: map[int]int64{}}
}

// Advanced enters a file_check_and_advance_wb_err record.
func (m *SyncMatcher) Advanced(file int, t int64, tid int32, old, new uint32) {
	f := &m.files[file]
	if len(f.advances) == maxErrRecords {
		f.dropped = max(f.dropped, f.advances[maxErrRecords/2-1].t)
		f.advances = f.advances[:copy(f.advances, f.advances[maxErrRecords/2:])]
	}
	f.advances = append(f.advances, advance{t, tid, old, new})
}

// SetErr enters a filemap_set_wb_err record; value is the errseq it names.
func (m *SyncMatcher) SetErr(file int, t int64, value uint32) {
	f := &m.files[file]
	count := value >> seqShift
	if n := len(f.sets); n > 0 && f.sets[n-1].count == count {
		f.sets[n-1].t = t
		return
	}
	if len(f.sets) == maxErrRecords {
		f.dropped = max(f.dropped, f.sets[maxErrRecords/2-1].t)
		f.sets = f.sets[:copy(f.sets, f.sets[maxErrRecords/2:])]
	}
	f.sets = append(f.sets, setErr{t, count})
}

// Lost says that records older than t may be missing.
func (m *SyncMatcher) Lost(t int64) { m.lost = max(m.lost, t) }

// Tell fills in what the trace says of a sample.
func (m *SyncMatcher) Tell(s *Sync) {
	since := m.last[s.FD]
	m.last[s.FD] = s.BeginNS
	if s.File < 0 || s.File >= len(m.files) {
		return
	}
	f := &m.files[s.File]
	// Everything since the last sample counts: an error may be that old.
	s.CanTell = since >= m.lost && since >= f.dropped
	mine, n := f.find(s)
	s.Advanced = n > 0
	if n == 1 {
		s.Old, s.New = mine.old, mine.new
		s.SetErr = f.reported(mine)
		return
	}
	s.SetErr = f.setSince(since, s.EndNS)
}

// find returns the record that the call made, and how many may be it.
func (f *fileErrs) find(s *Sync) (mine advance, n int) {
	for i := len(f.advances) - 1; i >= 0 && f.advances[i].t >= s.BeginNS; i-- {
		a := f.advances[i]
		if a.t > s.EndNS || s.TID != 0 && a.tid != s.TID {
			continue
		}
		if mine = a; s.TID != 0 {
			return mine, 1
		}
		n++
	}
	return mine, n
}

// reported says whether a writeback error is among what moved a description
// from old to new: one whose counter lies in (old, new], or up to new where the
// description had not seen any error before.
func (f *fileErrs) reported(a advance) bool {
	top := a.new >> seqShift
	span := uint32(seqMask)/2 + 1
	if a.old&seqErrno != 0 {
		span = (top - a.old>>seqShift) & seqMask
	}
	if span == 0 && a.old&seqErrno != a.new&seqErrno {
		span = 1 // an unseen error was overwritten by one with another errno
	}
	for i := range f.sets {
		if back := (top - f.sets[i].count) & seqMask; back < span {
			return true
		}
	}
	return false
}

// setSince is the answer by time alone, where the record of the call is not
// known.
func (f *fileErrs) setSince(from, to int64) bool {
	for i := len(f.sets) - 1; i >= 0 && f.sets[i].t >= from; i-- {
		if f.sets[i].t <= to {
			return true
		}
	}
	return false
}
