package report

import (
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
)

func sample() Status {
	return Status{
		Run: "4k.io_uring", Engine: "io_uring", RW: "randwrite", Jobs: 2, Files: 1, Dirtiers: 3, Elapsed: 10 * time.Second, Fraction: 0.248,
		ETA: 31 * time.Second, BytesPerSecond: 23.5 * (1 << 20), IOPS: 6016, CollisionsKnown: true, CollisionsPerSecond: 1203, Collisions: 9999,
		FsyncEIO: 2, Submitted: 5, Completed: 4, Bytes: 1 << 30, Oldest: 800 * time.Millisecond,
	}
}

func TestStatusLine(t *testing.T) {
	unknown := sample()
	unknown.Fraction, unknown.ETA, unknown.CollisionsKnown, unknown.RW = -1, -1, false, "write"
	for _, c := range []struct {
		s     Status
		width int
		want  string
	}{
		{sample(), 0, "Jobs: 2 (f=1): [4k.io_uring][w(2),D(3)][24.8%][w=23.5MiB/s][w=6016 IOPS][coll=1203/s][eio=2 lost=0 oldest=0.8s][eta 00m:31s]"},
		{sample(), 130, "Jobs: 2 (f=1): [w(2),D(3)][24.8%][w=23.5MiB/s][w=6016 IOPS][coll=1203/s][eio=2 lost=0 oldest=0.8s][eta 00m:31s]"},
		{sample(), 100, "[24.8%][w=23.5MiB/s][w=6016 IOPS][coll=1203/s][eio=2 lost=0 oldest=0.8s][eta 00m:31s]"},
		{sample(), 80, "[24.8%][w=6016 IOPS][coll=1203/s][eio=2 lost=0 oldest=0.8s][eta 00m:31s]"},
		{sample(), 60, "[24.8%][coll=1203/s][eio=2 lost=0 oldest=0.8s]"},
		{sample(), 10, "[24.8%]"},
		{sample(), 4, "[24"},
		{sample(), 1, ""},
		{unknown, 0, "Jobs: 2 (f=1): [4k.io_uring][W(2),D(3)][-.-%][w=23.5MiB/s][w=6016 IOPS][coll=?][eio=2 lost=0 oldest=0.8s][eta --m:--s]"},
		{Status{}, 80, "[0.0%][w=0 IOPS][coll=?][eio=0 lost=0 oldest=0.0s][eta 00m:00s]"},
	} {
		got := StatusLine(c.s, c.width)
		if strings.TrimRight(got, " ") != c.want {
			t.Errorf("width %d:\n got %s\nwant %s", c.width, got, c.want)
		}
		if c.width > 0 && len(got) != c.width-1 {
			t.Errorf("width %d: %d columns", c.width, len(got))
		}
	}
}

// TestStatusSteady: on 80 columns the same five parts stay, and fill the same
// columns, whatever a run's numbers do.
func TestStatusSteady(t *testing.T) {
	parts := regexp.MustCompile(`^\[(-\.-|\d+\.\d)%\]\[w=[0-9.kM]+ IOPS\]\[coll=[0-9.kM]+/s\]\[eio=\d+[kM]? lost=\d oldest=\d+(\.\d)?[sh]\]\[eta [^\]]+\] *$`)
	s := sample()
	for _, v := range []float64{0, 0.4, 9, 99.9, 999, 9999, 9999.6, 99_999, 999_999, 9_999_999, 99_999_999} {
		for _, f := range []float64{-1, 0, 0.5, 1, 2, math.NaN()} {
			s.IOPS, s.CollisionsPerSecond, s.BytesPerSecond, s.FsyncEIO, s.Fraction = v, v, 4096*v, uint64(v), f
			s.Oldest = time.Duration(v * 1e6)
			s.Lost = uint64(v) % 10
			if got := StatusLine(s, 80); len(got) != 79 || !parts.MatchString(got) {
				t.Errorf("%v, %v: %d columns %q", v, f, len(got), got)
			}
		}
	}
	s.Lost, s.FsyncEIO, s.IOPS = 12345678901234567890, 12345678901234567890, math.Inf(1)
	s.Run, s.Oldest = "\x1b[2J\n", 1e6*time.Hour
	for width := 1; width < 200; width++ {
		if got := StatusLine(s, width); len(got) != width-1 || strings.ContainsAny(got, "\x1b\n") {
			t.Errorf("width %d: %q", width, got)
		}
	}
}

