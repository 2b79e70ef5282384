package kernel

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"diostress/internal/need"
)

func TestRingBufferPage(t *testing.T) {
	l, err := parsePageLayout([]byte("\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n" +
		"\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n"))
	if err != nil || l != (pageLayout{8, 8, 16, 4096}) {
		t.Fatalf("%+v, %v", l, err)
	}
	var d []byte
	u32 := func(v uint32) { d = binary.NativeEndian.AppendUint32(d, v) }
	u32(2 | 10<<5) // 8 bytes, 10 ns later
	u32(0xa)
	u32(0xb)
	u32(30 | 5<<5) // time extend by 5 + 1<<27
	u32(1)
	u32(0 | 1<<5) // length in the array: 4 + 12 bytes of data, 1 ns later
	u32(16)
	u32(1)
	u32(2)
	u32(3)
	u32(29 | 7<<5) // a discarded record of 4+4 bytes, 7 ns later
	u32(4)
	u32(31 | 9<<5) // absolute time 9 + 2<<27
	u32(2)
	u32(1)
	u32(0xc)
	u32(29) // nothing more
	u32(0xffffffff)
	page := make([]byte, 16+len(d)+100)
	binary.NativeEndian.PutUint64(page, 1000)
	binary.NativeEndian.PutUint64(page[8:], uint64(len(d))|1<<31)
	copy(page[16:], d)
	var got []string
	if err := l.records(page, func(ts int64, raw []byte) { got = append(got, fmt.Sprint(ts, len(raw), raw[0])) }); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint([]string{"1010 8 10", fmt.Sprint(1010+5+1<<27+1, 12, 1), fmt.Sprint(9+2<<27, 4, 12)})
	want = strings.Replace(want, fmt.Sprint(1010+5+1<<27+1), fmt.Sprint(int64(1010)+5+(1<<27)+1), 1)
	want = strings.Replace(want, fmt.Sprint(9+2<<27), fmt.Sprint(int64(9)|(2<<27)), 1)
	if fmt.Sprint(got) != want {
		t.Errorf("%v, want %v", got, want)
	}
	binary.NativeEndian.PutUint64(page[8:], uint64(len(page)))
	if err := l.records(page, func(int64, []byte) {}); err == nil {
		t.Error("a page that claims more than it has gave no error")
	}
}

func FuzzRingBufferPage(f *testing.F) {
	l := pageLayout{8, 8, 16, 4096}
	f.Add([]byte("\x42\x01\x00\x00aaaabbbb\x1e\x00\x00\x00\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, d []byte) {
		page := make([]byte, 16, 16+len(d))
		binary.NativeEndian.PutUint64(page[8:], uint64(len(d)))
		page = append(page, d...)
		sum := 0
		_ = l.records(page, func(_ int64, raw []byte) { sum += len(raw) })
		if sum > len(d) {
			t.Fatalf("%d bytes of records out of %d", sum, len(d))
		}
	})
}

