// Package disk makes the disks of a virtual machine on the host: formatted
// images, blank ones, copies; and checks them afterwards.
//
// It never touches a block device and needs no root: mkfs and fsck work on
// plain files.
package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ErrTool says that a program is not on this machine.
var ErrTool = errors.New("program missing")

// Format is a file system to make.
type Format struct {
	Name   string // "ext4", "ext3-1k": how users name it
	FSType string // as mount -t takes it
	mkfs   []string
}

// formats are the file systems that a disk may have. ext3 is what mke2fs makes
// of that type: block-mapped files, which Linux mounts by its ext4 driver.
// packed_meta_blocks puts metadata and journal at the start, so that file data
// lies apart from it; without lazy_itable_init no inode table is zeroed later, in
// the middle of a run.
var formats = []Format{
	{"ext4", "ext4", []string{"mkfs.ext4", "-q", "-F", "-b", "4096"}},
	{"ext4-1k", "ext4", []string{"mkfs.ext4", "-q", "-F", "-b", "1024"}},
	{"ext4-packed", "ext4", []string{"mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=8", "-E", "packed_meta_blocks=1,lazy_itable_init=0"}},
	{"ext3", "ext3", []string{"mkfs.ext3", "-q", "-F", "-b", "4096"}},
	{"ext3-1k", "ext3", []string{"mkfs.ext3", "-q", "-F", "-b", "1024"}},
	{"ext3-packed", "ext3", []string{"mkfs.ext3", "-q", "-F", "-b", "4096", "-J", "size=8", "-E", "packed_meta_blocks=1,lazy_itable_init=0"}},
	{"xfs", "xfs", []string{"mkfs.xfs", "-q", "-f"}},
}

// FormatNames lists the formats.
func FormatNames() []string {
	var out []string
	for _, f := range formats {
		out = append(out, f.Name)
	}
	return out
}

// FormatByName returns the format of that name.
func FormatByName(name string) (Format, error) {
	if i := slices.IndexFunc(formats, func(f Format) bool { return f.Name == name }); i >= 0 {
		return formats[i], nil
	}
	return Format{}, fmt.Errorf("file system %q is not known; valid: %s", name, strings.Join(FormatNames(), ", "))
}

// Make makes a formatted image at path. A formatted image of the same kind and
// size is kept in cacheDir and copied (sparse), because mkfs.ext3 writes its
// whole journal.
func Make(ctx context.Context, cacheDir, path string, f Format, size int64) error {
	master := filepath.Join(cacheDir, fmt.Sprintf("%s-%d-%.4x.img", f.Name, size, sha256.Sum256([]byte(strings.Join(f.mkfs, " ")))))
	if _, err := os.Stat(master); err != nil {
		if err := os.MkdirAll(cacheDir, 0o755); err != nil {
			return err
		}
		tmp, err := os.CreateTemp(cacheDir, f.Name)
		if err != nil {
			return err
		}
		defer os.Remove(tmp.Name())
		if err := errors.Join(tmp.Truncate(size), tmp.Close()); err != nil {
			return err
		}
		if err := run(ctx, append(slices.Clone(f.mkfs), tmp.Name())); err != nil {
			return err
		}
		if err := os.Rename(tmp.Name(), master); err != nil {
			return err
		}
	}
	return run(ctx, []string{"cp", "--sparse=always", "--reflink=auto", master, path})
}

var freeBlocks = regexp.MustCompile(`(?m)^Block size:\s+(\d+)$(?s:.*?)^Group 0:(?s:.*?)^\s+Free blocks: (\d+)-`)

// DataStart is where the free blocks of a new ext file system begin, bytes: with
// packed metadata and a single block group, file data lies behind it and all
// else, the journal too, before it.
func DataStart(ctx context.Context, path string) (int64, error) {
	tool, err := findTool("dumpe2fs")
	if err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, tool, path).Output()
	if err != nil {
		return 0, fmt.Errorf("dumpe2fs %s: %w", path, err)
	}
	m := freeBlocks.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("dumpe2fs %s names no free blocks of group 0", path)
	}
	size, err1 := strconv.ParseInt(string(m[1]), 10, 64)
	first, err2 := strconv.ParseInt(string(m[2]), 10, 64)
	return size * first, errors.Join(err1, err2)
}

// Blank makes a sparse image of zeros.
func Blank(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// Check runs the file system's checker on an image after the journal was
// replayed, and returns what is wrong, "" if nothing.
func Check(ctx context.Context, path string, f Format) (string, error) {
	var replay, check []string
	switch f.FSType {
	case "xfs":
		check = []string{"xfs_repair", "-n", path}
	default:
		replay = []string{"e2fsck", "-E", "journal_only", "-y", path}
		check = []string{"e2fsck", "-fn", path}
	}
	if replay != nil {
		if err := run(ctx, replay); errors.Is(err, ErrTool) {
			return "", err
		}
	}
	err := run(ctx, check)
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return "", err
	}
	if err != nil {
		return err.Error(), nil
	}
	return "", nil
}

func run(ctx context.Context, argv []string) error {
	path, err := findTool(argv[0])
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, path, argv[1:]...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		text := strings.TrimSpace(out.String())
		if len(text) > 400 {
			text = text[:400]
		}
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, text)
	}
	return nil
}

// findTool looks in PATH and where administrators' programs lie, which is not
// in every user's PATH.
func findTool(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	for _, d := range []string{"/usr/sbin", "/sbin"} {
		if p := filepath.Join(d, name); exists(p) {
			return p, nil
		}
	}
	return "", fmt.Errorf("%w: %s (make vm-packages installs what scripts/vm/packages.txt lists)", ErrTool, name)
}

func exists(p string) bool { _, err := os.Stat(p); return err == nil }
