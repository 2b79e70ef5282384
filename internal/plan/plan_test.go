package plan

import (
	"strings"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{"4k": 4096, "512": 512, "1M": 1 << 20, "1MiB": 1 << 20, "2g": 2 << 30, "3Ki": 3072, "0": 0, "1T": 1 << 40} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%q = %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "k", "4q", "-5", "4.5k", " 4k", "4 k", "99999999999999999999", "9000000000G", "0x10"} {
		if _, err := ParseSize(in); err == nil || !strings.Contains(err.Error(), `"`+in+`"`) {
			t.Errorf("%q: error %v", in, err)
		}
	}
}

func TestParseTime(t *testing.T) {
	for in, want := range map[string]time.Duration{"10": 10 * time.Second, "500ms": 500 * time.Millisecond, "1.5": 1500 * time.Millisecond, "2m": 2 * time.Minute, "1h": time.Hour, "7us": 7 * time.Microsecond} {
		if got, err := ParseTime(in); err != nil || got != want {
			t.Errorf("%q = %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "-1", "s", "5x", "1..2", "99999999999d"} {
		if _, err := ParseTime(in); err == nil {
			t.Errorf("%q accepted", in)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("4k")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseSize(s); err == nil {
			if m, err := ParseSize(FormatSize(n)); err != nil || m != n {
				t.Fatalf("%q -> %d -> %q -> %d, %v", s, n, FormatSize(n), m, err)
			}
		}
		if d, err := ParseTime(s); err == nil && d < 0 {
			t.Fatalf("%q: negative", s)
		}
	})
}

func good() Config {
	return Config{FS: "ext4", Engines: []string{"io_uring"}, BS: 4096, Size: 1 << 20, IODepth: 8, NumJobs: 1, Range: "own", RW: "randwrite",
		Runtime: time.Second, Verify: "full", Trace: "exact", Epoch: time.Second, StuckTimeout: time.Second,
		Dirty: []Dirty{{"mmap", 1}, {"write", 1}}, Strategy: Strategy{Pick: "newest"}, Seed: 1}
}

func TestValidate(t *testing.T) {
	c := good()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		edit func(*Config)
		want string
	}{
		"engine":      {func(c *Config) { c.Engines = []string{"libiao"} }, `did you mean "libaio"`},
		"twice":       {func(c *Config) { c.Engines = []string{"psync", "psync"} }, "twice"},
		"bs":          {func(c *Config) { c.BS = 4000 }, "multiple of 512"},
		"size":        {func(c *Config) { c.Size = 1024 }, "smaller than --bs"},
		"depth":       {func(c *Config) { c.IODepth = 1 << 20 }, "--iodepth 1048576"},
		"few blocks":  {func(c *Config) { c.Size = 8192 }, "fewer than --iodepth"},
		"rw":          {func(c *Config) { c.RW = "wrote" }, `did you mean "write"`},
		"stuck":       {func(c *Config) { c.StuckTimeout = 0 }, "--stuck-timeout"},
		"both places": {func(c *Config) { c.Directory, c.Device = "/x", "/dev/y" }, "exclude"},
		"destroy":     {func(c *Config) { c.FS, c.Device = "", "/dev/y" }, "--destroy-data"},
		"dir and fs":  {func(c *Config) { c.Directory = "/x" }, "--fs"},
		"retry":       {func(c *Config) { c.Retry, c.Trace = 3, "count" }, "--trace exact"},
		"verify size": {func(c *Config) { c.Size = 1 << 40 }, "--verify none"},
		"runtime":     {func(c *Config) { c.Runtime = 0 }, "--runtime"},
		"no engine":   {func(c *Config) { c.Engines = nil }, "names no engine"},
	} {
		c := good()
		x.edit(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStreamIsRepeatableAndCoversEveryBlock(t *testing.T) {
	for _, rw := range []string{"randwrite", "write"} {
		c := good()
		c.RW = rw
		p := New(c)
		if len(p.Files) != 3 {
			t.Fatalf("files %+v", p.Files)
		}
		a, b := p.Stream(0), p.Stream(0)
		seen := map[Write]int{}
		last := map[Write]int{}
		for i := range 20000 {
			w := a.Next()
			if w != b.Next() {
				t.Fatal("same seed, other write")
			}
			f := p.Files[w.File]
			if w.Block < 0 || w.Block >= f.Size/4096 || f.Role == Neighbour && w.Block%2 != 0 {
				t.Fatalf("block %d of %+v", w.Block, f)
			}
			if prev, ok := last[w]; ok && i-prev < 8 {
				t.Fatalf("%+v again after %d writes", w, i-prev)
			}
			last[w] = i
			seen[w]++
		}
		if want := 256 + 64 + 64; len(seen) != want {
			t.Errorf("%s: %d blocks written, want %d", rw, len(seen), want)
		}
	}
	c := good()
	c.Seed = 2
	if New(c).Stream(0).Next() == New(good()).Stream(0).Next() && New(c).Stream(0).main[0].perm.key == New(good()).Stream(0).main[0].perm.key {
		t.Error("another seed, same stream")
	}
}

// TestDwell: iodepth blocks at a time are written so often as asked for, and in
// the end all of them.
func TestDwell(t *testing.T) {
	c := good()
	c.Dirty, c.Verify, c.IODepth, c.Dwell, c.Size = nil, "none", 3, 4, 16*4096 // 16 blocks are not a multiple of 3
	s := New(c).Stream(0)
	if n := s.Round(); n != 18*4+1 {
		t.Errorf("a round is %d writes, want %d", n, 18*4+1)
	}
	seen := map[Write]int{}
	for range 18 / 3 {
		var group [3]Write
		for i := range group {
			group[i] = s.Next()
			seen[group[i]]++
		}
		for range 3 {
			for i := range group {
				w := s.Next()
				if w != group[i] {
					t.Fatalf("%+v among the writes to %+v", w, group)
				}
				seen[w]++
			}
		}
	}
	if len(seen) != 16 {
		t.Errorf("%d blocks written, want 16", len(seen))
	}
	for w, n := range seen {
		if n%4 != 0 || n == 0 {
			t.Errorf("%+v was written %d times, want a multiple of 4", w, n)
		}
	}
}

// TestAuditHasAFileForEverySlot: what On says for a slot is on that slot's file.
func TestAuditHasAFileForEverySlot(t *testing.T) {
	c := good()
	c.Audit = true
	p := New(c)
	s := p.Stream(0)
	files := map[int]bool{}
	for slot := range c.IODepth {
		files[s.MainFile(slot)] = true
		for range 100 {
			if w := s.On(slot); w.File != s.MainFile(slot) || w.Block*int64(c.BS) >= p.Files[w.File].Size {
				t.Fatalf("slot %d: %+v", slot, w)
			}
		}
	}
	if len(files) != c.IODepth {
		t.Errorf("%d files for %d slots", len(files), c.IODepth)
	}
}

func TestSharedRangeNeverMeets(t *testing.T) {
	c := good()
	c.NumJobs, c.Range = 3, "shared"
	p := New(c)
	owner := map[Write]int{}
	for j := range 3 {
		s := p.Stream(j)
		for range 2000 {
			w := s.Next()
			if o, ok := owner[w]; ok && o != j {
				t.Fatalf("%+v belongs to job %d and %d", w, o, j)
			}
			owner[w] = j
		}
	}
}

func BenchmarkNext(b *testing.B) {
	s := New(good()).Stream(0)
	for b.Loop() {
		s.Next()
	}
}
