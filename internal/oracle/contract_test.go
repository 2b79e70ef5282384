package oracle

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"diostress/internal/plan"
)

func TestParseVersion(t *testing.T) {
	for in, want := range map[string]Version{
		"6.18.44-fc-v657": {6, 18, 0}, "6.1.0-32-amd64": {6, 1, 0}, "5.10": {5, 10, 0}, "6.12-rc3": {6, 12, 0}, "4.14.177": {4, 14, 0},
		"2.6.20": {2, 6, 20}, "2.6.32-5-amd64": {2, 6, 32}, "3.16.0-4-amd64": {3, 16, 0},
	} {
		if got, ok := ParseVersion(in); !ok || got != want {
			t.Errorf("%q: %v, %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "6", "six.one", "2.6", "-1.2", "6.", ".5"} {
		if got, ok := ParseVersion(in); ok {
			t.Errorf("%q: %v", in, got)
		}
	}
	if s := (Version{2, 6, 20}).String() + " " + (Version{6, 18, 0}).String(); s != "2.6.20 6.18" {
		t.Error(s)
	}
}

func TestFindContract(t *testing.T) {
	for _, x := range []struct {
		kernel, fs, engine string
		era                string // "": no row
		pre, post, dsync   Report
		judged             bool
	}{
		{"6.18.44", "ext4", "io_uring", "6.5 and later", Fallback, FsyncEIO, ResEIO, true},
		{"6.5.0", "ext3", "libaio", "6.5 and later", Fallback, FsyncEIO, ResEIO, true},
		{"6.4.16", "ext4", "psync", "5.9 to 6.4", Fallback, FsyncEIO, ResEIO, true},
		{"6.1.0-32-amd64", "ext3", "io_uring", "5.9 to 6.4", Fallback, FsyncEIO, ResEIO, true},
		{"5.9.0", "xfs", "libaio", "5.9 to 6.4", Fallback, FsyncEIO, ResEIO, true},
		{"5.10.0", "btrfs", "libaio", "5.9 to 6.4", Fallback, FsyncEIO, ResEIO, true},
		{"5.9.0", "btrfs", "libaio", "5.5 to 5.9 (generic)", Fallback, FsyncEIO, ResEIO, true},
		{"5.8.18", "ext4", "libaio", "5.5 to 5.8", FsyncEIO, FsyncEIO, ResEIO, true},
		{"5.4.200", "ext4", "libaio", "4.16 to 5.4", Fallback, FsyncEIO, ResEIO, true},
		{"5.4.200", "ext4", "psync", "4.16 to 5.4", Fallback, Silent, NotTried, false},
		{"5.4.200", "xfs", "psync", "4.16 to 5.8 (iomap)", FsyncEIO, FsyncEIO, ResEIO, true},
		{"4.15.18", "ext4", "libaio", "4.14 to 4.15", Fallback, Silent, NotTried, false},
		{"4.12.0", "xfs", "libaio", "4.10 to 4.13 (iomap)", Silent, NotTried, NotTried, false},
		{"3.16.0", "ext3", "libaio", "2.6.27 to 4.13", Fallback, Silent, NotTried, false},
		{"3.16.0", "xfs", "libaio", "2.6.27 to 4.9 (xfs)", ResZero, Silent, NotTried, false},
		{"2.6.26", "ext3", "libaio", "2.6.24 to 2.6.26", ResEIO, Silent, NotTried, false},
		{"2.6.22", "ext3", "libaio", "2.6.21 to 2.6.23", ResEIO, NotTried, NotTried, false},
		{"2.6.20", "ext3", "libaio", "2.6.18 to 2.6.20", NotTried, ResEIOTwice, ResEIOTwice, false},
		{"2.6.20", "ext3", "psync", "2.6.18 to 2.6.20", NotTried, ResEIO, ResEIO, false},
		{"2.6.17", "ext3", "libaio", "", "", "", "", false},
		{"6.18.44", "nfs", "io_uring", "", "", "", "", false},
		{"what", "ext4", "io_uring", "", "", "", "", false},
	} {
		c, ok := FindContract(x.kernel, x.fs, x.engine)
		if ok != (x.era != "") || c.Era != x.era || c.Pre != x.pre || c.Post != x.post || c.DSync != x.dsync || c.Judged != x.judged {
			t.Errorf("%s %s %s: %+v", x.kernel, x.fs, x.engine, c)
		}
	}
}

// TestContractTable holds the rows against what every row must have, and the
// eras against each other: no kernel from 2.6.18 on is without one.
func TestContractTable(t *testing.T) {
	for i := range contracts {
		c := &contracts[i]
		if c.Era == "" || c.Source == "" || len(c.FS) == 0 || c.Pre == "" || c.Post == "" || c.DSync == "" {
			t.Errorf("row %d (%s) lacks something: %+v", i, c.Era, c)
		}
		if c.To != (Version{}) && !c.From.Before(c.To) {
			t.Errorf("%s: from %v to %v", c.Era, c.From, c.To)
		}
		for _, e := range c.Engines {
			if !slices.Contains(plan.EngineNames(), e) {
				t.Errorf("%s: no engine %q", c.Era, e)
			}
		}
		if c.Judged != (c.Post == FsyncEIO) {
			t.Errorf("%s: judged %v, post %q", c.Era, c.Judged, c.Post)
		}
		if c.AlsoTraced && !c.Traced {
			t.Errorf("%s: %+v", c.Era, c)
		}
		for _, e := range c.Errnos {
			if errnos[e].class != illegal {
				t.Errorf("%s: errno %d is legal anyway", c.Era, e)
			}
		}
	}
	var all []Version
	for p := 18; p <= 39; p++ {
		all = append(all, Version{2, 6, p})
	}
	for major, minors := range map[int]int{3: 19, 4: 20, 5: 19, 6: 19} {
		for m := range minors + 1 {
			all = append(all, Version{major, m, 0})
		}
	}
	for _, v := range all {
		for _, fs := range []string{"ext4", "ext3", "xfs"} {
			for _, e := range plan.EngineNames() {
				if _, ok := FindContract(v.String(), fs, e); !ok && !(e == "io_uring" && v.Before(Version{5, 1, 0})) {
					t.Errorf("no row for %v %s %s", v, fs, e)
				}
			}
		}
	}
}

func TestErrnosAreDocumented(t *testing.T) {
	for n, r := range errnos {
		if r.name == "" || r.source == "" || r.class == illegal || ErrnoName(n) != r.name {
			t.Errorf("errno %d: %+v", n, r)
		}
		if _, twice := namedErrnos[n]; twice {
			t.Errorf("errno %d has two names", n)
		}
	}
	if ErrnoName(529) != "EIOCBQUEUED" || ErrnoName(4000) != "4000" {
		t.Error(ErrnoName(529), ErrnoName(4000))
	}
}

func TestErasLike(t *testing.T) {
	c, _ := FindContract("6.18", "ext4", "libaio")
	for _, x := range []struct {
		pre  bool
		way  Report
		want string
	}{
		{false, ResEIOTwice, "2.6.18 to 2.6.20"},
		{true, ResEIO, "2.6.24 to 2.6.26, 2.6.21 to 2.6.23"},
		{true, ResZero, "2.6.27 to 4.9 (xfs)"},
		{true, ResEIOTwice, ""},
	} {
		if got := c.erasLike(x.pre, x.way); got != x.want {
			t.Errorf("%v %q: %q, want %q", x.pre, x.way, got, x.want)
		}
	}
}

func TestFolios(t *testing.T) {
	for _, x := range []struct {
		kernel, fs string
		large      bool
	}{{"6.16.0", "ext4", true}, {"6.15.9", "ext4", false}, {"6.18", "ext3", true}, {"5.18", "xfs", true}, {"5.17", "xfs", false}, {"6.18", "nfs", false}, {"x", "ext4", false}} {
		if LargeFolios(x.kernel, x.fs) != x.large {
			t.Errorf("%+v", x)
		}
	}
}

// TestNoteClasses holds the classes that the kernel room gives a line against
// what the judge knows of them: one that it does not know would be taken for
// idle talk.
func TestNoteClasses(t *testing.T) {
	const path = "../kernel/classify.go"
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || v.Names[0].Name != "classNames" {
			return true
		}
		for _, e := range v.Values[0].(*ast.CompositeLit).Elts {
			s, err := strconv.Unquote(e.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, s)
		}
		return false
	})
	if len(names) < 20 {
		t.Fatalf("%s: only %d classes found: %v", path, len(names), names)
	}
	for _, n := range names {
		if _, ok := noteClasses[n]; !ok {
			t.Errorf("the judge does not know class %q of %s", n, path)
		}
	}
	own := []string{"other_device", "early", "permanent", "i_size"}
	for n := range noteClasses {
		if !slices.Contains(names, n) && !slices.Contains(own, n) {
			t.Errorf("nobody gives class %q", n)
		}
	}
}

