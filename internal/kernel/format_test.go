package kernel

import (
	"os"
	"strings"
	"testing"
)

// readFormats reads the format texts of one kernel, taken from its tracefs
// with the print fmt lines shortened.
func readFormats(tb testing.TB, version string) map[string]Format {
	tb.Helper()
	text, err := os.ReadFile("testdata/formats-" + version + ".txt")
	if err != nil {
		tb.Fatal(err)
	}
	formats := map[string]Format{}
	for _, part := range strings.Split(string(text), "== ")[1:] {
		head, body, _ := strings.Cut(part, "\n")
		f, err := ParseFormat([]byte(body))
		if err != nil {
			tb.Fatalf("%s %s: %v", version, head, err)
		}
		if _, name, _ := strings.Cut(head, "/"); name != f.Name {
			tb.Fatalf("%s %s: parsed the name %q", version, head, f.Name)
		}
		formats[f.Name] = f
	}
	return formats
}

func TestFormatsOfKernels(t *testing.T) {
	tests := []struct {
		version, event, field string
		want                  Field
	}{
		{"5.10", "iomap_dio_invalidate_fail", "offset", Field{"offset", "unsigned long", 32, 8, false, false}},
		{"5.10", "iomap_dio_invalidate_fail", "length", Field{"length", "unsigned int", 40, 4, false, false}},
		{"6.1", "iomap_dio_invalidate_fail", "length", Field{"length", "u64", 40, 8, false, false}},
		{"6.18", "iomap_dio_invalidate_fail", "offset", Field{"offset", "loff_t", 32, 8, true, false}},
		{"5.10", "block_rq_complete", "rwbs", Field{"rwbs", "char", 32, 8, true, true}},
		{"5.10", "block_rq_complete", "cmd", Field{"cmd", "__data_loc char[]", 40, 4, true, true}},
		{"6.12", "block_rq_error", "rwbs", Field{"rwbs", "char", 34, 8, false, true}},
		{"6.18", "block_rq_error", "rwbs", Field{"rwbs", "char", 34, 10, false, true}},
		{"6.18", "iomap_dio_complete", "ret", Field{"ret", "ssize_t", 56, 8, true, false}},
		{"6.12", "iomap_dio_complete", "aio", Field{"aio", "bool", 44, 1, false, false}},
		{"5.10", "file_check_and_advance_wb_err", "file", Field{"file", "struct file *", 8, 8, false, false}},
		{"5.10", "ext4_releasepage", "index", Field{"index", "unsigned long", 24, 8, false, false}},
	}
	for _, tt := range tests {
		f, ok := readFormats(t, tt.version)[tt.event]
		if !ok {
			t.Errorf("%s: no %s", tt.version, tt.event)
			continue
		}
		if got, _ := f.Field("no_such_field", tt.field); got != tt.want {
			t.Errorf("%s %s: %+v, want %+v", tt.version, tt.event, got, tt.want)
		}
	}
}

