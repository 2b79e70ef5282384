// Package testbed provides a private file system to work on: an image file, a
// loop device, mke2fs, mount, e2fsck, and the removal of all of them. It also
// lends a private subdirectory of a file system that is already mounted, and
// formats a whole device that was given for that.
//
// It never writes to the files it makes room for, never judges an outcome,
// never formats a device without Spec.DestroyData, and never touches what
// another living run made.
//
// What is made is recorded first (see Clean), so that a run that was killed
// can be cleared away later.
package testbed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The classes of errors of Check and Open; errors.Is tells them apart. An
// error of neither class means that something broke.
var (
	// ErrUsage marks what was typed or pointed at wrongly.
	ErrUsage = errors.New("wrong usage")
	// ErrUnsupported marks what this machine lacks.
	ErrUnsupported = errors.New("not possible on this machine")
)

// Spec says which file system is wanted. At most one of Directory and Device
// may be set; with neither, an image file is made and mounted through a loop
// device.
type Spec struct {
	FS     string // ext4 or ext3; "" means ext4, or ext3 with Config ext3
	Config string // a name of ConfigNames; "" means 4k, or ext3 with FS ext3

	MkfsOptions  string // more options for mke2fs, in words as a shell splits them
	MountOptions string // more mount options, comma separated; a leading -o is accepted

	Size int64 // bytes of the file system; 0: derived from Need, or the whole Device
	Need int64 // bytes of files that must fit

	ImageDir     string // where the image goes; "": /dev/shm if it fits, else os.TempDir()
	LoopDirectIO bool   // let the loop device open the image with O_DIRECT
	StablePages  bool   // let the loop device ask for stable pages, where the kernel lets it (since 5.10); see Info.StablePages

	Directory string // work in a private subdirectory of this one; nothing is mounted

	Device      string // format and mount this block device
	DestroyData bool   // everything on Device may go
}

// classed is an error whose text does not repeat its class.
type classed struct {
	class error
	err   error
}

func (c *classed) Error() string   { return c.err.Error() }
func (c *classed) Unwrap() []error { return []error{c.class, c.err} }

func usage(format string, args ...any) error {
	return &classed{ErrUsage, fmt.Errorf(format, args...)}
}

func unsupported(format string, args ...any) error {
	return &classed{ErrUnsupported, fmt.Errorf(format, args...)}
}

// oneOf returns a usage error with the valid names and the nearest of them,
// unless name is one of them.
func oneOf(what, name string, valid []string) error {
	if slices.Contains(valid, name) {
		return nil
	}
	hint := ""
	if n := nearest(name, valid); n != "" {
		hint = fmt.Sprintf(" Did you mean %s?", n)
	}
	return usage("%s %q is not known; valid: %s.%s", what, name, strings.Join(valid, ", "), hint)
}

// nearest returns the name that differs from word by the fewest edits, or ""
// if every one differs by more than a third of its length plus one.
func nearest(word string, names []string) string {
	best, bestD := "", 1<<30
	for _, n := range names {
		if d := distance(strings.ToLower(word), n); d < bestD && d <= len(n)/3+1 {
			best, bestD = n, d
		}
	}
	return best
}

// distance counts the insertions, removals and replacements between two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j]+1, diag+1)
		}
	}
	return row[len(b)]
}
