package kernel

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"diostress/internal/need"

	"golang.org/x/sys/unix"
)

func TestClassify(t *testing.T) {
	type tc struct {
		text  string
		class Class
		facts Facts
	}
	tests := []tc{
		{"Page cache invalidation failure on direct I/O.  Possible data corruption due to collision with buffered I/O!", LogInvalidation, Facts{}},
		{"File: /mnt/a b PID: 7 Comm: x/f PID: 625 Comm: kworker/42:1", LogInvalidationFile, Facts{File: "/mnt/a b PID: 7 Comm: x/f", PID: 625, Comm: "kworker/42:1"}},
		{"File: /mnt/second PID: 1 Comm: no invalidation line before it", LogOther, Facts{}},
		{"Direct I/O collision with buffered writes! File: mnt/f Comm: fio", LogCollision, Facts{File: "mnt/f", Comm: "fio"}},
		{"dio_warn_stale_pagecache: 4711 callbacks suppressed", LogSuppressed, Facts{Func: "dio_warn_stale_pagecache", Count: 4711}},
		{"kernel BUG at fs/aio.c:509!", LogBug, Facts{}},
		{"BUG: kernel NULL pointer dereference, address: 0000000000000028", LogBug, Facts{}},
		{"BUG: Bad page state in process x  pfn:1234", LogBug, Facts{}},
		{"BUG: KASAN: slab-use-after-free in iomap_dio_bio_end_io+0x1/0x2", LogKASAN, Facts{}},
		{"BUG: KCSAN: data-race in a / b", LogKCSAN, Facts{}},
		{"BUG: KFENCE: use-after-free read in f+0x1/0x2", LogKFENCE, Facts{}},
		{"UBSAN: array-index-out-of-bounds in fs/x.c:1:2", LogUBSAN, Facts{}},
		{"BUG: MAX_LOCKDEP_CHAIN_HLOCKS too low!", LogLockdepOff, Facts{}},
		{"WARNING: possible circular locking dependency detected", LogLockdep, Facts{}},
		{"WARNING: suspicious RCU usage", LogLockdep, Facts{}},
		{"watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [x:1]", LogLockup, Facts{}},
		{"WARNING: CPU: 1 PID: 53 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110", LogWarning, Facts{}},
		{"refcount_t: underflow; use-after-free.", LogRefcount, Facts{}},
		{"general protection fault, probably for non-canonical address 0x6b6b6b6b6b6b6b8b: 0000 [#1] SMP", LogGPF, Facts{}},
		{"Oops: 0002 [#1] PREEMPT SMP NOPTI", LogOops, Facts{}},
		{"Kernel panic - not syncing: Fatal exception", LogPanic, Facts{}},
		{"INFO: task jbd2/loop0-8:123 blocked for more than 120 seconds.", LogHungTask, Facts{}},
		{"rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", LogRCUStall, Facts{}},
		{"rcu: INFO: rcu_sched self-detected stall on CPU", LogRCUStall, Facts{}},
		{"BUG aio_kiocb (Not tainted): Poison overwritten", LogSlab, Facts{}},
		{"list_del corruption. prev->next should be a, but was b", LogListCorruption, Facts{}},
		{"dioStress invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0", LogOOM, Facts{}},
		{"kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)", LogLeak, Facts{}},
		{"EXT4-fs error (device loop3): ext4_lookup:1: inode #2: comm x: deleted", LogExt4Error, Facts{Device: "loop3"}},
		{"EXT4-fs warning (device nvme0n1p1): ext4_end_bio:1: I/O error 10 writing to inode 12", LogExt4Warning, Facts{Device: "nvme0n1p1"}},
		{"EXT4-fs (loop0): shut down requested (2)", LogExt4Shutdown, Facts{Device: "loop0"}},
		{"Aborting journal on device loop0-8.", LogJBD2Error, Facts{Device: "loop0-8"}},
		{"JBD2: Error -5 detected when updating journal superblock for loop0-8.", LogJBD2Error, Facts{Device: "loop0-8"}},
		{"I/O error, dev loop0, sector 123 op 0x1:(WRITE) flags 0x8800 phys_seg 1 prio class 2", LogIOError, Facts{Device: "loop0", Status: "I/O"}},
		{"blk_update_request: I/O error, dev nvme0n1, sector 200000 op 0x1:(WRITE) flags 0x0 phys_seg 1 prio class 0", LogIOError, Facts{Device: "nvme0n1", Status: "I/O"}},
		{"critical medium error, dev nvme1n1, sector 200000 op 0x1:(WRITE)", LogIOError, Facts{Device: "nvme1n1", Status: "critical medium"}},
		{"Buffer I/O error on dev loop0, logical block 5, lost async page write", LogBufferIOError, Facts{Device: "loop0"}},
		{"EXT4-fs (loop0): mounted filesystem 1fd9 r/w with ordered data mode. Quota mode: none.", LogOther, Facts{}},
		{"loop0: detected capacity change from 0 to 131072", LogOther, Facts{}},
		{"random: crng init done; no debug: here", LogOther, Facts{}},
	}
	var c classifier
	for i, tt := range tests {
		l, err := parseRecord([]byte(fmt.Sprintf("2,%d,123456,-;%s\n SUBSYSTEM=block\n", i, tt.text)))
		if err != nil {
			t.Fatal(err)
		}
		c.classify(&l)
		if l.Text != tt.text || l.Class != tt.class || l.Facts != tt.facts {
			t.Errorf("%q:\n got %v %+v %q\nwant %v %+v", tt.text, l.Class, l.Facts, l.Text, tt.class, tt.facts)
		}
		// The same text from user space is not the kernel's word.
		l, err = parseRecord([]byte(fmt.Sprintf("12,%d,123456,-;%s\n", i, tt.text)))
		if err != nil {
			t.Fatal(err)
		}
		if new(classifier).classify(&l); l.Class != LogOther {
			t.Errorf("%q from user space is classified %v", tt.text, l.Class)
		}
	}
	classes := map[string]bool{}
	for k := range numClasses {
		if n := k.String(); n == "" || classes[n] {
			t.Errorf("class %d has the name %q, empty or used twice", k, n)
		}
		classes[k.String()] = true
	}
}

