package main

import (
	"slices"
	"strings"
	"time"

	"diostress/internal/plan"
	"diostress/internal/testbed"
	"diostress/ioengine"
	"diostress/mmapdirty"
	"diostress/report"
)

// setter puts an option's value where it belongs.
type setter func(s *settings, v string) error

// option is one flag: parsing, --help, the manual page and the completions all
// read this table.
type option struct {
	group, name string
	arg         string // name of the value in help texts; "" for a switch
	about       string
	words       []string // what completions offer
	set         setter
}

// text is what help and manual say: the valid words too, where neither the
// option's argument nor its text has them.
func (o *option) text() string {
	words := slices.DeleteFunc(slices.Clone(o.words), func(w string) bool { return w == "list" || strings.Contains(o.arg, w) })
	if len(words) == 0 || len(words) > 12 {
		return o.about
	}
	return o.about + "; valid: " + strings.Join(words, ", ")
}

const (
	groupTarget   = "Where to work"
	groupWorkload = "What to do"
	groupDirt     = "What keeps the pages dirty"
	groupChecks   = "What is checked"
	groupOutput   = "What comes out"
)

// dirtierWords are the kinds of dirtiers, and what else --dirty takes.
func dirtierWords() []string {
	words := []string{"none", "list"}
	for _, k := range mmapdirty.Kinds() {
		words = append(words, k.String())
	}
	return words
}

