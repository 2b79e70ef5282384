package report

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"diostress/internal/verdict"
)

// TestTextWidth: 100 columns are enough for everything but commands and
// kernel log lines.
func TestTextWidth(t *testing.T) {
	for name, r := range results() {
		kernel := map[string]bool{}
		for i := range r.Runs {
			for _, l := range r.Runs[i].KernelLog.Lines {
				kernel["    "+l] = true
			}
		}
		for i, l := range strings.Split(render(t, "text", r), "\n") {
			if utf8.RuneCountInString(l) > 100 && !strings.HasPrefix(l, "  repeat with ") && !kernel[l] {
				t.Errorf("%s line %d has %d columns: %s", name, i+1, utf8.RuneCountInString(l), l)
			}
			if strings.TrimRight(l, " ") != l {
				t.Errorf("%s line %d ends in blanks: %q", name, i+1, l)
			}
		}
	}
}

// TestTextBegins: the verdict is the first word, and its reason, the seed and
// the command follow at once.
func TestTextBegins(t *testing.T) {
	for name, r := range results() {
		text := render(t, "text", r)
		head := strings.Join(strings.SplitN(text, "\n", 8)[:7], "\n")
		for _, want := range []string{strings.ToUpper(r.Verdict.String()), r.Reason, seed(r), r.Repro} {
			if !strings.Contains(head, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, head)
			}
		}
		if !strings.HasPrefix(text, strings.ToUpper(r.Verdict.String())) {
			t.Errorf("%s begins %q", name, head)
		}
	}
}

