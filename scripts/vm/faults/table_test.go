package faults

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"diostress/internal/oracle"
)

var engines = []string{"io_uring", "libaio"}

// The issue that asked for the table names these; the first is the bug of 2007.
func TestTableIsComplete(t *testing.T) {
	for _, name := range []string{
		"2007-once", "2007-rate", "2007-kernel", "pre-write", "pre-write-dirty", "post-write", "post-write-dirty",
		"swallowed", "stale", "never", "short", "enotblk", "eiocbqueued", "lost", "early", "reissue", "reissue-buffer",
		"device-blkdebug", "device-flakey",
	} {
		if !slices.Contains(Names(), name) {
			t.Errorf("%s is not in the table", name)
		}
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(Names())))); n != len(Names()) {
		t.Error("a name comes twice")
	}
}

func TestEveryCaseNamesARuleThatExists(t *testing.T) {
	rules := oracle.RuleNames()
	for _, c := range Cases() {
		if c.About == "" || c.Name == "" {
			t.Errorf("%q: %q", c.Name, c.About)
		}
		for _, e := range engines {
			x := c.ExpectFor(e)
			for _, r := range slices.Concat(x.Rules, x.Any) {
				if !slices.Contains(rules, r) {
					t.Errorf("%s with %s: %q is no rule of the oracle", c.Name, e, r)
				}
			}
			switch caught := len(x.Rules)+len(x.Any) > 0; {
			case !caught && !x.Legal && !x.Device:
				t.Errorf("%s with %s: nothing must catch it", c.Name, e)
			case caught && (x.Legal || x.Device):
				t.Errorf("%s with %s: legal, and yet to be caught", c.Name, e)
			}
		}
	}
}

func TestEveryCaseBreaksSomething(t *testing.T) {
	for _, c := range Cases() {
		ways := 0
		for _, way := range []bool{c.Module != "", c.Blkdebug, c.Flakey, c.Own} {
			if way {
				ways++
			}
		}
		if ways != 1 {
			t.Errorf("%s: %d ways of breaking", c.Name, ways)
		}
		if (c.Module != "") != (c.ParamsFor("libaio") != "" && c.ParamsFor("io_uring") != "") {
			t.Errorf("%s: module %q with parameters %q", c.Name, c.Module, c.Params)
		}
		if len(c.Counts) > 0 && c.Module != "retfault" {
			t.Errorf("%s: counters without the module that has them", c.Name)
		}
	}
}

// Every parameter of the table is one of the module's.
func TestParametersExist(t *testing.T) {
	declared := regexp.MustCompile(`module_param(?:_cb|_named)?\((\w+)`)
	for _, c := range Cases() {
		if c.Module == "" {
			continue
		}
		src, err := os.ReadFile("module/" + c.Module + ".c")
		if err != nil {
			t.Fatal(err)
		}
		var known []string
		for _, m := range declared.FindAllStringSubmatch(string(src), -1) {
			known = append(known, m[1])
		}
		for _, e := range engines {
			for _, p := range strings.Fields(c.ParamsFor(e)) {
				if name, _, ok := strings.Cut(p, "="); !ok || !slices.Contains(known, name) {
					t.Errorf("%s with %s: %q is no parameter of %s; there are %q", c.Name, e, p, c.Module, known)
				}
			}
		}
		for _, count := range c.Counts {
			for _, n := range count.Counters {
				if !slices.Contains(known, n) {
					t.Errorf("%s: no counter %q", c.Name, n)
				}
			}
		}
	}
}

func TestSelect(t *testing.T) {
	if got, err := Select([]string{"short", "lost"}); err != nil || len(got) != 2 || got[0].Name != "short" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := Select([]string{"shrot"}); err == nil || !strings.Contains(err.Error(), `"shrot"`) || !strings.Contains(err.Error(), "short") {
		t.Errorf("%v", err)
	}
}

func TestSharedBoots(t *testing.T) {
	for name, want := range map[string]bool{"short": true, "never": false, "2007-once": false, "device-flakey": true} {
		c, err := Select([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		if c[0].SameFor(engines) != want {
			t.Errorf("%s shares its boot: %v", name, !want)
		}
	}
}
