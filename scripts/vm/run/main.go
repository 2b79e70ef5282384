//go:build linux && amd64

// Command run runs dioStress in a virtual machine with a kernel of the user's
// choice, and brings back what it wrote: output as it comes, the files of the
// guest's /out, the console, the exit status.
//
// It judges nothing. Exit status: dioStress's own if it ended; 1 the kernel
// panicked or oopsed; 3 nothing can be said (the kernel does not boot, QEMU
// failed); 4 this machine cannot; 124 a hang.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"diostress/scripts/vm/disk"
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

// options are the flags of this command; what follows -- is dioStress's.
type options struct {
	kernel, flavour, fs, format, out, program, accel string
	modules, appended                                []string
	size, timeout, writeIOPS, cpus, memory           int
	strict, noPoison, quiet                          bool
	args                                             []string
}

const usage = `usage: go run ./scripts/vm/run [flags] -- [arguments of dioStress]

Runs dioStress in a virtual machine. Without --directory or --device among its
arguments it works on a disk of the machine with the file system of --fs.

`

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	f.SetOutput(stderr)
	f.SortFlags = false
	f.Usage = func() { fmt.Fprint(stderr, usage, f.FlagUsages()) }
	f.StringVar(&o.kernel, "kernel", "6.1", "a Debian series (6.1, 6.12, newest), a bzImage, or a .deb with a kernel")
	f.StringVar(&o.flavour, "flavour", kernels.Cloud, "of a series: "+kernels.Cloud+" (everything needed is built in) or "+kernels.Generic)
	f.StringVar(&o.fs, "fs", "ext4", "file system of the test disk: "+strings.Join(disk.FormatNames(), ", "))
	f.StringVar(&o.format, "format", "guest", "who makes it: guest (dioStress itself, which then checks it too) or host")
	f.IntVar(&o.size, "disk-size", lab.DefaultDiskSize>>20, "size of the test disk, MiB")
	f.IntVar(&o.writeIOPS, "write-iops", 0, "throttle the test disk to so many writes a second (0: no)")
	f.IntVar(&o.timeout, "timeout", 300, "seconds after which the guest dumps its tasks and ends")
	f.StringVar(&o.out, "out", "", "directory that gets console.log, qemu.log and the files of the guest's /out")
	f.StringVar(&o.program, "program", "", "another static program instead of dioStress")
	f.StringSliceVar(&o.modules, "module", nil, "kernel modules to load, with what they depend on")
	f.StringSliceVar(&o.appended, "append", nil, "added to the kernel command line")
	f.IntVar(&o.cpus, "cpus", 2, "processors of the machine")
	f.IntVar(&o.memory, "memory", 1024, "memory of the machine, MiB")
	f.BoolVar(&o.strict, "panic-on-warn", true, "an oops or WARN ends the machine")
	f.BoolVar(&o.noPoison, "no-poison", false, "do not poison freed iocbs")
	f.StringVar(&o.accel, "accel", "auto", "auto, kvm or tcg (software emulation)")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "only dioStress's output")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if n := f.ArgsLenAtDash(); n > 0 || n < 0 && f.NArg() > 0 {
		return o, fmt.Errorf("argument %q: arguments of dioStress come after --", f.Arg(0))
	}
	o.args = f.Args()
	return o, o.check()
}

