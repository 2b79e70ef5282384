package kernel

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Line is one record of the kernel log.
type Line struct {
	Seq      uint64 // counts from 0 at boot
	TimeNS   int64  // the log's own clock (sched_clock based), µs steps: near CLOCK_MONOTONIC, not equal to it
	Level    uint8  // 0 emergency .. 7 debug
	Facility uint16 // 0: the kernel; else a user-space writer
	Text     string // without the trailing newline; several lines where the kernel logged several
	Class    Class
	Facts    Facts
}

// Facts are what the text of a Line names; an empty or zero field is not named.
type Facts struct {
	Device string // "loop3", "nvme0n1p1"
	Status string // of an I/O error: "I/O", "critical medium", ...
	File   string // path, as the kernel printed it; "(unknown)" above 127 bytes
	PID    int    // of LogInvalidationFile: the completing task, often a kworker
	Comm   string
	Func   string // of LogSuppressed: the function whose messages were dropped
	Count  uint64 // of LogSuppressed
}

// parseRecord reads one /dev/kmsg record: "prio,seq,usec,flags[,more];text\n"
// and then " KEY=value" lines, with \xNN for bytes that are not printable
// (Documentation/ABI/testing/dev-kmsg).
func parseRecord(rec []byte) (Line, error) {
	bad := func(what string) (Line, error) {
		return Line{}, fmt.Errorf("kernel log record %.80q: %s; want PRIO,SEQ,USEC,FLAGS;TEXT", rec, what)
	}
	head, rest, ok := bytes.Cut(rec, []byte(";"))
	if !ok {
		return bad("no ';'")
	}
	f := strings.Split(string(head), ",")
	if len(f) < 3 {
		return bad("fewer than 3 header fields")
	}
	prio, err1 := strconv.ParseUint(f[0], 10, 19)
	seq, err2 := strconv.ParseUint(f[1], 10, 64)
	usec, err3 := strconv.ParseUint(f[2], 10, 53)
	if err1 != nil || err2 != nil || err3 != nil {
		return bad("a header field is no number")
	}
	text, _, _ := bytes.Cut(rest, []byte("\n"))
	return Line{
		Seq: seq, TimeNS: int64(usec) * 1000,
		Level: uint8(prio & 7), Facility: uint16(prio >> 3),
		Text: unescape(string(text)),
	}, nil
}

// unescape undoes \xNN; anything else stays as it is.
func unescape(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], `\x`) && i+4 <= len(s) {
			if v, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
