package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// clean makes a string from outside fit for one line of a terminal: control
// characters, invalid UTF-8 and characters without a shape (the ones that turn
// the direction of writing too) are written out as \n, \x1b or \u202e.
func clean(s string) string {
	if !strings.ContainsFunc(s, shapeless) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		_, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !shapeless(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

func shapeless(r rune) bool { return !strconv.IsPrint(r) }

// cleanLines cleans a text of several lines, line by line: at most n lines of
// at most width characters, and then how many more there are.
func cleanLines(s string, n, width int) []string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	var more string
	if len(lines) > n {
		more = fmt.Sprintf("(%d more lines)", len(lines)-n)
		lines = lines[:n]
	}
	out := make([]string, 0, len(lines)+1)
	for _, l := range lines {
		out = append(out, brief(strings.ReplaceAll(strings.TrimSuffix(l, "\r"), "\t", "    "), width))
	}
	if more != "" {
		out = append(out, more)
	}
	return out
}

// brief cleans s and cuts it to n characters, the last three being "..." then.
func brief(s string, n int) string {
	if len(s) > 8*n { // no need to clean what will be cut: a character has at most 4 bytes
		s = s[:8*n]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		s = s[:max(0, len(s)-1)] // the start of a character that may be cut
	}
	s = clean(s)
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-3]) + "..."
}

// quoted puts a cleaned string in double quotes.
func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `'`) + `"` }

// path writes a path so that it is one word.
func path(s string) string {
	if s == "" || strings.ContainsAny(s, " \"'") || clean(s) != s {
		return strconv.Quote(s)
	}
	return s
}

// slug makes a name of the characters that every suite's parser takes,
// [A-Za-z0-9_.-], and never the empty one.
func slug(s string) string {
	if s == "" {
		return "unnamed"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.', r == '-':
			return r
		}
		return '_'
	}, s)
}