// TestTextUnavailable: what nobody could look at is never a number.
func TestTextUnavailable(t *testing.T) {
	text := render(t, "text", undecided())
	for _, want := range []string{
		"pre-write failures unavailable: tracing unavailable: no permission", "post-write failures unavailable",
		"finished      not attributed", "fsync         never called", "data          not read back", "kernel log    unavailable", "not known: slat",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, never := range []string{"pre-write failures 0", "0/s", "words checked"} {
		if strings.Contains(text, never) {
			t.Errorf("%q in\n%s", never, text)
		}
	}
	r := undecided()
	r.Runs = append(r.Runs, r.Runs[0])
	r.Runs[1].Name = "other"
	if !strings.Contains(render(t, "text", r), "unavailable          -") {
		t.Error("the table of runs shows a figure for an unavailable count")
	}
}

// TestTextQuiet: a count of nothing that was exact is a 0.
func TestTextQuiet(t *testing.T) {
	text := render(t, "text", quiet())
	for _, want := range []string{"pre-write failures 0, exact", "post-write failures none seen (a lower bound: EIO at fsync (coalesces))", "0/s before the write, 0.0 % of the writes", "310 calls, 0 EIO\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestTextBounds(t *testing.T) {
	text := render(t, "text", flood(10_000))
	if n := strings.Count(text, "\n"); n > 250 || len(text) > 20_000 {
		t.Errorf("%d lines, %d bytes for 10,000 findings", n, len(text))
	}
	for _, want := range []string{"Findings: 10000\n", "and 9950 more findings, by rule: completed_once=3317 legal_result=3317 no_stray=3316", "FAIL completed_once=3334"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}

	one := passing()
	w := make([]verdict.Witness, 5000)
	long := strings.Repeat(strings.Repeat("long ", 1000)+"\n", 50)
	for i := range w {
		w[i].Evidence = long
	}
	fail(one, "4k.libaio", "no_stray", 1, strings.Repeat("text ", 10_000), w...)
	for i := range one.Runs {
		one.Runs[i].KernelLog.Lines = make([]string, 5000)
	}
	if text = render(t, "text", one); strings.Count(text, "\n") > 500 || !strings.Contains(text, "and 4992 more witnesses") || !strings.Contains(text, "and 4980 more lines") {
		t.Errorf("%d lines for 5,000 witnesses", strings.Count(text, "\n"))
	}

	many := passing()
	many.Runs, many.Rules = nil, nil
	for i := range 2000 {
		addRun(many, fmt.Sprintf("run%d", i), "psync")
	}
	fail(many, "run1999", "no_stray", 1, "x")
	text = render(t, "text", many)
	if n := strings.Count(text, "\n"); n > 800 || !strings.Contains(text, "\nrun1999: FAIL") || !strings.Contains(text, "1992 more runs have no account here") ||
		!strings.Contains(text, "and 1800 more runs") || !strings.Contains(text, "\nrun1999     fail") {
		t.Errorf("%d lines for 2,000 runs", n)
	}
}

// TestTextShared: what stands in the first job's run is of all jobs, and no
// other job shows a nought for it.
func TestTextShared(t *testing.T) {
	text := render(t, "text", matrix())
	at := strings.Index(text, "\n1k.extend.io_uring.loop2: FAIL (io_uring, scenario extend, loop 2)\n")
	if at < 0 {
		t.Fatal(text)
	}
	account, _, _ := strings.Cut(text[at+1:], "\n\n")
	for what, n := range map[string]int{"  job ": 2, "  completions ": 2, "  fsync         310 calls": 1, "  fsync         never": 0, "  data ": 1, "not read back": 0, "  adequacy ": 1} {
		if strings.Count(account, what) != n {
			t.Errorf("%q is there %d times, want %d:\n%s", what, strings.Count(account, what), n, account)
		}
	}
}

func TestWitness(t *testing.T) {
	for _, c := range []struct {
		w    verdict.Witness
		want string
	}{
		{verdict.Witness{}, ""},
		{verdict.Witness{Evidence: "x"}, "x"},
		{verdict.Witness{Evidence: "x\ny\n"}, "x|y"},
		{verdict.Witness{TimeNS: 1500, File: "a b", Offset: 0, Length: 8, Tag: 255, Res: -5}, `0.000002 s "a b" offset 0x0 length 8 tag 0xff res -5`},
		{verdict.Witness{Offset: 16, Evidence: "x"}, "offset 0x10: x"},
		{verdict.Witness{Tag: 1, Evidence: "x\n\ty"}, "tag 0x1:|x|    y"},
		{verdict.Witness{Evidence: "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12"}, "1|2|3|4|5|6|7|8|9|10|(2 more lines)"},
	} {
		if got := strings.Join(witness(&c.w), "|"); got != c.want {
			t.Errorf("%+v: %q, want %q", c.w, got, c.want)
		}
	}
}

func TestFlaky(t *testing.T) {
	for _, c := range []struct {
		f    verdict.Flaky
		want string
	}{
		{verdict.Flaky{Name: "a", Failed: 2, Total: 5}, "Flaky: a: 40% (2/5)"},
		{verdict.Flaky{Name: "a", Failed: 1, Total: 3}, "Flaky: a: 33% (1/3)"},
		{verdict.Flaky{Name: "a", Failed: 2, Total: 3}, "Flaky: a: 67% (2/3)"},
		{verdict.Flaky{Name: "a"}, "Flaky: a: 0% (0/0)"},
	} {
		if got := flaky(c.f); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		size(0): "0 B", size(1023): "1023 B", size(1536): "1.5 KiB", size(4096): "4 KiB", size(1 << 60): "1 EiB",
		micros(0): "0.00", micros(9994): "9.99", micros(9996): "10.0", micros(999_960): "1000", micros(12_345_678): "12346",
		rate(0): "0", rate(0.24): "0.2", rate(99.9): "99.9", rate(12039.4): "12039",
		percent(0.402): "40.2 %",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, c := range []struct {
		c    verdict.Count
		want string
	}{
		{verdict.Count{Count: 7, Fidelity: verdict.Exact}, "7"}, {verdict.Count{Fidelity: verdict.AtLeast}, "none seen"}, {verdict.Count{Count: 3, Fidelity: verdict.AtLeast}, ">= 3"},
		{verdict.Count{Fidelity: verdict.Unavailable}, "unavailable"}, {verdict.Count{Count: 7}, "unavailable"},
	} {
		if got := counted(c.c); got != c.want {
			t.Errorf("%+v: %q", c.c, got)
		}
	}
}

// TestTextRun: what a line says in words of a run that is not the common one.
func TestTextRun(t *testing.T) {
	for _, c := range []struct {
		name        string
		edit        func(*verdict.Result, *verdict.Run)
		want, never []string
	}{
		{"--verify none", func(_ *verdict.Result, u *verdict.Run) { u.Data = verdict.Data{} }, []string{"data          not checked (--verify none)"}, []string{"words checked"}},
		{"a log that was cut", func(_ *verdict.Result, u *verdict.Run) {
			u.Cut, u.RuntimeNS, u.Submits, u.Reaps, u.Dirtiers, u.Data.Overlap = true, 0, 0, 0, nil, 0
			u.Adequacy = verdict.Adequacy{Required: "much", Reached: "not known: the log was cut"}
		}, []string{"fs config 4k, how long is not known", "rate, calls   not known: the log was cut", "dirtiers      not known: the log was cut", "(mmap, write) not known: the log was cut", "adequacy      not known: required much; reached not known"},
			[]string{"IOPS, ", "submits", "dirtiers      none", "not met"}},
		{"all passed with dirtiers paused", func(_ *verdict.Result, u *verdict.Run) {
			u.Retry = verdict.Retry{Limit: 3, Running: []uint64{0, 0, 0}, Paused: []uint64{127, 0, 0}, GaveUp: 251}
		}, []string{"at most 3 tries: none went direct; 251 gave up", "127 of the distinct blocks that gave up tried again: all went"}, []string{"3+", "permanent"}},
		{"some never", func(_ *verdict.Result, u *verdict.Run) {
			u.Retry = verdict.Retry{Limit: 1, Paused: []uint64{1}, GaveUp: 3, Permanent: 2, Unattributed: 4}
		}, []string{"at most 1 try: none", "3 of the distinct blocks", "direct, the others at try 1: 1", "not attributed 4"}, nil},
		{"one call submits and waits", func(_ *verdict.Result, u *verdict.Run) { u.Latency.Clat = verdict.Latency{} }, []string{"latency       not known: slat, clat (one call submitted and waited)\n"}, nil},
		{"other disks", func(_ *verdict.Result, u *verdict.Run) { u.KernelLog.OtherDevices = 7 }, []string{"7 lines about other disks are not shown"}, nil},
		{"the engine's name", func(r *verdict.Result, u *verdict.Run) {
			u.Name = "io_uring"
			for i := range r.Rules {
				r.Rules[i].Run = "io_uring"
			}
		}, []string{"\nio_uring: PASS\n"}, []string{"PASS (io_uring)"}},
	} {
		r := passing()
		r.Runs, r.Rules = r.Runs[:1], r.Rules[:8]
		c.edit(r, &r.Runs[0])
		text := render(t, "text", r)
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, text)
			}
		}
		for _, never := range c.never {
			if strings.Contains(text, never) {
				t.Errorf("%s: %q in\n%s", c.name, never, text)
			}
		}
	}
	r := passing()
	r.Interrupted = true
	if text := render(t, "text", r); !strings.HasPrefix(text, "PASS (interrupted): ") {
		t.Errorf("%.80s", text)
	}
}
