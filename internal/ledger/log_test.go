package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"diostress/internal/plan"
)

// keep is a sink that copies everything.
type keep struct {
	entries []Entry
	records []Record
}

func (k *keep) Entry(e *Entry) { k.entries = append(k.entries, *e) }

func (k *keep) Record(r Record) {
	v := reflect.New(reflect.TypeOf(r).Elem())
	v.Elem().Set(reflect.ValueOf(r).Elem())
	k.records = append(k.records, v.Interface().(Record))
}

func (k *keep) trailer() *Trailer {
	if len(k.records) == 0 {
		return nil
	}
	t, _ := k.records[len(k.records)-1].(*Trailer)
	return t
}

func testHeader() *Header {
	return &Header{
		Format: Format, Run: "io_uring", Engine: "io_uring", EntriesIn: true, StartNS: 5, Start: "2026-01-02T03:04:05+00:00", Repro: "dioStress --seed 1",
		Config: plan.Config{BS: 4096, NumJobs: 1, Size: 8192, Verify: "full", Trace: "exact", Seed: 1 << 63},
		Files:  []plan.File{{Name: "main.0", Role: plan.Main, Size: 8192}, {Name: "control.0", Role: plan.Control, Size: 8192}},
		Facts:  Facts{Kernel: "6.18.1", FSType: "ext4", BlockSize: 4096, PageSize: 4096, Events: []string{"a", "b"}},
	}
}

// testRun puts a small run into a sink, with one of everything.
func testRun(s Sink) {
	s.Record(testHeader())
	counts := Counts{Submitted: 5, Completed: 4, Full: 2, Short: 1, Bytes: 2*4096 + 512, Duplicate: 1, Stray: 1, Lost: 1, Control: 1,
		Failed: map[int64]uint64{5: 1}, Leaked: map[int64]uint64{}, Submits: 9}
	var un unusual
	for _, e := range []Entry{
		{Gen: 1, Slot: 0, Len: 4096, Res: 4096, SubmitNS: 10, AcceptNS: 11, ReapNS: 20, Attr: Direct},
		{Gen: 2, Slot: 1, Len: 4096, Res: 4096, File: 1, Off: 4096, SubmitNS: 10, ReapNS: 21, Attr: BufferedFallback, Try: 3, Paused: true, Flags: 1 << 31},
		{Gen: 3, Slot: 0, Len: 4096, Res: 512, SubmitNS: 30, ReapNS: 40},
		{Gen: 4, Slot: 1, Len: 4096, Res: -5, SubmitNS: 30, ReapNS: 41, Attr: Direct},
	} {
		s.Entry(&e)
		if e.Res == 512 {
			un.note(Short, &e)
		} else if e.Res < 0 {
			un.note(Failed, &e)
		}
	}
	u := Unmatched{Tag: MakeTag(0, 1), Res: 4096, ReapNS: 22, Duplicate: true}
	s.Record(&u)
	un.note(Duplicate, &Entry{Gen: 1, Slot: 0, Res: 4096, ReapNS: 22})
	s.Record(&Unmatched{Tag: MakeTag(7, 99), Res: 1, ReapNS: 23})
	un.note(Stray, &Entry{Gen: 99, Slot: 7, Res: 1, ReapNS: 23})
	s.Record(&Sync{Call: "fsync", FD: 1, File: 1, BeginNS: 50, EndNS: 60, Errno: 5, Advanced: true, CanTell: true, Old: 0x1005, New: 0x3005, TID: 9})
	s.Record(&Note{TimeNS: 55, Source: "kmsg", Class: "invalidation", Text: "Page cache \"x\" & <y>", File: -1})
	s.Record(&Epoch{N: 0, BeginNS: 5, EndNS: 70, Drained: true, Files: []FileEpoch{{Mmap: true, Writers: []GenRange{{9, 1, 1 << 62}}}, {Direct: 1}}})
	s.Record(&Readback{File: 1, View: Disk, Off: 4096, Proved: true, Spans: []Span{{Words: 500, OK: true, By: Stamp{1, 2}}, {Words: 12, Raw: 1 << 63, Where: -1}}, Legal: []Stamp{{1, 2}, {1, AnyGen}}})
	s.Record(&Readback{View: Cache, Errno: 5})
	lost := InFlight{Slot: 2, Gen: 5, Off: 0, Len: 4096, SubmitNS: 44}
	s.Record(&lost)
	s.Record(&Trailer{EndNS: 80, Jobs: []JobSum{{Counts: counts, Unusual: un, Pending: []InFlight{lost}, Attr: AttrSum{Direct: 2, Fallback: 1, Unknown: 1, Collided: 1},
		Lat: LatSum{N: 4, Mean: 10.125, Stddev: 1.0 / 3, Percentiles: map[string]int64{"50.000000": 10}}}}, Series: []SampleSum{{TimeNS: 1}}})
}

