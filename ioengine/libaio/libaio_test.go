package libaio

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"diostress/internal/need"
	"diostress/ioengine"
	"diostress/ioengine/enginetest"
)

func probe() error {
	eng, err := Open(ioengine.Options{Files: []int{0}, Depth: 1})
	if err != nil {
		return err
	}
	return eng.Close()
}

func TestConformance(t *testing.T) { enginetest.Run(t, need.LibAIO, Open, probe) }

// TestGetevents reaps by system call alone, as on a kernel with another ring.
func TestGetevents(t *testing.T) {
	enginetest.Run(t, "libaio/getevents", func(o ioengine.Options) (ioengine.Engine, error) {
		eng, err := open(o)
		if err != nil {
			return nil, err
		}
		eng.ring = nil
		return eng, nil
	}, probe)
}

func TestRingIsReadHere(t *testing.T) {
	if err := probe(); errors.Is(err, ioengine.ErrUnsupported) {
		need.Skip(t, need.LibAIO, err.Error())
	}
	e, err := open(ioengine.Options{Files: []int{0}, Depth: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.ring == nil {
		t.Fatal("the kernel's ring was not recognised: every reap would be a system call")
	}
	if e.ring.nr < 4 {
		t.Errorf("ring of %d events for depth 4", e.ring.nr)
	}
}

func TestRingReady(t *testing.T) {
	for _, c := range []struct{ nr, head, tail, want uint32 }{
		{8, 0, 0, 0}, {8, 0, 3, 3}, {8, 7, 0, 1}, {8, 5, 2, 5}, {8, 7, 7, 0},
	} {
		r := ring{nr: c.nr, head: c.head, tail: c.tail}
		if got := r.ready(); got != c.want {
			t.Errorf("nr %d head %d tail %d: %d ready, want %d", c.nr, c.head, c.tail, got, c.want)
		}
	}
	good := ring{magic: ringMagic, headerLength: 32}
	for name, r := range map[string]ring{
		"magic":    {magic: 1, headerLength: 32},
		"incompat": {magic: ringMagic, headerLength: 32, incompat: 1},
		"header":   {magic: ringMagic, headerLength: 64},
	} {
		if r.readable() {
			t.Errorf("a ring with another %s counts as readable", name)
		}
	}
	if !good.readable() {
		t.Error("a good ring does not count as readable")
	}
}

// TestNoSlots opens engines until the machine has no slots left.
func TestNoSlots(t *testing.T) {
	need.Alone(t)
	if err := probe(); errors.Is(err, ioengine.ErrUnsupported) {
		need.Skip(t, need.LibAIO, err.Error())
	}
	limit, err := strconv.Atoi(sysctl(maxPath))
	if err != nil {
		t.Fatal(err)
	}
	if limit > 1<<20 {
		need.Skip(t, need.LibAIO, "fs.aio-max-nr is too large to be used up")
	}
	var engines []ioengine.Engine
	defer func() {
		for _, e := range engines {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	for range limit/ioengine.MaxDepth + 2 {
		e, err := Open(ioengine.Options{Files: []int{0}, Depth: ioengine.MaxDepth})
		if err == nil {
			engines = append(engines, e)
			continue
		}
		if !errors.Is(err, ioengine.ErrUnsupported) {
			t.Fatalf("open over the limit: %v, want ErrUnsupported", err)
		}
		for _, want := range []string{"fs.aio-max-nr " + strconv.Itoa(limit), "fs.aio-nr is ", "sysctl -w", "smaller iodepth"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		return
	}
	t.Fatalf("%d engines of depth %d opened with fs.aio-max-nr %d", len(engines), ioengine.MaxDepth, limit)
}

func BenchmarkWrite4kDepth1(b *testing.B)  { enginetest.Bench(b, need.LibAIO, Open, 1, false) }
func BenchmarkWrite4kDepth32(b *testing.B) { enginetest.Bench(b, need.LibAIO, Open, 32, false) }
