package kernel

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// LogState is what can be done with the kernel log here.
type LogState uint8

// The states. LogReadOnly: the marker could not be written, or was written and
// never came back (printk.devkmsg=off or its rate limit); reading starts at the
// end of the log as it was at OpenLog.
const (
	LogUnavailable LogState = iota
	LogReadOnly
	LogMarked
)

func (s LogState) String() string {
	switch s {
	case LogReadOnly:
		return "read_only"
	case LogMarked:
		return "marked"
	}
	return "unavailable"
}

const (
	kmsgPath = "/dev/kmsg"
	kmsgBuf  = 16 << 10 // a record with its dictionary is at most 8 KiB (kernel/printk/internal.h)
)

// Log reads the kernel log from a marker line on. One goroutine uses it.
type Log struct {
	fd      int
	state   LogState
	why     string
	class   classifier
	next    uint64 // sequence number that comes next; valid with started
	started bool
	dropped uint64
	backlog []Line // read while looking for a marker that never came
	buf     []byte
}

// Marker is the line a run writes before it starts, so that what follows in the
// log is known to be later.
func Marker(run string, seed uint64) string {
	return fmt.Sprintf("diostress: run=%s seed=%x start", run, seed)
}

// OpenLog writes the marker into the kernel log and starts reading behind it.
// It needs root or CAP_SYSLOG to read and a writable /dev/kmsg to write; where
// either is missing the Log says so in State and Why. An error is a marker that
// is no single line of 1 to 512 bytes.
func OpenLog(marker string) (*Log, error) {
	if marker == "" || len(marker) > 512 || strings.ContainsAny(marker, "\n\x00") {
		return nil, fmt.Errorf("kernel log marker %.40q: want one line of 1 to 512 bytes", marker)
	}
	l := &Log{fd: -1, buf: make([]byte, kmsgBuf)}
	fd, err := unix.Open(kmsgPath, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		l.why = fmt.Sprintf("reading %s: %v (run as root, or see kernel.dmesg_restrict)", kmsgPath, err)
		return l, nil
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		unix.Close(fd)
		l.why = fmt.Sprintf("seeking %s: %v", kmsgPath, err)
		return l, nil
	}
	l.fd, l.state = fd, LogReadOnly
	// A descriptor of its own: the log's rate limit for writers is per open file.
	w, err := unix.Open(kmsgPath, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		l.why = fmt.Sprintf("writing the marker to %s: %v", kmsgPath, err)
		return l, nil
	}
	// Without the newline the record stays open for continuation and unread
	// (kernel/printk/printk.c, LOG_NEWLINE).
	_, err = unix.Write(w, []byte(marker+"\n"))
	err = errors.Join(err, unix.Close(w))
	if err != nil {
		l.why = fmt.Sprintf("writing the marker to %s: %v", kmsgPath, err)
		return l, nil
	}
	for {
		line, ok, err := l.read()
		if err != nil || !ok {
			l.why = "the marker did not come back from the log (printk.devkmsg?)"
			if err != nil {
				l.why = err.Error()
			}
			return l, nil
		}
		if line.Facility != 0 && line.Text == marker {
			l.state, l.dropped, l.backlog, l.class = LogMarked, 0, nil, classifier{}
			return l, nil
		}
		l.class.classify(&line)
		l.backlog = append(l.backlog, line)
	}
}

// State says what can be done with the log; Why says what hindered more.
func (l *Log) State() LogState { return l.state }

// Why is "" where State is LogMarked.
func (l *Log) Why() string { return l.why }

// Dropped is how many records were overwritten before they were read: lines
// that are not known.
func (l *Log) Dropped() uint64 { return l.dropped }

// Poll returns, classified, what was logged since the last call; it never
// waits. The error is a failed read; lines already read come with it. Where
// State is LogUnavailable it is an error each time, never an empty log.
func (l *Log) Poll() ([]Line, error) {
	if l.fd < 0 {
		return nil, fmt.Errorf("the kernel log cannot be read: %s", l.why)
	}
	lines := l.backlog
	l.backlog = nil
	for {
		line, ok, err := l.read()
		if err != nil || !ok {
			return lines, err
		}
		l.class.classify(&line)
		lines = append(lines, line)
	}
}

