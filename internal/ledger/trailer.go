package ledger

// Trailer closes a run with the sums. A log without one is cut short: ReadLog
// then makes one from the entries and marks it Cut.
type Trailer struct {
	Cut         bool         `json:"cut,omitempty"`
	EndNS       int64        `json:"end_ns"`
	Jobs        []JobSum     `json:"jobs"`
	Drained     bool         `json:"drained"` // nothing was in flight at the end
	Interrupted bool         `json:"interrupted"`
	Stuck       *Stuck       `json:"stuck,omitempty"`
	Broken      string       `json:"broken,omitempty"` // the harness, not the kernel, failed
	Trace       TraceSum     `json:"trace"`
	Dirtiers    []DirtierSum `json:"dirtiers"`
	Overlaps    uint64       `json:"overlaps"`
	Targets     uint64       `json:"targets"` // as Overlaps, of the kinds that dirty
	Fsync       SyncSum      `json:"fsync"`
	Fsck        FsckSum      `json:"fsck"`
	TaintBefore uint64       `json:"taint_before"`
	TaintAfter  uint64       `json:"taint_after"`
	TaintKnown  bool         `json:"taint_known"`
	KmsgDropped uint64       `json:"kmsg_dropped"`
	LogDropped  uint64       `json:"log_dropped"` // entries that did not reach the log
	Series      []SampleSum  `json:"series"`
	Offsets     []uint64     `json:"offsets"`
	RetryWanted int          `json:"retry"`
	SyncFSKnown bool         `json:"syncfs_known"` // syncfs on a description opened before the first write, at the end
	SyncFSErrno int          `json:"syncfs_errno"`
	DropsProved uint64       `json:"drops_proved"`
	DropsFailed uint64       `json:"drops_failed"`
	DropsWhy    string       `json:"drops_why,omitempty"`
	OnlineReads uint64       `json:"online_reads"` // blocks read back while the run went on
	Work        WorkSum      `json:"work"`
}

// WorkSum counts what the writes of a run did to its files, and what was
// looked at after them.
type WorkSum struct {
	Rounds      uint64 `json:"rounds"`       // times the files were laid out anew
	FirstWrites uint64 `json:"first_writes"` // full writes to blocks that no write had reached since then
	Extensions  uint64 `json:"extensions"`   // writes that ended past every earlier one of a file that grows; at least
	SizeChecks  uint64 `json:"size_checks"`  // times the size of a file that grows was held against a completed write
	Unmapped    uint64 `json:"unmapped"`     // writes from buffers that were out of the page tables
}

// JobSum is the account of one job.
type JobSum struct {
	Counts     Counts     `json:"counts"`
	Attr       AttrSum    `json:"attr"`
	Slat       LatSum     `json:"slat"`
	Clat       LatSum     `json:"clat"`
	Lat        LatSum     `json:"lat"`
	LatDirect  LatSum     `json:"lat_direct"`
	LatCollide LatSum     `json:"lat_collided"`
	Unusual    []Unusual  `json:"unusual"` // the first of every unusual outcome
	RunNS      int64      `json:"run_ns"`
	UserNS     int64      `json:"user_ns"`
	SysNS      int64      `json:"sys_ns"`
	Pending    []InFlight `json:"pending"` // in flight at the end
	PreWrite   TraceCount `json:"pre_write"`
	PostAudit  uint64     `json:"post_audit"` // audit: writes whose own fsync said EIO
	Fsync      SyncSum    `json:"fsync"`
}

// AttrSum is what attribution came to.
type AttrSum struct {
	Direct, Fallback, Unknown uint64
	Collided                  uint64 // of Fallback: the pre-write invalidation failed
	Hole                      uint64 // of Fallback: the direct part ended short, the rest was buffered
	NoDirect                  uint64 // of Fallback: it never came to a direct write
	WentOn                    uint64 // the invalidation failed, and the direct write went on all the same
	Early                     uint64 // reaped before the kernel had completed it
	Owed                      uint64 // queued, and no completion seen in the trace at all

	// Writes that ended with an errno, by what the trace says of them.
	FailDevice   uint64 // iomap_dio_complete carried an error: from below the file system
	FailSync     uint64 // it carried none, and returned one: the sync of an O_DSYNC write, or end_io
	FailBuffered uint64 // the buffered part failed
	FailBefore   uint64 // begun and given up before anything was queued
	FailQueued   uint64 // queued, and reaped before any completion was traced
	FailDenied   uint64 // the trace has the write completed in full: the errno is not its own
	FailUnknown  uint64 // also those that never came to iomap

	RetryRunning      []uint64
	RetryPaused       []uint64
	GaveUp, Permanent uint64
	RetryUnknown      uint64
}

// Unusual is a completion that was not simply full.
type Unusual struct {
	Outcome string `json:"outcome"`
	Entry   Entry  `json:"entry"`
}

// TraceCount is one tracepoint's count.
type TraceCount struct {
	N       uint64 `json:"n"`
	Source  string `json:"source"`
	Known   bool   `json:"known"`
	AtLeast bool   `json:"at_least"`
}

// TraceSum is what the kernel's own counters said.
type TraceSum struct {
	PreWrite   TraceCount `json:"pre_write"`
	PostWrite  TraceCount `json:"post_write"` // exact probe only
	SetWBErr   TraceCount `json:"set_wb_err"`
	BlockError TraceCount `json:"block_error"`
	IomapError TraceCount `json:"iomap_error"` // iomap_dio_complete with an error
	Lost       uint64     `json:"lost"`
}

// DirtierSum is one kind of dirtier. Targets is how many of the acts that
// overlapped a write, or went beside one, met another write than the same
// dirtier's act before; 0 in logs that did not count it.
type DirtierSum struct {
	Kind                                          string
	Count                                         int
	Operations, Overlaps, Targets, Faults, Errors uint64
}

// SyncSum counts the calls that sampled errseq.
type SyncSum struct {
	Calls, EIO                               uint64
	Invalidation, Device, Journal, Ambiguous uint64
	Other                                    map[string]uint64 `json:",omitempty"` // other errnos, by name
}

// FsckSum is the check of the file system after the run.
type FsckSum struct {
	Ran    bool   `json:"ran"`
	Clean  bool   `json:"clean"`
	Exit   int    `json:"exit"`
	Output string `json:"output,omitempty"` // its end, if not clean
	Why    string `json:"why,omitempty"`    // why it did not run
}

// Stuck is the watchdog's finding.
type Stuck struct {
	OldestNS int64      `json:"oldest_ns"`
	InFlight []InFlight `json:"in_flight"`
	Blocked  []string   `json:"blocked"` // tasks in D
	Evidence string     `json:"evidence"`
	Dump     string     `json:"dump"`
}

// SampleSum is one interval of the time series.
type SampleSum struct {
	TimeNS                              int64
	Writes, Bytes, Collisions, FsyncEIO uint64
	MaxLatNS                            int64
}

// Bin counts values in [From, To), ns.
type Bin struct {
	From, To int64
	N        uint64
}

// LatSum is one latency distribution, ns.
type LatSum struct {
	Min, Max     int64
	Mean, Stddev float64
	N            uint64
	Percentiles  map[string]int64 `json:",omitempty"` // key as fio writes it: "99.000000"
	Bins         []Bin            `json:",omitempty"`
}