func (o *options) check() error {
	if err := kernels.CheckSpec(o.kernel); err != nil {
		return err
	}
	if _, err := disk.FormatByName(o.fs); err != nil {
		return fmt.Errorf("--fs: %w", err)
	}
	for _, v := range []struct {
		flag, value string
		valid       []string
	}{{"--format", o.format, []string{"guest", "host"}}, {"--flavour", o.flavour, []string{kernels.Cloud, kernels.Generic}}} {
		if !slices.Contains(v.valid, v.value) {
			return fmt.Errorf("%s %q is not known; valid: %s", v.flag, v.value, strings.Join(v.valid, ", "))
		}
	}
	for _, v := range []struct {
		flag      string
		value, lo int
	}{{"--timeout", o.timeout, 1}, {"--disk-size", o.size, 16}, {"--write-iops", o.writeIOPS, 0}, {"--cpus", o.cpus, 1}, {"--memory", o.memory, 256}} {
		if v.value < v.lo {
			return fmt.Errorf("%s %d is not valid: at least %d", v.flag, v.value, v.lo)
		}
	}
	_, err := machine.ParseAccel(o.accel)
	return err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, pflag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "vm:", err)
		return machine.ExitUsage
	}
	say := func(f string, a ...any) {
		if !o.quiet {
			fmt.Fprintf(stderr, "vm: "+f+"\n", a...)
		}
	}
	r, status, err := o.boot(ctx, stdout, say)
	switch {
	case err != nil && lab.Unavailable(err):
		fmt.Fprintln(stderr, "vm:", err)
		return machine.ExitUnavailable
	case err != nil:
		fmt.Fprintln(stderr, "vm:", err)
		return machine.ExitBroken
	}
	if r.State != machine.Finished {
		fmt.Fprintf(stderr, "vm: %s: %s\n", r.State, r.Detail)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(stderr, "vm: guest:", n)
	}
	for serial, why := range r.Unclean {
		fmt.Fprintf(stderr, "vm: the file system on disk %s is not clean: %s\n", serial, why)
		if status == 0 {
			status = machine.ExitMisbehaved
		}
	}
	return status
}

// boot runs the machine and returns its result and the exit status.
func (o *options) boot(ctx context.Context, stdout io.Writer, say func(string, ...any)) (*lab.Result, int, error) {
	accel, err := machine.ParseAccel(o.accel)
	if err != nil {
		return nil, 0, err
	}
	l, err := lab.Open(ctx, lab.Options{Accel: accel, Log: say})
	if err != nil {
		return nil, 0, err
	}
	k, err := l.Cache.Get(ctx, kernels.Request{Spec: o.kernel, Flavour: o.flavour})
	if err != nil {
		return nil, 0, err
	}
	b := lab.Boot{
		Kernel: k, Modules: o.modules, Cmdline: o.appended, Lenient: !o.strict, NoPoison: o.noPoison,
		CPUs: o.cpus, MemoryMB: o.memory, WorkDir: o.out, Check: true,
	}
	if o.flavour == kernels.Generic {
		b.Modules = append([]string{"nvme", "ext4", "crc32c_generic"}, b.Modules...)
	}
	argv := append([]string{lab.GuestProgram}, o.args...)
	if !lab.Targeted(o.args) && o.program == "" {
		t, err := o.target()
		if err != nil {
			return nil, 0, err
		}
		b.Disks, b.Modules = []lab.Disk{t.Disk}, append(b.Modules, t.Modules...)
		if t.Tools {
			b.Programs = append(b.Programs, lab.FSTools()...)
		}
		argv = append(argv, t.Args...)
	} else {
		b.Disks = []lab.Disk{{Serial: lab.TestSerial, Size: int64(o.size) << 20, WriteIOPS: o.writeIOPS}}
		b.Programs = append(b.Programs, lab.FSTools()...)
	}
	program := o.program
	if program == "" {
		if program, err = l.Build(ctx, "./cmd/dioStress"); err != nil {
			return nil, 0, err
		}
	} else if program, err = filepath.Abs(program); err != nil {
		return nil, 0, err
	}
	b.Programs = append(b.Programs, lab.Program{Host: program, Guest: lab.GuestProgram})
	b.Commands = []wire.Command{{Name: "dioStress", Argv: argv, Dir: "/root", TimeoutSec: o.timeout}}
	say("kernel %s (%s), %s", k.Version, cmp.Or(k.ABI, "no package"), l.Accel)
	r, err := l.RunTo(ctx, b, stdout)
	if err != nil {
		return nil, 0, err
	}
	command := 0
	if len(r.Ended) == 1 {
		command = r.Ended[0].Status
		say("%s after %.1f s in the guest, %.1f s in all", r.State, r.Ended[0].Seconds, r.Wall.Seconds())
	}
	return r, r.State.ExitStatus(command), bringBack(r, o.out)
}

func (o *options) target() (lab.Target, error) {
	make := lab.Raw
	if o.format == "host" || o.fs == "xfs" {
		make = lab.Formatted
	}
	t, err := make(o.fs, int64(o.size)<<20)
	t.Disk.WriteIOPS = o.writeIOPS
	return t, err
}

// bringBack writes the files of the guest's /out.
func bringBack(r *lab.Result, dir string) error {
	if dir == "" {
		return nil
	}
	for _, rec := range r.Records {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(rec.Name)), rec.Data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
