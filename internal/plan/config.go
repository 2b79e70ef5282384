// Package plan holds the validated settings of a run, its seed, and the
// repeatable stream of writes that the two determine.
//
// It opens nothing and knows neither flags nor the kernel: a Config comes from
// the command line or from a log's header, and what it does not decide (which
// write completes first) is not decided here.
package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Dirty is one kind of dirtier and how many of it run.
type Dirty struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
}

// Config is every setting of an invocation.
type Config struct {
	FS           string `json:"fs,omitempty"`
	FSConfig     string `json:"fs_config,omitempty"`
	MkfsOptions  string `json:"mkfs_options,omitempty"`
	MountOptions string `json:"mount_options,omitempty"`
	Directory    string `json:"directory,omitempty"`
	Device       string `json:"device,omitempty"`
	DestroyData  bool   `json:"destroy_data,omitempty"`
	ImageDir     string `json:"image_dir,omitempty"`
	StablePages  bool   `json:"stable_pages,omitempty"` // of the private file system's device

	Engines  []string      `json:"ioengine"`
	Profile  string        `json:"profile,omitempty"`
	Scenario string        `json:"scenario,omitempty"`
	BS       int           `json:"bs"`   // bytes
	Size     int64         `json:"size"` // bytes of a job's main file
	IODepth  int           `json:"iodepth"`
	Batch    int           `json:"iodepth_batch"` // most submissions in one call; 0: iodepth, without dirtiers a quarter of it, of less than 32 an eighth
	NumJobs  int           `json:"numjobs"`
	Range    string        `json:"job_range"` // own or shared
	RW       string        `json:"rw"`
	Dwell    int           `json:"dwell,omitempty"` // writes to a block, iodepth blocks in turn, before the next ones; 0 or 1: one
	Runtime  time.Duration `json:"runtime_ns"`
	Seed     uint64        `json:"seed"`
	Dirty    []Dirty       `json:"dirty"`
	Layout   string        `json:"layout,omitempty"` // what the files are before the first write; "": written
	Buffer   string        `json:"buffer,omitempty"` // what memory the direct writes come from; "": anon

	FixedBufs     bool     `json:"fixedbufs,omitempty"`
	RegisterFiles bool     `json:"registerfiles,omitempty"`
	UringFlags    []string `json:"uring_flags,omitempty"`
	ForceAsync    bool     `json:"force_async,omitempty"`
	DSync         bool     `json:"dsync,omitempty"`
	Overlap       bool     `json:"overlap,omitempty"`

	Verify       string        `json:"verify"` // none or full
	Trace        string        `json:"trace"`  // exact, count or off
	Retry        int           `json:"retry,omitempty"`
	Epoch        time.Duration `json:"epoch_ns"`
	StuckTimeout time.Duration `json:"stuck_timeout_ns"`
	Audit        bool          `json:"audit,omitempty"` // one file per slot, errseq looked at after every reap
	Strategy     Strategy      `json:"strategy"`
}

// Strategy says how the dirtiers chase the writes in flight.
type Strategy struct {
	Pick       string        `json:"pick"`        // newest, random or oldest
	Words      int           `json:"words"`       // words that an mmap dirtier stores in one visit
	Stay       int           `json:"stay"`        // visits to one write before the next is picked
	StopAfter  bool          `json:"stop_after"`  // one visit, then wait for that write's end
	YieldEvery int           `json:"yield_every"` // visits between two yields of the processor; 0: never
	Spin       int           `json:"spin"`        // looks in vain before the processor is yielded
	Yields     int           `json:"yields"`      // yields before sleeping
	Sleep      time.Duration `json:"sleep_ns"`    // 0: go on yielding
	MaxSleep   time.Duration `json:"max_sleep_ns"`
	RestSync   time.Duration `json:"rest_sync_ns"`  // pause of a dirtier after each call that syncs
	RestOther  time.Duration `json:"rest_other_ns"` // likewise of one that reads or drops pages
	Hold       time.Duration `json:"hold_ns"`       // how long a write is held back until a dirtier has dirtied its pages; 0: not at all
	Watch      time.Duration `json:"watch_ns"`      // how long after the pages of a write let go are seen under writeback it is touched, once; 0: they are not watched
	From       time.Duration `json:"from_ns"`       // how long a dirtier leaves a write alone that it has let go
	Redirty    int           `json:"redirty"`       // page faults of stores after which it leaves it alone for good; 0: it does not
	Pin        bool          `json:"pin"`           // engine threads and dirtiers on processors of their own
}

// Valid names, in the order shown to the user.
var (
	rwNames      = []string{"randwrite", "write"}
	verifyNames  = []string{"none", "full"}
	traceNames   = []string{"exact", "count", "off"}
	rangeNames   = []string{"own", "shared"}
	engineNames  = []string{"io_uring", "libaio", "psync"}
	profileNames = []string{"rate", "share", "post", "bench", "audit", "auto"}
	pickNames    = []string{"newest", "random", "oldest"}
)

// EngineNames returns the valid engines, the default ones first.
func EngineNames() []string { return slices.Clone(engineNames) }

// ProfileNames returns the valid profiles.
func ProfileNames() []string { return slices.Clone(profileNames) }

// Limits of the settings.
const (
	MaxIODepth   = 4096
	MaxJobs      = 64
	MaxBS        = 64 << 20
	MaxVerify    = 256 << 20 // most bytes of files that --verify full reads back in every epoch
	MaxArena     = 4 << 30
	MinBS        = 512
	MaxRetry     = 1000
	MaxDwell     = 1 << 20
	MaxRuntime   = 30 * 24 * time.Hour
	MaxDirtyings = 64
)

