package kernel

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"diostress/internal/need"

	"golang.org/x/sys/unix"
)

func TestParseRelease(t *testing.T) {
	tests := []struct {
		in   string
		want [3]int
	}{
		{"6.18.44-fc-v669", [3]int{6, 18, 44}}, {"5.10.0-46-cloud-amd64", [3]int{5, 10, 0}}, {"7.3-rc1", [3]int{7, 3, 0}},
		{"6.12", [3]int{6, 12, 0}}, {"6.6.1.2+", [3]int{6, 6, 1}}, {"4.14.177", [3]int{4, 14, 177}},
	}
	for _, tt := range tests {
		a, b, c, err := ParseRelease(tt.in)
		if err != nil || [3]int{a, b, c} != tt.want {
			t.Errorf("%q: %d.%d.%d, %v", tt.in, a, b, c, err)
		}
	}
	for _, bad := range []string{"", "6", "x.y", "-6.1", "6..1", ".6.1", "99999999999999999999.1"} {
		if _, _, _, err := ParseRelease(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzParseRelease(f *testing.F) {
	f.Add("6.18.44-fc-v669")
	f.Add("7.3-rc1")
	f.Fuzz(func(t *testing.T, s string) {
		a, b, c, err := ParseRelease(s)
		if err == nil && (a < 0 || b < 0 || c < 0) {
			t.Fatalf("%q gave %d.%d.%d", s, a, b, c)
		}
	})
}

func TestReadEnvironment(t *testing.T) {
	e := ReadEnvironment()
	if out, err := exec.Command("uname", "-r").Output(); err == nil && e.Release != strings.TrimSpace(string(out)) {
		t.Errorf("release %q, uname says %q", e.Release, out)
	}
	if e.CPUs < 1 || e.MemoryBytes < 16<<20 || e.PageSize < 4096 || len(e.BootID) != 36 || e.MemlockSoft < 0 || e.Machine == Unknown {
		t.Errorf("%+v", e)
	}
	if e.CPUs < runtime.NumCPU() {
		t.Errorf("%d CPUs online, this process may use %d", e.CPUs, runtime.NumCPU())
	}
	for _, n := range ConfigNames() {
		if e.Config[n] == "" {
			t.Errorf("no fact about CONFIG_%s", n)
		}
	}
	if e.ConfigSource == Unknown && e.Config["EXT4_FS"] != Unknown {
		t.Error("facts without a source")
	}
	if e.ConfigSource != Unknown && e.Config["PERF_EVENTS"] == Unknown {
		t.Error("a source without facts")
	}
	if n := e.Dirty["dirty_expire_centisecs"]; n == "" || n == Unknown {
		t.Errorf("dirty knobs %v", e.Dirty)
	}
	t.Logf("%+v", e)
}

func TestParseConfig(t *testing.T) {
	c, err := parseConfig([]byte("# c\nCONFIG_KASAN=y\n# CONFIG_KPROBES is not set\nCONFIG_EXT4_FS=m\nCONFIG_HZ=250\nCONFIG_LOCALVERSION=\"x\"\n"))
	if err != nil || c["KASAN"] != "y" || c["KPROBES"] != "n" || c["EXT4_FS"] != "m" || c["HZ"] != "250" || c["DEBUG_VM"] != "n" {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := parseConfig([]byte("404 not found")); err == nil {
		t.Error("a text that is no config was taken for one")
	}
	if chosen("always [madvise] never") != "madvise" || chosen("nothing") != Unknown || chosen("[]") != Unknown {
		t.Error("chosen word")
	}
}

func TestDropFile(t *testing.T) {
	dir := ext4Dir(t)
	f := newTestFile(t, dir, "f", 1<<20+100)
	buf := mapped(t, -1, blockSize)
	page := uint64((f.size + int64(os.Getpagesize()) - 1) / int64(os.Getpagesize()))

	pwrite(t, f.buffered, buf, 0)
	s, err := Cachestat(f.buffered, 0, 0)
	if err != nil && !errors.Is(err, unix.ENOSYS) {
		t.Fatal(err)
	}
	if err == nil && (s.Cached != page || s.Dirty < 1) {
		t.Errorf("cachestat %+v, want %d cached and 1 dirty at least", s, page)
	}
	// A last page of which not all blocks are cached is not counted.
	if err := fillPages(f.buffered, f.size); err != nil {
		t.Fatal(err)
	}
	if n, err := Resident(f.buffered, f.size); n != page || err != nil {
		t.Errorf("mincore %d, %v; want %d", n, err, page)
	}
	// A mapped page cannot be dropped: not proved, and not an error.
	m := mapped(t, f.buffered, blockSize)
	m[0]++
	if err := unix.Fdatasync(f.buffered); err != nil {
		t.Fatal(err)
	}
	sum := m[0]
	proved, why, err := DropFile(f.buffered, f.size)
	if err != nil || proved || !strings.Contains(why, "still cached") {
		t.Errorf("with page 0 mapped (%d): proved %v, %q, %v", sum, proved, why, err)
	}
	if err := unix.Madvise(m, unix.MADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	proved, why, err = DropFile(f.buffered, f.size)
	if err != nil || !proved || why == "" {
		t.Errorf("proved %v, %q, %v", proved, why, err)
	}
	if n, err := Resident(f.buffered, f.size); n != 0 || err != nil {
		t.Errorf("after the drop mincore says %d, %v", n, err)
	}
	if _, _, err := DropFile(f.buffered, -1); err == nil {
		t.Error("size -1: no error")
	}
	if _, err := Cachestat(f.buffered, -1, 0); err == nil {
		t.Error("offset -1: no error")
	}
}

func TestWitness(t *testing.T) {
	dir := ext4Dir(t)
	f := newTestFile(t, dir, "f", 1<<20)
	a, err := OpenWitness(f.path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := OpenWitness(f.path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if a.ID() == b.ID() || a.File() != f.TraceFile {
		t.Errorf("IDs %d %d, file %+v", a.ID(), b.ID(), a.File())
	}
	sample := func(w *Witness) unix.Errno {
		t.Helper()
		s, err := w.Sample()
		if err != nil || s.EndNS <= s.BeginNS {
			t.Fatalf("sample %+v, %v", s, err)
		}
		return s.Errno
	}
	if e := sample(a); e != 0 {
		t.Fatalf("a fresh file's witness says %v", e)
	}
	if e := sample(b); e != 0 {
		t.Fatalf("a fresh file's witness says %v", e)
	}

	// A post-write failure: direct writes in flight while the pages are dirtied.
	budget := InvalidationBudget()
	log, err := OpenLog(Marker("witness", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	tr, err := OpenTrace(Options{Mode: TraceExact, Files: []TraceFile{f.TraceFile}})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	var fromA unix.Errno
	buf := mapped(t, -1, 64<<10)
	offs := make([]int64, 16)
	for i := range offs {
		offs[i] = int64(i) * int64(len(buf))
	}
	collide(t, f, func() bool {
		aioWrite(t, f.direct, buf, offs)
		fromA = sample(a)
		return fromA != 0
	})
	if fromA != unix.EIO {
		t.Errorf("witness a: %v, want EIO", fromA)
	}
	if e := sample(b); e != unix.EIO {
		t.Errorf("witness b, told of the same failure: %v, want EIO", e)
	}
	if e := sample(b); e != 0 {
		t.Errorf("witness b, a second time: %v, want nothing", e)
	}
	if s, err := a.SampleFS(); s.Errno != 0 || err != nil {
		t.Errorf("syncfs after an invalidation failure: %v, %v; want nothing", s.Errno, err)
	}
	if tr.Source() != SourceUnavailable {
		if c := tr.Counts(AdvanceWbErr); c.N < 2 || c.Fidelity != FidelityExact {
			t.Errorf("AdvanceWbErr %+v, want 2 at least", c)
		}
		if c := tr.Counts(SetWbErr); c.N != 0 {
			t.Errorf("SetWbErr %+v: an invalidation failure is no writeback error", c)
		}
		ptrs := map[uint64]bool{}
		if _, err := tr.DrainAll(func(e *Event) {
			if e.Kind == AdvanceWbErr && e.Errno == int32(unix.EIO) {
				ptrs[e.Ptr] = true
			}
		}); err != nil {
			t.Error(err)
		}
		if len(ptrs) != 2 {
			t.Errorf("%d open file descriptions were told, want 2", len(ptrs))
		}
		if post := tr.Counts(StalePagecache); tr.Has(StalePagecache) && post.N == 0 {
			t.Errorf("EIO without a counted post-write failure: %+v", post)
		} else {
			t.Logf("post-write failures: %+v (%s)", post, tr.PostProbe())
			checkAgainstLog(t, log, budget, post, f.path)
		}
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := a.Sample(); err == nil {
		t.Error("a closed witness samples without an error")
	}
	if _, err := OpenWitness(dir); err == nil {
		t.Error("a directory was opened as a witness")
	}
}

func TestShutdownMakesWritebackFail(t *testing.T) {
	dir := ext4Dir(t)
	if _, err := exec.LookPath("losetup"); err != nil {
		need.Skip(t, need.Tool, "losetup is missing: there is no file system of the test's own to shut down")
	}
	f := newTestFile(t, dir, "f", 1<<20)
	w, err := OpenWitness(f.path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	tr, err := OpenTrace(Options{Mode: TraceExact, Files: []TraceFile{f.TraceFile}})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	l, err := OpenLog(Marker("shutdown", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	pwrite(t, f.buffered, make([]byte, blockSize), 0)
	if err := Shutdown(dir, ShutdownNoFlushLog); err != nil {
		t.Fatal(err)
	}
	s, err := w.Sample()
	if err != nil || s.Errno == 0 {
		t.Errorf("fsync on a file system that is shut down: %v, %v; want an errno", s.Errno, err)
	}
	if l.State() == LogMarked {
		lines, err := l.Poll()
		if err != nil || !slices.ContainsFunc(lines, func(l Line) bool { return l.Class == LogExt4Shutdown && l.Facts.Device != "" }) {
			t.Errorf("log %v, %+v; want the shutdown with its device", err, lines)
		}
	}
	if err := Shutdown("/proc", ShutdownFreeze); err == nil {
		t.Error("/proc was shut down")
	}
}

func TestStuckDump(t *testing.T) {
	var b bytes.Buffer
	if err := StuckDump(&b); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count("\n"+out, "\ntask "); n < 1 || n > len(tasks)+8 || !strings.Contains(out, " state ") || !strings.Contains(out, "  syscall ") || !strings.Contains(out, "  stack ") {
		t.Errorf("%d tasks now, dump:\n%s", len(tasks), out)
	}
	comm, state, ok := parseStat("12 (a) b (c) D 1 2")
	if comm != "a) b (c" || state != 'D' || !ok {
		t.Errorf("stat: %q %c %v", comm, state, ok)
	}
	for _, bad := range []string{"", "1 (x", "1 x)", ") (", "1 (x)"} {
		if _, _, ok := parseStat(bad); ok {
			t.Errorf("stat %q was parsed", bad)
		}
	}
	blocked, err := BlockedTasks()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range blocked {
		if k.PID < 1 || k.TID < 1 || k.Comm == "" {
			t.Errorf("blocked task %+v", k)
		}
	}
}

func TestSysrqW(t *testing.T) {
	need.RootUser(t)
	lines, err := SysrqW()
	if _, serr := os.Stat(sysrqPath); serr != nil {
		if err == nil || !strings.Contains(err.Error(), "MAGIC_SYSRQ") {
			t.Errorf("no sysrq here, error %v", err)
		}
		return
	}
	if err != nil || !slices.ContainsFunc(lines, func(l Line) bool { return strings.Contains(strings.ToLower(l.Text), "show blocked state") }) {
		t.Errorf("%v, %+v", err, lines)
	}
}

// checkAgainstLog holds the kprobe's count against the log's lines where both
// can be had and the message was not yet rate limited.
func checkAgainstLog(t *testing.T, log *Log, budget Budget, post Count, path string) {
	t.Helper()
	if log.State() != LogMarked || budget.State != BudgetLeft || post.Fidelity != FidelityExact || budget.Recent+int(post.N) > invalidationBurst {
		t.Logf("not compared with the log: %v, budget %+v, count %+v", log.State(), budget, post)
		return
	}
	lines, err := log.Poll()
	if err != nil {
		t.Fatal(err)
	}
	var n, files uint64
	for _, l := range lines {
		switch {
		case l.Class == LogInvalidation:
			n++
		case l.Class == LogInvalidationFile && l.Facts.File == path && l.Facts.PID > 0 && l.Facts.Comm != "":
			files++
		}
	}
	if n != post.N || files != n {
		t.Errorf("the log has %d failures and %d of this file, the kprobe counted %d", n, files, post.N)
	}
}
