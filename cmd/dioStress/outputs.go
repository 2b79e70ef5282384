package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"diostress/report"
)

// outputPath says where a format's report goes; "-" is standard output.
func (s *settings) outputPath(format string) string {
	if len(s.formats) > 1 {
		return s.output + "." + format
	}
	return s.output
}

// checkOutputs refuses what could not be written at the end, without making
// anything.
func (s *settings) checkOutputs() error {
	for _, f := range s.formats {
		p := s.outputPath(f)
		if p == "-" {
			continue
		}
		if sameFile(p, s.completions) {
			return fmt.Errorf("--completions %s is where a report goes as well; valid: a file of its own", s.completions)
		}
		if err := writable("--output", p); err != nil {
			return err
		}
	}
	switch s.completions {
	case "":
		return nil
	case "-":
		return errors.New("--completions -: the log cannot go to standard output; valid: a file")
	}
	return writable("--completions", s.completions)
}

// sameFile says whether two paths lead to one file, which need not exist.
func sameFile(a, b string) bool {
	if b == "" {
		return false
	}
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	if err1 == nil && err2 == nil {
		return os.SameFile(x, y)
	}
	a, err1 = filepath.Abs(a)
	b, err2 = filepath.Abs(b)
	return err1 == nil && err2 == nil && a == b
}

func writable(flag, path string) error {
	st, err := os.Stat(path)
	switch {
	case err == nil && st.IsDir():
		return fmt.Errorf("%s %s is a directory; valid: a file that can be written", flag, path)
	case err == nil:
		if err := unix.Access(path, unix.W_OK); err != nil {
			return fmt.Errorf("%s %s cannot be written: %v", flag, path, err)
		}
		return nil
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s %s: %v", flag, path, err)
	}
	dir := filepath.Dir(path)
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return fmt.Errorf("%s %s: there is no directory %s", flag, path, dir)
	}
	// Some places refuse new files whatever their mode says, /proc for one.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("%s %s: no file can be made in %s: %v", flag, path, dir, err)
	}
	f.Close()
	return os.Remove(path)
}

// report writes the result in every format and returns the exit status. The
// RESULT line is the last of standard output, or goes to standard error where
// standard output is a report that a program reads.
func (x *session) report() int {
	var where []string
	last := x.stdout
	for _, f := range x.s.formats {
		p := x.s.outputPath(f)
		if p == "-" && f != "text" {
			last = x.stderr
		}
		if err := x.writeReport(p, f); err != nil {
			x.broken("report %s: %v", p, err)
			continue
		}
		where = append(where, p)
	}
	if len(where) == 0 {
		where = []string{"none"}
	}
	fmt.Fprintln(last, report.ResultLine(x.res, strings.Join(where, ",")))
	return styled(x.s.exitStyle, exitStatus(x.res))
}

func (x *session) writeReport(path, format string) (err error) {
	w := x.stdout
	if path != "-" {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		w = f
	}
	b := bufio.NewWriter(w)
	if err := report.Write(b, format, x.res); err != nil {
		return err
	}
	return b.Flush()
}

// isTerminal says whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
