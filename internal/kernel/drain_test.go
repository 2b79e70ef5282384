package kernel

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDrainMergesInOrderOfTime(t *testing.T) {
	tr, rings, formats := fakeTrace(t, "6.18", 5, 8)
	begin := formats["iomap_dio_rw_begin"]
	rng := rand.New(rand.NewPCG(1, 2))
	now := tr.clock.Now()
	var want []int64
	put := func(cpu int, ts int64) {
		rings[cpu].put(ts, int32(cpu), rawOf(&begin, map[string]int64{"dev": 7<<20 | 3, "ino": 13, "pos": ts}))
		want = append(want, ts)
	}
	var got []int64
	collect := func(e *Event) {
		if e.File != 1 || e.Pos != e.TimeNS || int(e.CPU) != int(e.TID) {
			t.Fatalf("event %+v", *e)
		}
		got = append(got, e.TimeNS)
	}
	ts := now - 1e9
	for round := range 50 {
		for range 100 {
			ts += rng.Int64N(1000)
			// Records within one ring may be a little out of order.
			put(rng.IntN(5), ts-rng.Int64N(300))
		}
		rings[0].put(ts, 0, rawOf(&begin, map[string]int64{"dev": 7<<20 | 3, "ino": 14})) // another file
		rings[1].put(ts, 0, rawOf(&begin, map[string]int64{"dev": 7<<20 | 4, "ino": 13})) // another device
		w, err := tr.drain(ts-700, collect)
		if err != nil || w != ts-700 {
			t.Fatalf("round %d: watermark %d, error %v", round, w, err)
		}
		if n := len(got); n > 0 && got[n-1] >= w {
			t.Fatalf("handed out %d, at or after the watermark %d", got[n-1], w)
		}
	}
	if w, err := tr.Drain(collect); err != nil || w <= ts {
		t.Fatalf("last watermark %d, error %v", w, err)
	}
	if !slices.IsSorted(got) {
		t.Error("events are not in order of time")
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %d events, want the %d that were put in", len(got), len(want))
	}
	if tr.Late() != 0 || tr.Malformed() != 0 {
		t.Errorf("late %d, malformed %d, want 0", tr.Late(), tr.Malformed())
	}
	// One behind the watermark is handed out and counted.
	put(2, ts-5)
	got = nil
	if _, err := tr.Drain(collect); err != nil || len(got) != 1 || tr.Late() != 1 {
		t.Errorf("late event: handed out %d, Late %d, error %v", len(got), tr.Late(), err)
	}
}

func TestRingLostAndBroken(t *testing.T) {
	tr, rings, _ := fakeTrace(t, "6.18", 1, 1)
	lost := make([]byte, 24)
	binary.NativeEndian.PutUint32(lost, unix.PERF_RECORD_LOST)
	binary.NativeEndian.PutUint16(lost[6:], 24)
	binary.NativeEndian.PutUint64(lost[16:], 41)
	rings[0].append(lost)
	if _, err := tr.Drain(func(*Event) {}); err != nil {
		t.Fatal(err)
	}
	if n, err := tr.Lost(); n != 41 || err != nil {
		t.Errorf("Lost %d, %v, want 41", n, err)
	}
	rings[0].append(make([]byte, 16)) // a record of size 0
	if _, err := tr.Drain(func(*Event) {}); err == nil || !strings.Contains(err.Error(), "CPU 0") {
		t.Errorf("broken ring: error %v, want one that names CPU 0", err)
	}
	if _, err := tr.Drain(func(*Event) {}); err != nil {
		t.Errorf("after the broken record: %v", err)
	}
}

func TestDrainDoesNotAllocate(t *testing.T) {
	tr, rings, formats := fakeTrace(t, "6.18", 2, 8)
	begin := formats["iomap_dio_rw_begin"]
	for i := range 100 {
		rings[i%2].put(int64(i), 1, rawOf(&begin, map[string]int64{"dev": 7<<20 | 3, "ino": 12}))
	}
	n := 0
	fn := func(*Event) { n++ }
	if a := testing.AllocsPerRun(100, func() {
		rings[0].header().Data_tail, rings[1].header().Data_tail, tr.floor = 0, 0, 0
		if _, err := tr.Drain(fn); err != nil {
			t.Fatal(err)
		}
	}); a != 0 || n != 101*100 {
		t.Errorf("%v allocations a Drain, %d events; want 0 and %d", a, n, 101*100)
	}
}

func FuzzRing(f *testing.F) {
	f.Add([]byte("\x09\x00\x00\x00\x00\x00\x28\x00"), uint16(40))
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x08\x00"), uint16(8))
	f.Fuzz(func(t *testing.T, data []byte, head uint16) {
		tr, rings, _ := fakeTrace(t, "6.18", 1, 1)
		copy(rings[0].data, data)
		rings[0].header().Data_head = uint64(head) % 4097
		for range 2 {
			_, _ = tr.Drain(func(e *Event) {
				if e.Kind >= numKinds || int(e.File) >= len(tr.opt.Files) {
					t.Fatalf("impossible event %+v", *e)
				}
			})
		}
		if h := rings[0].header(); h.Data_tail != h.Data_head {
			t.Fatalf("tail %d did not reach head %d", h.Data_tail, h.Data_head)
		}
	})
}

