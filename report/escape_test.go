package report

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"diostress/internal/verdict"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain text": "plain text", "grüße 日本": "grüße 日本", `a\b`: `a\b`, "a\nb\tc\rd": `a\nb\tc\x0dd`, "\x1b[31mred": `\x1b[31mred`,
		"\x00\x7f": `\x00\x7f`, "\xff\xc3": `\xff\xc3`, "\u202eevil": `\u202eevil`, "\u2028": `\u2028`, "\ufeff": `\ufeff`, "\U000e0001": `\U000e0001`, "\ufffd": "\ufffd",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestBrief(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"abc", 5, "abc"}, {"abcde", 5, "abcde"}, {"abcdef", 5, "ab..."}, {strings.Repeat("ä", 10), 5, "ää..."},
		{strings.Repeat("日", 1000), 5, "日日..."}, {strings.Repeat("a", 1<<20), 5, "aa..."}, {strings.Repeat("\xff", 100), 5, `\x...`},
	} {
		if got := brief(c.in, c.n); got != c.want {
			t.Errorf("%q: %q, want %q", c.in[:min(len(c.in), 20)], got, c.want)
		}
	}
}

func TestSlug(t *testing.T) {
	for in, want := range map[string]string{"": "unnamed", "4k.io_uring": "4k.io_uring", "a b/c#d": "a_b_c_d", "ä\n": "__"} {
		if got := slug(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"": "unnamed", "..": "unnamed", "a..b.": "a.b", "4k.x y": "4k.x_y"} {
		if got := kcidbPath(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// hostile returns a result in which every string is s, those of names and
// keys only if names is set.
func hostile(r *verdict.Result, s string, names bool) *verdict.Result {
	var walk func(v reflect.Value, field string)
	walk = func(v reflect.Value, field string) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i), v.Type().Field(i).Name)
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i), field)
			}
		case reflect.Map:
			if names && v.Len() > 0 {
				v.SetMapIndex(reflect.ValueOf(s), v.MapIndex(v.MapKeys()[0]))
			}
			for _, k := range v.MapKeys() {
				if v.Type().Elem().Kind() == reflect.String {
					v.SetMapIndex(k, reflect.ValueOf(s))
				}
			}
		case reflect.String:
			switch field {
			case "Name", "Run", "Rule", "StartTime", "Fidelity":
				if names {
					v.SetString(s)
				}
			default:
				v.SetString(s)
			}
		}
	}
	c := filled(reflect.ValueOf(*r)).Interface().(verdict.Result)
	walk(reflect.ValueOf(&c).Elem(), "")
	return &c
}

// checkFormats holds every format of r against its grammar.
func checkFormats(t *testing.T, r *verdict.Result) {
	t.Helper()
	for _, f := range []string{"text", "ktap", "lava"} {
		for i, l := range strings.Split(render(t, f, r), "\n") {
			for _, c := range l {
				if !strconv.IsPrint(c) || c == utf8.RuneError && !utf8.ValidString(l) {
					t.Fatalf("%s line %d: %q", f, i+1, l)
				}
			}
		}
	}
	if l := ResultLine(r, r.Reason); clean(l) != l {
		t.Fatalf("%q", l)
	}
	text := render(t, "ktap", r)
	if _, err := readKTAP(text); err != nil {
		t.Fatalf("ktap: %v\n%s", err, text)
	}
	text = render(t, "junit", r)
	if _, err := readJUnit(text); err != nil {
		t.Fatalf("junit: %v\n%s", err, text)
	}
	if o := decode(t, render(t, "kcidb", r)); o != nil {
		if err := checkKCIDB(o); err != nil {
			t.Fatalf("kcidb: %v", err)
		}
	}
	if text = render(t, "json", r); !json.Valid([]byte(text)) {
		t.Fatal("json is not valid")
	}
}

// outcomes counts the states in which KTAP shows a result.
func outcomes(t *testing.T, r *verdict.Result) (n [4]int) {
	t.Helper()
	tests, err := readKTAP(render(t, "ktap", r))
	if err != nil {
		t.Fatal(err)
	}
	for i := range tests {
		for j := range tests[i].subtests {
			n[map[string]int{"pass": 0, "skip": 1, "error": 2, "fail": 3}[tests[i].subtests[j].outcome()]]++
		}
	}
	return n
}

var nasty = []string{
	"", " ", "#", "# SKIP", "SKIP", "TODO x", "a # SKIP b", "]]>", "<![CDATA[", "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=x RESULT=pass>", "&lt;\"'", "\x00", "\x1b]0;x\x07",
	"\n", "ok 1 x\n# Totals: pass:9", "\nKTAP version 1\n1..1", "\xff\xfe", "\u202e\u2066", "\ufffe\uffff", "a\r\nb", "%s%d%!", `\x23`, "Kernel panic - not syncing: VFS:",
	strings.Repeat("x", 20_000), strings.Repeat("y\n", 500), strings.Repeat("]]>", 200), strings.Repeat("\U0001f4a9", 300),
}

// FuzzHostile: no text from outside breaks a format or changes an outcome.
func FuzzHostile(f *testing.F) {
	for i, s := range nasty {
		f.Add(s, uint8(i))
		f.Add(s, uint8(i+5)) // another result, and names the other way round
	}
	f.Fuzz(func(t *testing.T, s string, which uint8) {
		r := []func() *verdict.Result{failing, undecided, unsupported, noRoot}[which%4]()
		checkFormats(t, hostile(r, s, which&4 != 0))
		if got, want := outcomes(t, hostile(r, s, false)), outcomes(t, r); got != want {
			t.Errorf("%q: ktap shows %v, want %v", s, got, want)
		}
	})
}
