package testbed

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Config is one way to make and mount a file system. The names and options are
// those of xfstests-bld.
type Config struct {
	Name  string
	About string // one line
	Mkfs  string // options for mke2fs
	Mount string // mount options
}

// ext3Features are what an ext4 file system must do without to have the format
// of ext3: block-mapped files, no checksums, 128-byte inode features.
const ext3Features = "^extents,^flex_bg,^uninit_bg,^64bit,^metadata_csum,^huge_file,^dir_nlink,^extra_isize"

// Configs returns every configuration, sorted by name. The block size is in
// every line: mke2fs by itself takes 1024 bytes for the small file systems
// made here and 4096 for the disks these names stand for elsewhere.
func Configs() []Config {
	page := strconv.Itoa(os.Getpagesize())
	list := []Config{
		{"4k", "blocks of 4096 bytes, everything else by default", "-b 4096", ""},
		{"1k", "blocks of 1024 bytes: several to a page", "-b 1024", ""},
		{"ext3", "the format of ext3: block-mapped files, no delayed allocation", "-b 4096 -O " + ext3Features, "nodelalloc"},
		{"ext3conv", "ext3 converted to ext4: no flex_bg, no delayed allocation", "-b 4096 -O ^flex_bg", "nodelalloc"},
		{"nojournal", "no journal", "-b 4096 -O ^has_journal", ""},
		{"data_journal", "data goes through the journal too: O_DIRECT is buffered", "-b 4096", "data=journal"},
		{"dioread_nolock", "unwritten extents, direct reads without the inode lock", "-b " + page, "dioread_nolock"},
		{"adv", "inline data and fast commits", "-b 4096 -O inline_data,fast_commit", ""},
		{"encrypt", "every file encrypted with the test key", "-b " + page + " -O encrypt", "test_dummy_encryption"},
		{"bigalloc_4k", "clusters of 16 blocks of 4096 bytes", "-b 4096 -O bigalloc", ""},
		{"bigalloc_1k", "clusters of 16 blocks of 1024 bytes", "-b 1024 -O bigalloc", ""},
		{"fast_commit", "fast commits", "-b 4096 -I 256 -O fast_commit,64bit", ""},
		{"dax", "no page cache at all: needs persistent memory as --device", "-b " + page, "dax"},
	}
	slices.SortFunc(list, func(a, b Config) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// ConfigNames returns the names of Configs, sorted.
func ConfigNames() []string {
	var names []string
	for _, c := range Configs() {
		names = append(names, c.Name)
	}
	return names
}

// FSNames returns the file systems that can be made.
func FSNames() []string { return []string{"ext3", "ext4"} }

// ext3Configs are the configurations that the format of ext3 can have.
func ext3Configs() []string { return []string{"1k", "4k", "data_journal", "ext3"} }

// recipe is a file system in every detail but its size.
type recipe struct {
	fs, config string
	own        []mkfsOption // of the configuration
	user       []mkfsOption // of the caller
	bare       mountOptions // of the configuration
	mount      mountOptions // with those of the caller
	blockSize  int64
	journal    bool
}

// resolve turns names and options into a recipe; every error is a usage error.
func resolve(s Spec) (recipe, error) {
	r := recipe{fs: s.FS, config: s.Config}
	if r.fs != "" {
		if err := oneOf("file system", r.fs, FSNames()); err != nil {
			return r, err
		}
	}
	if r.config != "" {
		if err := oneOf("file system configuration", r.config, ConfigNames()); err != nil {
			return r, err
		}
	}
	switch {
	case r.fs == "" && r.config == "ext3":
		r.fs = "ext3"
	case r.fs == "":
		r.fs = "ext4"
	}
	switch {
	case r.config == "" && r.fs == "ext3":
		r.config = "ext3"
	case r.config == "":
		r.config = "4k"
	}
	if r.fs == "ext3" && !slices.Contains(ext3Configs(), r.config) {
		return r, usage("configuration %s is not possible with file system ext3; valid with ext3: %s (or use file system ext4)",
			r.config, strings.Join(ext3Configs(), ", "))
	}
	c := Configs()[slices.IndexFunc(Configs(), func(c Config) bool { return c.Name == r.config })]
	mkfs := c.Mkfs
	if r.fs == "ext3" && r.config != "ext3" {
		mkfs += " -O " + ext3Features
	}
	var err error
	if r.own, err = parseMkfsText(mkfs); err != nil {
		return r, fmt.Errorf("configuration %s: %w", c.Name, err)
	}
	if r.user, err = parseMkfsText(s.MkfsOptions); err != nil {
		return r, usage("mkfs options %q: %w", s.MkfsOptions, err)
	}
	if r.bare, err = parseMount(c.Mount); err != nil {
		return r, fmt.Errorf("configuration %s: %w", c.Name, err)
	}
	if r.fs == "ext3" {
		// Implied, and refused when said (fs/ext4/super.c, ext4_check_opt_consistency).
		r.bare.data = slices.DeleteFunc(r.bare.data, func(o string) bool { return o == "nodelalloc" })
	}
	user, err := parseMount(s.MountOptions)
	if err != nil {
		return r, usage("mount options %q: %w", s.MountOptions, err)
	}
	r.mount = r.bare.add(user)
	if err := r.derive(); err != nil {
		return r, usage("mkfs options %q: %w", s.MkfsOptions, err)
	}
	return r, nil
}

// derive reads from the options what the size depends on.
func (r *recipe) derive() error {
	r.blockSize, r.journal = 4096, true
	for _, o := range slices.Concat(r.own, r.user) {
		switch o.flag {
		case 'b':
			n, err := strconv.ParseInt(strings.TrimPrefix(o.arg, "-"), 10, 64)
			if err != nil || n < 1024 || n > 65536 || n&(n-1) != 0 {
				return fmt.Errorf("-b %s is not a block size; valid: 1024, 2048, 4096, ... 65536", o.arg)
			}
			r.blockSize = n
		case 'O':
			for f := range strings.SplitSeq(o.arg, ",") {
				switch f {
				case "^has_journal":
					r.journal = false
				case "has_journal":
					r.journal = true
				}
			}
		}
	}
	return nil
}

// manyInodes is the size of a file system, bytes, from which the usual number
// of inodes is more than a run wants to wait for: their tables are written in
// full, a sixty-fourth of the device.
const manyInodes = 16 << 30

// journalSize is small, so that the journal wraps and commits in a short run,
// and twice the 1024 blocks that jbd2 needs (fs/jbd2/journal.c). Where data
// goes through it, it is four times that.
func (r *recipe) journalSize() int64 {
	if !r.journal {
		return 0
	}
	n := max(8<<20, 2048*r.blockSize)
	if r.mount.has("data=journal") {
		n *= 4
	}
	return n
}

// size returns the bytes of a file system that holds need bytes of files:
// the inode tables of a small file system take a sixteenth, block maps and
// bitmaps less.
func (r *recipe) size(need int64) int64 {
	const mib = 1 << 20
	j := r.journalSize()
	n := need + need/8 + max(j+32*mib, 3*j)
	return max(64*mib, (n+mib-1)/mib*mib)
}

// mkfsArgs returns the arguments of mke2fs for a file system of size bytes
// without the device. withUser false leaves out what the caller asked for;
// v147 says that mke2fs knows the features of e2fsprogs 1.47.
func (r *recipe) mkfsArgs(size int64, withUser, v147 bool) []string {
	// Lazy initialisation would write in the background during the run, and a
	// discard would punch the holes that fallocate closed.
	own := []mkfsOption{{'m', "0"}, {'E', "lazy_itable_init=0,lazy_journal_init=0,nodiscard"}}
	if j := r.journalSize(); j > 0 && j <= size*3/8 { // mke2fs wants two more of it free
		own = append(own, mkfsOption{'J', "size=" + strconv.FormatInt(j>>20, 10)})
	}
	own = append(own, r.own...)
	if r.config == "ext3" && v147 {
		// Both are on by default there, and need what ext3 lacks.
		own = append(own, mkfsOption{'O', "^orphan_file,^metadata_csum_seed"})
	}
	var user []mkfsOption
	if withUser {
		user = r.user
	}
	if size > manyInodes && !slices.ContainsFunc(user, func(o mkfsOption) bool { return strings.IndexByte("iNT", o.flag) >= 0 }) {
		own = append(own, mkfsOption{'N', "65536"})
	}
	return append([]string{"-q", "-F", "-t", r.fs}, mergeMkfs(own, user)...)
}
