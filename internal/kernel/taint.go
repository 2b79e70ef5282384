package kernel

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Taint is the kernel's taint mask (Documentation/admin-guide/tainted-kernels.rst).
type Taint uint64

// The bits that a bug sets by itself.
const (
	TaintBadPage    Taint = 1 << 5
	TaintDie        Taint = 1 << 7 // an oops or BUG
	TaintWarn       Taint = 1 << 9
	TaintSoftLockup Taint = 1 << 14
)

var taintNames = []string{
	"proprietary_module", "forced_module", "cpu_out_of_spec", "forced_rmmod", "machine_check", "bad_page", "user",
	"die", "overridden_acpi_table", "warn", "staging_driver", "firmware_workaround", "oot_module",
	"unsigned_module", "soft_lockup", "livepatch", "aux", "randstruct", "test", "fwctl",
}

// ReadTaint reads /proc/sys/kernel/tainted.
func ReadTaint() (Taint, error) {
	const path = "/proc/sys/kernel/tainted"
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s holds %q, want a number", path, text)
	}
	return Taint(n), nil
}

// Names lists the set bits, lowest first; a bit without a name is "bit_N".
func (t Taint) Names() []string {
	var names []string
	for b := range 64 {
		switch {
		case t&(1<<b) == 0:
		case b < len(taintNames):
			names = append(names, taintNames[b])
		default:
			names = append(names, fmt.Sprintf("bit_%d", b))
		}
	}
	return names
}

func (t Taint) String() string { return strings.Join(t.Names(), ",") }
