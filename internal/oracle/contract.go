package oracle

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Version is a kernel version. Patch is meaningful up to 2.6.x only, where it
// stands for what is the minor number today.
type Version struct{ Major, Minor, Patch int }

// Before says whether v is older than w.
func (v Version) Before(w Version) bool {
	switch {
	case v.Major != w.Major:
		return v.Major < w.Major
	case v.Minor != w.Minor:
		return v.Minor < w.Minor
	}
	return v.Patch < w.Patch
}

// String returns "6.18", or "2.6.20".
func (v Version) String() string {
	if v.Major < 3 {
		return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
	}
	return fmt.Sprintf("%d.%d", v.Major, v.Minor)
}

// ParseVersion reads the start of a release such as "6.18.44-fc" or
// "2.6.32-5-amd64". The third number of a kernel since 3.0 is that of a stable
// release and is left out.
func ParseVersion(release string) (Version, bool) {
	var n [3]int
	got := 0
	for _, part := range strings.SplitN(release, ".", 3) {
		digits := part
		if i := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
			digits = part[:i]
		}
		v, err := strconv.Atoi(digits)
		if err != nil {
			break
		}
		n[got] = v
		got++
		if digits != part {
			break
		}
	}
	v := Version{n[0], n[1], n[2]}
	if v.Major >= 3 {
		v.Patch = 0
	}
	return v, got >= 2 && (v.Major >= 3 || got == 3)
}

// Report is how a kernel tells of a failed invalidation.
type Report string

// The ways of telling.
const (
	Fallback    Report = "buffered fallback, res = len"
	FsyncEIO    Report = "res = len, EIO once at the next fsync of every open file description"
	Silent      Report = "not at all: res = len"
	ResEIO      Report = "res = -EIO"
	ResEIOTwice Report = "-EIO over -EIOCBQUEUED: a second completion, or a use after free"
	ResZero     Report = "res = 0"
	NotTried    Report = "not attempted"
)

// Contract is what one era of kernels promises on one family of file systems
// to one kind of engine.
type Contract struct {
	Era      string
	From, To Version // From <= kernel < To; To zero: up to today
	FS       []string
	Engines  []string // nil: every engine there is

	Pre, Post Report
	DSync     Report // a failed post-write invalidation of an O_DSYNC write

	Traced      bool    // iomap_dio_invalidate_fail fires for pre-write failures
	AlsoTraced  bool    // and for a writeback error in the same step
	Errnos      []int64 // legal besides those of every era
	Judged      bool    // the rules on collisions hold; older eras are known to break them
	Source      string
	Peculiarity string // what else differs, for the reader
}

// fits says whether the row is about a kernel, file system and engine.
func (c *Contract) fits(v Version, fs, engine string) bool {
	return !v.Before(c.From) && (c.To == (Version{}) || v.Before(c.To)) && slices.Contains(c.FS, fs) &&
		(c.Engines == nil || slices.Contains(c.Engines, engine))
}

// FindContract returns the row for a kernel, file system and engine.
func FindContract(release, fs, engine string) (Contract, bool) {
	v, ok := ParseVersion(release)
	if !ok {
		return Contract{}, false
	}
	for _, c := range contracts {
		if c.fits(v, fs, engine) {
			return c, true
		}
	}
	return Contract{}, false
}

// erasLike names the other eras in which failed invalidations, before or after
// the write, were reported in a way; "" if there is none.
func (c *Contract) erasLike(pre bool, way Report) string {
	var eras []string
	for i := range contracts {
		o := &contracts[i]
		r := o.Post
		if pre {
			r = o.Pre
		}
		if r == way && o.Era != c.Era && !slices.Contains(eras, o.Era) {
			eras = append(eras, o.Era)
		}
	}
	return strings.Join(eras, ", ")
}

// LargeFolios says whether a folio of the file system's page cache may hold
// more than a page: ext4 since 6.16 (7ac67301e82f), up to 2 MiB
// (ext4_set_inode_mapping_order in fs/ext4/inode.c), xfs since 5.18
// (fs/xfs/xfs_icache.c, mapping_set_large_folios).
func LargeFolios(release, fs string) bool {
	v, ok := ParseVersion(release)
	switch {
	case !ok:
		return false
	case strings.HasPrefix(fs, "ext"):
		return !v.Before(Version{6, 16, 0})
	case fs == "xfs":
		return !v.Before(Version{5, 18, 0})
	}
	return false
}

// dirtyByBlock says whether a buffered write makes no more of its folio dirty
// than the blocks it wrote, so that writeback leaves the others alone. With
// buffer heads it does (fs/buffer.c, block_commit_write); of other file
// systems that is not taken for granted here.
func dirtyByBlock(fs string) bool { return strings.HasPrefix(fs, "ext") }