func TestTraceOffAndMisuse(t *testing.T) {
	tr, err := OpenTrace(Options{})
	if err != nil || tr.Source() != SourceOff || tr.Has(InvalidateFail) || tr.Reason(InvalidateFail) == "" {
		t.Fatalf("off: %v, source %q", err, tr.Source())
	}
	if c := tr.Counts(InvalidateFail); c.Fidelity != FidelityUnavailable || c.Reason == "" {
		t.Errorf("off: count %+v, want unavailable with a reason", c)
	}
	if _, err := tr.Drain(func(*Event) {}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("off: Drain error %v, want ErrUnavailable", err)
	}
	if _, err := tr.Lost(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("off: Lost error %v, want ErrUnavailable", err)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	file := []TraceFile{{Dev: 1, Ino: 2}}
	for name, o := range map[string]Options{
		"no files":     {Mode: TraceCount},
		"mode":         {Mode: 9, Files: file},
		"ring":         {Mode: TraceExact, Files: file, RingBytes: -1},
		"source":       {Mode: TraceCount, Files: file, Source: "bpf"},
		"settle":       {Mode: TraceCount, Files: file, Settle: -1},
		"same inode":   {Mode: TraceCount, Files: append(file, file...)},
		"ring too big": {Mode: TraceExact, Files: file, RingBytes: maxRing + 1},
	} {
		if tr, err := OpenTrace(o); err == nil {
			tr.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func TestInodeFilters(t *testing.T) {
	var files []TraceFile
	for i := range 300 {
		files = append(files, TraceFile{Dev: unix.Mkdev(7, uint32(i/100)), Ino: 1<<40 + uint64(i)})
	}
	fs := inodeFilters(files, "dev", "ino", maxFilter)
	all := strings.Join(fs, " ")
	for i, f := range fs {
		if len(f) > maxFilter || strings.Count(f, "(") != strings.Count(f, ")") {
			t.Errorf("filter %d: %d bytes, %q", i, len(f), f)
		}
	}
	if n := strings.Count(all, "ino =="); n != 300 || len(fs) < 2 {
		t.Errorf("%d inodes in %d filters, want 300 in several", n, len(fs))
	}
	if got, want := inodeFilters(files[99:101], "s_dev", "i_ino", 500)[0], "(s_dev == 7340032 && (i_ino == 1099511627875)) || (s_dev == 7340033 && (i_ino == 1099511627876))"; got != want {
		t.Errorf("filter %q, want %q", got, want)
	}
}

func TestDisksOf(t *testing.T) {
	sys := t.TempDir()
	dir := func(parts ...string) string {
		d := sys + "/" + strings.Join(parts, "/")
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		return d
	}
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, path string) {
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	write(dir("devices", "sda")+"/dev", "8:0\n")
	write(dir("devices", "sda", "sda2")+"/dev", "8:2\n")
	write(dir("devices", "sda", "sda2")+"/partition", "2\n")
	write(dir("devices", "dm-0")+"/dev", "253:0\n")
	link(dir("devices", "sda", "sda2"), dir("devices", "dm-0", "slaves")+"/sda2")
	link(dir("devices", "dm-0"), dir("dev", "block")+"/253:0")
	link(dir("devices", "sda", "sda2"), dir("dev", "block")+"/8:2")
	got, err := disksOf([]TraceFile{{Dev: unix.Mkdev(253, 0), Ino: 1}}, sys)
	if err != nil || !slices.Equal(got, []uint32{253 << 20, 8 << 20}) {
		t.Errorf("dm over a partition: %#x, %v; want dm-0 and sda", got, err)
	}
	got, err = disksOf([]TraceFile{{Dev: unix.Mkdev(8, 2), Ino: 1}}, sys)
	if err != nil || !slices.Equal(got, []uint32{8 << 20}) {
		t.Errorf("partition: %#x, %v; want sda", got, err)
	}
	if _, err := disksOf([]TraceFile{{Dev: unix.Mkdev(0, 40), Ino: 1}}, sys); err == nil || !strings.Contains(err.Error(), "0:40") {
		t.Errorf("no block device: error %v", err)
	}
}

func TestCPUList(t *testing.T) {
	if got, err := parseCPUList("0-2,8,10-11"); err != nil || !slices.Equal(got, []int{0, 1, 2, 8, 10, 11}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "a", "3-1", "-1", "0-99999999"} {
		if _, err := parseCPUList(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestClock(t *testing.T) {
	c, err := NewClock()
	if err != nil {
		t.Fatal(err)
	}
	if c.Bound() <= 0 || c.Bound() > 1e6 {
		t.Errorf("bound %v", c.Bound())
	}
	slack := int64(c.Bound())
	for range 1000 {
		var ts unix.Timespec
		a := c.Now()
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		if b := c.Now(); ts.Nano() < a-slack || ts.Nano() > b+slack {
			t.Fatalf("CLOCK_MONOTONIC %d is not within %d..%d ± %d", ts.Nano(), a, b, slack)
		}
	}
}
