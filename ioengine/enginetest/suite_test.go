package enginetest

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"diostress/internal/need"
	"diostress/ioengine"
)

func available() error { return nil }

func TestFakeConforms(t *testing.T) { Run(t, "fake", Fake(Script{}), available) }

func TestFakeConformsShuffledAndCombined(t *testing.T) {
	Run(t, "fake/combined", Fake(Script{Seed: 7, Shuffle: true, SubmitReap: true}), available)
}

// TestSuiteRejects holds the suite to account: each misbehaviour must be found
// by the check that is there for it.
func TestSuiteRejects(t *testing.T) {
	for _, c := range []struct {
		rule  Rule
		check string
	}{
		{Rule{Op: 40, Do: Short}, "exactly once"},
		{Rule{Op: 40, Do: Zero}, "exactly once"},
		{Rule{Op: 40, Do: Overlong}, "exactly once"},
		{Rule{Op: 500, Do: Torn}, "exactly once"},
		{Rule{Op: 40, Do: Duplicate}, "exactly once"},
		{Rule{Op: 511, Do: Duplicate}, "exactly once"},
		{Rule{Op: 40, Do: Stray}, "exactly once"},
		{Rule{Op: 40, Do: Lost}, "exactly once"},
		{Rule{Op: 40, Do: Swallowed}, "exactly once"},
		{Rule{Op: 40, Do: Errno}, "exactly once"},
		{Rule{Op: 40, Do: ErrnoWritten, N: EIOCBQUEUED}, "exactly once"},
		{Rule{Op: 40, Do: Errno, N: ENOTBLK}, "exactly once"},
		{Rule{Op: 40, Do: TwoResults}, "exactly once"},
		{Rule{Op: 40, Do: Res2}, "exactly once"},
		{Rule{Op: 40, Do: Flags}, "exactly once"},
		{Rule{Op: 40, Do: SubmitError}, "exactly once"},
		{Rule{Op: 490, Do: DataLost}, "exactly once"},
		{Rule{Op: 490, Do: WrongData}, "exactly once"},
		{Rule{Op: 12, Do: Misplaced}, "data at its place"},
		{Rule{Op: 12, Do: Early}, "data before completion"},
		{Rule{Op: 12, Do: Poison}, "data before completion"},
		{Rule{Op: 12, Do: WrongData, N: 1}, "data before completion"},
		{Rule{Op: 0, Do: Zero}, "misaligned"},
		{Rule{Op: 0, Do: Errno}, "read-only descriptor"},
		{Rule{Op: 0, Do: DataLost}, "flags reach the kernel"},
		{Rule{Op: 3, Do: Errno}, "dsync"},
		{Rule{Op: 5, Do: Errno}, "fsync"},
		{Rule{Op: 0, Do: Overlong}, "short write"},
		{Rule{Op: 2, Do: BackPressure}, "back-pressure"},
		{Rule{Op: 1, Do: PartialAccept}, "back-pressure"},
		{Rule{Op: 3, Do: Lost}, "close in flight"},
		{Rule{Op: 3, Do: DataLost}, "close in flight"},
		{Rule{Op: 9, Do: Duplicate}, "min and dst"},
		{Rule{Op: 30, Do: Duplicate}, "wait under signals"},
		{Rule{Op: 30, Do: Duplicate}, "submit and reap in one"},
		{Rule{Op: 1990, Do: DataLost}, "soak"},
		{Rule{Op: 300, Do: Duplicate}, "soak"},
		{Rule{Op: 300, Do: Lost}, "soak"},
	} {
		t.Run(c.rule.Do.String()+"/"+c.check, func(t *testing.T) {
			k := testKit(t, Fake(Script{Rules: []Rule{c.rule}, SubmitReap: true}))
			if err := find(t, c.check)(k); err == nil {
				t.Errorf("%s at %d passes", c.rule.Do, c.rule.Op)
			} else {
				t.Log(err)
			}
		})
	}
}

// TestSuiteAccepts: what is legal, if unusual, is not held against an engine.
func TestSuiteAccepts(t *testing.T) {
	for _, r := range []Rule{
		{Op: 40, Every: 7, Do: Late},
		{Op: 40, Every: 7, Do: Late, N: 5},
		{Op: 40, Every: 60, Do: Late, Delay: time.Millisecond},
		{Op: 40, OneIn: 9, Do: BackPressure, N: 3},
		{Op: 40, OneIn: 9, Do: PartialAccept},
	} {
		for _, name := range []string{"exactly once", "soak"} {
			k := testKit(t, Fake(Script{Rules: []Rule{r}, Seed: 3}))
			k.patience = 5 * time.Second
			if err := find(t, name)(k); err != nil {
				t.Errorf("%s, %s: %v", r.Do, name, err)
			}
		}
	}
}

