package page

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"diostress/internal/verdict"
)

var attacks = []string{
	`</script><script>window.pwned=1</script>`,
	`"><img src=x onerror=window.pwned=1>`,
	`' onmouseover='window.pwned=1`,
	`javascript:window.pwned=1`,
	`<!--</style><svg/onload=window.pwned=1>`,
	"{{.Program}} ${window.pwned=1} `",
	"\x00\x1b[31m\u202e\u2066\xff\xfe\u2028",
}

// hostile has an attack in every text.
func hostile() *verdict.Result {
	r := failing()
	r.Runs = r.Runs[:1]
	r.Skipped = []verdict.Skip{{}}
	n := 0
	next := func() string {
		n++
		return attacks[n%len(attacks)] + strconv.Itoa(n)
	}
	fields(reflect.ValueOf(r), "", func(path string, leaf reflect.Value) {
		if leaf.Kind() == reflect.String && leaf.CanSet() && !strings.HasSuffix(path, "Fidelity") {
			leaf.SetString(next())
		}
	})
	for _, a := range attacks {
		r.Environment.Config[a], r.Environment.Engines[a] = a, a
		r.Runs[0].Completions.Failed[a] = 1
		r.Rules = append(r.Rules, verdict.Rule{Name: a, Run: r.Runs[0].Name, Reason: a})
		r.Findings = append(r.Findings, verdict.Finding{Rule: a, Run: r.Runs[0].Name, Text: a, Witnesses: []verdict.Witness{{File: a, Evidence: a}}})
	}
	r.Runs[0].Series = r.Runs[0].Series[:20]
	return r
}

func TestHostileTextIsOnlyText(t *testing.T) {
	page := render(t, hostile())
	// Outside of our own code there is no tag, attribute or event but ours.
	body := regexp.MustCompile(`(?s)<(script|style)>.*?</(script|style)>`).ReplaceAll(page, nil)
	for _, bad := range []string{`(?i)<img`, `(?i)<svg/`, `(?i)\son[a-z]+=`, `<script[^>]*>[^\[n]`, `(?i)href="?'?javascript`, `\x00`, `\x1b`, "\u202e", `ZgotmplZ`, `<!--`} {
		for _, hit := range regexp.MustCompile(bad).FindAllIndex(body, 3) {
			if bad == `(?i)\son[a-z]+=` && !insideTag(body, hit[0]) {
				continue // words of a text
			}
			t.Errorf("%s: %q", bad, body[max(0, hit[0]-60):min(len(body), hit[1]+60)])
		}
	}
	if !bytes.Equal(body, bytes.ToValidUTF8(body, []byte("?"))) {
		t.Error("the page is not UTF-8")
	}
	text := seen(page)
	for _, want := range []string{attacks[0], attacks[1], attacks[5], `\x00\x1b[31m\u202e\u2066\xff\xfe`} {
		if !strings.Contains(regexp.MustCompile(`\\u2028`).ReplaceAllString(text, ""), want) && !strings.Contains(string(body), want) {
			// seen drops what looks like a tag, so look for the escaped form.
			if !bytes.Contains(body, []byte(escaped(want))) {
				t.Errorf("%q does not stand on the page as text", want)
			}
		}
	}
}

// insideTag says whether a position lies between < and >.
func insideTag(page []byte, at int) bool {
	return bytes.LastIndexByte(page[:at], '<') > bytes.LastIndexByte(page[:at], '>')
}

func escaped(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;", "+", "&#43;", "`", "&#96;").Replace(s)
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"plain µ → text\n\ttab": "plain µ → text\n\ttab",
		"a\x00b\x1b[1m\x7f":     `a\x00b\x1b[1m\x7f`,
		"\u202eabc\u200b":       `\u202eabc\u200b`,
		"\u0085":                `\u0085`,
		"a\xffb":                `a\xffb`,
		"\ufffd":                `\ufffd`,
	} {
		if got := plain(in, 100); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
	if got := plain("µµµ", 3); got != "µ … (4 bytes more)" {
		t.Errorf("cut in a rune: %q", got)
	}
	if got := plain("\xff\xff\xff", 2); got != `\xff\xff … (1 bytes more)` {
		t.Errorf("cut in rubbish: %q", got)
	}
}

