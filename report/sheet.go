package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// textWidth is the widest line of the text report, but for what must stay in
// one piece: commands, paths, kernel log lines.
const textWidth = 98

const labelWidth = 16 // of a row's label, its indentation included

// sheet collects the lines of a text report. Everything that is put in must
// be clean already.
type sheet struct{ b strings.Builder }

// line adds a line as it is.
func (s *sheet) line(format string, args ...any) {
	fmt.Fprintf(&s.b, format, args...)
	s.b.WriteByte('\n')
}

func (s *sheet) gap() { s.b.WriteByte('\n') }

// row adds a labelled text, wrapped.
func (s *sheet) row(label, format string, args ...any) {
	s.wrap(fmt.Sprintf("  %-*s", labelWidth-2, label), strings.Repeat(" ", labelWidth), fmt.Sprintf(format, args...))
}

// whole adds a labelled text that stays in one line.
func (s *sheet) whole(label, text string) {
	s.line("%s", strings.TrimRight(fmt.Sprintf("  %-*s%s", labelWidth-2, label, text), " "))
}

// wrap breaks text at blanks so that lines fit; the first begins with first,
// the others with rest.
func (s *sheet) wrap(first, rest, text string) {
	line, n, empty := first, utf8.RuneCountInString(first), true
	for word := range strings.FieldsSeq(text) {
		w := utf8.RuneCountInString(word)
		if !empty && n+1+w > textWidth {
			s.line("%s", line)
			line, n, empty = rest, utf8.RuneCountInString(rest), true
		}
		if !empty {
			line, n = line+" ", n+1
		}
		line, n, empty = line+word, n+w, false
	}
	s.line("%s", strings.TrimRight(line, " "))
}

// table adds rows of cells in columns: the first left-aligned, the others
// right-aligned, two blanks between.
func (s *sheet) table(indent string, rows [][]string) {
	var width []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for _, r := range rows {
		line := indent
		for i, c := range r {
			fill := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if i == 0 {
				line += c + fill
			} else {
				line += "  " + fill + c
			}
		}
		s.line("%s", strings.TrimRight(line, " "))
	}
}

func (s *sheet) flush(w io.Writer) error {
	_, err := io.WriteString(w, s.b.String())
	return err
}
