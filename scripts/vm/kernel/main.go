// Command kernel builds the kernel that carries the bug of 2007 by nature: the
// newest Debian source of its series with the second invalidation of 2.6.20 put
// back behind a switch. The result stays in the cache and is built anew only
// when source, patch or configuration change.
//
// It boots nothing.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"diostress/scripts/vm/kernels"
	"diostress/scripts/vm/machine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprintf(stderr, "vm: unexpected argument %q: this command takes none\n", args[0])
		return machine.ExitUsage
	}
	fail := func(err error) int {
		fmt.Fprintln(stderr, "vm:", err)
		return machine.ExitBroken
	}
	dir, err := kernels.DefaultDir()
	if err != nil {
		return fail(err)
	}
	root, err := kernels.RepoRoot()
	if err != nil {
		return fail(err)
	}
	c := &kernels.Cache{Dir: dir, Log: func(f string, a ...any) { fmt.Fprintf(stderr, "vm: "+f+"\n", a...) }}
	k, err := c.Build(ctx, kernels.Bug2007(root), stderr)
	if err != nil {
		return fail(err)
	}
	fmt.Fprintln(stdout, k.Image)
	return 0
}