// The policy allows exactly the code that is on the page, and no load.
func TestPolicy(t *testing.T) {
	page := string(render(t, failing()))
	m := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy" content="([^"]*)">`).FindStringSubmatchIndex(page)
	if m == nil {
		t.Fatal("no policy")
	}
	policy := strings.NewReplacer("&#39;", "'", "&#43;", "+").Replace(page[m[2]:m[3]])
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || strings.Contains(policy, "*") {
		t.Errorf("the policy is %q", policy)
	}
	if at := strings.Index(page, "<style"); at < m[0] {
		t.Error("the policy comes after what it is about")
	}
	code := regexp.MustCompile(`(?s)<(script|style)>(.*?)</(?:script|style)>`).FindAllStringSubmatch(page, -1)
	if len(code) != 3 {
		t.Fatalf("%d scripts and styles, want 3", len(code))
	}
	hashes := 0
	for _, c := range code {
		want := map[string]string{"script": "script-src ", "style": "style-src "}[c[1]]
		_, directive, _ := strings.Cut(policy, want)
		directive, _, _ = strings.Cut(directive, ";")
		if !strings.Contains(directive, hash(c[2])) {
			t.Errorf("the policy does not allow the %s of %d bytes", c[1], len(c[2]))
		}
		hashes++
	}
	if n := strings.Count(policy, "sha256-"); n != hashes {
		t.Errorf("%d hashes for %d pieces of code", n, hashes)
	}
	if !strings.Contains(page, "Copyright (c) 2022 Leon Sorokin") || !strings.Contains(page, "Permission is hereby granted") {
		t.Error("the licence of uPlot is not on the page")
	}
	markup := regexp.MustCompile(`(?s)<(script|style)\b[^>]*>.*?</(script|style)>`).ReplaceAllString(page, "")
	for _, bad := range []string{`\ssrc=`, `href="[^#]`, `\sstyle=`, `<link`, `<iframe`, `<object`, `url\(`, `@import`} {
		if hit := regexp.MustCompile(bad).FindString(markup); hit != "" {
			t.Errorf("the page holds %q", hit)
		}
	}
	for _, c := range code {
		if c[1] == "style" && regexp.MustCompile(`url\(|@import`).MatchString(c[2]) {
			t.Error("the style sheet loads something")
		}
	}
}

var colour = regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6})`)

// Text has a contrast of at least 4.5 to 1, lines and bars of 3 to 1, on light
// and on dark (WCAG 2.2, 1.4.3 and 1.4.11).
func TestContrast(t *testing.T) {
	light, rest, _ := strings.Cut(pageCSS, "@media screen and (prefers-color-scheme: dark)")
	dark, _, _ := strings.Cut(rest, "\n}\n")
	for name, css := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]string{}
		for _, m := range colour.FindAllStringSubmatch(css, -1) {
			colours[m[1]] = m[2]
		}
		least := map[string]float64{
			"ink": 7, "soft": 4.5, "link": 4.5, "pass": 4.5, "fail": 4.5, "undecided": 4.5, "broken": 4.5, "unsupported": 4.5,
			"iops": 3, "direct": 3, "collided": 3, "all": 3, "eio": 3, "kernel": 3,
		}
		for c, want := range least {
			for _, ground := range []string{"bg", "panel"} {
				if colours[c] == "" || colours[ground] == "" {
					t.Fatalf("%s: no colour %s on %s", name, c, ground)
				}
				if got := contrast(t, colours[c], colours[ground]); got < want {
					t.Errorf("%s: %s on %s has a contrast of %.2f, want %v", name, c, ground, got, want)
				}
			}
		}
		if got := contrast(t, colours["fail"], colours["fail-soft"]); got < 4.5 {
			t.Errorf("%s: fail on its ground has a contrast of %.2f", name, got)
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	bright := func(hex string) float64 {
		var rgb [3]uint8
		if _, err := fmt.Sscanf(hex, "%02x%02x%02x", &rgb[0], &rgb[1], &rgb[2]); err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			c := float64(rgb[i]) / 255
			if c <= 0.04045 {
				c /= 12.92
			} else {
				c = math.Pow((c+0.055)/1.055, 2.4)
			}
			sum += weight * c
		}
		return sum
	}
	hi, lo := bright(a), bright(b)
	if hi < lo {
		hi, lo = lo, hi
	}
	return (hi + 0.05) / (lo + 0.05)
}
