package page

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"diostress/internal/verdict"
)

func render(t *testing.T, r *verdict.Result) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Render(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func itoa(n int) string { return strconv.Itoa(n) }

// seen is the page's text: what a reader sees, without code and tags.
func seen(page []byte) string {
	s := regexp.MustCompile(`(?s)<(script|style)\b.*?</(script|style)>`).ReplaceAllString(string(page), " ")
	s = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(s, "\x00")
	return html.UnescapeString(s)
}

// fields visits every leaf of a value.
func fields(v reflect.Value, path string, visit func(path string, leaf reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		fields(v.Elem(), path, visit)
	case reflect.Struct:
		for i := range v.NumField() {
			fields(v.Field(i), path+"."+v.Type().Field(i).Name, visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			fields(v.Index(i), path+"[]", visit)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			visit(path+"[]", k)
			visit(path+"[]", v.MapIndex(k))
		}
	default:
		visit(path, v)
	}
}

// Whatever number or word a result holds is somewhere on the page.
func TestEverythingIsShown(t *testing.T) {
	// What is shown in another way, or not a figure for a reader.
	elsewhere := regexp.MustCompile(strings.Join([]string{
		`SchemaVersion`, `Offsets\[\]`, `Series\[\]`, // drawn
		`Latency\.\w+\.Bins\[\]`, `Percentiles\[\]`, // drawn; below
		`TimesNS\[\]`, `Witnesses\[\]\.(TimeNS|Offset|Length|Tag|Res)`, `Rules\[\]\.Checked`, // below
		`\.TaintBefore`, `\.TaintAfter`, // with letters
	}, "|"))
	r := normal()
	f := failing()
	r.Findings = f.Findings
	r.Skipped = []verdict.Skip{{Name: "psync", Reason: "pwritev2 lacks RWF_NOWAIT"}}
	n := uint64(100_000)
	fields(reflect.ValueOf(r), "", func(path string, leaf reflect.Value) {
		if leaf.Kind() == reflect.Uint64 && leaf.CanSet() && !strings.Contains(path, "Latency") && !elsewhere.MatchString(path) {
			n += 1009
			leaf.SetUint(n)
		}
	})
	for i := range r.Runs {
		r.Runs[i].Completions.Failed = map[string]uint64{"EIO": 4001, "ENOSPC": 4003}
		r.Runs[i].Completions.LeakedErrno = map[string]uint64{"EIOCBRETRY": 4007}
	}
	text := seen(render(t, r))
	count := 0
	fields(reflect.ValueOf(r), "", func(path string, leaf reflect.Value) {
		if elsewhere.MatchString(path) {
			return
		}
		var want string
		switch x := leaf.Interface().(type) {
		case uint64:
			want = grouped(x)
			switch {
			case strings.HasSuffix(path, "Seed"):
				want = "0x" + strconv.FormatUint(x, 16)
			case strings.HasSuffix(path, "Bytes"):
				want = size(x)
			}
		case int64:
			want = duration(x)
			if strings.HasSuffix(path, "Size") {
				want = size(uint64(x))
			}
		case string:
			want = x
			if strings.HasSuffix(path, "Witnesses[].Evidence") {
				want, _, _ = strings.Cut(x, "\n")
			}
		case verdict.Verdict:
			want = x.String()
		case int:
			want = itoa(x)
			if strings.Contains(path, "Size") || strings.Contains(path, "Block") || strings.Contains(path, "Align") {
				want = size(uint64(x))
			}
		default:
			return
		}
		count++
		if !strings.Contains(text, want) {
			t.Errorf("%s: %q is not on the page", path, want)
		}
	})
	for i := range r.Runs {
		l := &r.Runs[i].Latency
		for _, l := range []*verdict.Latency{&l.Direct, &l.Collided, &l.Lat, &l.Slat, &l.Clat} {
			for _, p := range l.Percentiles {
				if slices.Contains(shown, p.P) && !strings.Contains(text, duration(p.Value)) {
					t.Errorf("percentile %v: %s is not on the page", p.P, duration(p.Value))
				}
			}
		}
	}
	for _, want := range []string{"1.204551 s", "1a00000007", "-529", "40960"} {
		if !strings.Contains(text, want) {
			t.Errorf("of the witnesses %q is not on the page", want)
		}
	}
	if count < 300 {
		t.Errorf("only %d fields were looked for", count)
	}
}

func TestOrder(t *testing.T) {
	text := string(render(t, failing()))
	last := 0
	for _, part := range []string{"<h1>", `id="findings"`, `id="repeat"`, `id="runs"`, `id="rules"`, `id="not-checked"`, `id="run-1"`, `id="run-3"`, `id="environment"`} {
		at := strings.Index(text, part)
		if at <= last {
			t.Errorf("%s is at %d, after something at %d", part, at, last)
		}
		last = at
	}
	for _, m := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(text, ` id="`+m[1]+`"`) {
			t.Errorf("a link leads to #%s, which is not there", m[1])
		}
	}
	ids := regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(text, -1)
	for i, m := range ids {
		if slices.ContainsFunc(ids[:i], func(o []string) bool { return o[1] == m[1] }) {
			t.Errorf("two elements are called %s", m[1])
		}
	}
}

// Zero that is known, and nothing known, are two things.
func TestZeroIsNotUnknown(t *testing.T) {
	zero, none := newDocument(quiet()), newDocument(blind())
	cell := func(d *document, i int) string { return d.Sections[0].Cells[i].Value }
	for i, want := range map[int][2]string{2: {"0", unavailable}, 3: {"0", unavailable}, 4: {"0 %", unavailable}, 5: {"≥ 0", unavailable}, 6: {"0", unavailable}} {
		if a, b := cell(zero, i), cell(none, i); a != want[0] || b != want[1] {
			t.Errorf("column %s: zero is %q, unknown is %q, want %q", zero.Columns()[i], a, b, want)
		}
	}
	if n := len(zero.Data); n != 3 {
		t.Errorf("zero collisions: %d charts, want 3", n)
	}
	if n := len(none.Data); n != 1 || none.Data[0].Class != "iops" {
		t.Errorf("nothing known: %d charts, want the writes only", n)
	}
	for _, p := range none.Sections[0].Over[1:] {
		if p.Missing == "" || p.Curves != nil {
			t.Errorf("%s is drawn", p.Title)
		}
	}
	z, n := zero.Sections[0], none.Sections[0]
	if z.Where.Empty == "" || z.Where.Missing != "" || n.Where.Missing == "" {
		t.Errorf("positions: %+v, %+v", z.Where, n.Where)
	}
	if z.Spread.Rows[0].Cells[1].Value != "0" || n.Spread.Rows[0].Cells[1].Value != unavailable {
		t.Errorf("collided writes: %v, %v", z.Spread.Rows[0], n.Spread.Rows[0])
	}
	if len(n.Latency.Legend) != 1 || n.Latency.Legend[0].Class != "all" {
		t.Errorf("latency of what cannot be told apart: %+v", n.Latency.Legend)
	}
	for _, i := range n.Intervals {
		if i.Collisions != unavailable || i.EIO != unavailable {
			t.Errorf("interval %+v", i)
		}
	}
	for _, f := range none.Env[1].List {
		if (f.Label == "memory" || f.Label == "CPUs") && f.Value != unknown {
			t.Errorf("%s is %q", f.Label, f.Value)
		}
	}
	if text := seen(render(t, blind())); !strings.Contains(text, "/dev/kmsg could not be read") || !strings.Contains(text, "nothing was read back") {
		t.Error("the page does not say that nobody could look")
	}
}

func TestFloodIsBounded(t *testing.T) {
	page := render(t, flood())
	text := seen(page)
	if n := bytes.Count(page, []byte("<article")); n != maxFindings {
		t.Errorf("%d findings shown, want %d", n, maxFindings)
	}
	for _, want := range []string{"10,000 findings", "9,800 more", "8 more in the JSON report", "1,429"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if len(page) > 4<<20 {
		t.Errorf("%d bytes", len(page))
	}
	const runs = maxSections + 30
	r := matrix(runs)
	many := render(t, r)
	if n := bytes.Count(many, []byte(`<section class="run"`)); n != maxSections {
		t.Errorf("%d sections, want %d", n, maxSections)
	}
	if !strings.Contains(seen(many), itoa(runs-maxSections)+" runs have no section") {
		t.Error("the page does not say how many sections were left out")
	}
	for _, f := range r.Findings {
		if !bytes.Contains(many, []byte(f.Run+`</a>`)) {
			t.Errorf("the broken run %s has no section", f.Run)
		}
	}
	if len(many) > 5<<20 {
		t.Errorf("%d bytes for %d runs", len(many), runs)
	}
}

// Jobs of one run share what was counted for all of them.
func TestJobs(t *testing.T) {
	r := normal()
	a, b := r.Runs[0], verdict.Run{Name: "io_uring.1", IOEngine: "io_uring", Job: 1, RuntimeNS: 1e9}
	a.Name = "io_uring.0"
	b.Completions.Completed = 10
	b.Collisions.PostWrite = verdict.Count{Source: "counted with the first job", Fidelity: verdict.Unavailable}
	b.Collisions.PreWrite = verdict.Count{Count: 3, Source: "trace", Fidelity: verdict.Exact}
	r.Runs = []verdict.Run{a, b}
	d := newDocument(r)
	if d.Sections[0].Shared != "" || d.Sections[1].Shared != "io_uring.0" || d.Sections[1].SharedID != "run-1" {
		t.Errorf("shared: %q, %q", d.Sections[0].Shared, d.Sections[1].Shared)
	}
	if len(d.Sections[0].Passed) == 0 {
		t.Error("the rules are not with the first job")
	}
	if f := d.Sections[1].Cells[6]; f.Value != unavailable {
		t.Errorf("fsync EIO of the second job is %q", f.Value)
	}
	if f := d.Figures[3]; f.Value != grouped(a.Collisions.PreWrite.Count+3) {
		t.Errorf("pre-write failures of all jobs: %q", f.Value)
	}
}

func TestSeries(t *testing.T) {
	at := func(ms int64, n uint64) verdict.Sample { return verdict.Sample{TimeNS: ms * 1e6, Writes: n} }
	for name, c := range map[string]struct {
		in    []verdict.Sample
		n     int
		rates []float64
	}{
		"none":             {nil, 10, nil},
		"one":              {[]verdict.Sample{at(500, 10)}, 10, []float64{20}},
		"two":              {[]verdict.Sample{at(500, 10), at(1000, 20)}, 10, []float64{20, 40}},
		"no time passed":   {[]verdict.Sample{at(500, 10), at(500, 5), at(1000, 20)}, 10, []float64{20, 50}},
		"time went back":   {[]verdict.Sample{at(500, 10), at(100, 5), at(1000, 20)}, 10, []float64{20, 50}},
		"starts at zero":   {[]verdict.Sample{at(0, 10), at(500, 5)}, 10, []float64{30}},
		"thinned":          {[]verdict.Sample{at(100, 1), at(200, 2), at(300, 3), at(400, 4), at(500, 5)}, 2, []float64{20, 45}},
		"nothing but zero": {[]verdict.Sample{at(0, 10)}, 10, nil},
	} {
		var got []float64
		for _, s := range spans(c.in, c.n) {
			got = append(got, s.rate(s.s.Writes))
		}
		if !slices.Equal(got, c.rates) {
			t.Errorf("%s: %v, want %v", name, got, c.rates)
		}
	}
}

// What no run gives must still not break the page.
func TestOddResults(t *testing.T) {
	odd := normal()
	x := &odd.Runs[0]
	x.RuntimeNS, x.BlockSize, x.FileSize, x.IODepth = -1, -1, -1, -1
	x.Collisions.PerSecond, x.Collisions.Fraction = math.NaN(), math.Inf(1)
	x.Latency.Lat.Mean, x.Latency.Lat.Stddev = math.NaN(), math.Inf(-1)
	x.Latency.Direct.Bins = []verdict.Bin{{From: -5, To: -1, N: 3}, {From: 7, To: 7, N: 1}, {From: 0, To: 1, N: math.MaxUint64}, {From: 1, To: math.MaxInt64, N: 1}}
	x.Series = []verdict.Sample{{TimeNS: 1, Writes: math.MaxUint64, Bytes: math.MaxUint64, Collisions: math.MaxUint64, FsyncEIO: math.MaxUint64, MaxLatNS: math.MinInt64}, {TimeNS: math.MaxInt64}}
	x.Offsets = []uint64{math.MaxUint64, 0, 1}
	x.KernelLog.TimesNS = []int64{-1, math.MaxInt64}
	x.Retry.Running = make([]uint64, 1000)
	for i := range x.Retry.Running {
		x.Retry.Running[i] = uint64(i)
	}
	odd.Verdict, odd.Runs[1].Verdict = verdict.Verdict(200), verdict.NotApplicable
	odd.Runs[2].Offsets, odd.Runs[2].Series = make([]uint64, 5000), odd.Runs[2].Series[:1]
	for name, r := range map[string]*verdict.Result{"odd": odd, "empty": {}, "no rules": {Runs: []verdict.Run{{}}}, "many": {Runs: make([]verdict.Run, maxRows+5)}} {
		page := string(render(t, r))
		for _, bad := range []string{"NaN", "Inf<", "%!", "<no value>", "ZgotmplZ"} {
			if strings.Contains(seen([]byte(page)), bad) || strings.Contains(page, `"`+bad) {
				t.Errorf("%s: the page holds %q", name, bad)
			}
		}
		if !strings.HasSuffix(strings.TrimSpace(page), "</html>") {
			t.Errorf("%s: the page ends early", name)
		}
	}
}

func TestRenderIsPure(t *testing.T) {
	r, same := failing(), failing()
	one, two := render(t, r), render(t, r)
	if !bytes.Equal(one, two) {
		t.Error("two renderings differ")
	}
	if !reflect.DeepEqual(r, same) {
		t.Error("the result was changed")
	}
	full := errors.New("disk full")
	if err := Render(writer{full}, r); !errors.Is(err, full) {
		t.Errorf("a writer that fails gives %v", err)
	}
}

type writer struct{ err error }

func (w writer) Write([]byte) (int, error) { return 0, w.err }

func TestUnits(t *testing.T) {
	for got, want := range map[string]string{
		grouped(0): "0", grouped(999): "999", grouped(1000): "1,000", grouped(math.MaxUint64): "18,446,744,073,709,551,615",
		duration(0): "0 ns", duration(999): "999 ns", duration(1000): "1.00 µs", duration(12_345_678): "12.3 ms", duration(999_700): "1.00 ms",
		duration(61e9): "61.0 s", duration(200e9): "3 min 20 s", duration(2 * 3600e9): "2 h 00 min", duration(-200e9): "-3 min 20 s", duration(-5): "-5 ns",
		round(10_000_000): "10 ms", round(100_000): "100 µs", round(2_500): "2.5 µs",
		size(4096): "4 KiB", size(1 << 20): "1 MiB", size(1500): "1.46 KiB", size(0): "0 B",
		perSecond(0): "0", perSecond(0.5): "0.50", perSecond(12345.6): "12,346", perSecond(math.NaN()): unknown,
		percent(0): "0 %", percent(0.5): "50.0 %", percent(0.00001): "< 0.01 %", percent(1): "100 %", percent(math.Inf(1)): unknown,
		short(0): "0", short(1500): "1.5k", short(2_000_000): "2M",
		taint(0): "0 (not tainted)", taint(512): "512 (W)", taint(1<<14 | 1<<9): "16896 (WL)", taint(1 << 40): fmt.Sprintf("%d (bit 40)", uint64(1)<<40),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestScales(t *testing.T) {
	for _, most := range []float64{0, 0.3, 1, 7, 999, 12345, 1e15} {
		s, ticks := linear(most, 100, 0, 4, short)
		if s.max < most || len(ticks) < 2 || len(ticks) > 7 {
			t.Errorf("up to %v: scale to %v with %d ticks", most, s.max, len(ticks))
		}
		if s.at(0) != 100 || s.at(s.max) != 0 {
			t.Errorf("up to %v: ends at %v and %v", most, s.at(0), s.at(s.max))
		}
	}
	for _, r := range [][2]float64{{0.5, 1}, {1000, 1500}, {2048, 1 << 30}, {0.5, math.MaxInt64}} {
		if n := len(decades(scale{min: r[0], max: r[1], to: 1, log: true}, short)); n > 20 {
			t.Errorf("%v: %d ticks", r, n)
		}
	}
}

// TestCutAndUnchecked: figures that nobody has are not shown as noughts.
func TestCutAndUnchecked(t *testing.T) {
	r := normal()
	u := &r.Runs[0]
	u.Cut, u.RuntimeNS, u.Submits, u.Reaps, u.Dirtiers = true, 0, 0, 0, nil
	u.Data = verdict.Data{}
	u.KernelLog.OtherDevices = 31
	text := seen(render(t, r))
	for _, want := range []string{"Not known: the log was cut.", "not checked (--verify none)", "lines about other disks, not shown", "the log was cut"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
}
