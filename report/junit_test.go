package report

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"diostress/internal/verdict"
)

// junitCounts are the elements that a reader counts.
type junitCounts struct{ tests, failures, errors, skipped int }

var (
	junitTime = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	junitDate = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{2}:[0-9]{2}$`)
)

// readJUnit reads a document by the grammar of xfstests' results: which
// elements, in which order, with which attributes.
func readJUnit(text string) (n junitCounts, err error) {
	d := xml.NewDecoder(strings.NewReader(text))
	var stack []string
	var attr map[string]string // of the testsuite
	properties := 0
	var inCase map[string]int // children of the open testcase
	need := func(e xml.StartElement, names ...string) (map[string]string, error) {
		got := map[string]string{}
		for _, a := range e.Attr {
			if a.Name.Space != "" || a.Name.Local == "xmlns" {
				return nil, fmt.Errorf("%s has the name space %s", e.Name.Local, a.Name.Space)
			}
			got[a.Name.Local] = a.Value
		}
		for _, k := range names {
			if _, ok := got[k]; !ok {
				return nil, fmt.Errorf("%s has no %s", e.Name.Local, k)
			}
		}
		if len(got) != len(names) {
			return nil, fmt.Errorf("%s has attributes %v, want %v", e.Name.Local, got, names)
		}
		return got, nil
	}
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return n, err
		}
		switch e := tok.(type) {
		case xml.StartElement:
			at := strings.Join(stack, "/")
			stack = append(stack, e.Name.Local)
			var a map[string]string
			switch where := at + "/" + e.Name.Local; where {
			case "/testsuite":
				names := []string{"name", "failures", "skipped", "tests", "time", "hostname"}
				if strings.Contains(text, " start_timestamp=") {
					names = append(names, "start_timestamp", "timestamp", "report_timestamp")
				}
				if attr, err = need(e, names...); err != nil {
					return n, err
				}
			case "testsuite/properties":
				if properties++; n.tests > 0 {
					return n, errors.New("properties after a testcase")
				}
				_, err = need(e)
			case "testsuite/properties/property":
				a, err = need(e, "name", "value")
				if err == nil && (a["name"] == "" || a["value"] == "") {
					err = errors.New("empty property")
				}
			case "testsuite/testcase":
				n.tests++
				inCase = map[string]int{}
				a, err = need(e, "classname", "name", "time")
				if err == nil && !junitTime.MatchString(a["time"]) {
					err = fmt.Errorf("time %q", a["time"])
				}
			case "testsuite/testcase/skipped":
				n.skipped++
				_, err = need(e, "message")
			case "testsuite/testcase/error":
				n.errors++
				_, err = need(e, "message", "type")
			case "testsuite/testcase/failure":
				n.failures++
				_, err = need(e, "message", "type")
			case "testsuite/testcase/system-out", "testsuite/testcase/kernel-log":
				_, err = need(e)
			default:
				err = fmt.Errorf("%s has no place here", where)
			}
			if err != nil {
				return n, err
			}
			if at == "testsuite/testcase" {
				inCase[e.Name.Local]++
				result := e.Name.Local == "skipped" || e.Name.Local == "error" || e.Name.Local == "failure"
				if inCase[e.Name.Local] > 1 || result && len(inCase) > 1 {
					return n, fmt.Errorf("%s after %v", e.Name.Local, inCase)
				}
			}
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			at := stack[max(0, len(stack)-1):]
			if s := strings.TrimSpace(string(e)); s != "" && (len(at) == 0 || at[0] == "testsuite" || at[0] == "properties" || at[0] == "testcase") {
				return n, fmt.Errorf("text %q", s)
			}
		}
	}
	for k, want := range map[string]int{"tests": n.tests, "failures": n.failures, "skipped": n.skipped} {
		if attr[k] != strconv.Itoa(want) {
			return n, fmt.Errorf("%s=%q, counted %d", k, attr[k], want)
		}
	}
	if properties != 1 || attr["hostname"] == "" || !junitTime.MatchString(attr["time"]) {
		return n, fmt.Errorf("testsuite %v with %d lists of properties", attr, properties)
	}
	for _, k := range []string{"start_timestamp", "timestamp", "report_timestamp"} {
		if v, ok := attr[k]; ok && !junitDate.MatchString(v) {
			return n, fmt.Errorf("%s=%q", k, v)
		}
	}
	return n, nil
}

func TestJUnit(t *testing.T) {
	all := results()
	for name, want := range map[string]junitCounts{
		"pass":        {16, 0, 0, 4},
		"fail":        {17, 2, 0, 4},
		"stuck":       {16, 1, 0, 4},
		"undecided":   {8, 0, 1, 2},
		"broken":      {1, 0, 1, 0},
		"unsupported": {1, 0, 0, 1},
		"noroot":      {1, 0, 0, 1},
		"quiet":       {16, 0, 0, 4},
		"flood":       {16, 3, 0, 4},
		"matrix":      {242, 2, 1, 61},
		"empty":       {1, 0, 1, 0},
	} {
		text := render(t, "junit", all[name])
		got, err := readJUnit(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
		if strings.Count(text, "\n") > 3000 {
			t.Errorf("%s: %d lines", name, strings.Count(text, "\n"))
		}
	}
}

// TestJUnitTime: the shares of a run's cases add up to its time.
func TestJUnitTime(t *testing.T) {
	sum := 0.0
	for _, m := range regexp.MustCompile(`classname="diostress.4k.libaio" name="[^"]*" time="([0-9.]+)"`).FindAllStringSubmatch(render(t, "junit", passing()), -1) {
		f, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += f
	}
	if sum < 9.9 || sum > 10.1 {
		t.Errorf("%v s, the run took 10", sum)
	}
}

func TestJUnitKind(t *testing.T) {
	r := passing()
	r.Rules[0].Verdict, r.Rules[0].Reason = verdict.Broken, "mount failed"
	for what, text := range map[string]string{
		`type="Harness"`: render(t, "junit", r), `type="Undecided"`: render(t, "junit", undecided()),
		`type="Timeout"`: render(t, "junit", stuck()), `type="TestFail"`: render(t, "junit", failing()),
	} {
		if strings.Count(text, what) == 0 {
			t.Errorf("no %s", what)
		}
	}
}
