package page

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"

	"diostress/internal/verdict"
)

// environment groups what the run stood on.
func environment(e *verdict.Environment) []facts {
	return []facts{
		{"Kernel", []fact{
			told("release", e.Kernel), told("build", e.KernelBuild), told("contract", e.ContractEra),
			told("tracing", e.Tracing), told("invalidation warnings left", e.KmsgBudget),
		}},
		{"Machine", []fact{
			told("host", e.Hostname), told("architecture", e.Machine), positive("CPUs", e.CPUs), inBytes("memory", e.MemoryBytes),
			inBytes("page size", uint64(max(0, e.PageSize))), told("transparent huge pages", e.TransparentHP),
			told("Go", e.GoVersion), positive("GOMAXPROCS", e.GOMAXPROCS),
		}},
		{"File system", []fact{
			told("type", e.FSType), told("fs-config", e.FSConfig), inBytes("block size", uint64(max(0, e.FSBlockSize))),
			optional("mkfs options", e.MkfsOptions), told("mount options", e.MountOptions), told("device", e.Device),
			inBytes("logical block", uint64(max(0, e.LogicalBlock))),
			inBytes("direct I/O, memory alignment", uint64(max(0, e.DIOMemAlign))), inBytes("direct I/O, offset alignment", uint64(max(0, e.DIOOffAlign))),
		}},
		{"Engine features", sorted(e.Engines)},
		{"Kernel configuration", sorted(e.Config)},
	}
}

func told(label, value string) fact {
	if value == "" || value == unknown {
		return fact{Label: label, Value: unknown, Class: "na"}
	}
	return fact{Label: label, Value: plain(value, maxText)}
}

// optional is a text that may well be empty.
func optional(label, value string) fact {
	return fact{Label: label, Value: cmp.Or(plain(value, maxText), "none")}
}

// positive is a number that cannot be 0; 0 and below mean not known.
func positive(label string, n int) fact {
	if n <= 0 {
		return told(label, "")
	}
	return fact{Label: label, Value: strconv.Itoa(n)}
}

func inBytes(label string, n uint64) fact {
	if n == 0 || n > math.MaxInt64 {
		return told(label, "")
	}
	return fact{Label: label, Value: size(n)}
}

func sorted(m map[string]string) (out []fact) {
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i == maxList {
			return append(out, fact{Label: "…", Value: strconv.Itoa(len(m)-i) + " more"})
		}
		out = append(out, told(plain(k, 100), m[k]))
	}
	return out
}
