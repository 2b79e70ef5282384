package disk

import (
	"fmt"
	"strings"
	"testing"
)

// Nothing before the data fails, nor what the sign itself writes.
func TestFailRulesSpareMetadataAndTheSign(t *testing.T) {
	const start, size = 10 << 20, 10<<20 + 2*failEvery + 4096
	var at []int64
	for _, rule := range strings.Split(FailRules(start, size), "[inject-error]")[1:] {
		if strings.Contains(rule, `iotype = "discard"`) {
			continue // ends the others
		}
		var sector int64
		_, text, _ := strings.Cut(rule, "sector = ")
		if _, err := fmt.Sscanf(text, "\"%d\"", &sector); err != nil {
			t.Fatalf("%q: %v", rule, err)
		}
		if !strings.Contains(rule, "event = \"pwritev_zero\"\nstate = \"1\"") || !strings.Contains(rule, `iotype = "write"`) || strings.Contains(rule, "once") {
			t.Errorf("rule %q", rule)
		}
		at = append(at, sector*512)
	}
	if len(at) != 2 || at[0] != start || at[1] != start+failEvery {
		t.Errorf("blocks at %d of %d to %d fail", at, int64(start), int64(size))
	}
}
