package report

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var (
	kcidbIDs   = regexp.MustCompile(`^[a-z0-9_]+:[^\x00]*$`)
	kcidbPaths = regexp.MustCompile(`^([a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*)?$`)
)

// checkKCIDB holds a submission against what schema 5.3 demands of the objects
// that we make.
func checkKCIDB(o object) (err error) {
	bad := func(format string, args ...any) {
		if err == nil {
			err = fmt.Errorf(format, args...)
		}
	}
	str := func(what string, o object, k, re string, required bool) string {
		v, there := o[k]
		s, is := v.(string)
		if there != is || required && !there {
			bad("%s: %s is %v", what, k, v)
		}
		if is && (re != "" && !regexp.MustCompile(re).MatchString(s) || strings.Contains(s, "\x00")) {
			bad("%s: %s is %q", what, k, s)
		}
		return s
	}
	only := func(what string, o object, keys ...string) {
		for k := range o {
			if !slices.Contains(keys, k) {
				bad("%s: unknown %s", what, k)
			}
		}
	}
	only("top", o, "version", "checkouts", "builds", "tests")
	v := o["version"].(object)
	if v["major"] != 5.0 || v["minor"] != 3.0 {
		bad("version %v", v)
	}
	ids := map[string]bool{}
	each := func(list string, f func(what string, o object)) {
		items, ok := o[list].([]any)
		if !ok {
			bad("%s is %T", list, o[list])
		}
		for i, x := range items {
			what := fmt.Sprintf("%s[%d]", list, i)
			x := x.(object)
			id := str(what, x, "id", kcidbIDs.String(), true)
			origin := str(what, x, "origin", `^[a-z0-9_]+$`, true)
			if !strings.HasPrefix(id, origin+":") || ids[list+id] {
				bad("%s: id %q is not of %q, or there twice", what, id, origin)
			}
			ids[list+id] = true
			f(what, x)
		}
	}
	each("checkouts", func(what string, o object) {
		only(what, o, "id", "origin", "comment")
	})
	each("builds", func(what string, o object) {
		only(what, o, "id", "origin", "checkout_id", "architecture", "comment")
		str(what, o, "architecture", `^[a-z0-9_]*$`, true)
		if c := str(what, o, "checkout_id", kcidbIDs.String(), true); !ids["checkouts"+c] {
			bad("%s: no checkout %q", what, c)
		}
	})
	each("tests", func(what string, o object) {
		only(what, o, "id", "origin", "build_id", "path", "status", "comment", "start_time", "duration", "number", "log_excerpt", "environment", "misc")
		if b := str(what, o, "build_id", kcidbIDs.String(), true); !ids["builds"+b] {
			bad("%s: no build %q", what, b)
		}
		str(what, o, "path", kcidbPaths.String(), true)
		str(what, o, "status", `^(FAIL|ERROR|MISS|PASS|DONE|SKIP)$`, true)
		str(what, o, "comment", "", false)
		if s := str(what, o, "log_excerpt", "", false); utf8.RuneCountInString(s) > 16384 {
			bad("%s: log_excerpt has %d characters", what, utf8.RuneCountInString(s))
		}
		if s := str(what, o, "start_time", "", false); s != "" {
			if _, e := time.Parse(time.RFC3339, s); e != nil {
				bad("%s: %v", what, e)
			}
		}
		if d, there := o["duration"]; there {
			if _, ok := d.(float64); !ok {
				bad("%s: duration %v", what, d)
			}
		}
		if n, there := o["number"].(object); there {
			only(what+".number", n, "value", "unit")
			if _, ok := n["value"].(float64); !ok {
				bad("%s: number %v", what, n)
			}
			str(what+".number", n, "unit", "", true)
		}
		if e, there := o["environment"].(object); there {
			only(what+".environment", e, "comment", "misc")
			str(what+".environment", e, "comment", "", true)
		}
	})
	return err
}

func TestKCIDB(t *testing.T) {
	all := results()
	for name, r := range all {
		if err := checkKCIDB(decode(t, render(t, "kcidb", r))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct{ result, path, want string }{
		{"pass", "diostress.4k.io_uring", "PASS"},
		{"pass", "diostress.4k.io_uring.adequacy", "PASS"},
		{"pass", "diostress.4k.io_uring.collisions_pass", "SKIP"},
		{"fail", "diostress.4k.libaio", "FAIL"},
		{"fail", "diostress.4k.libaio.completed_once", "FAIL"},
		{"undecided", "diostress.4k.io_uring", "ERROR"},
		{"undecided", "diostress.4k.io_uring.adequacy", "ERROR"},
		{"broken", "diostress.invocation", "ERROR"},
		{"unsupported", "diostress.io_uring", "SKIP"},
		{"noroot", "diostress.invocation", "SKIP"},
		{"matrix", "diostress.1k.extend.io_uring.loop2.no_stray", "FAIL"},
		{"matrix", "diostress.dax.extend.io_uring", "ERROR"},
	} {
		var got []string
		for _, x := range decode(t, render(t, "kcidb", all[c.result]))["tests"].([]any) {
			if o := x.(object); o["path"] == c.path {
				got = append(got, o["status"].(string))
			}
		}
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %s is %q, want %s", c.result, c.path, got, c.want)
		}
	}
}
