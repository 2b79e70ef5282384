package report

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"diostress/internal/need"
	"diostress/internal/verdict"
)

type object = map[string]any

func decode(t testing.TB, text string) object {
	t.Helper()
	var o object
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// get walks down a path of keys; a number is an index.
func get(t testing.TB, v any, keys ...string) any {
	t.Helper()
	for i, k := range keys {
		switch x := v.(type) {
		case object:
			w, ok := x[k]
			if !ok {
				t.Fatalf("no %s", strings.Join(keys[:i+1], "."))
			}
			v = w
		case []any:
			n, err := strconv.Atoi(k)
			if err != nil || n >= len(x) {
				t.Fatalf("no %s", strings.Join(keys[:i+1], "."))
			}
			v = x[n]
		default:
			t.Fatalf("%s is %T", strings.Join(keys[:i], "."), v)
		}
	}
	return v
}

// TestJSONGolden holds the part that is fio's; ours is verdict's own.
func TestJSONGolden(t *testing.T) {
	text := render(t, "json", failing())
	at := strings.Index(text, "\n  \"diostress\": {")
	if at < 0 {
		t.Fatal("no diostress key at the top")
	}
	golden(t, "fail.fio.json", text[:at+1])
}

// TestJSONSchema looks for every name of schema version 1.
func TestJSONSchema(t *testing.T) {
	o := decode(t, render(t, "json", failing()))
	for _, p := range []string{
		"fio version", "timestamp", "timestamp_ms", "time", "global options",
		"jobs.1.jobname", "jobs.1.error", "jobs.1.job options.bs", "jobs.1.write.io_bytes", "jobs.1.write.bw_bytes", "jobs.1.write.iops",
		"jobs.1.write.runtime", "jobs.1.write.total_ios", "jobs.1.write.short_ios", "jobs.1.write.slat_ns.N", "jobs.1.write.clat_ns.percentile.99.900000",
		"jobs.1.write.lat_ns.percentile.50.000000", "jobs.1.read.total_ios", "jobs.1.trim.total_ios", "jobs.1.sync.total_ios", "jobs.1.sync.lat_ns.N",
		"diostress.schema_version", "diostress.verdict", "diostress.seed", "diostress.repro", "diostress.environment.kernel", "diostress.environment.device_stack",
		"diostress.runs.1.name", "diostress.runs.1.ioengine", "diostress.runs.1.completions.submitted", "diostress.runs.1.completions.failed.EIO",
		"diostress.runs.1.completions.leaked_errno.EIOCBQUEUED", "diostress.runs.1.collisions.pre_write.count", "diostress.runs.1.collisions.pre_write.source",
		"diostress.runs.1.collisions.pre_write.fidelity", "diostress.runs.1.collisions.post_write.fidelity", "diostress.runs.1.collisions.per_second",
		"diostress.runs.1.collisions.fraction_of_writes", "diostress.runs.1.collisions.attributed.buffered_fallback", "diostress.runs.1.fsync.attributed.invalidation",
		"diostress.runs.1.retry.running", "diostress.runs.1.data.words_checked", "diostress.runs.1.kernel_log.lines", "diostress.runs.1.dirtiers.0.kind",
		"diostress.runs.1.adequacy.met", "diostress.findings.0.witnesses.0.tag", "diostress.rules.0.verdict", "diostress.flaky", "diostress.skipped",
	} {
		keys := strings.Split(p, ".")
		if i := slices.Index(keys, "percentile"); i > 0 {
			keys = append(keys[:i+1:i+1], strings.Join(keys[i+1:], "."))
		}
		get(t, o, keys...)
	}
	if v := get(t, o, "diostress", "verdict"); v != "fail" {
		t.Errorf("verdict %v", v)
	}
	if v := get(t, o, "diostress", "seed_hex"); v != "0xfeed5eed12345678" {
		t.Errorf("seed %v", v)
	}
	for i := range 2 {
		k := strconv.Itoa(i)
		if a, b := get(t, o, "jobs", k, "jobname"), get(t, o, "diostress", "runs", k, "name"); a != b {
			t.Errorf("jobs[%d] is %v, runs[%d] is %v", i, a, i, b)
		}
	}
	if n := get(t, o, "timestamp"); n != float64(1795642440+23) { // 2026-11-25T21:34:00Z, and the time it took
		t.Errorf("timestamp %v", n)
	}
}

// TestJSONKeeps reads the result back: nothing is lost but the latencies, which
// are jobs[].write, and no list or object is null.
func TestJSONKeeps(t *testing.T) {
	for name, r := range results() {
		text := render(t, "json", r)
		if strings.Contains(text, "null") {
			t.Errorf("%s: null", name)
		}
		var back struct {
			Jobs []struct {
				Name string `json:"jobname"`
			} `json:"jobs"`
			Ours verdict.Result `json:"diostress"`
		}
		if err := json.Unmarshal([]byte(text), &back); err != nil {
			t.Fatal(err)
		}
		want := filled(reflect.ValueOf(*r)).Interface().(verdict.Result)
		for i := range want.Runs {
			want.Runs[i].Latency = verdict.Latencies{}
		}
		if !reflect.DeepEqual(back.Ours, want) {
			t.Errorf("%s: the result read back differs", name)
		}
		if len(back.Jobs) != len(r.Runs) {
			t.Errorf("%s: %d jobs, %d runs", name, len(back.Jobs), len(r.Runs))
		}
	}
}

func TestFilledIsACopy(t *testing.T) {
	r := passing()
	c := filled(reflect.ValueOf(*r)).Interface().(verdict.Result)
	c.Runs[0].Series[0].Writes = 1
	c.Environment.Config["CONFIG_KPROBES"] = "n"
	if r.Runs[0].Series[0].Writes == 1 || r.Environment.Config["CONFIG_KPROBES"] == "n" {
		t.Error("the copy shares memory")
	}
}

func TestJSONNotFinite(t *testing.T) {
	r := passing()
	u := &r.Runs[0]
	u.Collisions.PerSecond, u.Collisions.Fraction, u.Latency.Lat.Mean, u.RuntimeNS = math.NaN(), math.Inf(1), math.NaN(), 0
	o := decode(t, render(t, "json", r))
	if v := get(t, o, "jobs", "0", "write", "iops"); v != 0.0 {
		t.Errorf("iops %v", v)
	}
}

// TestJSONSpread: the time series is of all jobs together and says nothing
// about one of several.
func TestJSONSpread(t *testing.T) {
	alone := decode(t, render(t, "json", passing()))
	if n := get(t, alone, "jobs", "0", "write", "iops_samples"); n != 4.0 {
		t.Errorf("%v samples", n)
	}
	if n := get(t, alone, "jobs", "0", "write", "iops_mean"); n != 12060.0 {
		t.Errorf("mean %v", n)
	}
	several := decode(t, render(t, "json", matrix()))
	if n := get(t, several, "jobs", "0", "write", "iops_samples"); n != 0.0 {
		t.Errorf("%v samples", n)
	}
}

func TestBinsEnd(t *testing.T) {
	l := latOf(&verdict.Latency{N: 6, Bins: []verdict.Bin{{From: 9, N: 1}, {From: 10, N: 2}, {From: maxBin + 1, N: 1}, {From: 2 * maxBin, N: 2}}})
	want := ordered{{"9", 1}, {"10", 2}, {"17112760320", 3}}
	if !slices.Equal(l.Bins, want) {
		t.Errorf("%v", l.Bins)
	}
}

// TestFioReader runs fio's own converter of JSON output, and its check of what
// it converted.
func TestFioReader(t *testing.T) {
	tool, err := exec.LookPath("fio_jsonplus_clat2csv")
	if err != nil {
		need.Skip(t, need.Tool, "fio_jsonplus_clat2csv (package fio) is not installed")
	}
	for _, c := range []struct {
		name string
		r    *verdict.Result
		jobs int
	}{{"pass", passing(), 2}, {"broken", broken(), 0}} {
		dir := t.TempDir()
		in, out := filepath.Join(dir, "in.json"), filepath.Join(dir, "out.csv")
		if err := os.WriteFile(in, []byte(render(t, "json", c.r)), 0o666); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{in, out}, {in, out, "--validate"}} {
			cmd := exec.Command(tool, args...)
			cmd.Dir = dir
			if b, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %v\n%s", c.name, args, err, b)
			}
		}
		files, err := filepath.Glob(filepath.Join(dir, "out_job*.csv"))
		if err != nil || len(files) != c.jobs {
			t.Errorf("%s: %d files, want %d (%v)", c.name, len(files), c.jobs, err)
		}
		if c.jobs == 0 {
			continue
		}
		csv, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		head, first, _ := strings.Cut(string(csv), "\n")
		col := slices.Index(strings.Split(head, ", "), "write_clat_ns_count")
		if cells := strings.Split(strings.SplitN(first, "\n", 2)[0], ", "); cells[0] != "12340" || strings.TrimSpace(cells[col]) != "30100" {
			t.Errorf("%s: first bin %q", c.name, cells)
		}
	}
}
