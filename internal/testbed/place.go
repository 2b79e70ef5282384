package testbed

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Room that is left over beside an image, bytes. In memory the page cache of
// the mounted file system may hold every byte a second time.
const (
	diskMargin   = 64 << 20
	memoryMargin = 256 << 20
)

// placeImage chooses the directory for an image of size bytes. A directory
// that was named is taken or refused; else it is /dev/shm, if that is memory
// and there is enough of it, or os.TempDir().
func placeImage(named string, size int64) (string, error) {
	if named != "" {
		return named, fits("image directory", named, size)
	}
	const shm = "/dev/shm"
	inMemory := fitsMemory(shm, size)
	if inMemory == nil {
		return shm, nil
	}
	temp := os.TempDir()
	if err := checkWritable("directory for temporary files", temp); err != nil {
		return "", unsupported("no place for the image: %v; %v (name another image directory)", inMemory, err)
	}
	if err := fits("directory for temporary files", temp, size); err != nil {
		return "", unsupported("no place for the image: %v; %v (name another image directory)", inMemory, err)
	}
	return temp, nil
}

// fits says whether an image of size bytes finds room in dir.
func fits(what, dir string, size int64) error {
	free, err := available(dir)
	if err != nil {
		return err
	}
	margin := int64(0)
	if what != "image directory" {
		margin = diskMargin
	}
	if free < size+margin {
		return unsupported("%s %s has %d bytes available, the image needs %d", what, dir, free, size+margin)
	}
	return nil
}

func fitsMemory(dir string, size int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if int64(st.Type) != unix.TMPFS_MAGIC {
		return fmt.Errorf("%s is not a tmpfs", dir)
	}
	if err := checkWritable("directory", dir); err != nil {
		return err
	}
	if err := fits("directory", dir, size); err != nil {
		return err
	}
	free, err := memAvailable()
	if err != nil {
		return err
	}
	if free < 2*size+memoryMargin {
		return fmt.Errorf("%d bytes of memory are available, an image in %s and its page cache need %d", free, dir, 2*size+memoryMargin)
	}
	return nil
}

// memAvailable reads MemAvailable of /proc/meminfo, bytes.
func memAvailable() (int64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("/proc/meminfo has no MemAvailable")
}