func TestDecoders(t *testing.T) {
	// Values that a wrong size, offset or sign would show.
	tests := []struct {
		version, event string
		kind           Kind
		vals           map[string]int64
		want           Event
	}{
		{"5.10", "iomap_dio_invalidate_fail", InvalidateFail, map[string]int64{"dev": 7<<20 | 3, "ino": 1<<33 | 5, "size": 1 << 40, "offset": 1 << 35, "length": 1 << 20},
			Event{Kind: InvalidateFail, Pos: 1 << 35, Len: 1 << 20, Size: 1 << 40}},
		{"6.18", "iomap_dio_invalidate_fail", InvalidateFail, map[string]int64{"dev": 7<<20 | 3, "ino": 1<<33 | 5, "size": 1 << 40, "offset": 1 << 35, "length": 1 << 33},
			Event{Kind: InvalidateFail, Pos: 1 << 35, Len: 1 << 33, Size: 1 << 40}},
		{"6.12", "iomap_dio_complete", DioComplete, map[string]int64{"dev": 7<<20 | 3, "ino": 1<<33 | 5, "isize": 9, "pos": 4096, "aio": 1, "error": -5, "ret": -5},
			Event{Kind: DioComplete, Pos: 4096, Size: 9, Aio: true, Errno: 5, Ret: -5}},
		{"6.18", "iomap_dio_rw_begin", DioBegin, map[string]int64{"dev": 7<<20 | 3, "ino": 1<<33 | 5, "isize": 9, "pos": 4096, "count": 512},
			Event{Kind: DioBegin, Pos: 4096, Size: 9, Len: 512}},
		{"5.10", "ext4_releasepage", ReleaseFolio, map[string]int64{"dev": 7<<20 | 3, "ino": 1<<33 | 5, "index": 1 << 22},
			Event{Kind: ReleaseFolio, Pos: 1 << 34}},
		{"6.1", "file_check_and_advance_wb_err", AdvanceWbErr, map[string]int64{"s_dev": 7<<20 | 3, "i_ino": 1<<33 | 5, "file": -2, "old": 0x2005, "new": 0x5005},
			Event{Kind: AdvanceWbErr, Old: 0x2005, New: 0x5005, Errno: 5, Ptr: 1<<64 - 2}},
		{"5.10", "filemap_set_wb_err", SetWbErr, map[string]int64{"s_dev": 7<<20 | 3, "i_ino": 1<<33 | 5, "errseq": 0x401c},
			Event{Kind: SetWbErr, New: 0x401c, Errno: 28}},
	}
	for _, tt := range tests {
		f := readFormats(t, tt.version)[tt.event]
		d, err := newDecoder(tt.kind, &f)
		if err != nil {
			t.Errorf("%s %s: %v", tt.version, tt.event, err)
			continue
		}
		raw := rawOf(&f, tt.vals)
		var e Event
		dev, ino, ok := d.decode(raw, 4096, &e)
		if !ok || dev != 7<<20|3 || ino != 1<<33|5 || e != tt.want {
			t.Errorf("%s %s: dev %#x ino %#x ok %v\n got %+v\nwant %+v", tt.version, tt.event, dev, ino, ok, e, tt.want)
		}
		if _, _, ok := d.decode(raw[:d.min-1], 4096, &e); ok {
			t.Errorf("%s %s: a record cut short was decoded", tt.version, tt.event)
		}
	}

	for version, op := range map[string]string{"5.10": "block_rq_complete", "6.18": "block_rq_error"} {
		f := readFormats(t, version)[op]
		d, err := newDecoder(BlockError, &f)
		if err != nil {
			t.Fatal(err)
		}
		raw := rawOf(&f, map[string]int64{"dev": 7<<20 | 3, "sector": 1 << 33, "nr_sector": 8, "error": -5})
		rwbs, _ := f.Field("rwbs")
		copy(raw[rwbs.Offset:], "FWS")
		var e Event
		if _, _, ok := d.decode(raw, 4096, &e); !ok || e != (Event{Kind: BlockError, Pos: 1 << 42, Len: 4096, Errno: 5, Op: 'W'}) {
			t.Errorf("%s %s: %+v", version, op, e)
		}
	}
}

func TestDecoderRefusesMissingField(t *testing.T) {
	f := readFormats(t, "6.18")["iomap_dio_complete"]
	for i, fd := range f.Fields {
		if fd.Name == "ret" {
			f.Fields = append(f.Fields[:i:i], f.Fields[i+1:]...)
			break
		}
	}
	if _, err := newDecoder(DioComplete, &f); err == nil || !strings.Contains(err.Error(), `no field "ret"`) {
		t.Errorf("error %v, want one that names the field ret", err)
	}
}

func TestParseFormatErrors(t *testing.T) {
	for text, want := range map[string]string{
		"": "no name",
		"name: x\nformat:\n\tfield:int a;\toffset:0;\tsize:4;\n":                 "no ID",
		"name: x\nID: 7\nformat:\n":                                              "no field",
		"name: x\nID: 99999\n":                                                   "bad ID",
		"name: x\nID: 7\n\tfield:int a;\toffset:zz;\tsize:4;\n":                  "not a number",
		"name: x\nID: 7\n\tfield:int a;\toffset:0;\n":                            "offset and a size",
		"name: x\nID: 7\n\tfield:int a;\toffset:65536;\tsize:4;\n":               "within",
		"name: x\nID: 7\n\tfield:int a;\toffset:-1;\tsize:4;\n":                  "within",
		"name: x\nID: 7\n\tfield:a;\toffset:0;\tsize:4;\tsigned:0;\nprint fmt: ": "type and name",
	} {
		if _, err := ParseFormat([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", text, err, want)
		}
	}
}

func FuzzParseFormat(f *testing.F) {
	for _, v := range []string{"5.10", "6.18"} {
		text, err := os.ReadFile("testdata/formats-" + v + ".txt")
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range strings.Split(string(text), "== ")[1:] {
			f.Add([]byte(part))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		fm, err := ParseFormat(text)
		if err != nil {
			return
		}
		raw := make([]byte, 300)
		for k := range StalePagecache {
			if d, err := newDecoder(k, &fm); err == nil {
				var e Event
				if _, _, ok := d.decode(raw, 4096, &e); ok != (d.min <= len(raw)) {
					t.Fatalf("decode of %d bytes with min %d: ok %v", len(raw), d.min, ok)
				}
			}
		}
		l, err := parsePageLayout(text)
		if err == nil && len(raw) >= l.data {
			_ = l.records(raw, func(int64, []byte) {})
		}
	})
}
