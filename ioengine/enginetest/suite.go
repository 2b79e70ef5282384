// Package enginetest holds one conformance suite for every engine, and a
// scripted Fake that misbehaves on request.
//
// Only tests import it. The suite takes nothing for granted: what an engine
// must report is asked of the kernel by the same call made synchronously.
package enginetest

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"diostress/internal/need"
	"diostress/ioengine"
)

// Run holds the engine against the contract of package ioengine, one subtest a
// check. name is what need.Skip reports up to its first slash: "libaio",
// "io_uring/sqpoll". probe tells whether this machine can run the engine at
// all: an error that wraps ioengine.ErrUnsupported skips, any other fails. A
// name with a slash is a variant, whose soak is a tenth as long.
//
// It takes need.Alone, a file system with O_DIRECT under t.TempDir, and a few
// seconds.
func Run(t *testing.T, name string, open ioengine.Opener, probe func() error) {
	t.Helper()
	need.Alone(t)
	if err := probe(); errors.Is(err, ioengine.ErrUnsupported) {
		need.Skip(t, family(name), err.Error())
	} else if err != nil {
		t.Fatalf("probe of %s: %v", name, err)
	}
	k := &kit{dir: t.TempDir(), open: open, patience: 10 * time.Second, soak: 50_000}
	if testing.Short() || family(name) != name {
		k.soak = 5_000
	}
	if err := k.probeDirect(); errors.Is(err, errNoDirect) {
		need.Skip(t, need.ODirect, err.Error())
	} else if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			// The engine's whole life is on one thread.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if err := c.check(k); err != nil {
				t.Error(err)
			}
		})
	}
}

// family is the part of the name that need knows.
func family(name string) string {
	for i, r := range name {
		if r == '/' {
			return name[:i]
		}
	}
	return name
}

// check returns nil if the engine keeps one part of the contract.
type check struct {
	name  string
	check func(*kit) error
}

func checks() []check {
	return []check{
		{"options", checkOptions},
		{"exactly once", checkExactlyOnce},
		{"tags verbatim", checkTags},
		{"data at its place", checkFiles},
		{"data before completion", checkDataBeforeCompletion},
		{"misaligned", checkMisaligned},
		{"read-only descriptor", checkReadOnly},
		{"requests no engine takes", checkInvalid},
		{"flags reach the kernel", checkFlags},
		{"dsync", checkDsync},
		{"fsync", checkFsync},
		{"short write", checkShortWrite},
		{"back-pressure", checkBackPressure},
		{"min and dst", checkMin},
		{"timeout under signals", checkTimeout},
		{"wait under signals", checkWaitUnderSignals},
		{"close in flight", checkCloseInFlight},
		{"use after close", checkAfterClose},
		{"nothing leaks", checkLeaks},
		{"no allocation", checkNoAllocation},
		{"submit and reap in one", checkSubmitReap},
		{"soak", checkSoak},
	}
}