// options is the table of flags.
func options() []option {
	fs := func(get func(*plan.Config) *string) setter {
		return textTo(func(s *settings) *string { return get(&s.cfg) })
	}
	return []option{
		{groupTarget, "fs", "FS", "make a private file system of this kind (default ext4; as root)", testbed.FSNames(), fs(func(c *plan.Config) *string { return &c.FS })},
		{groupTarget, "fs-config", "NAME,...", "how to make and mount it, by the names of xfstests-bld; several: one after another ('list' lists them)", append(testbed.ConfigNames(), "list"),
			func(s *settings, v string) error {
				if v == "list" {
					s.list = listConfigs()
					return nil
				}
				return listTo(testbed.ConfigNames(), func(s *settings) *[]string { return &s.fsConfigs })(s, v)
			}},
		{groupTarget, "mkfs-options", "OPTIONS", "more options for mke2fs", nil, fs(func(c *plan.Config) *string { return &c.MkfsOptions })},
		{groupTarget, "mount-options", "OPTIONS", "more mount options", nil, fs(func(c *plan.Config) *string { return &c.MountOptions })},
		{groupTarget, "image-dir", "DIR", "where the image of the private file system lies (default /dev/shm if it fits, else $TMPDIR)", nil, fs(func(c *plan.Config) *string { return &c.ImageDir })},
		{groupTarget, "stable-pages", "", "let the device of the private file system ask for stable pages, as RAID 5 does: whoever would dirty a page under writeback waits, and comes first afterwards", nil, boolTo(func(s *settings) *bool { return &s.cfg.StablePages })},
		{groupTarget, "directory", "DIR", "work on the file system mounted at DIR, in a subdirectory of our own (no root needed)", nil, fs(func(c *plan.Config) *string { return &c.Directory })},
		{groupTarget, "device", "DEV", "format and use this block device; needs --destroy-data", nil, fs(func(c *plan.Config) *string { return &c.Device })},
		{groupTarget, "destroy-data", "", "everything on --device may go", nil, boolTo(func(s *settings) *bool { return &s.cfg.DestroyData })},

		{groupWorkload, "ioengine", "ENGINE,...", "engines, one after another (default: every one; those that cannot run here are listed as skipped)", plan.EngineNames(),
			func(s *settings, v string) error {
				s.enginesNamed = true
				return listTo(plan.EngineNames(), func(s *settings) *[]string { return &s.cfg.Engines })(s, v)
			}},
		{groupWorkload, "profile", "NAME", "a choice of bs, size, iodepth and dirtiers; flags given beside it win (default rate; 'list' lists them)", append(plan.ProfileNames(), "list"),
			func(s *settings, v string) error {
				if v == "list" {
					s.list = listProfiles()
					return nil
				}
				return enumTo("profile", plan.ProfileNames(), func(s *settings) *string { return &s.profile })(s, v)
			}},
		{groupWorkload, "scenario", "NAME,...", "workloads aimed at known classes of bugs, one after another; 'all' for every one ('list' lists them); flags given beside it win", append(plan.ScenarioNames(), "all", "list"), scenarioTo},
		{groupWorkload, "bs", "SIZE", "bytes of one direct write (default: the profile's)", nil, func(s *settings, v string) error {
			n, err := plan.ParseSize(v)
			if err == nil {
				s.cfg.BS = int(min(n, 1<<40))
			}
			return err
		}},
		{groupWorkload, "size", "SIZE", "size of the file that is written (default: the profile's)", nil, sizeTo(func(s *settings) *int64 { return &s.cfg.Size })},
		{groupWorkload, "iodepth", "N", "most direct writes in flight, for each job (default: the profile's)", nil, intTo(func(s *settings) *int { return &s.cfg.IODepth })},
		{groupWorkload, "iodepth-batch", "N", "most direct writes in one submission (default 0: up to iodepth; without dirtiers a quarter of it, of less than 32 an eighth, so that the device works while the next are made)", nil, intTo(func(s *settings) *int { return &s.cfg.Batch })},
		{groupWorkload, "numjobs", "N", "jobs, each with a ring or context and a thread of its own (default 1)", nil, intTo(func(s *settings) *int { return &s.cfg.NumJobs })},
		{groupWorkload, "job-range", "own|shared", "whether each job has a file of its own or all share one, on blocks of their own", []string{"own", "shared"}, textTo(func(s *settings) *string { return &s.cfg.Range })},
		{groupWorkload, "rw", "randwrite|write", "order of the direct writes (default randwrite)", []string{"randwrite", "write"}, textTo(func(s *settings) *string { return &s.cfg.RW })},
		{groupWorkload, "layout", "written|unwritten|sparse|empty", "what the files are before the first write, and again after every epoch (default written)", plan.LayoutNames(), enumTo("layout", plan.LayoutNames(), func(s *settings) *string { return &s.cfg.Layout })},
		{groupWorkload, "buffer", "anon|zero|selfmmap", "what memory the direct writes come from: anonymous, never written, or a mapping of the end of the same file (default anon)", plan.BufferNames(), enumTo("buffer", plan.BufferNames(), func(s *settings) *string { return &s.cfg.Buffer })},
		{groupWorkload, "dwell", "N", "write each block N times, iodepth blocks in turn, before the next ones; 0 or 1 for once", nil, intTo(func(s *settings) *int { return &s.cfg.Dwell })},
		{groupWorkload, "runtime", "TIME", "how long each engine runs (default 10s; prefill and checks come on top)", nil, timeTo(func(s *settings) *time.Duration { return &s.cfg.Runtime })},
		{groupWorkload, "seed", "N", "seed of offsets and data; 0 draws one (it is printed always)", nil, seedTo},
		{groupWorkload, "loops", "N", "repeat everything N times, each time with the next seed", nil, intTo(func(s *settings) *int { return &s.loops })},
		{groupWorkload, "fixedbufs", "", "io_uring: register the buffers and use WRITE_FIXED", nil, boolTo(func(s *settings) *bool { return &s.cfg.FixedBufs })},
		{groupWorkload, "registerfiles", "", "io_uring: register the files", nil, boolTo(func(s *settings) *bool { return &s.cfg.RegisterFiles })},
		{groupWorkload, "uring-flags", "FLAG,...", "io_uring: set-up flags", ioengine.UringFlagNames(), listTo(ioengine.UringFlagNames(), func(s *settings) *[]string { return &s.cfg.UringFlags })},
		{groupWorkload, "force-async", "", "io_uring: let the kernel's workers take every write, without a first try that may not block", nil, boolTo(func(s *settings) *bool { return &s.cfg.ForceAsync })},
		{groupWorkload, "dsync", "", "direct writes with RWF_DSYNC", nil, boolTo(func(s *settings) *bool { return &s.cfg.DSync })},
		{groupWorkload, "overlap", "", "allow several direct writes in flight on one block (their attribution is then unknown)", nil, boolTo(func(s *settings) *bool { return &s.cfg.Overlap })},
		{groupWorkload, "retry", "N", "resubmit a collided write up to N times and count the tries until it went direct", nil, intTo(func(s *settings) *int { return &s.cfg.Retry })},

		{groupDirt, "dirty", "KIND=N,...", "what keeps the pages dirty, and how many of each; none for nothing (default: the profile's; 'list' lists the kinds)", dirtierWords(), func(s *settings, v string) error {
			if v == "list" {
				s.list = listDirtiers()
				return nil
			}
			return dirtyTo(s, v)
		}},
		{groupDirt, "dirty-pick", "newest|random|oldest", "which write in flight a dirtier goes for", []string{"newest", "random", "oldest"}, textTo(func(s *settings) *string { return &s.cfg.Strategy.Pick })},
		{groupDirt, "dirty-words", "N", "8-byte words that an mmap dirtier stores in one visit", nil, intTo(func(s *settings) *int { return &s.cfg.Strategy.Words })},
		{groupDirt, "dirty-stay", "N", "visits that a dirtier makes to one write before it picks the next", nil, intTo(func(s *settings) *int { return &s.cfg.Strategy.Stay })},
		{groupDirt, "dirty-yield-every", "N", "visits between two yields of the processor; 0 for never", nil, intTo(func(s *settings) *int { return &s.cfg.Strategy.YieldEvery })},
		{groupDirt, "dirty-stop-after", "", "after one visit wait for the end of that write", nil, boolTo(func(s *settings) *bool { return &s.cfg.Strategy.StopAfter })},
		{groupDirt, "dirty-spin", "N", "looks in vain of a dirtier before it yields the processor", nil, intTo(func(s *settings) *int { return &s.cfg.Strategy.Spin })},
		{groupDirt, "dirty-yields", "N", "yields in vain of a dirtier before it sleeps", nil, intTo(func(s *settings) *int { return &s.cfg.Strategy.Yields })},
		{groupDirt, "dirty-hold", "TIME", "hold a write back until a dirtier has dirtied its pages, at most so long; 0 for not at all", nil, timeTo(func(s *settings) *time.Duration { return &s.cfg.Strategy.Hold })},
		{groupDirt, "dirty-watch", "TIME", "ask cachestat(2) for the pages of a write that was let go, and store to them once, so long after they are seen to be under writeback; 0 for not (--dirty-from and --dirty-redirty decide where it cannot be asked, before Linux 6.5, on a single processor, and for a while after most pages were found too late)", nil, timeTo(func(s *settings) *time.Duration { return &s.cfg.Strategy.Watch })},
		{groupDirt, "dirty-from", "TIME", "without --dirty-watch: leave a write alone for so long after it was let go: its pages are dirty still", nil, timeTo(func(s *settings) *time.Duration { return &s.cfg.Strategy.From })},
		{groupDirt, "dirty-redirty", "N", "without --dirty-watch: leave a write alone for good once so many stores since it was let go had a page fault, each of which makes a page dirty anew; 0 for not", nil, intTo(func(s *settings) *int { return &s.cfg.Strategy.Redirty })},
		{groupDirt, "dirty-sync-rest", "TIME", "pause of a dirtier after each fsync, msync or sync_file_range", nil, timeTo(func(s *settings) *time.Duration { return &s.cfg.Strategy.RestSync })},
		{groupDirt, "pin", "", "pin engine threads and dirtiers to processors of their own", nil, boolTo(func(s *settings) *bool { return &s.cfg.Strategy.Pin })},

		{groupChecks, "verify", "none|full", "read everything back and judge the data (default full; none with --dirty none)", []string{"none", "full"}, textTo(func(s *settings) *string { return &s.cfg.Verify })},
		{groupChecks, "trace", "exact|count|off", "attribute every write by tracepoints, only count, or neither (default exact; count with --dirty none)", []string{"exact", "count", "off"}, textTo(func(s *settings) *string { return &s.cfg.Trace })},
		{groupChecks, "epoch", "TIME", "how often the run is brought to rest and read back (default 2s; longer where reading back takes long)", nil, timeTo(func(s *settings) *time.Duration { return &s.cfg.Epoch })},
		{groupChecks, "stuck-timeout", "TIME", "how long a write may stay unanswered, 2s and more (default 30s)", nil, timeTo(func(s *settings) *time.Duration { return &s.cfg.StuckTimeout })},

		{groupOutput, "output", "FILE", "where the report goes (default -: standard output); several formats: FILE.text, FILE.json, ...", nil, textTo(func(s *settings) *string { return &s.output })},
		{groupOutput, "output-format", "FORMAT,...", "formats of the report", report.Formats(), listTo(report.Formats(), func(s *settings) *[]string { return &s.formats })},
		{groupOutput, "completions", "FILE", "log of every completion, for 'dioStress judge'; compressed if the name ends in .zst", nil, textTo(func(s *settings) *string { return &s.completions })},
		{groupOutput, "eta", "auto|always|never", "live status line on standard error (auto: if it is a terminal)", []string{"auto", "always", "never"}, enumTo("eta", []string{"auto", "always", "never"}, func(s *settings) *string { return &s.eta })},
		{groupOutput, "status-interval", "TIME", "a line of JSON on standard error as often as this", nil, timeTo(func(s *settings) *time.Duration { return &s.statusEvery })},
		{groupOutput, "exit-style", "default|ltp", "exit statuses of this program, or those of the Linux Test Project", exitStyles[:], enumTo("exit-style", exitStyles[:], func(s *settings) *string { return &s.exitStyle })},
		{groupOutput, "dry-run", "", "check everything, print the plan, make nothing", nil, boolTo(func(s *settings) *bool { return &s.dryRun })},
		{groupOutput, "version", "", "print the version", nil, boolTo(func(s *settings) *bool { return &s.version })},
	}
}
