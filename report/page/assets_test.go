package page

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"
)

// What comes from elsewhere is as it came (docs/decisions/005-uplot.md says
// how to bring a newer one).
func TestUPlotIsUnchanged(t *testing.T) {
	for name, c := range map[string]struct{ text, sum string }{
		"uPlot.iife.min.js": {uplotJS, "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"},
		"uPlot.min.css":     {uplotCSS, "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"},
		"uPlot-LICENSE":     {uplotLicense, "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd"},
	} {
		sum := sha256.Sum256([]byte(c.text))
		if got := hex.EncodeToString(sum[:]); got != c.sum {
			t.Errorf("%s has the sum %s, want %s", name, got, c.sum)
		}
	}
}

// The decision names the version and the sizes that are in the tree.
func TestDecisionNamesTheVersion(t *testing.T) {
	const path = "../../docs/decisions/005-uplot.md"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`v(\d+\.\d+\.\d+)`).FindStringSubmatch(uplotJS)
	if version == nil {
		t.Fatal("uPlot does not say its version")
	}
	for _, want := range []string{"uPlot) " + version[1], grouped(uint64(len(uplotJS))), grouped(uint64(len(uplotCSS))), grouped(uint64(len(uplotLicense)))} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("%s does not hold %q", path, want)
		}
	}
}
