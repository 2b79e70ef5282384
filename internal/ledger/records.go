package ledger

import (
	"encoding/json"

	"diostress/internal/plan"
)

// Sink takes the records of a run in the order in which they became known:
// one Header, then everything else, one Trailer last. Records are only lent;
// a sink copies what it keeps. It is used by one goroutine at a time.
type Sink interface {
	Entry(*Entry)
	Record(Record)
}

// Record is any record but an Entry.
type Record interface{ Kind() byte }

// Attribution says how the kernel finished a write.
type Attribution uint8

// The attributions. Unknown is the zero value.
const (
	Unknown          Attribution = iota
	Direct                       // the direct write went to the device
	BufferedFallback             // the kernel wrote it through the page cache
)

var attrNames = [...]string{"unknown", "direct", "buffered_fallback"}

// String returns the name used in reports.
func (a Attribution) String() string { return attrNames[a] }

// Entry is one submission with its completion. Times are CLOCK_MONOTONIC, ns:
// SubmitNS was read before the submitting call, AcceptNS after it (0 where one
// call submitted and waited), ReapNS after the reaping call. So SubmitNS is
// never later than the submission and ReapNS never earlier than the reap.
type Entry struct {
	Gen                        uint64 // 1, 2, ... within the job
	Off                        int64  // bytes
	Res, Res2                  int64
	SubmitNS, AcceptNS, ReapNS int64
	Len                        uint32 // bytes
	Flags                      uint32 // cqe.flags
	File                       uint16
	Job                        uint16
	Slot                       uint16
	Try                        uint16 // 0: planned write; n: n-th resubmission of a collided one
	Attr                       Attribution
	Paused                     bool // submitted while the dirtiers stood still
}

// Header opens a run.
type Header struct {
	Format    int             `json:"format"`
	Run       string          `json:"run"`
	Engine    string          `json:"engine"`
	Config    plan.Config     `json:"config"`
	Files     []plan.File     `json:"files"`
	StartNS   int64           `json:"start_ns"` // CLOCK_MONOTONIC
	Facts     Facts           `json:"facts"`
	Env       json.RawMessage `json:"environment,omitempty"` // for the report only
	Skipped   json.RawMessage `json:"skipped,omitempty"`
	Start     string          `json:"start"` // RFC 3339
	Repro     string          `json:"repro"`
	EntriesIn bool            `json:"entries"` // every completion is in the log
}

// Facts is what the machine said about itself, as far as judging needs it.
type Facts struct {
	Kernel      string   `json:"kernel"` // release
	FSType      string   `json:"fs_type"`
	FSConfig    string   `json:"fs_config"`
	BlockSize   int      `json:"fs_block_size"`
	PageSize    int      `json:"page_size"`
	DirectIO    string   `json:"direct_io"` // "yes", "no: why", "unknown"
	DataJournal bool     `json:"data_journal"`
	Trace       string   `json:"trace"`        // exact, count, off as it could be had
	TraceSource string   `json:"trace_source"` // or why it is unavailable
	Events      []string `json:"events"`       // tracepoints that are watched
	PostProbe   string   `json:"post_probe"`   // what counts post-write failures exactly; "" if nothing does
	Kmsg        bool     `json:"kmsg"`
	KmsgBudget  string   `json:"kmsg_budget"`
	BudgetSpent bool     `json:"kmsg_budget_exhausted"`
	Disk        string   `json:"disk"` // kernel name of the disk below, "loop3" or "dm-0"; "": not known
	// SoleDirect says that no other process had a file open for writing with
	// O_DIRECT at the start, so that what is counted for the whole machine
	// (PostProbe) is likely this run's.
	SoleDirect bool  `json:"sole_direct"`
	Fsck       bool  `json:"fsck"` // the file system can be checked after the run
	ClockErrNS int64 `json:"clock_error_ns"`
	LateReapNS int64 `json:"late_reap_ns"` // how long the engine was reaped on after the last completion
}

// Unmatched is a completion that belongs to no submission in flight.
type Unmatched struct {
	Job       int    `json:"job"`
	Tag       uint64 `json:"tag"`
	Res       int64  `json:"res"`
	Res2      int64  `json:"res2"`
	ReapNS    int64  `json:"reap_ns"`
	Duplicate bool   `json:"duplicate"` // the Tag had been accepted and completed before
}

// InFlight is a submission without completion at the end of the run, or one
// that is being looked at.
type InFlight struct {
	Job      int    `json:"job"`
	Slot     int    `json:"slot"`
	Gen      uint64 `json:"gen"`
	File     int    `json:"file"`
	Off      int64  `json:"off"`
	Len      int64  `json:"len"`
	SubmitNS int64  `json:"submit_ns"`
	Try      int    `json:"try,omitempty"` // resubmissions of a collided write
}

