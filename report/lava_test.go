package report

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

var lavaSignal = regexp.MustCompile(`^<LAVA_SIGNAL_(?:TESTSET (?:START ([A-Za-z0-9_.-]+)|STOP)|TESTCASE TEST_CASE_ID=([A-Za-z0-9_.-]+) RESULT=(pass|fail|skip|unknown)(?: UNITS=[a-z_]+ MEASUREMENT=[0-9]+\.[0-9])?)>$`)

// readLAVA reads the signals and returns the results by set and case.
func readLAVA(text string) (map[string]string, error) {
	out := map[string]string{}
	set, open := "", false
	for i, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if !strings.ContainsAny(l, "<>") {
			continue // text for people
		}
		m := lavaSignal.FindStringSubmatch(l)
		switch {
		case m == nil:
			return nil, fmt.Errorf("line %d: %q is no signal", i+1, l)
		case m[1] != "":
			if open {
				return nil, fmt.Errorf("line %d: set in a set", i+1)
			}
			set, open = m[1], true
		case m[2] != "":
			if _, twice := out[set+"/"+m[2]]; twice || !open {
				return nil, fmt.Errorf("line %d: %s twice, or outside a set", i+1, m[2])
			}
			out[set+"/"+m[2]] = m[3]
		default:
			if !open {
				return nil, fmt.Errorf("line %d: stop without start", i+1)
			}
			open = false
		}
	}
	if open {
		return nil, fmt.Errorf("set %s is not stopped", set)
	}
	return out, nil
}

func TestLAVA(t *testing.T) {
	all := results()
	for _, c := range []struct{ result, test, want string }{
		{"pass", "4k.io_uring/verdict", "pass"},
		{"pass", "4k.io_uring/iops", "pass"},
		{"pass", "4k.io_uring/collisions", "pass"},
		{"pass", "4k.io_uring/stale_reported", "skip"},
		{"fail", "4k.io_uring/verdict", "pass"},
		{"fail", "4k.libaio/verdict", "fail"},
		{"fail", "4k.libaio/completed_once", "fail"},
		{"undecided", "4k.io_uring/adequacy", "unknown"},
		{"undecided", "4k.io_uring/verdict", "fail"},
		{"undecided", "4k.io_uring/collisions", ""}, // not known, so not measured
		{"broken", "invocation/verdict", "fail"},
		{"unsupported", "skipped/io_uring", "skip"},
		{"noroot", "invocation/verdict", "skip"},
		{"matrix", "4k.extend.io_uring.loop1/iops.1", "pass"},
		{"matrix", "dax.extend.io_uring/verdict", "fail"},
		{"empty", "invocation/verdict", "fail"},
	} {
		got, err := readLAVA(render(t, "lava", all[c.result]))
		if err != nil {
			t.Fatalf("%s: %v", c.result, err)
		}
		if got[c.test] != c.want {
			t.Errorf("%s: %s is %q, want %q", c.result, c.test, got[c.test], c.want)
		}
	}
}