func TestKernelLogRule(t *testing.T) {
	for _, x := range []struct {
		name string
		edit func(*history)
		text string // "": no finding
	}{
		{"corruption without a cause", func(x *history) { x.note("ext4_error", "EXT4-fs error (device loop0): bad block bitmap checksum") }, "bad block bitmap"},
		{"corruption after the device failed", func(x *history) {
			x.note("ext4_error", "EXT4-fs error (device loop0): IO failure")
			x.t.Trace.BlockError.N = 3
		}, ""},
		{"a journal that was shut down", func(x *history) {
			x.note("jbd2_error", "Aborting journal on device loop0-8.")
			x.note("ext4_shutdown", "EXT4-fs (loop0): shut down requested (0)")
		}, ""},
		{"corruption on a device-mapper disk before 6.4", func(x *history) {
			x.note("ext4_error", "EXT4-fs error (device dm-0): IO failure")
			x.h.Facts.Disk, x.t.Trace.IomapError.Known = "dm-0", false
		}, ""},
		{"another disk's trouble", func(x *history) { x.note("other_device", "EXT4-fs error (device sda1): bad") }, ""},
		{"a data race", func(x *history) { x.note("kcsan", "BUG: KCSAN: data-race in a / b") }, ""},
		{"the invalidation warning", func(x *history) { x.note("invalidation", "Page cache invalidation failure on direct I/O.") }, ""},
		{"a class from tomorrow", func(x *history) { x.note("novel", "something") }, ""},
		{"many", func(x *history) {
			for range 3000 {
				x.note("warning", "WARNING: CPU: 0 PID: 1 at fs/x.c")
			}
			x.note("bug", "BUG: unable to handle")
		}, "3001 messages of a broken kernel, the first: WARNING"},
		{"tainted by a warning", func(x *history) { x.t.TaintAfter = 1 << 9 }, "became tainted during the run: 0x200, was 0x0"},
		{"tainted before", func(x *history) { x.t.TaintBefore, x.t.TaintAfter = 1<<9, 1<<9 }, ""},
		{"tainted by a module", func(x *history) { x.t.TaintAfter = 1 << 12 }, ""},
	} {
		h := healthy()
		x.edit(h)
		o := h.judge()
		r := o.find("kernel_log")
		if (x.text != "") != slices.Contains(o.broken(), "kernel_log") || !strings.Contains(r.Reason, x.text) {
			t.Errorf("%s: %v: %q, want %q", x.name, r.Verdict, r.Reason, x.text)
		}
	}
}