func writeLog(t testing.TB, name string, runs int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	l, err := CreateLog(path)
	if err != nil {
		t.Fatal(err)
	}
	for range runs {
		testRun(l)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readAll(b []byte) (runs []*keep, err error) {
	err = ReadLog(bytes.NewReader(b), func(*Header) (Sink, error) {
		runs = append(runs, &keep{})
		return runs[len(runs)-1], nil
	})
	return runs, err
}

func TestLogRoundTrip(t *testing.T) {
	var want keep
	testRun(&want)
	for _, name := range []string{"x.log", "x.log.zst"} {
		writeLog(t, name, 1)
		path := filepath.Join(t.TempDir(), name)
		l, err := CreateLog(path)
		if err != nil {
			t.Fatal(err)
		}
		tee := Tee{l, &keep{}}
		testRun(tee)
		testRun(tee)
		if err := errors.Join(l.Err(), l.Close()); err != nil {
			t.Fatal(err)
		}
		in, err := OpenLog(path)
		if err != nil {
			t.Fatal(err)
		}
		var runs []*keep
		err = ReadLog(in, func(*Header) (Sink, error) {
			runs = append(runs, &keep{})
			return runs[len(runs)-1], nil
		})
		if err != nil || in.Close() != nil || len(runs) != 2 {
			t.Fatalf("%s: %d runs, %v", name, len(runs), err)
		}
		for _, got := range runs {
			if !reflect.DeepEqual(got.entries, want.entries) {
				t.Errorf("%s: entries\n%+v, want\n%+v", name, got.entries, want.entries)
			}
			if len(got.records) != len(want.records) {
				t.Fatalf("%s: %d records, want %d", name, len(got.records), len(want.records))
			}
			for i := range want.records {
				if !reflect.DeepEqual(got.records[i], want.records[i]) {
					t.Errorf("%s: record %d\n%+v, want\n%+v", name, i, got.records[i], want.records[i])
				}
			}
		}
	}
}

// TestCutLog cuts a log around every end of a line and at many places between: what is whole is handed on, the trailer
// says that the run was cut, and nothing is taken from half a line.
func TestCutLog(t *testing.T) {
	whole := writeLog(t, "x.log", 1)
	first := bytes.IndexByte(whole, '\n') + 1
	header := first + bytes.IndexByte(whole[first:], '\n') + 1
	for n := range len(whole) - 1 {
		if n%7 != 0 && !bytes.ContainsRune(whole[max(n-2, 0):n+2], '\n') {
			continue
		}
		runs, err := readAll(whole[:n])
		switch {
		case n == 0:
			if err == nil || !strings.Contains(err.Error(), "empty") {
				t.Fatalf("%d bytes: %v", n, err)
			}
		case n < first-1:
			if err == nil || !strings.Contains(err.Error(), "line 1") {
				t.Fatalf("%d bytes: %v", n, err)
			}
		case n == first-1, n == first:
			if err != nil || len(runs) != 0 {
				t.Fatalf("%d bytes: %v, %d runs", n, err, len(runs))
			}
		case n < header:
			if !errors.Is(err, ErrTruncated) || len(runs) != 0 {
				t.Fatalf("%d bytes: %v, %d runs", n, err, len(runs))
			}
		default:
			tr := runs[0].trailer()
			if !errors.Is(err, ErrTruncated) || tr == nil || !tr.Cut {
				t.Fatalf("%d bytes: %v, trailer %+v", n, err, tr)
			}
			if want := bytes.Count(whole[:n], []byte("\nC ")); uint64(len(runs[0].entries)) != tr.Jobs[0].Counts.Completed || len(runs[0].entries) < want-1 {
				t.Fatalf("%d bytes: %d entries, %+v", n, len(runs[0].entries), tr.Jobs[0].Counts)
			}
			for i, e := range runs[0].entries {
				if e.Gen != uint64(i+1) || e.SubmitNS == 0 {
					t.Fatalf("%d bytes: entry %+v", n, e)
				}
			}
		}
	}
	// A complete trailer is one, also without its newline.
	if runs, err := readAll(whole[:len(whole)-1]); err != nil || runs[0].trailer().Cut {
		t.Errorf("without the last newline: %v", err)
	}
}

func TestCutCompressedLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.zst")
	l, err := CreateLog(path)
	if err != nil {
		t.Fatal(err)
	}
	testRun(l)
	l.flush()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := os.WriteFile(path, b[:len(b)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var k keep
	err = ReadLog(in, func(*Header) (Sink, error) { return &k, nil })
	if !errors.Is(err, ErrTruncated) || k.trailer() == nil || !k.trailer().Cut {
		t.Errorf("%v, %+v", err, k.trailer())
	}
}

func TestCorruptLog(t *testing.T) {
	whole := string(writeLog(t, "x.log", 1))
	lines := strings.SplitAfter(whole, "\n")
	line := func(kind byte) int { // number of the first line of a kind, from 1
		for i, l := range lines[1:] {
			if l[0] == kind {
				return i + 2
			}
		}
		t.Fatalf("no line of kind %c", kind)
		return 0
	}
	put := func(n int, text string) string {
		out := append([]string{}, lines...)
		out[n-1] = text + "\n"
		return strings.Join(out, "")
	}
	c, s, r := line('C'), line('S'), line('R')
	for name, x := range map[string]struct {
		log  string
		want []string
	}{
		"other file":        {"#!/bin/sh\n", []string{"line 1:", "not a dioStress log"}},
		"other format":      {"diostress-log 99\n", []string{"line 1:", `"99"`, "valid: 1"}},
		"record first":      {lines[0] + lines[2], []string{"line 2:", "before any header"}},
		"unknown kind":      {put(c, "Q {}"), []string{fmt.Sprintf("line %d:", c), `'Q'`, "valid: H C"}},
		"no record":         {put(c, "C"), []string{fmt.Sprintf("line %d:", c), "no record"}},
		"not a number":      {put(c, "C 0 0 one"+strings.Repeat(" 0", 12)), []string{fmt.Sprintf("line %d:", c), `"one"`, "number 3"}},
		"too few":           {put(c, "C 0 0 1 0"), []string{fmt.Sprintf("line %d:", c), "4 numbers instead of 15"}},
		"too many":          {put(c, "C 0 0 1"+strings.Repeat(" 1", 13)), []string{fmt.Sprintf("line %d:", c), "more than 15"}},
		"no generation":     {put(c, "C 0 0 0 0 0 4096 4096 0 1 2 3 0 0 0 0"), []string{fmt.Sprintf("line %d:", c), "number 3 is 0"}},
		"no length":         {put(c, "C 0 0 1 0 0 0 4096 0 1 2 3 0 0 0 0"), []string{"number 6 is 0"}},
		"job":               {put(c, "C 5 0 1 0 0 4096 4096 0 1 2 3 0 0 0 0"), []string{fmt.Sprintf("line %d:", c), "job 5; the header has 1"}},
		"file":              {put(c, "C 0 0 1 9 0 4096 4096 0 1 2 3 0 0 0 0"), []string{"file 9; the header has 2"}},
		"attribution":       {put(c, "C 0 0 1 0 0 4096 4096 0 1 2 3 7 0 0 0"), []string{"number 12 is 7"}},
		"json":              {put(s, "S {"), []string{fmt.Sprintf("line %d:", s), "record:"}},
		"sync of no file":   {put(s, `S {"file":3}`), []string{fmt.Sprintf("line %d:", s), "file 3"}},
		"sync backwards":    {put(s, `S {"begin_ns":3,"end_ns":2}`), []string{"ends at 2"}},
		"view":              {put(r, `R {"view":"front"}`), []string{fmt.Sprintf("line %d:", r), `"front"`, "baseline"}},
		"no words":          {put(r, `R {"view":"disk","spans":[{"n":0}]}`), []string{"span of 0 words"}},
		"words missing":     {put(r, `R {"view":"disk","spans":[{"n":511}]}`), []string{"4088 bytes for the block of 4096"}},
		"block outside":     {put(r, `R {"view":"disk","off":8192,"spans":[{"n":512}]}`), []string{"block of 0 bytes at 8192"}},
		"jobs":              {put(2, `H {"format":1,"config":{"numjobs":0,"bs":1}}`), []string{"line 2:", "numjobs 0"}},
		"many jobs":         {put(2, `H {"format":1,"config":{"numjobs":1000000,"bs":1}}`), []string{"numjobs 1000000", "1 to 1024"}},
		"no block size":     {put(2, `H {"format":1,"config":{"numjobs":1}}`), []string{"bs 0"}},
		"header format":     {put(2, `H {"format":7}`), []string{"format 7; valid: 1"}},
		"a second header":   {put(c, lines[1][:len(lines[1])-1]), []string{fmt.Sprintf("line %d:", c), ErrTruncated.Error()}},
		"epoch of no files": {put(line('E'), `E {"files":[{},{},{}]}`), []string{"epoch with 3 files"}},
	} {
		_, err := readAll([]byte(x.log))
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, w := range x.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", name, err, w)
			}
		}
	}
	if err := ReadLog(strings.NewReader(whole), func(*Header) (Sink, error) { return nil, errors.New("no thanks") }); err == nil || !strings.Contains(err.Error(), "line 2: no thanks") {
		t.Errorf("begin's error: %v", err)
	}
}

// TestEntriesAreBelieved: what the trailer says is replaced by what the entries
// come to, and where the two differ the log is not to be trusted.
func TestEntriesAreBelieved(t *testing.T) {
	whole := string(writeLog(t, "x.log", 1))
	for name, x := range map[string]struct {
		edit   func(string) string
		broken string
		check  func(*Trailer) bool
	}{
		"as it is": {func(s string) string { return s }, "", func(tr *Trailer) bool { return tr.Jobs[0].Counts.Full == 2 }},
		"a result changed": {func(s string) string {
			return strings.Replace(s, " 4096 4096 0 10 11 20 ", " 4096 -529 0 10 11 20 ", 1)
		}, "do not add up",
			func(tr *Trailer) bool {
				return tr.Jobs[0].Counts.Leaked[529] == 1 && tr.Jobs[0].Unusual[0].Outcome == "leaked_errno"
			}},
		"an entry twice": {func(s string) string {
			i := strings.Index(s, "\nC ")
			j := i + 1 + strings.IndexByte(s[i+1:], '\n')
			return s[:j] + s[i:j] + s[j:]
		}, "do not add up", func(tr *Trailer) bool { return tr.Jobs[0].Counts.Duplicate == 2 }},
		"an entry missing": {func(s string) string {
			i := strings.Index(s, "\nC ")
			return s[:i] + s[i+1+strings.IndexByte(s[i+1:], '\n'):]
		}, "do not add up", func(tr *Trailer) bool { return tr.Jobs[0].Counts.Completed == 3 }},
		"the trailer changed": {func(s string) string { return strings.Replace(s, `"Short":1`, `"Short":0`, 1) }, "do not add up",
			func(tr *Trailer) bool { return tr.Jobs[0].Counts.Short == 1 }},
		"dropped":    {func(s string) string { return strings.Replace(s, `"log_dropped":0`, `"log_dropped":3`, 1) }, "3 completions did not reach the log", nil},
		"no entries": {func(s string) string { return strings.Replace(s, `"entries":true`, `"entries":false`, 1) }, "does not hold the completions", nil},
	} {
		edited := x.edit(whole)
		if name != "as it is" && edited == whole {
			t.Errorf("%s: nothing was changed", name)
		}
		runs, err := readAll([]byte(edited))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		tr := runs[0].trailer()
		if (x.broken == "") != (tr.Broken == "") || !strings.Contains(tr.Broken, x.broken) {
			t.Errorf("%s: broken %q, want %q", name, tr.Broken, x.broken)
		}
		if x.check != nil && !x.check(tr) {
			t.Errorf("%s: %+v", name, tr.Jobs[0])
		}
	}
}

func TestLogErrors(t *testing.T) {
	if _, err := CreateLog(filepath.Join(t.TempDir(), "no", "such", "dir")); err == nil {
		t.Error("created in a directory that is not there")
	}
	if _, err := OpenLog(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("opened a file that is not there")
	}
	l, err := CreateLog("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	testRun(l)
	if l.Close() == nil || l.Err() == nil {
		t.Error("a full device was not noticed")
	}
}

func FuzzReadLog(f *testing.F) {
	whole := writeLog(f, "x.log", 1)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("diostress-log 1\nH {\"format\":1,\"config\":{\"numjobs\":2,\"bs\":8}}\nT {}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		runs, err := readAll(b)
		if err != nil && !strings.HasPrefix(err.Error(), "line ") {
			t.Fatalf("an error without its line: %v", err)
		}
		for i, r := range runs {
			tr := r.trailer()
			if tr == nil && err == nil {
				t.Fatalf("run %d has no trailer, and nothing is wrong", i)
			}
			if tr == nil || len(tr.Jobs) == 0 || tr.Broken != "" {
				continue
			}
			var n uint64
			for _, j := range tr.Jobs {
				n += j.Counts.Completed
			}
			if n != uint64(len(r.entries)) {
				t.Fatalf("run %d: %d completions of %d entries", i, n, len(r.entries))
			}
		}
	})
}
