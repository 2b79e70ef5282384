//go:build linux && amd64

// Command exec runs one static program in a virtual machine as if it ran here:
// `go test -exec` calls it with a test binary and its arguments, in the
// directory of the package. Output is streamed, the exit status passed on.
//
// It judges nothing. Environment: DIOSTRESS_VM_KERNEL (a series, bzImage or
// .deb; 6.1 if empty), DIOSTRESS_VM_TIMEOUT (seconds, 1500), DIOSTRESS_VM_KEEP
// (a directory for the console logs).
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"diostress/internal/need"
	"diostress/scripts/vm/kernels"
	"diostress/scripts/vm/lab"
	"diostress/scripts/vm/machine"
	"diostress/scripts/vm/wire"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprintln(stderr, "usage: exec PROGRAM [ARGUMENT...]: runs a static program in a virtual machine; see docs/vm.md")
		return machine.ExitUsage
	}
	fail := func(err error) int {
		fmt.Fprintln(stderr, "vm:", err)
		if lab.Unavailable(err) {
			return machine.ExitUnavailable
		}
		return machine.ExitBroken
	}
	timeout := 1500 // emulation is ten times slower
	if s := os.Getenv("DIOSTRESS_VM_TIMEOUT"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			fmt.Fprintf(stderr, "vm: DIOSTRESS_VM_TIMEOUT %q is not a number of seconds above 0\n", s)
			return machine.ExitUsage
		}
		timeout = n
	}
	spec := os.Getenv("DIOSTRESS_VM_KERNEL")
	if spec == "" {
		spec = "6.1"
	}
	l, err := lab.Open(ctx, lab.Options{Log: func(f string, a ...any) { fmt.Fprintf(stderr, "vm: "+f+"\n", a...) }})
	if err != nil {
		return fail(err)
	}
	k, err := l.Cache.Get(ctx, kernels.Request{Spec: spec, Flavour: kernels.Cloud})
	if err != nil {
		return fail(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return fail(err)
	}
	name := filepath.Base(args[0])
	env := append(passed(os.Environ()), "TMPDIR=/var/tmp")
	if l.Accel == machine.TCG {
		env = append(env, need.EmulatedVar+"=1")
	}
	b := lab.Boot{
		Kernel: k, Tree: true, Raw: true, MemoryMB: 2048, Lenient: true,
		OneThread: true, // the tests patch much (accel.go), and two packages run at a time
		Modules:   available(ctx, k, "loop"),
		// A temporary directory that knows O_DIRECT; tmpfs learnt it in 6.6.
		Disks:    []lab.Disk{{Serial: "tmp", Format: "ext4", Size: 1 << 30, Mount: &wire.Mount{Dir: "/var/tmp"}}},
		Programs: slices.Concat(lab.FSTools(), lab.TestTools(), []lab.Program{{Host: args[0], Guest: "/bin/" + name}}),
		Commands: []wire.Command{{
			Name: name, Argv: append([]string{"/bin/" + name}, args[1:]...), Dir: dir, Env: env, TimeoutSec: timeout,
		}},
	}
	if keep := os.Getenv("DIOSTRESS_VM_KEEP"); keep != "" {
		b.WorkDir = filepath.Join(keep, name+"-"+time.Now().Format("150405.000"))
	}
	r, err := l.RunTo(ctx, b, stdout)
	if err != nil {
		return fail(err)
	}
	status := 0
	if len(r.Ended) == 1 {
		status = r.Ended[0].Status
		if e := r.Ended[0].Error; e != "" {
			fmt.Fprintf(stderr, "vm: kernel %s: %s: %s\n", k.Version, name, e)
		}
	}
	if r.State != machine.Finished {
		fmt.Fprintf(stderr, "vm: kernel %s: %s: %s\n%s\n", k.Version, r.State, r.Detail, tail(r.ConsoleText, 60))
	}
	for _, n := range r.Notes {
		fmt.Fprintln(stderr, "vm: guest:", n)
	}
	return r.State.ExitStatus(status)
}

// available keeps the modules that the kernel has or needs not: a test that
// cannot do without one says so itself.
func available(ctx context.Context, k kernels.Kernel, names ...string) (out []string) {
	for _, n := range names {
		if _, err := k.LoadOrder(ctx, n); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// passed selects the variables that tests read.
func passed(env []string) (out []string) {
	for _, kv := range env {
		if strings.HasPrefix(kv, "DIOSTRESS_") && !strings.HasPrefix(kv, "DIOSTRESS_VM_") || strings.HasPrefix(kv, "GOTRACEBACK=") {
			out = append(out, kv)
		}
	}
	return out
}

func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
