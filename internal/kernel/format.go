package kernel

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Field is one field of a trace record, as the kernel lays it out.
type Field struct {
	Name   string
	Type   string // the C type as written, without the array part
	Offset int    // bytes from the start of the record
	Size   int    // bytes; 0 for a flexible array
	Signed bool
	Array  bool // declared name[...]; also the __data_loc kinds
}

// Format is the layout of one tracepoint's record: what the tracefs file
// events/SYSTEM/NAME/format says (kernel/trace/trace_events.c, f_show).
type Format struct {
	Name   string
	ID     int // the value of the record's common_type
	Fields []Field
}

const maxRecord = 1 << 16 // bytes; perf's own limit for one record

// ParseFormat reads a tracefs format file. It refuses a text without a name,
// an ID or fields, and a field that lies outside a record.
func ParseFormat(text []byte) (Format, error) {
	f := Format{ID: -1}
	for line := range bytes.Lines(text) {
		s := strings.TrimSpace(string(line))
		switch {
		case strings.HasPrefix(s, "name:"):
			f.Name = strings.TrimSpace(s[len("name:"):])
		case strings.HasPrefix(s, "ID:"):
			id, err := strconv.Atoi(strings.TrimSpace(s[len("ID:"):]))
			if err != nil || id < 0 || id >= maxRecord {
				return Format{}, fmt.Errorf("format %q: bad ID line %q, want ID: 0..65535", f.Name, s)
			}
			f.ID = id
		case strings.HasPrefix(s, "print fmt:"):
			// Everything after it is prose for perf and trace-cmd.
			return f, f.check()
		}
		field, ok, err := parseField(s)
		if err != nil {
			return Format{}, fmt.Errorf("format %q: %w", f.Name, err)
		}
		if ok {
			f.Fields = append(f.Fields, field)
		}
	}
	return f, f.check()
}

func (f *Format) check() error {
	switch {
	case f.Name == "":
		return fmt.Errorf("format: no name line; want a tracefs events/SYSTEM/NAME/format text")
	case f.ID < 0:
		return fmt.Errorf("format %q: no ID line", f.Name)
	case len(f.Fields) == 0:
		return fmt.Errorf("format %q: no field lines", f.Name)
	}
	return nil
}

// parseField reads "field:TYPE NAME[N]; offset:1; size:2; signed:0;". The
// signed part is missing in kernels before 2.6.33 and in some page headers.
func parseField(s string) (f Field, ok bool, err error) {
	rest, ok := strings.CutPrefix(s, "field:")
	if !ok {
		return Field{}, false, nil
	}
	parts := strings.Split(rest, ";")
	decl := strings.TrimSpace(parts[0])
	if i := strings.IndexByte(decl, '['); i >= 0 && strings.HasSuffix(decl, "]") && strings.IndexByte(decl[i:], ' ') < 0 {
		f.Array = true
		decl = decl[:i]
	}
	i := strings.LastIndexAny(decl, " \t*")
	if i < 0 || i == len(decl)-1 {
		return Field{}, false, fmt.Errorf("field %q has no type and name", rest)
	}
	f.Name, f.Type = decl[i+1:], strings.TrimSpace(decl[:i+1])
	if strings.HasPrefix(f.Type, "__data_loc") || strings.HasPrefix(f.Type, "__rel_loc") {
		f.Array = true
	}
	offset, size := false, false
	for _, p := range parts[1:] {
		key, val, found := strings.Cut(strings.TrimSpace(p), ":")
		if !found {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(val))
		if err != nil {
			return Field{}, false, fmt.Errorf("field %q: %q is not a number", f.Name, p)
		}
		switch key {
		case "offset":
			f.Offset, offset = n, true
		case "size":
			f.Size, size = n, true
		case "signed":
			f.Signed = n != 0
		}
	}
	if !offset || !size || f.Offset < 0 || f.Size < 0 || f.Offset > maxRecord || f.Size > maxRecord-f.Offset {
		return Field{}, false, fmt.Errorf("field %q: want an offset and a size within %d bytes, have %q", f.Name, maxRecord, s)
	}
	return f, true, nil
}

// Field finds a field by name, the first of the given names that is there.
func (f *Format) Field(names ...string) (Field, bool) {
	for _, name := range names {
		for _, fd := range f.Fields {
			if fd.Name == name {
				return fd, true
			}
		}
	}
	return Field{}, false
}