// Validate says what is wrong with the settings taken by themselves, naming
// the flag, the offending value and what is valid. The device's logical block
// size is checked when it is known.
func (c *Config) Validate() error {
	checks := []error{
		OneOf("--rw", c.RW, rwNames),
		OneOf("--verify", c.Verify, verifyNames),
		OneOf("--trace", c.Trace, traceNames),
		OneOf("--job-range", c.Range, rangeNames),
		OneOf("--dirty-pick", c.Strategy.Pick, pickNames),
		within("--iodepth", int64(c.IODepth), 1, MaxIODepth),
		within("--iodepth-batch", int64(c.Batch), 0, int64(c.IODepth)),
		within("--numjobs", int64(c.NumJobs), 1, MaxJobs),
		within("--bs", int64(c.BS), MinBS, MaxBS),
		within("--dwell", int64(c.Dwell), 0, MaxDwell),
		within("--retry", int64(c.Retry), 0, MaxRetry),
		c.engines(), c.times(), c.sizes(), c.places(), c.material(),
	}
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	return nil
}

func within(flag string, v, lo, hi int64) error {
	if v < lo || v > hi {
		return fmt.Errorf("%s %d is out of range; valid: %d to %d", flag, v, lo, hi)
	}
	return nil
}

func (c *Config) engines() error {
	if len(c.Engines) == 0 {
		return fmt.Errorf("--ioengine names no engine; valid: %s", strings.Join(engineNames, ", "))
	}
	for i, e := range c.Engines {
		if err := OneOf("--ioengine", e, engineNames); err != nil {
			return err
		}
		if slices.Contains(c.Engines[:i], e) {
			return fmt.Errorf("--ioengine names %q twice", e)
		}
	}
	return nil
}

func (c *Config) times() error {
	switch {
	case c.Runtime <= 0 || c.Runtime > MaxRuntime:
		return fmt.Errorf("--runtime %s is out of range; valid: more than 0, at most 30d", FormatTime(c.Runtime))
	case c.StuckTimeout <= 0:
		return fmt.Errorf("--stuck-timeout %s is not valid: it must be more than 0", FormatTime(c.StuckTimeout))
	case c.Strategy.Hold > time.Second:
		return fmt.Errorf("--dirty-hold %s is out of range; valid: 0 to 1s", FormatTime(c.Strategy.Hold))
	case c.Strategy.Watch > time.Millisecond:
		return fmt.Errorf("--dirty-watch %s is out of range; valid: 0 to 1ms", FormatTime(c.Strategy.Watch))
	case c.Epoch <= 0:
		return fmt.Errorf("--epoch %s is not valid: it must be more than 0", FormatTime(c.Epoch))
	}
	return nil
}

func (c *Config) sizes() error {
	if c.BS <= 0 || c.BS%MinBS != 0 {
		return fmt.Errorf("--bs %d is not a multiple of 512, the smallest logical block; valid: 512, 1k, 4k, ...", c.BS)
	}
	if c.Size < int64(c.BS) {
		return fmt.Errorf("--size %s is smaller than --bs %s; valid: at least one block", FormatSize(c.Size), FormatSize(int64(c.BS)))
	}
	if c.Size/int64(c.BS) < int64(c.IODepth) && !c.Overlap && !c.Audit {
		return fmt.Errorf("--size %s holds %d blocks of --bs %s, fewer than --iodepth %d: there is one write in flight on a block at a time (--overlap allows more); raise --size or lower --iodepth",
			FormatSize(c.Size), c.Size/int64(c.BS), FormatSize(int64(c.BS)), c.IODepth)
	}
	if c.BufStride()*int64(c.IODepth)*int64(c.NumJobs) > MaxArena {
		return fmt.Errorf("--bs %s x --iodepth %d x --numjobs %d needs more than 4g of buffers; lower one of them", FormatSize(int64(c.BS)), c.IODepth, c.NumJobs)
	}
	if c.Verify == "full" && c.Size*int64(c.NumJobs) > MaxVerify {
		return fmt.Errorf("--size %s with --verify full: more than %s would be read back in every epoch; lower --size or use --verify none",
			FormatSize(c.Size), FormatSize(MaxVerify))
	}
	return nil
}

func (c *Config) places() error {
	n := 0
	for _, s := range []string{c.Directory, c.Device} {
		if s != "" {
			n++
		}
	}
	switch {
	case n == 2:
		return errors.New("--directory and --device exclude each other")
	case c.Directory != "" && (c.FS != "" || c.FSConfig != "" || c.MkfsOptions != "" || c.MountOptions != ""):
		return errors.New("--directory works on the file system that is mounted there: --fs, --fs-config, --mkfs-options and --mount-options have no place beside it")
	case c.Device != "" && !c.DestroyData:
		return fmt.Errorf("--device %s would be formatted: add --destroy-data if everything on it may go", c.Device)
	case c.Retry > 0 && c.Trace != "exact":
		return fmt.Errorf("--retry %d needs --trace exact: only the trace tells which write collided", c.Retry)
	case c.Overlap && c.Range == "shared" && c.NumJobs > 1:
		return errors.New("--overlap with --job-range shared is not supported: use --overlap with one job or own ranges")
	}
	return nil
}

// Dirties says whether any dirtier of one of the kinds runs.
func (c *Config) Dirties(kinds ...string) bool {
	for _, d := range c.Dirty {
		if d.Count > 0 && slices.Contains(kinds, d.Kind) {
			return true
		}
	}
	return false
}

// DirtyString writes the dirtiers as --dirty takes them.
func (c *Config) DirtyString() string {
	if len(c.Dirty) == 0 {
		return "none"
	}
	var parts []string
	for _, d := range c.Dirty {
		parts = append(parts, fmt.Sprintf("%s=%d", d.Kind, d.Count))
	}
	return strings.Join(parts, ",")
}
