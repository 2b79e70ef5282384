//go:build linux && amd64

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"diostress/scripts/vm/faults"
	"diostress/scripts/vm/kernels"
	"diostress/scripts/vm/lab"
	"diostress/scripts/vm/machine"
	"diostress/scripts/vm/trial"
	"diostress/scripts/vm/wire"
)

// settings of every cell; what a case adds comes after them and wins.
var settings = []string{"--bs", "4k", "--size", "1m", "--iodepth", "16", "--runtime", "5", "--epoch", "1s", "--stuck-timeout", "20s"}

const (
	cellTimeout = 120               // seconds in the guest
	deadTimeout = 45                // likewise, where the kernel is expected to hang
	deadLimit   = 100 * time.Second // of the host for a whole machine then
	g208Seconds = 3
)

// bench is one kernel with what is built for it.
type bench struct {
	lab     *lab.Lab
	kernel  kernels.Kernel
	modules string // directory of the built modules
	g208    string // the program
	out     string
	fs      []string
	engines []string
}

// run runs one case on one kernel and returns its lines, in order.
func (b *bench) run(ctx context.Context, c *faults.Case) ([]line, error) {
	var lines []line
	for _, g := range b.groups(c) {
		s := b.setup(c, g.engines[0])
		cells := b.cells(c, g)
		s.Tools = []lab.Program{{Host: b.g208, Guest: "/bin/g208"}}
		for _, fs := range g.fs {
			s.Disks = append(s.Disks, g208Disk(fs))
		}
		outcomes, err := trial.Run(ctx, s, cells)
		if err != nil {
			return nil, fmt.Errorf("%s on %s: %w", c.Name, b.kernel.Version, err)
		}
		for i := range outcomes {
			l := assess(c, &outcomes[i])
			l.kernel = b.kernel.Version
			lines = append(lines, l)
		}
		if err := b.addG208(ctx, c, s, outcomes, lines[len(lines)-len(outcomes):]); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// group is what shares a boot.
type group struct{ engines, fs []string }

func (b *bench) groups(c *faults.Case) (out []group) {
	if c.SameFor(b.engines) {
		return []group{{b.engines, b.fs}}
	}
	for _, fs := range b.fs {
		for _, e := range b.engines {
			out = append(out, group{[]string{e}, []string{fs}})
		}
	}
	return out
}

func (b *bench) setup(c *faults.Case, engine string) trial.Setup {
	s := trial.Setup{
		Lab: b.lab, Kernel: b.kernel, Lenient: true, NoPoison: c.Deadly,
		WorkDir: filepath.Join(b.out, b.kernel.Series, c.Name+"-"+engine),
	}
	if c.Deadly {
		// A kernel that loops for ever with preemption off answers nobody, but
		// its own watchdogs may still speak.
		s.Cmdline = []string{"softlockup_panic=1", "watchdog_thresh=5", "rcupdate.rcu_cpu_stall_timeout=10", "sysctl.kernel.panic_on_rcu_stall=1"}
		s.HostLimit = deadLimit
	}
	if c.Module != "" {
		s.Own = []lab.OwnModule{{Path: filepath.Join(b.modules, c.Module+".ko"), Params: c.ParamsFor(engine) + " on=1"}}
	}
	if c.Flakey {
		s.Modules = append(s.Modules, "dm-flakey")
	}
	return s
}

// marker begins the line that dioStress writes into the kernel log when a run
// starts.
const marker = "diostress: run="

func (b *bench) cells(c *faults.Case, g group) (cells []trial.Cell) {
	for _, fs := range g.fs {
		for i, e := range g.engines {
			cell := trial.Cell{
				Name: fs + "-" + e, Engine: e, Format: fs + c.Format, WriteIOPS: c.WriteIOPS, Host: c.Blkdebug || c.Flakey,
				Args: slices.Concat(settings, c.Args), Timeout: cellTimeout,
			}
			if c.Deadly {
				cell.Timeout = deadTimeout
			}
			switch {
			case c.Module != "":
				for _, p := range []string{"calls", "bent", "failed", "missed"} {
					if c.Module == "biofault" && (p == "failed" || p == "missed") {
						continue
					}
					cell.Reports = append(cell.Reports, parameter(c.Module, p))
					if p != "missed" {
						cell.Acts = append(cell.Acts, wire.Act{Path: parameter(c.Module, p), Value: "0"})
					}
				}
			case c.Own:
				cell.Acts = []wire.Act{{OnLog: marker, Path: "/sys/module/ext4/parameters/bug2007", Value: "1"}}
				cell.Reports = []string{"/sys/module/ext4/parameters/bug2007_hits"}
			case c.Blkdebug:
				cell.FailBlocks = true
				for _, at := range []int{800, 4200} { // on, off
					cell.Acts = append(cell.Acts, wire.Act{OnLog: marker, AfterMS: at, ZeroOut: trial.Disk})
				}
			case c.Flakey:
				cell.FailData = true
				// More than once: a time may be one of reading back.
				for _, at := range []int{800, 2200, 3600} {
					cell.Acts = append(cell.Acts, wire.Act{OnLog: marker, AfterMS: at, Fail: trial.Disk, ForMS: 700})
				}
			}
			if i == len(g.engines)-1 {
				dir := "/mnt/g208-" + fs
				if cell.Host {
					dir = "/mnt/" + trial.Disk
				}
				cell.After = []wire.Command{b.g208Command(c, dir)}
			}
			cells = append(cells, cell)
		}
	}
	return cells
}

func g208Disk(fs string) lab.Disk {
	return lab.Disk{Serial: "g208-" + fs, Format: fs, Size: 96 << 20, Mount: &wire.Mount{Dir: "/mnt/g208-" + fs}}
}

// g208Command races under the fault: what is bent only so many times is bent
// anew.
func (b *bench) g208Command(c *faults.Case, dir string) wire.Command {
	cmd := wire.Command{
		Name: "g208", Argv: []string{"/bin/g208", "-dir", dir, "-seconds", fmt.Sprint(g208Seconds), "-out", wire.OutDir + "/g208.json"},
		Dir: "/root", TimeoutSec: 60,
	}
	switch {
	case c.Module != "":
		cmd.Acts = []wire.Act{{AfterMS: 500, Path: parameter(c.Module, "bent"), Value: "0"}}
	case c.Own:
		cmd.Acts = []wire.Act{{Path: "/sys/module/ext4/parameters/bug2007", Value: "1"}}
	case c.Blkdebug:
		cmd.Acts = []wire.Act{{AfterMS: 1500, ZeroOut: trial.Disk}}
	case c.Flakey:
		cmd.Acts = []wire.Act{{AfterMS: 1500, Fail: trial.Disk, ForMS: 1500}}
	}
	return cmd
}

// addG208 fills in what the other workload said: in the same machine, or, where
// that was dead already, in one of its own with the same fault.
func (b *bench) addG208(ctx context.Context, c *faults.Case, s trial.Setup, outcomes []trial.Outcome, lines []line) error {
	for i := range outcomes {
		o := &outcomes[i]
		if len(o.Cell.After) == 0 {
			continue
		}
		fs, _, _ := strings.Cut(o.Cell.Name, "-")
		end, ended := o.After["g208"]
		said := g208Says(o.Texts["-g208/g208.json"], ended, "", "")
		if o.Cell.Host && o.Result == nil {
			said = "not run: its disk needs the machine that ended"
		} else if !ended && o.Texts["-g208/g208.json"] == "" {
			var err error
			if said, err = b.g208Alone(ctx, c, s, o.Cell, fs); err != nil {
				return err
			}
		} else if end.Timeout {
			said = "hang"
		}
		for j := range lines {
			if strings.HasPrefix(lines[j].fs, fs) && lines[j].g208 == "" {
				lines[j].g208 = said
			}
		}
	}
	return nil
}

func (b *bench) g208Alone(ctx context.Context, c *faults.Case, s trial.Setup, cell trial.Cell, fs string) (string, error) {
	cmd := b.g208Command(c, "/mnt/g208-"+fs)
	d := g208Disk(fs)
	d.WriteIOPS = c.WriteIOPS
	r, err := b.lab.Run(ctx, lab.Boot{
		Kernel: s.Kernel, Own: s.Own, Cmdline: s.Cmdline, Disks: []lab.Disk{d}, Programs: s.Tools, Lenient: true, NoPoison: s.NoPoison,
		Commands: []wire.Command{cmd}, WorkDir: filepath.Join(s.WorkDir, cell.Name+"-g208"),
	})
	if err != nil {
		return "", err
	}
	text := ""
	for _, rec := range r.Records {
		if rec.Name == "g208/g208.json" {
			text = string(rec.Data)
		}
	}
	if r.State == machine.Hang && text == "" {
		return "hang", nil
	}
	return g208Says(text, len(r.Ended) == 1, r.State, r.Detail), nil
}