// Sync is one call that sampled errseq: fsync, fdatasync, msync, or
// sync_file_range that waits.
type Sync struct {
	Call     string `json:"call"`
	FD       int    `json:"fd"` // stable id of the open file description
	File     int    `json:"file"`
	BeginNS  int64  `json:"begin_ns"`
	EndNS    int64  `json:"end_ns"`
	Errno    int    `json:"errno"`
	Epoch    int    `json:"epoch"`
	Quiesced bool   `json:"quiesced"`      // dirtiers stopped and nothing in flight
	Witness  bool   `json:"witness"`       // opened before the first write
	Gen      uint64 `json:"gen,omitempty"` // audit: the write this sample tells about
	TID      int32  `json:"tid,omitempty"` // the thread that made the call; 0: not known

	// What the trace says of the call; SyncMatcher fills it in.
	SetErr   bool   `json:"set_wb_err"`    // a writeback error is among what was reported (filemap_set_wb_err)
	Advanced bool   `json:"advanced"`      // the call itself reported from errseq (file_check_and_advance_wb_err)
	CanTell  bool   `json:"can_tell"`      // both tracepoints were watched and no record that matters was lost
	Old      uint32 `json:"old,omitempty"` // errseq of the description before the call, as traced
	New      uint32 `json:"new,omitempty"` // and after it; 0: not known
}

// Note is what the kernel said by itself. Class is the kernel room's name of a
// kind of message, "other_device" for one about a disk that is not below the
// run, "early" and "permanent" for what attribution found, or "i_size" for a
// file that was shorter than a completed write made it.
type Note struct {
	TimeNS int64  `json:"time_ns"`
	Source string `json:"source"` // kmsg, trace, stat
	Class  string `json:"class"`
	Text   string `json:"text"`
	File   int    `json:"file"` // -1: none
	Off    int64  `json:"off,omitempty"`
	Gen    uint64 `json:"gen,omitempty"`
	Errno  int    `json:"errno,omitempty"`
}

// Epoch closes an epoch: everything that was written in it, as far as the
// legal set of its read-backs needs it.
type Epoch struct {
	N       int         `json:"n"`
	BeginNS int64       `json:"begin_ns"`
	EndNS   int64       `json:"end_ns"`
	Files   []FileEpoch `json:"files"`
	Drained bool        `json:"drained"`
}

// FileEpoch is one file in one epoch.
type FileEpoch struct {
	Mmap    bool       `json:"mmap"`             // an mmap dirtier was at work on the file
	Write   bool       `json:"write"`            // a write(2) dirtier was
	Zeroes  bool       `json:"zeroes,omitempty"` // a dirtier that turns data into zeros was
	Writers []GenRange `json:"writers"`
	Direct  uint64     `json:"direct"` // direct writes completed
}

// GenRange is the generations one writer may have written, First..Last.
type GenRange struct {
	Writer uint8  `json:"w"`
	First  uint64 `json:"first"`
	Last   uint64 `json:"last"`
}

// Stamp is who wrote a word, and in which generation.
type Stamp struct {
	Writer uint8  `json:"w"`
	Gen    uint64 `json:"g"`
}

// Span is a run of words of 8 bytes with one stamp, or one word that is not
// genuine at its place.
type Span struct {
	Words int32  `json:"n"`
	OK    bool   `json:"ok"`
	By    Stamp  `json:"by"`
	Raw   uint64 `json:"raw,omitempty"`
	Where int64  `json:"where,omitempty"` // offset at which Raw would be genuine; -1: nowhere
}

// View is the way a block was read back.
type View string

// The views, in the order in which they are taken after quiescing.
const (
	Cache    View = "cache"    // buffered read, through what the page cache holds
	DirectIO View = "direct"   // O_DIRECT read
	Disk     View = "disk"     // buffered read after the cache was dropped
	Remount  View = "remount"  // buffered read after unmount and mount
	Online   View = "online"   // buffered read of an idle block while the run went on
	Baseline View = "baseline" // after the prefill, and after a file was laid out anew

	// OnlineDirect is an O_DIRECT read of the same block right after Online.
	OnlineDirect View = "online_direct"
)

var views = [...]View{Cache, DirectIO, Disk, Remount, Online, OnlineDirect, Baseline}

// Readback is one block as it was read. Legal is what direct writes may have
// left there (Account.Legal): the last full write, plus every later one that
// failed, was short or is in flight; it is empty for a block that no direct
// write is ever made to. With dirtiers on the file it is not all that is legal.
//
// Where a file may have holes, unwritten blocks or blocks that were zeroed, a
// zero word stands as one of the prefill; where the writes are zeros
// (plan.BufferZero), as one of the write that is legal there.
type Readback struct {
	Epoch  int     `json:"epoch"`
	File   int     `json:"file"`
	View   View    `json:"view"`
	Off    int64   `json:"off"`
	Spans  []Span  `json:"spans"`
	Legal  []Stamp `json:"legal,omitempty"`
	Errno  int     `json:"errno,omitempty"`  // the read failed
	Proved bool    `json:"proved,omitempty"` // Disk: the cache was proved empty before
}

// Kind implements Record.
func (*Header) Kind() byte { return 'H' }

// Kind implements Record.
func (*Unmatched) Kind() byte { return 'U' }

// Kind implements Record.
func (*InFlight) Kind() byte { return 'L' }

// Kind implements Record.
func (*Sync) Kind() byte { return 'S' }

// Kind implements Record.
func (*Note) Kind() byte { return 'N' }

// Kind implements Record.
func (*Epoch) Kind() byte { return 'E' }

// Kind implements Record.
func (*Readback) Kind() byte { return 'R' }

// Kind implements Record.
func (*Trailer) Kind() byte { return 'T' }
