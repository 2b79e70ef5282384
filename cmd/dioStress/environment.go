package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"diostress/internal/kernel"
	"diostress/internal/ledger"
	"diostress/internal/testbed"
	"diostress/internal/verdict"
)

// program is the name and version, as the build recorded it.
func program() string {
	version := "unknown version"
	if b, ok := debug.ReadBuildInfo(); ok {
		version = b.Main.Version
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" && (version == "(devel)" || version == "") {
				version = "devel-" + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return "dioStress " + version
}

// machine describes where the program runs.
func machine() verdict.Environment {
	e := kernel.ReadEnvironment()
	out := verdict.Environment{
		Kernel: e.Release, KernelBuild: e.Version, Machine: e.Machine, Hostname: e.Hostname, CPUs: e.CPUs, MemoryBytes: uint64(max(e.MemoryBytes, 0)),
		PageSize: e.PageSize, Config: e.Config, Engines: map[string]string{}, GoVersion: runtime.Version(), GOMAXPROCS: runtime.GOMAXPROCS(0),
		TransparentHP: e.TransparentHugepage,
	}
	return out
}

// describe adds the file system.
func (x *session) describe(i testbed.Info) {
	e := &x.res.Environment
	e.FSType, e.FSConfig, e.FSBlockSize = i.FS, i.Config, int(i.BlockSize)
	e.MkfsOptions, e.MountOptions = strings.Join(i.MkfsOptions, " "), i.MountOptions
	e.Device, e.DeviceStack, e.LogicalBlock = i.Device, i.Stack, int(i.LogicalBlockSize)
	if i.StablePages {
		e.Device += " (asks for stable pages)"
	}
	e.DIOMemAlign, e.DIOOffAlign = int(i.DIOMemAlign), int(i.DIOOffsetAlign)
}

// facts is what the judge needs to know of the machine.
func facts(i testbed.Info, ours bool) ledger.Facts {
	return ledger.Facts{
		Kernel: kernel.ReadEnvironment().Release, FSType: i.FS, FSConfig: i.Config, BlockSize: int(i.BlockSize), PageSize: os.Getpagesize(),
		DirectIO: i.DirectIO, DataJournal: i.DataJournal, Fsck: ours,
	}
}

// tracingText sums up what the trace could do.
func tracingText(f *ledger.Facts) string {
	switch f.Trace {
	case "off":
		return "off"
	case "unavailable":
		return "unavailable: " + f.TraceSource
	}
	return fmt.Sprintf("%s by %s", f.Trace, f.TraceSource)
}

func marker(run string, seed uint64) string { return kernel.Marker(run, seed) }
