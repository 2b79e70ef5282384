package testbed

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestSplitWords(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
		err  string
	}{
		{"", nil, ""},
		{" \t\n ", nil, ""},
		{"-b 4096  -O\t^has_journal\n", []string{"-b", "4096", "-O", "^has_journal"}, ""},
		{`-L 'a b' "c d"e f\ g`, []string{"-L", "a b", "c de", "f g"}, ""},
		{`'' "" x`, []string{"", "", "x"}, ""},
		{`"a\"b\\c\d" 'a\"b'`, []string{`a"b\c\d`, `a\"b`}, ""},
		{"\"a\\$b\\`\"", []string{"a$b`"}, ""},
		{"a\\\nb \"c\\\nd\"", []string{"ab", "cd"}, ""},
		{`$HOME *`, []string{"$HOME", "*"}, ""},
		{`a\`, nil, "last backslash"},
		{`"a\`, nil, "last backslash"},
		{`'a`, nil, "quote ' is not closed"},
		{`a "b`, nil, `quote " is not closed`},
		{"a\x00b", nil, "NUL"},
		{"\\\x00", nil, "NUL"},
	} {
		got, err := SplitWords(c.text)
		if !slices.Equal(got, c.want) || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %q, %v; want %q, %q", c.text, got, err, c.want, c.err)
		}
	}
}

// TestSplitWordsAsTheShellDoes asks it.
func TestSplitWordsAsTheShellDoes(t *testing.T) {
	for _, text := range []string{
		`a b  c`, `'a b' c`, `"a b"c'd e'`, `a\ b \\ \" \'`, `"\a\"\\" '\a'`, `""`, `'' x`, "a\\\nb", "\"a\\\nb\"", `a"b"'c'\d`, `^extents,^64bit -E "x=1,y=2"`,
	} {
		out, err := exec.Command("/bin/sh", "-c", "for w in "+strings.ReplaceAll(text, "\n", "\n")+"; do printf '%s\\0' \"$w\"; done").Output()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		if got, err := SplitWords(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; the shell says %q", text, got, err, want)
		}
	}
}

// quoted writes a word as a shell would read it back.
func quoted(w string) string { return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'" }

func FuzzSplitWords(f *testing.F) {
	for _, s := range []string{"", "-b 4096", `'a b' "c\"d" e\ f`, `a\`, `"`, "a\\\nb", "\x00", "\\\x00", "é\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words, err := SplitWords(text)
		if err != nil {
			if words != nil {
				t.Fatalf("%q: %q beside %v", text, words, err)
			}
			return
		}
		var again []string
		for _, w := range words {
			if strings.Contains(w, "\x00") {
				t.Fatalf("%q: a NUL byte in %q", text, w)
			}
			again = append(again, quoted(w))
		}
		back, err := SplitWords(strings.Join(again, " "))
		if err != nil || !slices.Equal(back, words) {
			t.Fatalf("%q is %q, and quoted it is %q, %v", text, words, back, err)
		}
	})
}

func TestMkfsOptions(t *testing.T) {
	for _, c := range []struct {
		own, user string
		want      string
	}{
		{"", "", ""},
		{"-b4096", "", "-b 4096"},
		{"-b 4096 -O bigalloc", "-O quota -b 1024", "-b 1024 -O bigalloc,quota"},
		{"-E a=1", "-Eb=2 -E c", "-E a=1,b=2,c"},
		{"-q -F -v", "-qF", ""},
		{"-D", "-Dc -c", "-D -c"},
		{"-cb 1024", "", "-c -b 1024"},
		{"-J size=4", "-J fast_commit_size=1", "-J fast_commit_size=1"},
		{"", "-L '' -L 'a b'", "-L a b"},
	} {
		own, err := parseMkfsText(c.own)
		must(t, err)
		user, err := parseMkfsText(c.user)
		must(t, err)
		if got := strings.Join(mergeMkfs(own, user), " "); got != c.want {
			t.Errorf("%q and %q: %q, want %q", c.own, c.user, got, c.want)
		}
	}
}

func FuzzMkfsOptions(f *testing.F) {
	for _, s := range []string{"", "-b 4096 -O ^has_journal", "-Eb=1 -cD", "-t ext4", "-J device=x", "-b", "x", "-", "--", "-L ''"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseMkfsText(text)
		if err != nil {
			return
		}
		args := mergeMkfs(list, nil)
		for i, a := range args {
			if strings.HasPrefix(a, "-J") && i+1 < len(args) && strings.Contains(","+args[i+1], ",device=") {
				t.Fatalf("%q writes to another device: %q", text, args)
			}
		}
		var words []string
		for _, a := range args {
			words = append(words, quoted(a))
		}
		// What is made of it is an option list again, and the same one.
		back, err := parseMkfsText(strings.Join(words, " "))
		if err != nil || !slices.Equal(mergeMkfs(back, nil), args) {
			t.Fatalf("%q gives %q, and that %q, %v", text, args, mergeMkfs(back, nil), err)
		}
	})
}
