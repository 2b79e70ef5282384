package mmapdirty

import (
	"strings"
	"testing"
)

func TestParseSpec(t *testing.T) {
	for _, c := range []struct{ in, canonical string }{
		{"none", "none"},
		{"mmap", "mmap=1"},
		{"mmap=2,write=1,fsync=1", "mmap=2,write=1,fsync=1"},
		{"fsync,mmap=64", "mmap=64,fsync=1"},
		{"mmap=02", "mmap=2"},
		{"fallocate,punch,truncate,madvise,fadvise,sync_file_range,msync,fdatasync,fsync,read,write,mmap",
			"mmap=1,write=1,read=1,fsync=1,fdatasync=1,msync=1,sync_file_range=1,madvise=1,fadvise=1,truncate=1,punch=1,fallocate=1"},
	} {
		s, err := ParseSpec(c.in)
		if err != nil {
			t.Errorf("ParseSpec(%q): %v", c.in, err)
			continue
		}
		if s.String() != c.canonical {
			t.Errorf("ParseSpec(%q) = %q, want %q", c.in, s, c.canonical)
		}
		if back, err := ParseSpec(s.String()); err != nil || back != s {
			t.Errorf("ParseSpec(%q) = %v, %v, want the same spec again", s, back, err)
		}
	}
}

func TestParseSpecRefuses(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string // pieces of the message
	}{
		{"", []string{"empty", "none", "mmap, write"}},
		{",", []string{`missing in ","`, "mmap, write"}},
		{"mmap,", []string{"missing", `"mmap,"`}},
		{"mmpa=2", []string{`"mmpa"`, "valid kinds: mmap", `Did you mean "mmap"?`}},
		{"MMAP", []string{`"MMAP"`, `Did you mean "mmap"?`}},
		{"mmap=1, write", []string{`" write"`, `Did you mean "write"?`}},
		{"mmap:2", []string{`"mmap:2"`, `Did you mean "mmap"?`}},
		{"syncfilerange", []string{`Did you mean "sync_file_range"?`}},
		{"kjournald", []string{`"kjournald"`, "valid kinds"}},
		{"mmap=0", []string{`"0"`, `"mmap=0"`, "1 to 64"}},
		{"mmap=65", []string{`"65"`, "1 to 64"}},
		{"mmap=-1", []string{`"-1"`}},
		{"mmap=+1", []string{`"+1"`}},
		{"mmap=", []string{`""`, `"mmap="`}},
		{"mmap=1=2", []string{`"1=2"`}},
		{"mmap=99999999999999999999", []string{"99999999999999999999"}},
		{"write=1,write=2", []string{`"write" stands twice`}},
		{"none,mmap", []string{"none", "alone"}},
		{"none=1", []string{"alone"}},
	} {
		s, err := ParseSpec(c.in)
		if err == nil {
			t.Errorf("ParseSpec(%q) = %v, want an error", c.in, s)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("ParseSpec(%q): %q lacks %q", c.in, err, w)
			}
		}
	}
	if _, err := ParseSpec("kjournald"); strings.Contains(err.Error(), "Did you mean") {
		t.Errorf("a guess for what resembles nothing: %v", err)
	}
}

func TestSpecWith(t *testing.T) {
	s := Spec{}.With(Fsync, 3).With(Mmap, 1).With(Mmap, 0)
	if s.String() != "fsync=3" || s.Total() != 3 || s.Count(Fsync) != 3 || s.Count(Mmap) != 0 {
		t.Errorf("got %v, total %d", s, s.Total())
	}
	defer func() {
		if recover() == nil {
			t.Error("With(Mmap, 65) did not panic")
		}
	}()
	s.With(Mmap, MaxCount+1)
}

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if k.String() == "" || k.Describe() == "" || seen[k.String()] {
			t.Errorf("kind %d: name %q, text %q: want both, and the name once", k, k, k.Describe())
		}
		if strings.ContainsAny(k.Describe(), "\n") {
			t.Errorf("%v: description has more than one line", k)
		}
		seen[k.String()] = true
		if s, err := ParseSpec(k.String()); err != nil || s.Count(k) != 1 {
			t.Errorf("ParseSpec(%q) = %v, %v", k, s, err)
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d kinds, want 12", len(seen))
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{"none", "mmap", "mmap=2,write=1", "mmap=", ",,", "write=1,write=1", "madvise=64"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := ParseSpec(in)
		if err != nil {
			if s != (Spec{}) {
				t.Errorf("ParseSpec(%q) returned %v with an error", in, s)
			}
			return
		}
		if back, err := ParseSpec(s.String()); err != nil || back != s {
			t.Errorf("ParseSpec(%q) = %v, which reads back as %v, %v", in, s, back, err)
		}
		if (s.Total() == 0) != (in == "none") {
			t.Errorf("ParseSpec(%q): total %d", in, s.Total())
		}
		for _, k := range Kinds() {
			if n := s.Count(k); n < 0 || n > MaxCount {
				t.Errorf("ParseSpec(%q): %d of %v", in, n, k)
			}
		}
	})
}
