package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"diostress/internal/verdict"
)

// textEnvironment says what the invocation stood on.
func textEnvironment(s *sheet, r *verdict.Result) {
	e := &r.Environment
	s.gap()
	s.line("Environment")
	s.row("kernel", "%s %s %s", clean(e.Kernel), clean(e.Machine), clean(e.KernelBuild))
	if e.ContractEra != "" {
		s.row("contract", "%s", clean(e.ContractEra))
	}
	var m []string
	if e.Hostname != "" {
		m = append(m, clean(e.Hostname))
	}
	if e.CPUs > 0 {
		m = append(m, fmt.Sprintf("%d CPUs", e.CPUs))
	}
	if e.MemoryBytes > 0 {
		m = append(m, size(float64(e.MemoryBytes))+" memory")
	}
	if e.PageSize > 0 {
		m = append(m, "page size "+size(float64(e.PageSize)))
	}
	if e.TransparentHP != "" {
		m = append(m, "transparent_hugepage "+clean(e.TransparentHP))
	}
	s.row("machine", "%s", strings.Join(m, ", "))
	s.row("file system", "%s, config %s, block size %s", or(e.FSType, "type not known"), or(e.FSConfig, "none named"), sizeOr(e.FSBlockSize))
	if e.MkfsOptions != "" {
		s.row("mkfs", "%s", clean(e.MkfsOptions))
	}
	if e.MountOptions != "" {
		s.row("mount", "%s", clean(e.MountOptions))
	}
	s.row("device", "%s, logical block %s, O_DIRECT alignment memory %s, offset %s",
		or(e.Device, "not known"), sizeOr(e.LogicalBlock), sizeOr(e.DIOMemAlign), sizeOr(e.DIOOffAlign))
	if len(e.DeviceStack) > 0 {
		s.row("stack", "%s", clean(strings.Join(e.DeviceStack, ", on ")))
		if slices.ContainsFunc(e.DeviceStack, func(l string) bool { return strings.HasPrefix(l, "loop") }) {
			s.row("", "The loop driver is below the file system: it is part of what was tested.")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Engines)) {
		s.row(clean(name), "%s", brief(e.Engines[name], 600))
	}
	s.row("tracing", "%s", or(e.Tracing, "not known"))
	if e.KmsgBudget != "" {
		s.row("kmsg budget", "%s", clean(e.KmsgBudget))
	}
	if len(e.Config) > 0 {
		var c []string
		for _, k := range slices.Sorted(maps.Keys(e.Config)) {
			c = append(c, clean(k)+"="+clean(e.Config[k]))
		}
		s.row("kernel config", "%s", strings.Join(c, " "))
	}
	if e.GoVersion != "" {
		s.row("go", "%s, GOMAXPROCS %d", clean(e.GoVersion), e.GOMAXPROCS)
	}
}

// or cleans s, or says that there is none.
func or(s, none string) string {
	if s == "" {
		return none
	}
	return clean(s)
}

// sizeOr writes a size that 0 says nothing about.
func sizeOr(n int) string {
	if n <= 0 {
		return "not known"
	}
	return size(float64(n))
}
