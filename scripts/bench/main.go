// Command bench measures dioStress beside fio, on the same file system and in
// pairs, and prints one table: collisions a second, the share of the writes
// that collide, post-write failures, clean throughput and processor time for
// each write, and what recording, tracing and verifying cost. Every figure is
// counted from outside, by the same means for both: tracepoints, the disk's
// statistics, the processes' CPU time.
//
// It never judges the kernel, and it leaves nothing behind.
//
//	go run ./scripts/bench [--quick] [--only REGEXP] [--pairs N] [--check]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"diostress/internal/testbed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// bench is one invocation.
type bench struct {
	pairs    int
	window   time.Duration
	only     *regexp.Regexp
	binary   string // dioStress
	work     string // a directory of our own, for job files and logs
	progress io.Writer
	t        table

	fs     string // the file system under test
	plain  place  // of a loop device as it is
	stable place  // of one that asks for stable pages, which helps fio in some job files and hurts it in others
}

// place is where files may be made.
type place struct {
	name string // "" or what is special about it
	dir  string
	dev  uint64
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	quick := flags.Bool("quick", false, "one pair and a window of one second: to see that it works, not to quote")
	only := flags.String("only", "", "measure only rows whose `REGEXP` matches \"SECTION FS ENGINE ...\"")
	pairs := flags.Int("pairs", 5, "how many pairs each figure is the median of")
	window := flags.Duration("window", time.Second, "how long each side of a pair is looked at")
	binary := flags.String("binary", "", "measure this dioStress instead of building it")
	check := flags.Bool("check", false, "exit with 1 if a goal was not reached")
	large := flags.String("large-writes", "", "be the load of large writes in this `DIRECTORY` (used by bench itself)")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *large != "" {
		if err := against208(*large, int(window.Seconds())); err != nil {
			fmt.Fprintln(stderr, "bench:", err)
			return 3
		}
		return 0
	}
	b := &bench{pairs: *pairs, window: *window, binary: *binary, progress: stderr}
	if *quick {
		b.pairs, b.window = 1, time.Second
	}
	var err error
	if b.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintln(stderr, "bench: --only:", err)
		return 2
	}
	if b.pairs < 1 || b.window < 200*time.Millisecond {
		fmt.Fprintf(stderr, "bench: --pairs %d --window %v; valid: at least 1, at least 200ms\n", b.pairs, b.window)
		return 2
	}
	err = b.everything(ctx)
	b.t.print(stdout, b.describe(args))
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 3
	}
	if *check && !b.t.reached() {
		return 1
	}
	return 0
}

func (b *bench) describe(args []string) string {
	return fmt.Sprintf("%s; loop device on tmpfs; median of %d pairs of %v; command: make bench, or go run ./scripts/bench %s",
		describeMachine(), b.pairs, b.window, strings.Join(args, " "))
}

// everything measures all sections on all file systems.
func (b *bench) everything(ctx context.Context) (err error) {
	if b.work, err = os.MkdirTemp("", "diostress-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.work)
	if b.binary == "" {
		b.binary = filepath.Join(b.work, "dioStress")
		build := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "diostress/cmd/dioStress")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build dioStress: %w\n%s", err, out)
		}
	}
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if err := b.writeJobFiles(); err != nil {
		return err
	}
	for _, fs := range []string{"ext4", "ext3"} {
		if err := b.onFS(ctx, fs); err != nil {
			return fmt.Errorf("%s: %w", fs, err)
		}
	}
	return nil
}

// onFS measures on one kind of file system, made as the program makes its own:
// once on a loop device as it is, and once on one that asks for stable pages.
func (b *bench) onFS(ctx context.Context, fs string) (err error) {
	b.fs = fs
	for _, x := range []struct {
		to     *place
		stable bool
	}{{&b.plain, false}, {&b.stable, true}} {
		bed, err2 := testbed.Open(ctx, testbed.Spec{FS: fs, Need: 600 << 20, StablePages: x.stable})
		if err2 != nil {
			return err2
		}
		defer func() { err = errors.Join(err, bed.Close()) }()
		i := bed.Info()
		*x.to = place{dir: bed.Dir(), dev: i.Dev}
		if x.stable {
			x.to.name = ", stable pages"
			if !i.StablePages {
				x.to.name = ", stable pages (which this kernel does not let one ask for)"
			}
		}
	}
	for _, section := range []func(context.Context) error{b.collide, b.share, b.post, b.clean, b.cost, b.scale} {
		if err := section(ctx); err != nil {
			return err
		}
	}
	return nil
}

// wants says whether a row is to be measured.
func (b *bench) wants(words ...string) bool { return b.only.MatchString(strings.Join(words, " ")) }

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "%s %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}
