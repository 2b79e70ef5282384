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
		if p := s.outputPath(f); p != "-" {
			if err := writable("--output", p); err != nil {
				return err
			}
		}
	}
	if s.completions != "" {
		return writable("--completions", s.completions)
	}
	return nil
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
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("%s %s: no file can be made in %s: %v", flag, path, dir, err)
	}
	return nil
}

// report writes the result in every format and returns the exit status. The
// RESULT line is the last of standard output, or goes to standard error where
// standard output is a report that a program reads.
func (x *session) report() int {
	var where []string
	last := x.stdout
	for _, f := range x.s.formats {
		p := x.s.outputPath(f)
		where = append(where, p)
		if p == "-" && f != "text" {
			last = x.stderr
		}
		if err := x.writeReport(p, f); err != nil {
			fmt.Fprintf(x.stderr, "dioStress: report %s: %v\n", p, err)
			fmt.Fprintln(last, report.ResultLine(x.res, p))
			return styled(x.s.exitStyle, exitBroken)
		}
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
