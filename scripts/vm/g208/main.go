// Command g208 runs the workload whose descendants test this race in other
// suites: large AIO O_DIRECT writes to a file against buffered writes and
// fsyncs of the same bytes. It judges what such a test judges, and no more: the
// completions, where -EIO counts as the lost race.
//
// It looks at no data, no log and no errseq. It is here for comparison: what it
// says about a broken kernel stands beside dioStress's verdict in
// docs/track-record.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/ioengine"
	"diostress/ioengine/libaio"
)

// Outcome is the program's whole statement.
type Outcome struct {
	Verdict  string `json:"verdict"` // "pass", "fail", "hang"
	Why      string `json:"why,omitempty"`
	Writes   uint64 `json:"writes"` // AIO completions
	EIO      uint64 `json:"eio"`    // of these -EIO, taken for the lost race
	Buffered uint64 `json:"buffered"`
}

// Geometry of the workload, bytes. 2 MiB a write is what a small machine's
// memory allows many of.
const (
	writeSize = 2 << 20
	depth     = 4
	fileSize  = writeSize * depth
	hangLimit = 10 * time.Second
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("g208", flag.ContinueOnError)
	f.SetOutput(stderr)
	dir := f.String("dir", ".", "directory on the file system")
	seconds := f.Float64("seconds", 3, "how long to race")
	out := f.String("out", "", "file for the outcome, JSON")
	if err := f.Parse(args); err != nil {
		return 2
	}
	if f.NArg() > 0 || *seconds <= 0 {
		fmt.Fprintf(stderr, "g208: arguments %q, --seconds %g: no arguments and more than 0 seconds are valid\n", f.Args(), *seconds)
		return 2
	}
	o, err := race(*dir, time.Duration(*seconds*float64(time.Second)))
	if err != nil {
		fmt.Fprintln(stderr, "g208:", err)
		return 3
	}
	text, err := json.Marshal(o)
	if err == nil && *out != "" {
		err = os.WriteFile(*out, append(text, '\n'), 0o644)
	}
	if err != nil {
		fmt.Fprintln(stderr, "g208:", err)
		return 3
	}
	fmt.Fprintf(stdout, "g208: %s\n", text)
	if o.Verdict != "pass" {
		return 1
	}
	return 0
}

// race runs both sides for a while.
func race(dir string, span time.Duration) (Outcome, error) {
	path := fmt.Sprintf("%s/g208.%d", dir, os.Getpid())
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return Outcome{}, err
	}
	defer os.Remove(path)
	defer file.Close()
	if _, err := file.Write(make([]byte, fileSize)); err != nil {
		return Outcome{}, err
	}
	if err := file.Sync(); err != nil {
		return Outcome{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), span)
	defer cancel()
	var buffered atomic.Uint64
	dirtier := make(chan struct{})
	go func() {
		defer close(dirtier)
		block := make([]byte, writeSize/2)
		for off := int64(0); ctx.Err() == nil; off = (off + writeSize/2) % fileSize {
			if _, err := file.WriteAt(block, off); err == nil {
				buffered.Add(1)
			}
			file.Sync() // its errors are the race's, and not looked at
		}
	}()
	o, err := direct(ctx, path)
	cancel()
	if o.Verdict != "hang" {
		<-dirtier
	}
	o.Buffered = buffered.Load()
	return o, err
}

// direct submits and checks completions until ctx ends.
func direct(ctx context.Context, path string) (Outcome, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return Outcome{}, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	arena, err := unix.Mmap(-1, 0, writeSize*depth, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return Outcome{}, err
	}
	eng, err := libaio.Open(ioengine.Options{Files: []int{fd}, Depth: depth, Arena: arena, BufSize: writeSize})
	if err != nil {
		return Outcome{}, err
	}
	var c checker
	var live int
	slot := uint64(0)
	cqes := make([]ioengine.Completion, depth)
	for {
		for live < depth && ctx.Err() == nil && c.why == "" {
			req := ioengine.Request{Tag: slot, Buf: unsafe.Pointer(&arena[slot%depth*writeSize]), Off: int64(slot % depth * writeSize), Len: writeSize}
			n, err := eng.Submit([]ioengine.Request{req})
			if err != nil {
				// io_submit's error is a test's failure, not a completion.
				c.why = fmt.Sprintf("io_submit: %v", err)
				break
			}
			if n == 0 {
				break
			}
			live++
			slot++
		}
		if live == 0 {
			break
		}
		n, err := eng.Reap(cqes, 1, hangLimit)
		if err != nil {
			return Outcome{}, err
		}
		if n == 0 {
			return c.outcome("hang", fmt.Sprintf("no completion for %s", hangLimit)), nil
		}
		for _, e := range cqes[:n] {
			c.check(e.Res)
		}
		live -= min(n, live)
	}
	if err := eng.Close(); err != nil && !errors.Is(err, syscall.EINTR) {
		return Outcome{}, err
	}
	if c.why != "" {
		return c.outcome("fail", c.why), nil
	}
	return c.outcome("pass", ""), nil
}

// checker holds the completions against the test's rule.
type checker struct {
	writes, eio uint64
	why         string
}

func (c *checker) check(res int64) {
	c.writes++
	switch {
	case res == writeSize:
	case res == -int64(unix.EIO):
		c.eio++
	case c.why == "":
		c.why = fmt.Sprintf("completion with result %d, written were %d bytes", res, writeSize)
	}
}

func (c *checker) outcome(verdict, why string) Outcome {
	return Outcome{Verdict: verdict, Why: why, Writes: c.writes, EIO: c.eio}
}
