package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Scenario is a named workload, aimed at one class of bugs. It sets what a
// profile sets and more; flags that the user gives win over it.
type Scenario struct {
	Name     string
	Provokes string   // what it brings about, one line
	Failed   string   // where it once failed, with commits
	Expects  string   // what the judge expects, beside the rules of every run
	Engines  []string // that have what it needs; nil: all
	Pressure Pressure
	apply    func(*Config)
}

// Apply sets everything that the scenario decides, on top of a profile.
func (s *Scenario) Apply(c *Config) {
	c.Profile, c.Scenario = "", s.Name
	s.apply(c)
}

// Runs says whether an engine has what the scenario needs, and if not, why.
func (s *Scenario) Runs(engine string) (ok bool, why string) {
	if s.Engines == nil || slices.Contains(s.Engines, engine) {
		return true, ""
	}
	return false, fmt.Sprintf("scenario %s is about what only %s has", s.Name, strings.Join(s.Engines, " and "))
}

// FindScenario returns the scenario of a name.
func FindScenario(name string) (Scenario, bool) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}

// ScenarioNames returns the names in the order of Scenarios.
func ScenarioNames() (names []string) {
	for _, s := range Scenarios() {
		names = append(names, s.Name)
	}
	return names
}

// work is the direct writes and the dirtiers of a scenario.
func work(c *Config, bs int, size int64, depth int, rw string, dirty ...Dirty) {
	c.BS, c.Size, c.IODepth, c.RW, c.Audit = bs, size, depth, rw, false
	c.Strategy = chase()
	c.Dirty = dirty
}

// reading makes dirtiers that read come round often: they take no lock from
// those that dirty, because there are none.
func reading(c *Config) { c.Strategy.RestOther = 50 * time.Microsecond }