// read takes one record; ok is false at the end of the log.
func (l *Log) read() (line Line, ok bool, err error) {
	for {
		n, err := unix.Read(l.fd, l.buf)
		switch err {
		case nil:
		case unix.EINTR:
			continue
		case unix.EPIPE:
			// Overwritten: the next read goes on with the oldest record there is.
			// How many are gone shows in its sequence number.
			if !l.started {
				l.dropped++
			}
			continue
		case unix.EAGAIN:
			return Line{}, false, nil
		default:
			return Line{}, false, fmt.Errorf("reading %s: %w", kmsgPath, err)
		}
		if n == 0 {
			return Line{}, false, nil
		}
		line, err = parseRecord(l.buf[:n])
		if err != nil {
			return Line{}, false, err
		}
		if l.started && line.Seq > l.next {
			l.dropped += line.Seq - l.next
		}
		l.next, l.started = line.Seq+1, true
		return line, true, nil
	}
}

// Close stops reading. A second Close does nothing.
func (l *Log) Close() error {
	if l.fd < 0 {
		return nil
	}
	fd := l.fd
	l.fd, l.state, l.why = -1, LogUnavailable, "the log is closed"
	return unix.Close(fd)
}

// readWholeLog hands out the log from its oldest record on.
func readWholeLog(fn func(*Line)) (first uint64, err error) {
	fd, err := unix.Open(kmsgPath, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	l := &Log{fd: fd, buf: make([]byte, kmsgBuf)}
	defer l.Close()
	got := false
	for {
		line, ok, err := l.read()
		if err != nil {
			return first, err
		}
		if !ok {
			if l.dropped > 0 && first == 0 {
				first = 1 // overtaken while reading: not whole
			}
			return first, nil
		}
		if !got {
			first, got = line.Seq, true
		}
		l.class.classify(&line)
		fn(&line)
	}
}

// BudgetState is how much of the invalidation message is left.
type BudgetState string

// The states of the budget.
const (
	BudgetLeft      BudgetState = "left"
	BudgetExhausted BudgetState = "exhausted"
	BudgetUnknown   BudgetState = "unknown"
)

// invalidationBurst is how many invalidation messages the whole machine gets in
// 86,400 s: one static ratelimit state with the default burst (since 4.16;
// mm/filemap.c, dio_warn_stale_pagecache).
const invalidationBurst = 10

// Budget is what the log tells of the invalidation message's rate limit.
type Budget struct {
	State      BudgetState
	Seen       int    // messages in the log as it is
	Recent     int    // of those, in the last 24 h
	Suppressed uint64 // what the kernel says it held back, in all
	Reason     string // why State is BudgetUnknown or BudgetExhausted
}

// InvalidationBudget counts the invalidation messages since boot. A log whose
// beginning is gone, or that cannot be read, gives BudgetUnknown, except where
// what is left of it shows ten.
func InvalidationBudget() Budget {
	c, err := NewClock()
	if err != nil {
		return Budget{State: BudgetUnknown, Reason: err.Error()}
	}
	var b Budget
	first, err := readWholeLog(func(l *Line) { b.add(l, c.Now()) })
	b.conclude(first, err)
	return b
}

func (b *Budget) add(l *Line, now int64) {
	switch {
	case l.Class == LogInvalidation:
		b.Seen++
		if l.TimeNS > now-int64(24*time.Hour) {
			b.Recent++
		}
	case l.Class == LogSuppressed && l.Facts.Func == postFunction:
		b.Suppressed += l.Facts.Count
	}
}

func (b *Budget) conclude(first uint64, err error) {
	switch {
	case b.Recent >= invalidationBurst:
		b.State = BudgetExhausted
		b.Reason = fmt.Sprintf("%d messages in the last 24 h, %d is the limit", b.Recent, invalidationBurst)
	case err != nil:
		b.State, b.Reason = BudgetUnknown, fmt.Sprintf("the kernel log cannot be read: %v", err)
	case first != 0:
		b.State, b.Reason = BudgetUnknown, fmt.Sprintf("the log's first %d records are gone", first)
	default:
		b.State = BudgetLeft
	}
}

// ClearWarnOnce lets WARN_ONCE and printk_once speak again (debugfs
// clear_warn_once, since 4.15, kernel/panic.c). It reports whether it was done,
// and why not.
func ClearWarnOnce() (done bool, why string) {
	const name = "/clear_warn_once"
	dir := "/sys/kernel/debug"
	if _, err := os.Stat(dir + name); err != nil {
		fd, err := privateMount("debugfs")
		if err != nil {
			return false, fmt.Sprintf("debugfs is not mounted and cannot be: %v", err)
		}
		defer unix.Close(fd)
		dir = fmt.Sprintf("/proc/self/fd/%d", fd)
	}
	if err := writeFile(dir+name, "1"); err != nil {
		return false, err.Error()
	}
	return true, ""
}
