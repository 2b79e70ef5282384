package mmapdirty

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// ran stops the group and checks that every act of the one kind came back
// without an errno.
func ran(t *testing.T, g *Group, kind Kind) {
	t.Helper()
	if err := g.Stop(patient); err != nil {
		t.Fatal(err)
	}
	s := only(t, g)
	if s.Kind != kind || s.Operations == 0 || len(s.Errnos) != 0 || s.Faults != 0 || s.Syncs != 0 {
		t.Errorf("%+v: want acts of %v that did not fail", s, kind)
	}
	if w := g.Writers(); w[0].Gen != 0 {
		t.Errorf("%v began generation %d, yet its zeros carry none", kind, w[0].Gen)
	}
}

func TestTruncateCutsAndGrows(t *testing.T) {
	f := newFile(t)
	f.Grows = true
	g := start(t, config("truncate", []File{f}, oneInFlight()))
	untilOps(t, g, 20)
	ran(t, g, Truncate)
	b := content(t, f)
	if !bytes.Equal(b[:2*blk], bytes.Repeat([]byte{untouch}, 2*blk)) {
		t.Error("what lies before the write in flight has changed")
	}
	if !bytes.Equal(b[2*blk:], make([]byte, f.Size-2*blk)) {
		t.Error("what was cut off is not zero")
	}
}

func TestPunchMakesAHole(t *testing.T) {
	f := newFile(t)
	g := start(t, config("punch", []File{f}, oneInFlight()))
	untilOps(t, g, 20)
	ran(t, g, Punch)
	b := content(t, f)
	want := bytes.Repeat([]byte{untouch}, int(f.Size))
	clear(want[2*blk : 3*blk])
	if !bytes.Equal(b, want) {
		t.Error("not exactly the bytes of the write in flight are zero")
	}
}

func TestFallocateReservesOnBothSides(t *testing.T) {
	f := newFile(t)
	f.Grows = true
	if err := os.Truncate(f.Path, blk); err != nil {
		t.Fatal(err)
	}
	g := start(t, config("fallocate", []File{f}, oneInFlight()))
	untilOps(t, g, 4)
	ran(t, g, Fallocate)
	var st unix.Stat_t
	if err := unix.Stat(f.Path, &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != 2*blk {
		t.Errorf("the file has %d bytes, want %d: up to the start of the write in flight", st.Size, 2*blk)
	}
	if st.Blocks*512 < 3*blk {
		t.Errorf("%d bytes reserved, want a block written, one before the write and one past it", st.Blocks*512)
	}
	b, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b[:blk], bytes.Repeat([]byte{untouch}, blk)) || !bytes.Equal(b[blk:], make([]byte, blk)) {
		t.Error("data have changed, or what was reserved is not zero")
	}
}

// TestCutUnderAMapping lets stores and cuts meet: a store past the end is a
// fault, one within is a store.
func TestCutUnderAMapping(t *testing.T) {
	f := newFile(t)
	f.Grows = true
	cfg := config("mmap", []File{f}, oneInFlight())
	cut, err := ParseSpec("truncate")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Sets = append(cfg.Sets, Set{Spec: cut, Strategy: DefaultStrategy()})
	g := start(t, cfg)
	var stores, faults, cuts uint64
	until(t, "stores, faults and cuts", func() bool {
		for _, s := range g.Stats() {
			switch s.Kind {
			case Mmap:
				stores, faults = s.Operations, s.Faults
			case Truncate:
				cuts = s.Operations
			}
		}
		return stores > 100 && faults > 0 && cuts > 100
	})
	if err := g.Stop(patient); err != nil {
		t.Fatal(err)
	}
	for off, b := range content(t, f) {
		if off < 2*blk && b != untouch {
			t.Fatalf("byte %d is %#x: it lies before the cut", off, b)
		}
	}
}

func TestShortFileNeedsGrows(t *testing.T) {
	f := newFile(t)
	if err := os.Truncate(f.Path, blk); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(config("mmap", []File{f}, NewTable(1))); err == nil || !strings.Contains(err.Error(), "Grows") {
		t.Errorf("a file shorter than its size was taken: %v", err)
	}
	f.Grows = true
	start(t, config("mmap", []File{f}, NewTable(1)))
}

func TestAlterErrnosAreCounted(t *testing.T) {
	for _, kind := range []Kind{Truncate, Punch, Fallocate} {
		t.Run(kind.String(), func(t *testing.T) {
			f := File{Path: "/dev/null", Size: blk * blocks, Open: func() (int, error) { return unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0) }}
			g := start(t, config(kind.String(), []File{f}, oneInFlight()))
			untilOps(t, g, 3)
			if err := g.Stop(patient); err != nil {
				t.Fatal(err)
			}
			s := only(t, g)
			var n uint64
			for _, c := range s.Errnos {
				n += c
			}
			if n < s.Operations || s.Overlaps != 0 || s.Errnos[syscall.Errno(0)] != 0 {
				t.Errorf("%+v: want an errno from every act, and no overlap", s)
			}
		})
	}
}