func TestStatusNumbers(t *testing.T) {
	for got, want := range map[string]string{
		short(0): "0", short(9999.4): "9999", short(9999.6): "10.0k", short(99_960): "100k", short(999_600): "1.00M", short(1.234e9): "1.23G", short(1e30): "huge",
		tight(9999): "9999", tight(10_000): "10k", tight(999_999): "999k", tight(1_000_000): "1M", tight(math.MaxUint64): "18E",
		speed(0): "0B", speed(999): "999B", speed(1000): "1.0KiB", speed(99.96 * 1024): "100KiB", speed(1023 << 20): "1.0GiB",
		age(-1): "0.0s", age(99_940 * time.Millisecond): "99.9s", age(100 * time.Second): "100s", age(9999400 * time.Millisecond): "9999s", age(10_000 * time.Second): "3h",
		clock(0): "00m:00s", clock(3599 * time.Second): "59m:59s", clock(2*time.Hour + 5*time.Second): "02h:00m:05s", clock(49 * time.Hour): "02d:01h:00m:00s", clock(-1): "--m:--s",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestStatusJSON: one line, what is not known is null, and never a 0.
func TestStatusJSON(t *testing.T) {
	read := func(s Status) map[string]any {
		b := string(StatusJSON(s))
		if strings.Count(b, "\n") != 1 || !strings.HasSuffix(b, "\n") {
			t.Fatalf("not one line: %q", b)
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(b), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := read(sample())
	for k, want := range map[string]any{"type": "status", "run": "4k.io_uring", "ioengine": "io_uring", "jobs": 2.0, "files": 1.0, "dirtiers": 3.0,
		"elapsed_ns": 10e9, "percent": 24.8, "eta_ns": 31e9, "bw_bytes": 24641536.0, "iops": 6016.0, "collisions_per_second": 1203.0, "oldest_in_flight_ns": 8e8} {
		if m[k] != want {
			t.Errorf("%s is %v, want %v", k, m[k], want)
		}
	}
	for k, want := range map[string]any{"submitted": 5.0, "completed": 4.0, "io_bytes": 1073741824.0, "collisions": 9999.0, "fsync_eio": 2.0, "lost": 0.0} {
		if got := m["totals"].(object)[k]; got != want {
			t.Errorf("totals.%s is %v, want %v", k, got, want)
		}
	}
	s := sample()
	s.Fraction, s.ETA, s.CollisionsKnown, s.IOPS, s.BytesPerSecond, s.Run = math.NaN(), -1, false, math.NaN(), math.Inf(1), "a\nb\xff"
	m = read(s)
	for _, k := range []string{"percent", "eta_ns", "collisions_per_second"} {
		if v, there := m[k]; !there || v != nil {
			t.Errorf("%s is %v, want null", k, v)
		}
	}
	if v := m["totals"].(object)["collisions"]; v != nil {
		t.Errorf("totals.collisions is %v, want null", v)
	}
}

func TestInFlightTable(t *testing.T) {
	var b strings.Builder
	rows := []InFlight{{0, 0x500000007, "main.0", 4096, 4096, 0, 800 * time.Millisecond}, {1, 7, "a\nb", 8192, 65536, 2, 12 * time.Second}}
	if err := InFlightTable(&b, sample(), rows); err != nil {
		t.Fatal(err)
	}
	golden(t, "inflight.text", b.String())
	if rows[0].Job != 0 {
		t.Error("the caller's rows were sorted")
	}
	b.Reset()
	if err := InFlightTable(&b, sample(), make([]InFlight, 10_000)); err != nil || strings.Count(b.String(), "\n") > 75 || !strings.Contains(b.String(), "and 9936 more") {
		t.Errorf("%v, %d lines", err, strings.Count(b.String(), "\n"))
	}
	b.Reset()
	s := sample()
	s.CollisionsKnown = false
	if err := InFlightTable(&b, s, nil); err != nil || !strings.Contains(b.String(), "in flight     nothing") || !strings.Contains(b.String(), "collisions unavailable") {
		t.Errorf("%v\n%s", err, b.String())
	}
}
