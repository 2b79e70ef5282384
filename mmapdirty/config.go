package mmapdirty

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// Config is what a Group runs. It is read by Start only; the functions in it
// are called until Stop has returned nil.
type Config struct {
	Files  []File   // what Target.File indexes
	Tables []*Table // one per engine thread or job; all are searched
	Sets   []Set

	// Word gives the value that an Mmap dirtier stores at byte offset off
	// (a multiple of 8) of a file. Needed when a Set has Mmap.
	Word func(file int, off int64, writer int, gen uint64) uint64
	// Fill fills dst with what a Write dirtier writes at byte offset off, or an
	// Mmap one that a held write waits for.
	// dst is reused by the same dirtier. Needed when a Set has Write.
	Fill func(dst []byte, file int, off int64, writer int, gen uint64)
	// OnSync receives the result of every sync call, on the thread that made
	// it. Optional.
	OnSync func(SyncResult)
	// Clock returns the time in ns that SyncResult.Begin and End carry. Needed
	// with OnSync.
	Clock func() int64

	WriterBase      int    // id of the first dirtier; the others count up from it
	DescriptionBase int    // id of the first open file description, likewise
	Seed            uint64 // of the random choices; the same seed does not repeat a run, the kernel decides too
}

// File is one file to dirty. Each dirtier opens it by itself, because an
// errseq error is reported once per open file description.
type File struct {
	Path string // opened with O_RDWR; also what messages call the file
	// Open, if not nil, is used instead of opening Path. It returns a new
	// descriptor for reading and writing on a new open file description (not
	// a dup), which the dirtier closes. It is called by Start, one call at a
	// time.
	Open func() (fd int, err error)
	Size int64 // bytes; nothing at or past it is touched, but for space that Fallocate reserves
	// Grows says that the file may be shorter than Size while dirtiers run:
	// it is written from its start, or a dirtier cuts it. What a mapping is
	// asked for past its end counts as a fault.
	Grows bool
}

// Set is a number of dirtiers that work alike.
type Set struct {
	Spec     Spec
	Files    []int // indices of the files to work on; nil for all
	Place    Place
	Strategy Strategy
}

// Place says which bytes are dirtied, seen from the write in flight.
type Place uint8

// The places. With Neighbour the bytes of the write in flight are left alone,
// yet its folio gets dirty if both lie in one: an mmap store marks every block
// of the folio dirty (block_dirty_folio in fs/buffer.c). The neighbour of a
// write of one aligned power of two is block^1, of any other the bytes before
// it, or after it at the start of the file. The caller sees to it that the
// neighbour is not itself written directly.
const (
	Same Place = iota
	Neighbour
	numPlaces
)

// String returns "same" or "neighbour".
func (p Place) String() string {
	switch p {
	case Same:
		return "same"
	case Neighbour:
		return "neighbour"
	}
	return fmt.Sprintf("place(%d)", uint8(p))
}

// Strategy holds the values that decide how hard and when the pages are hit.
// Begin with DefaultStrategy.
type Strategy struct {
	Order Order
	// Words is how many 8-byte words an Mmap dirtier stores in one visit, at
	// random places of the range; 1..4096.
	Words int
	// Stay is how many visits a dirtier makes to one write, as long as it is
	// in flight, before it picks again; at least 1.
	Stay int
	// StopAfterDirty makes a dirtier wait, after one visit, until that write
	// has ended. Stay is then without effect.
	StopAfterDirty bool
	// Watch makes an Mmap dirtier ask cachestat(2) for the pages of a write that
	// it has let go (Table.BeginHeld), and store to them once, so long after they
	// are seen to be under writeback; 0 for not. From and Redirty are then asked
	// only where the kernel cannot tell (before 6.5), and for a while after most
	// writes were found too late.
	Watch time.Duration
	// From and Redirty bound what a dirtier does to a write that it has let go.
	// It touches it again no sooner than From after that: before,
	// its pages are likely to be dirty still. And an Mmap one leaves it alone
	// once so many of its stores have had a page fault, each of which made a page
	// dirty anew: what comes then comes too late, and a page that is mapped has
	// to be unmapped once more. Redirty 0: it goes on to the end of the write.
	From    time.Duration
	Redirty int
	// YieldEvery is after how many visits to give up the CPU once
	// (sched_yield), for an engine thread that waits for it; 0 for never.
	YieldEvery int
	// Rest is how long to sleep after each visit; 0 for not at all.
	Rest time.Duration

	// With nothing in flight a dirtier looks Spin times with a PAUSE between,
	// then Yields times with a sched_yield between, then sleeps between looks:
	// Sleep first (0: goes on yielding), then twice as long each time it was
	// in vain, up to MaxSleep (no more than Sleep: always Sleep). The longer,
	// the later it sees the next write.
	Spin, Yields    int
	Sleep, MaxSleep time.Duration

	// CPUs pins the dirtiers of the set to these CPUs in turn; nil for none.
	CPUs []int
}

// SyncResult is what one fsync, fdatasync, msync or sync_file_range returned.
type SyncResult struct {
	Kind        Kind
	Writer      int
	File        int
	Description int   // id of the open file description, stable while the Group lives
	Off         int64 // bytes; 0 with fsync and fdatasync
	Len         int64 // bytes; the file's size with fsync and fdatasync
	Begin, End  int64 // ns, of Config.Clock
	Errno       syscall.Errno
}