func TestStatsAndProfile(t *testing.T) {
	n, err := lostInStats("entries: 12\noverrun: 3\ncommit overrun: 1\nbytes: 400\noldest event ts:  5.1\nnow ts:  6.2\ndropped events: 7\nread events: 1\n")
	if n != 11 || err != nil {
		t.Errorf("lost %d, %v; want 11", n, err)
	}
	for _, bad := range []string{"", "entries: 1\n", "overrun: x\n"} {
		if _, err := lostInStats(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	h, m, err := profileHits("  other   1   0\n  diostress_1_0                 63               2\n", "diostress_1_0")
	if h != 63 || m != 2 || err != nil {
		t.Errorf("hits %d missed %d, %v", h, m, err)
	}
	if _, _, err := profileHits("  diostress_1_00  63  2\n", "diostress_1_0"); err == nil {
		t.Error("an event that is not there was found")
	}
}

func TestFindSymbolInLists(t *testing.T) {
	for text, want := range map[string]string{
		"vfs_read\ndio_warn_stale_pagecache\nx [ext4]\n":                                                      "dio_warn_stale_pagecache",
		"__pfx_dio_warn_stale_pagecache\ndio_warn_stale_pagecache.part.0\n":                                   "dio_warn_stale_pagecache.part.0",
		"ffffffff8158b770 t __pfx_dio_warn_stale_pagecache\nffffffff8158b780 t dio_warn_stale_pagecache\n":    "dio_warn_stale_pagecache",
		"0 t dio_warn_stale_pagecache.part.0.cold\n0 t dio_warn_stale_pagecache_x\n0 d dio_warn_stale_page\n": "",
	} {
		if got, err := scanSymbols(bufio.NewScanner(strings.NewReader(text)), postFunction); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestCleanTracing(t *testing.T) {
	need.RootUser(t)
	need.Alone(t)
	fs, err := openTracefs()
	if err != nil {
		need.Skip(t, need.Tracepoints, err.Error())
	}
	defer fs.close()
	// A process that has ended and been waited for.
	c := exec.Command("/proc/self/exe", "-test.run=^$")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	gone := fmt.Sprintf("diostress-%d-0", c.Process.Pid)
	alive := fmt.Sprintf("diostress-%d-99", os.Getpid())
	foreign := "diostress-x-test"
	for _, n := range []string{gone, alive, foreign} {
		if err := os.Mkdir(fs.path("instances", n), 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(fs.path("instances", n))
	}
	probe := ""
	if _, err := os.Stat(fs.path("kprobe_events")); err == nil {
		probe = fmt.Sprintf("diostress_%d_0", c.Process.Pid)
		if err := appendFile(fs.path("kprobe_events"), "p:diostress/"+probe+" vfs_read\n"); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(fs.path("events", "diostress", probe, "enable"), "1"); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := CleanTracing()
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(removed, "\n")
	if !strings.Contains(all, gone) || strings.Contains(all, alive) || strings.Contains(all, foreign) || !strings.Contains(all, probe) {
		t.Errorf("removed %q; want %s %s and neither %s nor %s", removed, gone, probe, alive, foreign)
	}
	for n, want := range map[string]bool{gone: false, alive: true, foreign: true} {
		if _, err := os.Stat(fs.path("instances", n)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", n, err == nil, want)
		}
	}
	if probe != "" {
		if text, err := os.ReadFile(fs.path("kprobe_events")); err != nil || strings.Contains(string(text), probe) {
			t.Errorf("kprobe_events %q, %v", text, err)
		}
	}
}

// Every fd, instance and mount is given back.
func TestTraceLeavesNothing(t *testing.T) {
	dir := ext4Dir(t)
	f := newTestFile(t, dir, "f", 1<<16)
	count := func() (fds, mounts int) {
		es, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		m, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		// Of the kinds that tracing needs: others mount what they like.
		return len(es), strings.Count(string(m), " - tracefs ") + strings.Count(string(m), " - debugfs ")
	}
	fds, mounts := count()
	for _, s := range []string{"", SourcePerf, SourceTracefs} {
		for _, m := range []Mode{TraceCount, TraceExact} {
			tr := mustTrace(t, Options{Mode: m, Files: []TraceFile{f.TraceFile}, Source: s})
			if _, inside := count(); inside != mounts {
				t.Errorf("%d mounts while tracing, %d before", inside, mounts)
			}
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
			if c := tr.Counts(InvalidateFail); c.Fidelity != FidelityUnavailable || tr.Close() != nil {
				t.Errorf("after Close: %+v", c)
			}
		}
	}
	if f2, m2 := count(); f2 != fds || m2 != mounts {
		t.Errorf("%d fds and %d mounts after, %d and %d before", f2, m2, fds, mounts)
	}
	fs, err := openTracefs()
	if err != nil {
		t.Fatal(err)
	}
	defer fs.close()
	es, err := os.ReadDir(fs.path("instances"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		if pid, ok := ownerOf(e.Name(), "-"); ok && pid == os.Getpid() {
			t.Errorf("instance %s is left", e.Name())
		}
	}
}
