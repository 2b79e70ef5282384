package report

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diostress/internal/verdict"
)

var update = flag.Bool("update", false, "write the golden files anew")

// render fails the test where Write does.
func render(t testing.TB, format string, r *verdict.Result) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, format, r); err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return b.String()
}

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%s line %d:\n got %q\nwant %q\n(-update writes it anew)", file, i+1, g[i], w[i])
		}
	}
	t.Fatalf("%s: %d lines, want %d (-update writes it anew)", file, len(g), len(w))
}

func TestGolden(t *testing.T) {
	all := results()
	for _, c := range []struct{ result, format string }{
		{"pass", "text"}, {"fail", "text"}, {"stuck", "text"}, {"undecided", "text"}, {"broken", "text"}, {"unsupported", "text"},
		{"fail", "ktap"}, {"undecided", "ktap"}, {"stuck", "ktap"}, {"noroot", "ktap"},
		{"fail", "junit"}, {"undecided", "junit"}, {"fail", "lava"}, {"undecided", "lava"}, {"fail", "kcidb"},
	} {
		t.Run(c.result+"."+c.format, func(t *testing.T) {
			golden(t, c.result+"."+c.format, render(t, c.format, all[c.result]))
		})
	}
}

// TestEveryFormat renders every result in every format: nothing fails, and
// rendering twice gives the same, whatever order maps have.
func TestEveryFormat(t *testing.T) {
	for name, r := range results() {
		for _, f := range Formats() {
			a := render(t, f, r)
			if len(a) == 0 || !strings.HasSuffix(a, "\n") && f != "html" {
				t.Errorf("%s.%s: %d bytes, end %q", name, f, len(a), a[max(0, len(a)-10):])
			}
			if b := render(t, f, r); a != b {
				t.Errorf("%s.%s: two renderings differ", name, f)
			}
		}
	}
}

func TestUnknownFormat(t *testing.T) {
	err := Write(&strings.Builder{}, "xml", passing())
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range append(Formats(), `"xml"`) {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	if want := []string{"text", "json", "ktap", "junit", "html", "lava", "kcidb"}; !slices.Equal(Formats(), want) {
		t.Errorf("formats %v", Formats())
	}
}

func TestResultLine(t *testing.T) {
	many := passing()
	for _, rule := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		fail(many, "4k.libaio", rule, 1, "x")
	}
	interrupted := passing()
	interrupted.Interrupted = true
	long := broken()
	long.Reason = strings.Repeat("very ", 100) + "\x1b[2J\nlong"
	const s = " seed=0xfeed5eed12345678 report="
	for _, c := range []struct {
		r           *verdict.Result
		where, want string
	}{
		{passing(), "r.json", "RESULT: PASS" + s + "r.json"},
		{passing(), "-", "RESULT: PASS" + s + "-"},
		{passing(), "a b", "RESULT: PASS" + s + `"a b"`},
		{interrupted, "-", "RESULT: PASS (interrupted)" + s + "-"},
		{failing(), "-", "RESULT: FAIL (completed_once=2 clean_filesystem=1)" + s + "-"},
		{flood(7), "-", "RESULT: FAIL (completed_once=3 no_stray=2 legal_result=2)" + s + "-"},
		{many, "-", "RESULT: FAIL (a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1 and 2 more rules)" + s + "-"},
		{undecided(), "-", `RESULT: UNDECIDED "adequacy: required 1000 writes overlapped, reached 12"` + s + "-"},
		{broken(), "-", `RESULT: BROKEN "mke2fs -F -t ext4: exit status 1: 'No space left on device'"` + s + "-"},
		{noRoot(), "-", `RESULT: UNSUPPORTED "--fs needs root"` + s + "-"},
		{long, "-", `RESULT: BROKEN "` + strings.Repeat("very ", 31) + `ve..."` + s + "-"},
		{&verdict.Result{}, "-", "RESULT: UNDECIDED seed=0x0 report=-"},
	} {
		if got := ResultLine(c.r, c.where); got != c.want {
			t.Errorf(" got %s\nwant %s", got, c.want)
		}
	}
}