func TestParseRecord(t *testing.T) {
	l, err := parseRecord([]byte("14,4242,98765432,c,caller=T12;tab\\x09 and back\\x5cslash \\xzz\n DEVICE=b7:0\n"))
	want := Line{Seq: 4242, TimeNS: 98765432000, Level: 6, Facility: 1, Text: "tab\t and back\\slash \\xzz"}
	if err != nil || l != want {
		t.Errorf("%+v, %v; want %+v", l, err, want)
	}
	for _, bad := range []string{"", "6,1,2", "6,1;x", "a,1,2,-;x", "6,-1,2,-;x", "6,1,99999999999999999999,-;x"} {
		if _, err := parseRecord([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte("2,1,2,-;Page cache invalidation failure on direct I/O.  Possible"))
	f.Add([]byte("2,1,2,-;File: a PID: 3 Comm: x\n"))
	f.Add([]byte("4,1,2,-;x: 9 callbacks suppressed\\x41"))
	f.Fuzz(func(t *testing.T, rec []byte) {
		l, err := parseRecord(rec)
		if err != nil {
			return
		}
		if l.TimeNS < 0 || strings.ContainsRune(l.Text, 0) && !strings.Contains(string(rec), "\x00") && !strings.Contains(string(rec), `\x00`) {
			t.Fatalf("%q gave %+v", rec, l)
		}
		c := classifier{pending: 1}
		c.classify(&l)
		if l.Class >= numClasses || c.pending < 0 || c.pending > 2 || l.Facts.PID < 0 {
			t.Fatalf("%q gave %+v, pending %d", rec, l, c.pending)
		}
	})
}

func TestLogFromMarker(t *testing.T) {
	need.RootUser(t)
	before := Marker("before", 1)
	first, err := OpenLog(before)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if first.State() != LogMarked {
		need.Skip(t, need.Root, first.Why())
	}
	run := fmt.Sprintf("test-%d-%d", os.Getpid(), time.Now().UnixNano())
	marker := Marker(run, 0xabc)
	l, err := OpenLog(marker)
	if err != nil || l.State() != LogMarked || l.Why() != "" {
		t.Fatalf("%v, state %v: %s", err, l.State(), l.Why())
	}
	defer l.Close()
	after := "diostress test says <1> hello\ttab " + run
	if err := os.WriteFile(kmsgPath, []byte(after+"\n"), 0); err != nil {
		t.Fatal(err)
	}
	lines, err := l.Poll()
	if err != nil {
		t.Fatal(err)
	}
	has := func(ls []Line, text string) bool {
		return slices.ContainsFunc(ls, func(l Line) bool { return l.Text == text && l.Facility != 0 && l.Class == LogOther })
	}
	if !has(lines, after) || has(lines, marker) || has(lines, before) {
		t.Errorf("after the marker: %+v", lines)
	}
	if lines, err = first.Poll(); err != nil || !has(lines, marker) || !has(lines, after) || has(lines, before) {
		t.Errorf("the earlier log: %v, %+v", err, lines)
	}
	if !strings.Contains(marker, "diostress: run="+run+" seed=abc start") {
		t.Errorf("marker %q", marker)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Poll(); err == nil || l.State() != LogUnavailable {
		t.Error("a closed log polls without an error")
	}
	if _, err := OpenLog("two\nlines"); err == nil {
		t.Error("a marker of two lines was taken")
	}
}

// A pipe gives the reader what /dev/kmsg cannot be made to give.
func TestLogDroppedRecords(t *testing.T) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_DIRECT|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[1])
	l := &Log{fd: p[0], state: LogMarked, buf: make([]byte, kmsgBuf)}
	defer l.Close()
	for _, rec := range []string{"6,10,1,-;a\n", "6,11,2,-;b\n", "6,31,3,-;c\n"} {
		if _, err := unix.Write(p[1], []byte(rec)); err != nil {
			t.Fatal(err)
		}
	}
	lines, err := l.Poll()
	if err != nil || len(lines) != 3 || l.Dropped() != 19 {
		t.Errorf("%d lines, %d dropped, %v; want 3 and 19", len(lines), l.Dropped(), err)
	}
}

func TestBudget(t *testing.T) {
	const day = int64(24 * time.Hour)
	now := 3 * day
	inv := func(ts int64) *Line { return &Line{TimeNS: ts, Class: LogInvalidation} }
	var ten, old Budget
	for i := range int64(10) {
		ten.add(inv(now-i), now)
		old.add(inv(now-day-1-i), now)
	}
	old.add(&Line{Class: LogSuppressed, Facts: Facts{Func: "dio_warn_stale_pagecache", Count: 9}}, now)
	old.add(&Line{Class: LogSuppressed, Facts: Facts{Func: "other", Count: 9}}, now)
	tests := []struct {
		name  string
		b     Budget
		first uint64
		err   error
		want  BudgetState
	}{
		{"none, whole log", Budget{}, 0, nil, BudgetLeft},
		{"none, wrapped", Budget{}, 5, nil, BudgetUnknown},
		{"none, unreadable", Budget{}, 0, unix.EPERM, BudgetUnknown},
		{"ten, whole log", ten, 0, nil, BudgetExhausted},
		{"ten, wrapped", ten, 5, nil, BudgetExhausted},
		{"ten yesterday", old, 0, nil, BudgetLeft},
	}
	for _, tt := range tests {
		b := tt.b
		b.conclude(tt.first, tt.err)
		if b.State != tt.want || (b.Reason == "") != (b.State == BudgetLeft) {
			t.Errorf("%s: %+v, want %s", tt.name, b, tt.want)
		}
	}
	if old.Seen != 10 || old.Recent != 0 || old.Suppressed != 9 {
		t.Errorf("yesterday's: %+v", old)
	}
}

func TestInvalidationBudgetHere(t *testing.T) {
	need.RootUser(t)
	b := InvalidationBudget()
	seen := 0
	first, err := readWholeLog(func(l *Line) {
		if l.Facility == 0 && strings.HasPrefix(l.Text, "Page cache invalidation failure on direct I/O.") {
			seen++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < b.Seen || b.Recent > b.Seen || (b.State == BudgetLeft && (first != 0 || b.Recent >= 10)) || (b.State == BudgetUnknown && first == 0) {
		t.Errorf("%+v; %d in the log, whose first record is %d", b, seen, first)
	}
	t.Logf("%+v", b)
}

func TestClearWarnOnce(t *testing.T) {
	need.RootUser(t)
	done, why := ClearWarnOnce()
	if done == (why != "") {
		t.Errorf("done %v, why %q", done, why)
	}
	t.Logf("done %v %s", done, why)
}

func TestTaint(t *testing.T) {
	if got := (TaintWarn | TaintDie | 1 | 1<<40).String(); got != "proprietary_module,die,warn,bit_40" {
		t.Errorf("names %q", got)
	}
	if n := Taint(0).Names(); n != nil {
		t.Errorf("untainted: %q", n)
	}
	if _, err := ReadTaint(); err != nil {
		t.Error(err)
	}
}
