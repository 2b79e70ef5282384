package kernel

import (
	"time"

	"golang.org/x/sys/unix"
)

// Clock reads CLOCK_MONOTONIC as absolute ns, the value trace records carry,
// without a system call: Go's own monotonic reading is CLOCK_MONOTONIC through
// the vDSO (runtime/sys_linux_*.s), counted from the start of the process, so
// one calibrated offset turns it into the absolute value.
//
// Trace records are stamped by ktime_get_mono_fast_ns (kernel/time/timekeeping.c,
// perf's use_clockid), which may differ from the vDSO reading by the slew of one
// timekeeper update: some ns.
//
// A Clock is a value: copies are equal, and reading is safe from any goroutine.
type Clock struct {
	base   time.Time
	offset int64
	bound  time.Duration
}

// NewClock calibrates a Clock; it takes about 20 µs.
func NewClock() (Clock, error) {
	c := Clock{base: time.Now()}
	lo, hi := int64(-1<<63), int64(1<<63-1)
	for range 64 {
		var ts unix.Timespec
		before := int64(time.Since(c.base))
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			return Clock{}, err
		}
		after := int64(time.Since(c.base))
		now := ts.Nano()
		// The same clock was read three times in a row, so the offset lies in
		// [now-after, now-before] in every round: it lies in the intersection.
		lo, hi = max(lo, now-after), min(hi, now-before)
	}
	c.offset = lo + (hi-lo)/2
	c.bound = time.Duration((hi-lo)/2 + 1)
	return c, nil
}

// Now is CLOCK_MONOTONIC in ns, right to within Bound.
func (c Clock) Now() int64 { return c.offset + int64(time.Since(c.base)) }

// At is the CLOCK_MONOTONIC ns of a time.Time that has a monotonic reading.
func (c Clock) At(t time.Time) int64 { return c.offset + int64(t.Sub(c.base)) }

// Bound is the calibration's greatest possible error, one side.
func (c Clock) Bound() time.Duration { return c.bound }