// Scenarios returns every scenario. The first is the workload that began all
// this; docs/scenarios.md is held against the list by a test.
func Scenarios() []Scenario {
	uring := []string{"io_uring"}
	return []Scenario{
		{
			Name:     "invalidate-failure",
			Provokes: "large direct writes against large buffered ones that fsync writes back: the workload of 2007",
			Failed: "2.6.18 to 2.6.20: -EIO over -EIOCBQUEUED, the iocb was completed twice (65b8291c4000, 2.6.21); up to 2.6.26: -EIO and no write at all (6ccfa806a9cf, 2.6.27); " +
				"6.14-rc: a dirty folio counted as dropped (4a9e23159fd3, fixed by 927289988068); xfstests generic/208",
			Expects:  "no EIO in a completion without a device that failed; every failed invalidation as a buffered fallback or as EIO at fsync",
			Pressure: Pressure{{{Of: Collisions, Min: 100}, {Of: InvalidationEIO, Min: 5}, {Of: Overlaps, Min: 50}}},
			apply: func(c *Config) {
				work(c, 1<<20, 16<<20, 4, "randwrite", Dirty{"write", 1}, Dirty{"fsync", 1})
				c.Strategy.Pick = "oldest"
			},
		},
		{
			Name:     "readahead",
			Provokes: "buffered readers on the writer's heels, whose readahead fills the page cache where the next direct write goes",
			Failed:   "2.6.21 to 2.6.23: nothing was invalidated after a direct write that had succeeded (bdb76ef5a4bc, 2.6.24); xfstests generic/209",
			Expects:  "no dirtier changes data, so every block has one legal value: a buffered read of a block just written that shows old bytes is a finding",
			Pressure: Pressure{{{Of: Overlaps, Kind: "read", Min: 200}}, {{Of: OnlineReads, Min: 50}}},
			apply: func(c *Config) {
				work(c, 64<<10, 4<<20, 1, "write", Dirty{"read", 2})
				reading(c)
			},
		},
		{
			Name:     "cycle-write",
			Provokes: "many writes in flight go round a small file while its pages are read and mapped",
			Failed:   "up to 4.13: invalidated before an asynchronous write was done, never after it (332391a9935d, 5e25c269e17d, 4.14); xfstests generic/451",
			Expects:  "as readahead: the page cache and the disk agree at rest, and a buffered read after the completion shows the write",
			Pressure: Pressure{{{Of: Overlaps, Kind: "read", Min: 200}}, {{Of: OnlineReads, Min: 50}}},
			apply: func(c *Config) {
				work(c, 64<<10, 1<<20, 8, "write", Dirty{"read", 1}, Dirty{"madvise", 1})
				reading(c)
			},
		},
		{
			Name:     "hole-fill",
			Provokes: "direct writes, mmap stores and reads fill the holes of a sparse file together",
			Failed: "ext4 before 5b3ff237bef4: an asynchronous write was completed before its extent was converted, and read back as zeros; " +
				"e9e3bcecf44c: zeroing of one write over the data of another; xfstests generic/198, 239, 240, 446",
			Expects:  "a word is zero, or of a write of this epoch: anything else is what the disk held before. ext3 has no unwritten extents: every first write of a block is a buffered fallback there",
			Pressure: Pressure{{{Of: FirstWrites, Min: 300}}, {{Of: Collisions, Min: 100}, {Of: Overlaps, Min: 1000}}},
			apply: func(c *Config) {
				work(c, 4<<10, 4<<20, 8, "randwrite", Dirty{"mmap", 1}, Dirty{"read", 1})
				c.Layout = LayoutSparse
			},
		},
		{
			Name:     "extend",
			Provokes: "every write extends the file, several in flight, while it is read",
			Failed: "2.6.19: completed before the size was updated (xfstests generic/207); " +
				"ext4 before 5899593f51e6: the size was updated after the invalidation; 91562895f803: extending O_SYNC writes without their size",
			Expects:  "fstat after the reap shows at least the end of the write (rule size_updated); what was written is there, what was not is zero",
			Pressure: Pressure{{{Of: Extensions, Min: 300}}, {{Of: Acts, Kind: "read", Min: 100}}},
			apply: func(c *Config) {
				work(c, 4<<10, 4<<20, 4, "write", Dirty{"read", 1})
				reading(c)
				c.Layout = LayoutEmpty
			},
		},
		{
			Name:     "eof-race",
			Provokes: "writes of one sector extend the file within a block, many in flight, with readers at its end",
			Failed: "ext4 before 372a03e01853 (5.1): two writes past the end that share a block, one zeroed the other; " +
				"xfs before e4229d6b0bc9: blocks past the end were freed under writes in flight; xfstests generic/114, 427, 465",
			Expects:  "as extend, sector by sector",
			Pressure: Pressure{{{Of: Extensions, Min: 300}}, {{Of: Acts, Kind: "read", Min: 100}}},
			apply: func(c *Config) {
				work(c, 512, 512<<10, 8, "write", Dirty{"read", 2})
				reading(c)
				c.Layout = LayoutEmpty
			},
		},
		{
			Name:     "append-fallocate",
			Provokes: "fallocate up to, and past, the end of a file that direct writes extend",
			Failed: "xfs: an append in flight and fallocate updated the size over each other (xfstests generic/586); " +
				"ext4 before 60d4616f3dc6: fallocate grew an extent whose conversion was queued, and the conversion made all of it written",
			Expects:  "as extend: the size never falls behind a completed write, and allocated blocks without a write read as zeros",
			Pressure: Pressure{{{Of: Extensions, Min: 300}}, {{Of: Acts, Kind: "fallocate", Min: 100}}},
			apply: func(c *Config) {
				work(c, 4<<10, 4<<20, 2, "write", Dirty{"read", 1}, Dirty{"fallocate", 1})
				reading(c)
				c.Layout = LayoutEmpty
			},
		},
		{
			Name:     "truncate",
			Provokes: "the file is cut off below the writes in flight and grown again, while it is stored to through mmap",
			Failed: "ext4 before 1c9114f9c0f1: truncate freed blocks that direct I/O was still submitted to; " +
				"before 266991b13890: truncate between a write and the conversion of its extent; xfstests generic/299",
			Expects:  "a word may also be zero; nothing that was cut off comes back. Stores past the end are faults, and counted",
			Pressure: Pressure{{{Of: Acts, Kind: "truncate", Min: 50}}, {{Of: Collisions, Min: 100}, {Of: Overlaps, Min: 100}}},
			apply: func(c *Config) {
				work(c, 4<<10, 1<<20, 8, "randwrite", Dirty{"mmap", 1}, Dirty{"truncate", 1})
			},
		},
		{
			Name:     "punch",
			Provokes: "holes are punched where writes are in flight, and readers fill the page cache there",
			Failed: "ext4 before ea3d7209ca01 (4.5): a fault brought back pages of blocks that were being freed; " +
				"before d4f5258eae7b (5.15): readahead did; xfstests generic/300",
			Expects:  "a block is what was written last, or zero; the page cache and the disk agree about which",
			Pressure: Pressure{{{Of: Acts, Kind: "punch", Min: 50}}, {{Of: Overlaps, Kind: "read", Min: 100}}},
			apply: func(c *Config) {
				work(c, 4<<10, 1<<20, 8, "randwrite", Dirty{"read", 1}, Dirty{"punch", 1})
				reading(c)
			},
		},
		{
			Name:     "unwritten",
			Provokes: "every first write of a block converts an unwritten extent when it is done, while readers look",
			Failed: "ext4 before 5b3ff237bef4: completed before the extent was converted; " +
				"stale blocks after failed writes (xfstests generic/250, 252); fio with unwritten extents (generic/113, 299)",
			Expects:  "no dirtier changes data: a block is what was written last, or zero until then. ext3 has no unwritten extents: not run there",
			Pressure: Pressure{{{Of: FirstWrites, Min: 300}}, {{Of: Overlaps, Kind: "read", Min: 100}}},
			apply: func(c *Config) {
				work(c, 4<<10, 4<<20, 8, "randwrite", Dirty{"read", 2})
				reading(c)
				c.Layout = LayoutUnwritten
			},
		},
		{
			Name:     "subblock",
			Provokes: "writes of one sector share blocks that are holes: whoever comes first zeroes the rest of the block",
			Failed: "ext4 before e9e3bcecf44c: two unaligned writes zeroed each other; before 57a0da28ced8: an aligned one after an unaligned one did; " +
				"xfs before eda77982729b; xfstests generic/240, 538",
			Expects:  "no dirtier changes data: a sector is what was written last, or zero until then",
			Pressure: Pressure{{{Of: FirstWrites, Min: 300}}, {{Of: Acts, Kind: "read", Min: 100}}},
			apply: func(c *Config) {
				work(c, 512, 512<<10, 8, "randwrite", Dirty{"read", 1})
				reading(c)
				c.Layout = LayoutSparse
			},
		},
		{
			Name:     "self-mmap",
			Provokes: "the data come from a mapping of the end of the very file, out of the page tables: the write faults on its own file",
			Failed: "btrfs before 914ee295af41: pwrite from a mapping of the same page never came back (xfstests generic/248); " +
				"gfs2 before b01b2d72da25, btrfs before 51bd9563b678 (5.16): deadlock in the fault (generic/647, 729)",
			Expects:  "every write completes in full, with the bytes that the mapping held",
			Pressure: Pressure{{{Of: UnmappedBuffers, Min: 300}}, {{Of: Collisions, Min: 100}, {Of: Overlaps, Min: 300}}},
			apply: func(c *Config) {
				work(c, 4<<10, 512<<10, 4, "randwrite", Dirty{"mmap", 1})
				c.Buffer = BufferSelfMmap
			},
		},
		{
			Name:     "zero-page",
			Provokes: "the data come from memory that was never written, which is the kernel's one zero page, pinned by every write in flight",
			Failed:   "before c8070b787519 (6.5): every write took a pin of the zero page, whose count has room for two million",
			Expects:  "a block that a write completed on is zero where no dirtier stored; which write it was cannot be told",
			Pressure: collide(300, 300),
			apply: func(c *Config) {
				work(c, 4<<10, 512<<10, 8, "randwrite", Dirty{"mmap", 1})
				c.Buffer = BufferZero
			},
		},
		{
			Name:     "dsync",
			Provokes: "writes with RWF_DSYNC, whose own sync meets the error of their own failed invalidation",
			Failed: "2.6.20 to 2.6.24: an error of the sync over -EIOCBQUEUED, the iocb was completed twice (fixed by 2.6.32); " +
				"btrfs before 8184620ae212: not durable with NOWAIT",
			Expects:  "EIO in a completion is legal here, and only here, without a device that failed",
			Pressure: collide(300, 30),
			apply: func(c *Config) {
				work(c, 4<<10, 512<<10, 8, "randwrite", Dirty{"mmap", 1}, Dirty{"write", 1})
				c.Strategy.Pick = "oldest"
				c.DSync = true
			},
		},
		{
			Name:     "fixedbufs",
			Provokes: "registered buffers and files (WRITE_FIXED), pinned once for the whole run",
			Failed:   "6.3: pages of one folio that are not consecutive taken for consecutive, so that other memory was written (57bebf807e2a, fixed by 776617db78c6, 6.4; CVE-2023-2598)",
			Expects:  "as every run; the poison put into a buffer after its reap never reaches the disk",
			Engines:  uring,
			Pressure: collide(300, 300),
			apply: func(c *Config) {
				work(c, 4<<10, 512<<10, 8, "randwrite", Dirty{"mmap", 1})
				c.FixedBufs, c.RegisterFiles = true, true
			},
		},
		{
			Name:     "sqpoll",
			Provokes: "a kernel thread polls for submissions; it goes to sleep and is woken again",
			Failed:   "before 0d7bae69c574: the poller went to sleep on a submission that it had not seen, which waited until the next one",
			Expects:  "as every run; a write that nobody picks up is stuck",
			Engines:  uring,
			Pressure: collide(300, 300),
			apply: func(c *Config) {
				work(c, 4<<10, 512<<10, 4, "randwrite", Dirty{"mmap", 1})
				c.UringFlags = []string{"sqpoll"}
			},
		},
	}
}
