package plan

import (
	"strings"
	"testing"
)

func TestMaterial(t *testing.T) {
	for name, x := range map[string]struct {
		edit func(*Config)
		want string // of the error; "" for none
	}{
		"sparse":          {func(c *Config) { c.Layout = "sparse" }, ""},
		"unwritten":       {func(c *Config) { c.Layout = "unwritten" }, ""},
		"empty in order":  {func(c *Config) { c.Layout, c.RW = "empty", "write" }, ""},
		"self":            {func(c *Config) { c.Buffer = "selfmmap" }, ""},
		"zero":            {func(c *Config) { c.Buffer = "zero" }, ""},
		"layout":          {func(c *Config) { c.Layout = "sprase" }, `did you mean "sparse"`},
		"buffer":          {func(c *Config) { c.Buffer = "zeros" }, `did you mean "zero"`},
		"empty at random": {func(c *Config) { c.Layout = "empty" }, "--rw write"},
		"empty, truncate": {func(c *Config) { c.Layout, c.RW, c.Dirty = "empty", "write", []Dirty{{"truncate", 1}} }, "--dirty truncate"},
		"empty, overlap":  {func(c *Config) { c.Layout, c.RW, c.Overlap = "empty", "write", true }, "--overlap"},
		"audit":           {func(c *Config) { c.Layout, c.Audit = "sparse", true }, "audit"},
		"zero, fixed":     {func(c *Config) { c.Buffer, c.FixedBufs = "zero", true }, "--fixedbufs"},
		"self, fixed":     {func(c *Config) { c.Buffer, c.FixedBufs = "selfmmap", true }, "--fixedbufs"},
		"self, sparse":    {func(c *Config) { c.Buffer, c.Layout = "selfmmap", "sparse" }, "--layout written"},
		"self, truncate":  {func(c *Config) { c.Buffer, c.Dirty = "selfmmap", []Dirty{{"truncate", 1}} }, "--dirty truncate"},
		"buffers too large": {func(c *Config) {
			c.Buffer, c.NumJobs, c.IODepth, c.Size, c.Verify = "selfmmap", 64, 2048, 1<<30, "none"
		}, "4g of buffers"},
	} {
		c := good()
		x.edit(&c)
		err := c.Validate()
		if x.want == "" && err != nil || x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)) {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
	}
}

func TestExact(t *testing.T) {
	main, control, beside := File{Role: Main}, File{Role: Control}, File{Role: Neighbour}
	for kind, want := range map[string]bool{"read": true, "fsync": true, "madvise": true, "fallocate": true, "mmap": false, "write": false, "truncate": false, "punch": false} {
		c := Config{Dirty: []Dirty{{kind, 1}}}
		if got := c.Exact(&main); got != want {
			t.Errorf("main beside %s: exact %v", kind, got)
		}
		if !c.Exact(&control) || c.Exact(&beside) {
			t.Errorf("beside %s: control %v, neighbour %v", kind, c.Exact(&control), c.Exact(&beside))
		}
	}
	c := Config{Overlap: true}
	if c.Exact(&main) {
		t.Error("main is exact although several writes may be in flight on a block")
	}
}

func TestBuffersInFiles(t *testing.T) {
	c := good()
	c.Buffer, c.NumJobs, c.Range = BufferSelfMmap, 2, "shared"
	if got := c.BufStride(); got != 64<<10 {
		t.Errorf("stride %d", got)
	}
	p := New(c)
	var sum int64
	for _, f := range p.Files {
		want := int64(c.IODepth) * 64 << 10
		if f.Role == Main {
			want *= 2
		}
		if f.Tail != want || f.TailOff() < f.Size || f.TailOff()%(8<<20) != 0 {
			t.Errorf("%+v: tail of %d bytes at %d, want %d", f, f.Tail, f.TailOff(), want)
		}
		sum += f.Size + f.Tail
	}
	if p.Bytes() != sum {
		t.Errorf("%d bytes, want %d", p.Bytes(), sum)
	}
	c.Buffer = ""
	if c.BufStride() != int64(c.BS) || New(c).Files[0].Tail != 0 {
		t.Error("buffers in a file without --buffer selfmmap")
	}
}

func TestLayoutOfTheFiles(t *testing.T) {
	c := good()
	c.Layout = LayoutSparse
	c.Dirty = []Dirty{{"write", 1}}
	for _, f := range New(c).Files {
		if f.Fresh() != (f.Role != Neighbour) || f.Grows() {
			t.Errorf("%+v", f)
		}
	}
}

// TestLargeBlocks: the files beside the main one stay small enough to be read
// back often.
func TestLargeBlocks(t *testing.T) {
	c := good()
	c.BS, c.Size, c.IODepth, c.Dirty = 1<<20, 16<<20, 4, []Dirty{{"write", 1}}
	want := map[Role]int64{Main: 16 << 20, Control: 8 << 20, Neighbour: 16 << 20}
	for _, f := range New(c).Files {
		if f.Size != want[f.Role] {
			t.Errorf("%s: %d bytes, want %d", f.Name, f.Size, want[f.Role])
		}
	}
}

func TestRoundAndRestart(t *testing.T) {
	for _, dirty := range [][]Dirty{{{"read", 1}}, {{"mmap", 1}, {"write", 1}}} {
		c := good()
		c.RW, c.Dirty = "write", dirty
		p := New(c)
		s := p.Stream(0)
		seen := map[int64]bool{}
		for range s.Round() {
			if w := s.Next(); p.Files[w.File].Role == Main {
				seen[w.Block] = true
			}
		}
		if blocks := p.Files[0].Size / int64(c.BS); int64(len(seen)) != blocks {
			t.Errorf("%v: a round of %d writes reached %d of %d blocks", dirty, s.Round(), len(seen), blocks)
		}
		s.Restart()
		first := map[int]bool{}
		for range 100 {
			w := s.Next()
			if role := p.Files[w.File].Role; role != Neighbour && !first[w.File] {
				if first[w.File] = true; w.Block != 0 {
					t.Errorf("%s begins at block %d after a restart", p.Files[w.File].Name, w.Block)
				}
			}
		}
	}
}
