package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// TraceFile names one inode.
type TraceFile struct {
	Dev uint64 // st_dev of stat(2)
	Ino uint64 // st_ino
}

// kernelDev is the kernel's own dev_t, which the trace records carry:
// major<<20|minor (include/linux/kdev_t.h).
func (f TraceFile) kernelDev() uint32 { return kernelDev(f.Dev) }

func kernelDev(dev uint64) uint32 { return unix.Major(dev)<<20 | unix.Minor(dev)&(1<<20-1) }

// maxFilter is a filter text's limit: one page with its NUL
// (kernel/events/core.c, perf_event_set_filter; kernel/trace/trace_events.c).
const maxFilter = 4096 - 1

// inodeFilters writes filter expressions that together let exactly the files
// through, each no longer than limit; no record passes two of them.
func inodeFilters(files []TraceFile, devField, inoField string, limit int) []string {
	var out []string
	for len(files) > 0 {
		var b strings.Builder
		n := 0
		var open uint32
		for n < len(files) {
			dev := files[n].kernelDev()
			var part string
			if n == 0 || dev != open {
				part = fmt.Sprintf("(%s == %d && (%s == %d", devField, dev, inoField, files[n].Ino)
				if n > 0 {
					part = ")) || " + part
				}
			} else {
				part = fmt.Sprintf(" || %s == %d", inoField, files[n].Ino)
			}
			if n > 0 && b.Len()+len(part)+2 > limit {
				break
			}
			b.WriteString(part)
			open = dev
			n++
		}
		b.WriteString("))")
		out = append(out, b.String())
		files = files[n:]
	}
	return out
}

// devFilter lets records of any of the devices through.
func devFilter(devs []uint32, devField string) string {
	parts := make([]string, len(devs))
	for i, d := range devs {
		parts[i] = fmt.Sprintf("%s == %d", devField, d)
	}
	return "(" + strings.Join(parts, " || ") + ")"
}

func devsOf(files []TraceFile) []uint32 {
	var devs []uint32
	for _, f := range files {
		devs = addDev(devs, f.kernelDev())
	}
	return devs
}

func addDev(devs []uint32, d uint32) []uint32 {
	for _, have := range devs {
		if have == d {
			return devs
		}
	}
	return append(devs, d)
}

// disksOf finds the disks whose requests carry the files' data: the whole disk
// of a partition, and below stacked devices (dm, md) every slave's disk, since
// the block layer reports the disk and not the partition.
func disksOf(files []TraceFile, sysfs string) ([]uint32, error) {
	var disks []uint32
	visited := map[string]bool{}
	var visit func(dir string) error
	visit = func(dir string) error {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(real, "partition")); err == nil {
			real = filepath.Dir(real)
		}
		if visited[real] {
			return nil
		}
		visited[real] = true
		text, err := os.ReadFile(filepath.Join(real, "dev"))
		if err != nil {
			return err
		}
		ma, mi, ok := strings.Cut(strings.TrimSpace(string(text)), ":")
		major, err1 := strconv.ParseUint(ma, 10, 12)
		minor, err2 := strconv.ParseUint(mi, 10, 20)
		if !ok || err1 != nil || err2 != nil {
			return fmt.Errorf("%s/dev holds %q, want MAJOR:MINOR", real, text)
		}
		disks = addDev(disks, uint32(major<<20|minor))
		slaves, err := os.ReadDir(filepath.Join(real, "slaves"))
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		for _, s := range slaves {
			if err := visit(filepath.Join(real, "slaves", s.Name())); err != nil {
				return err
			}
		}
		return nil
	}
	for _, f := range files {
		dir := fmt.Sprintf("%s/dev/block/%d:%d", sysfs, unix.Major(f.Dev), unix.Minor(f.Dev))
		if err := visit(dir); err != nil {
			return nil, fmt.Errorf("no block device behind device %d:%d: %w", unix.Major(f.Dev), unix.Minor(f.Dev), err)
		}
	}
	return disks, nil
}