// DefaultStrategy returns values that did well with 4 KiB writes at iodepth 32
// on ext4 and as few CPUs as two: chase the newest write without a pause, but
// give up the CPU often enough for the engine thread to submit the next.
func DefaultStrategy() Strategy {
	return Strategy{Order: Newest, Words: 1, Stay: 1, YieldEvery: 8, Spin: 200, Yields: 50, Sleep: 20 * time.Microsecond, MaxSleep: 500 * time.Microsecond}
}

// DefaultSets returns sets that together run spec on all files: the kinds that
// dirty with DefaultStrategy, the others with a Rest besides. Without it they
// take the pages, the inode lock and the CPU from those that dirty: one fsync
// dirtier in a tight loop brought the share of failed invalidations down from
// 0.8 to 0.01.
func DefaultSets(spec Spec) []Set {
	var sets []Set
	add := func(rest time.Duration, belongs func(Kind) bool) {
		set := Set{Strategy: DefaultStrategy()}
		set.Strategy.Rest = rest
		for _, k := range Kinds() {
			if belongs(k) {
				set.Spec = set.Spec.With(k, spec.Count(k))
			}
		}
		if set.Spec.Total() > 0 {
			sets = append(sets, set)
		}
	}
	add(0, Kind.Dirties)
	add(time.Millisecond, func(k Kind) bool { return !k.Dirties() && !k.Syncs() })
	add(3*time.Millisecond, Kind.Syncs)
	return sets
}

func (s Strategy) check() error {
	switch {
	case s.Order >= numOrders:
		return fmt.Errorf("Strategy.Order %v: want Newest, Random or Oldest", s.Order)
	case s.Words < 1 || s.Words > 4096:
		return fmt.Errorf("Strategy.Words %d: want 1..4096 (begin with DefaultStrategy)", s.Words)
	case s.Stay < 1:
		return fmt.Errorf("Strategy.Stay %d: want at least 1 (begin with DefaultStrategy)", s.Stay)
	case s.Watch < 0 || s.From < 0 || s.Redirty < 0:
		return fmt.Errorf("Strategy.Watch %v, From %v, Redirty %d: want 0 or more", s.Watch, s.From, s.Redirty)
	case s.YieldEvery < 0:
		return fmt.Errorf("Strategy.YieldEvery %d: want 0 or more", s.YieldEvery)
	case s.Spin < 0 || s.Yields < 0:
		return fmt.Errorf("Strategy.Spin %d, Yields %d: want 0 or more", s.Spin, s.Yields)
	case s.Sleep < 0 || s.Rest < 0:
		return fmt.Errorf("Strategy.Sleep %v, Rest %v: want 0 or more", s.Sleep, s.Rest)
	case s.MaxSleep < 0:
		return fmt.Errorf("Strategy.MaxSleep %v: want 0 or more", s.MaxSleep)
	}
	for _, c := range s.CPUs {
		if c < 0 || c >= 1024 {
			return fmt.Errorf("Strategy.CPUs holds %d: want CPU numbers 0..1023", c)
		}
	}
	return nil
}

func (cfg *Config) check() error {
	if len(cfg.Files) == 0 {
		return errors.New("no files to dirty: give Config.Files")
	}
	if len(cfg.Tables) == 0 {
		return errors.New("nothing to chase: give Config.Tables")
	}
	for i, t := range cfg.Tables {
		if t == nil {
			return fmt.Errorf("Config.Tables[%d] is nil: use NewTable", i)
		}
	}
	for i, f := range cfg.Files {
		if f.Size < 8 {
			return fmt.Errorf("file %d (%s): Size is %d bytes, want at least 8", i, f.Path, f.Size)
		}
		if f.Path == "" && f.Open == nil {
			return fmt.Errorf("file %d: give a Path or an Open function", i)
		}
	}
	if cfg.OnSync != nil && cfg.Clock == nil {
		return errors.New("OnSync needs a Clock")
	}
	for i, s := range cfg.Sets {
		if err := cfg.checkSet(s); err != nil {
			return fmt.Errorf("set %d (%s): %w", i, s.Spec, err)
		}
	}
	return nil
}

func (cfg *Config) checkSet(s Set) error {
	if s.Spec.Total() == 0 {
		return nil
	}
	if s.Spec.Count(Mmap) > 0 && cfg.Word == nil {
		return errors.New("mmap dirtiers need Config.Word")
	}
	if s.Spec.Count(Write) > 0 && cfg.Fill == nil {
		return errors.New("write dirtiers need Config.Fill")
	}
	if s.Place >= numPlaces {
		return fmt.Errorf("%v: want Same or Neighbour", s.Place)
	}
	if s.Files != nil && len(s.Files) == 0 {
		return errors.New("Files is empty: give indices, or nil for all files")
	}
	for _, f := range s.Files {
		if f < 0 || f >= len(cfg.Files) {
			return fmt.Errorf("Files holds %d: want 0..%d", f, len(cfg.Files)-1)
		}
	}
	return s.Strategy.check()
}
