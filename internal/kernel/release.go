package kernel

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseRelease reads the numbers at the start of a release as uname -r gives
// it, "6.18.44-fc-v669" or "7.3-rc1"; a missing patch number is 0. For the
// report and the contract table only: what a kernel can do is probed.
func ParseRelease(release string) (major, minor, patch int, err error) {
	end := strings.IndexFunc(release, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(release)
	}
	parts := strings.Split(strings.TrimRight(release[:end], "."), ".")
	if len(parts) < 2 {
		return 0, 0, 0, fmt.Errorf("kernel release %q: want MAJOR.MINOR[.PATCH]...", release)
	}
	var n [3]int
	for i := range min(len(parts), 3) {
		if n[i], err = strconv.Atoi(parts[i]); err != nil || n[i] > 1<<20 {
			return 0, 0, 0, fmt.Errorf("kernel release %q: %q is no version number", release, parts[i])
		}
	}
	return n[0], n[1], n[2], nil
}
