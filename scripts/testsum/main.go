// Command testsum reads `go test -json` from standard input and prints what go
// test would print, every skip with its reason, and a last line that counts:
// "N passed, N failed, N skipped". It exits with 1 if anything failed or if no
// test ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() { os.Exit(sum(os.Stdin, os.Stdout)) }

// event is one line of go test -json (cmd/test2json).
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string
	Elapsed                       float64
}

type key struct{ pkg, test string }

// sums collects the events.
type sums struct {
	out                     io.Writer
	passed, failed, skipped int
	broken                  int // packages that failed without a failed test
	text                    map[key][]string
	failedIn                map[string]bool
	skips                   []string
}

func sum(in io.Reader, out io.Writer) int {
	s := &sums{out: out, text: map[key][]string{}, failedIn: map[string]bool{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text()) // go's own words, such as a build failure
			continue
		}
		s.take(&e)
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintf(out, "testsum: %v\n", err)
		s.broken++
	}
	slices.Sort(s.skips)
	for _, k := range s.skips {
		fmt.Fprintln(out, "skipped:", k)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed+s.broken, s.skipped)
	if s.failed+s.broken > 0 || s.passed == 0 {
		return 1
	}
	return 0
}

func (s *sums) take(e *event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "output":
		s.text[k] = append(s.text[k], e.Output)
		if e.Test == "" && (strings.HasPrefix(e.Output, "ok ") || strings.HasPrefix(e.Output, "FAIL") || strings.Contains(e.Output, "[no test files]") || strings.HasPrefix(e.Output, "panic")) {
			fmt.Fprint(s.out, e.Output)
		}
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "pass":
		if e.Test != "" {
			s.passed++
		}
		delete(s.text, k)
	case "skip":
		if e.Test != "" {
			s.skipped++
			s.skips = append(s.skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(s.text[k])))
		}
		delete(s.text, k)
	case "fail":
		if e.Test != "" {
			s.failed++
			s.failedIn[e.Package] = true
		} else if !s.failedIn[e.Package] {
			s.broken++
		}
		for _, t := range s.text[k] {
			if !strings.HasPrefix(t, "=== ") {
				fmt.Fprint(s.out, t)
			}
		}
		delete(s.text, k)
	}
}

// reason is what a test said before it was skipped.
func reason(text []string) string {
	for _, t := range slices.Backward(text) {
		t = strings.TrimSpace(t)
		if t != "" && !strings.HasPrefix(t, "---") && !strings.HasPrefix(t, "===") {
			_, after, ok := strings.Cut(t, ": ")
			if ok && strings.HasPrefix(t, strings.SplitN(t, ":", 2)[0]) && strings.Contains(strings.SplitN(t, ":", 2)[0], ".go") {
				return after
			}
			return t
		}
	}
	return "no reason given"
}
