package testbed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// mkfsOption is one option of mke2fs with its argument, if it takes one.
type mkfsOption struct {
	flag byte
	arg  string
}

// The options of mke2fs(8), those with an argument first.
const (
	mkfsWithArg    = "bCdeEgGiIJlLmMNoOrTU"
	mkfsWithoutArg = "cDFjKqv"
)

// SplitWords splits text into words as a shell does: at blanks, with single
// quotes, double quotes and backslashes; nothing is expanded.
func SplitWords(text string) ([]string, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, errors.New("a NUL byte cannot be part of an option")
	}
	var words []string
	var word strings.Builder
	inWord := false
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote == '\'' && c != '\'', quote == '"' && c != '"' && c != '\\':
			word.WriteByte(c)
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\':
			if i++; i == len(text) {
				return nil, errors.New("nothing follows the last backslash")
			}
			if text[i] == '\n' {
				continue // a line that goes on
			}
			if quote == '"' && !strings.ContainsRune("\"\\$`", rune(text[i])) {
				word.WriteByte('\\')
			}
			word.WriteByte(text[i])
			inWord = true
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// parseMkfsText reads options of mke2fs.
func parseMkfsText(text string) ([]mkfsOption, error) {
	words, err := SplitWords(text)
	if err != nil {
		return nil, err
	}
	var list []mkfsOption
	for len(words) > 0 {
		w := words[0]
		words = words[1:]
		if len(w) < 2 || w[0] != '-' {
			return nil, fmt.Errorf("%q is not an option of mke2fs; device and size are chosen here", w)
		}
		for i := 1; i < len(w); i++ {
			f := w[i]
			switch {
			case strings.IndexByte(mkfsWithArg, f) >= 0:
				arg := w[i+1:]
				if arg == "" {
					if len(words) == 0 {
						return nil, fmt.Errorf("-%c needs an argument", f)
					}
					arg, words = words[0], words[1:]
				}
				if err := refuseMkfs(f, arg); err != nil {
					return nil, err
				}
				list = append(list, mkfsOption{f, arg})
				i = len(w)
			case strings.IndexByte(mkfsWithoutArg, f) >= 0:
				list = append(list, mkfsOption{f, ""})
			case f == 't':
				return nil, errors.New("-t is chosen by the file system's name")
			case strings.IndexByte("nSVz", f) >= 0:
				return nil, fmt.Errorf("-%c makes no usable file system", f)
			default:
				return nil, fmt.Errorf("-%c in %q is not an option of mke2fs; valid: -%s with an argument, -%s without",
					f, w, mkfsWithArg, mkfsWithoutArg)
			}
		}
	}
	return list, nil
}

// refuseMkfs refuses arguments that reach beyond the device that is to be
// formatted, or that make something that is no file system at its start.
func refuseMkfs(flag byte, arg string) error {
	for word := range strings.SplitSeq(arg, ",") {
		key, _, _ := strings.Cut(word, "=")
		switch {
		case flag == 'J' && key == "device":
			return fmt.Errorf("-J %s: a journal on another device is not possible here: it would be written to", word)
		case flag == 'O' && word == "journal_dev", flag == 'E' && key == "offset":
			return fmt.Errorf("-%c %s makes no usable file system", flag, word)
		}
	}
	return nil
}

// mergeMkfs writes both lists as arguments. mke2fs lets a later -O or -E
// replace an earlier one, so those are joined, the user's last; of any other
// option only the last is kept.
func mergeMkfs(own, user []mkfsOption) []string {
	var order []byte
	args := map[byte]string{}
	for _, o := range slices.Concat(own, user) {
		before, seen := args[o.flag]
		if !seen {
			order = append(order, o.flag)
		}
		if seen && (o.flag == 'O' || o.flag == 'E') {
			args[o.flag] = before + "," + o.arg
		} else {
			args[o.flag] = o.arg
		}
	}
	var out []string
	for _, f := range order {
		if f == 'q' || f == 'F' || f == 'v' {
			continue // quiet and forced already
		}
		out = append(out, "-"+string(f))
		if strings.IndexByte(mkfsWithArg, f) >= 0 {
			out = append(out, args[f])
		}
	}
	return out
}