// TestSuiteRejectsBadLives: faults that no script can express.
func TestSuiteRejectsBadLives(t *testing.T) {
	sound := Fake(Script{})
	var kept [][]byte
	for _, c := range []struct {
		name, check string
		open        ioengine.Opener
	}{
		{"any depth", "options", func(o ioengine.Options) (ioengine.Engine, error) {
			o.Depth = max(1, min(o.Depth, 64))
			return sound(o)
		}},
		{"wrong kind of error", "options", func(o ioengine.Options) (ioengine.Engine, error) {
			if e, err := sound(o); err == nil {
				return e, nil
			}
			return nil, ioengine.ErrUnsupported
		}},
		{"leak of memory", "nothing leaks", func(o ioengine.Options) (ioengine.Engine, error) {
			mem, err := anonymous(16 * blockSize)
			if err != nil {
				return nil, err
			}
			kept = append(kept, mem)
			return sound(o)
		}},
		{"leak of descriptors", "nothing leaks", func(o ioengine.Options) (ioengine.Engine, error) {
			if _, err := (&kit{dir: t.TempDir()}).file(1); err != nil {
				return nil, err
			}
			return sound(o)
		}},
		{"allocation", "no allocation", wrap(sound, func(e *wrapped) { e.allocate = true })},
		{"early close", "close in flight", wrap(sound, func(e *wrapped) { e.closeAnyhow = true })},
		{"wait cut short", "timeout under signals", wrap(sound, func(e *wrapped) { e.hasty = true })},
		{"flags dropped", "flags reach the kernel", wrap(sound, func(e *wrapped) { e.dropFlags = true })},
		{"file mixed up", "data at its place", wrap(sound, func(e *wrapped) { e.firstFile = true })},
		{"tag cut", "tags verbatim", wrap(sound, func(e *wrapped) { e.shortTag = true })},
		{"usable when closed", "use after close", wrap(sound, func(e *wrapped) { e.zombie = true })},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := testKit(t, c.open)
			if err := find(t, c.check)(k); err == nil {
				t.Error("passes")
			} else {
				t.Log(err)
			}
		})
	}
	runtime.KeepAlive(kept)
}

func testKit(t *testing.T, open ioengine.Opener) *kit {
	k := &kit{dir: t.TempDir(), open: open, patience: 50 * time.Millisecond, soak: 2000}
	if err := k.probeDirect(); errors.Is(err, errNoDirect) {
		need.Skip(t, need.ODirect, err.Error())
	} else if err != nil {
		t.Fatal(err)
	}
	return k
}

func find(t *testing.T, name string) func(*kit) error {
	t.Helper()
	for _, c := range checks() {
		if c.name == name {
			return c.check
		}
	}
	t.Fatalf("no check %q", name)
	return nil
}

// wrapped is an engine with a fault around it.
type wrapped struct {
	ioengine.Engine
	allocate, closeAnyhow, hasty, dropFlags, firstFile, shortTag, zombie bool

	closed bool
	kept   *[64]byte
}

func wrap(open ioengine.Opener, fault func(*wrapped)) ioengine.Opener {
	return func(o ioengine.Options) (ioengine.Engine, error) {
		e, err := open(o)
		if err != nil {
			return nil, err
		}
		w := &wrapped{Engine: e}
		fault(w)
		return w, nil
	}
}

func (w *wrapped) Submit(reqs []ioengine.Request) (int, error) {
	if w.closed && w.zombie {
		return len(reqs), nil
	}
	if w.allocate {
		w.kept = new([64]byte)
	}
	if w.dropFlags || w.firstFile || w.shortTag {
		reqs = append([]ioengine.Request(nil), reqs...)
		for i := range reqs {
			if w.dropFlags {
				reqs[i].RWFlags = 0
			}
			if w.firstFile {
				reqs[i].File = 0
			}
			if w.shortTag {
				reqs[i].Tag &= 1<<48 - 1
			}
		}
	}
	return w.Engine.Submit(reqs)
}

func (w *wrapped) Reap(dst []ioengine.Completion, min int, timeout time.Duration) (int, error) {
	if w.hasty {
		timeout /= 4
	}
	return w.Engine.Reap(dst, min, timeout)
}

func (w *wrapped) Close() error {
	err := w.Engine.Close()
	w.closed = true
	if w.closeAnyhow && errors.Is(err, ioengine.ErrInFlight) {
		return nil
	}
	return err
}
