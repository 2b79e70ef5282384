package ledger

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestLogFormatPage: docs/log-format.md names every record and every field of
// one.
func TestLogFormatPage(t *testing.T) {
	b, err := os.ReadFile("../../docs/log-format.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	var fields func(reflect.Type, string)
	seen := map[reflect.Type]bool{}
	fields = func(typ reflect.Type, path string) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] || typ.PkgPath() != reflect.TypeFor[Header]().PkgPath() {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				continue // sums whose names say all
			}
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("docs/log-format.md does not name %s.%s", path, name)
			}
			fields(f.Type, path+"."+name)
		}
	}
	for _, r := range []Record{&Header{}, &Unmatched{}, &InFlight{}, &Sync{}, &Note{}, &Epoch{}, &Readback{}, &Trailer{}} {
		if !strings.Contains(text, "\n## "+string(r.Kind())+": ") {
			t.Errorf("docs/log-format.md has no part about %c", r.Kind())
		}
		fields(reflect.TypeOf(r), string(r.Kind()))
	}
	for _, v := range views {
		if !strings.Contains(text, "`"+string(v)+"`") {
			t.Errorf("docs/log-format.md does not name view %s", v)
		}
	}
	if !strings.Contains(text, "\n## C: ") || !strings.Contains(text, "15 whole numbers") || entryNumbers != 15 || !strings.Contains(text, "diostress-log 1\n") || Format != 1 {
		t.Error("docs/log-format.md: C lines or the first line are not those of this version")
	}
}
