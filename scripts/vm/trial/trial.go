// Package trial runs dioStress in a machine, one cell after another, and reads
// the reports that came back.
//
// It judges no cell: what a verdict means is the caller's affair. It only sees
// to it that every cell was run or says why not, whatever the kernel did.
package trial

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"diostress/internal/verdict"
	"diostress/scripts/vm/kernels"
	"diostress/scripts/vm/lab"
	"diostress/scripts/vm/machine"
	"diostress/scripts/vm/wire"
)

// Cell is one run of dioStress on a disk of its own.
type Cell struct {
	Name      string // unique in a call of Run; file-name characters
	Engine    string
	Format    string // a disk format, "ext4-1k"
	Host      bool   // format and mount outside of dioStress
	WriteIOPS int
	// FailData and FailBlocks make the disk one whose file data an act can make
	// fail, all of it or some blocks; with Host.
	FailData, FailBlocks bool
	Args                 []string       // of dioStress, besides engine and place
	Acts                 []wire.Act     // while it runs, on Disk
	Reports              []string       // guest files whose text is wanted afterwards
	After                []wire.Command // run once the cell has ended; Disk may be in arguments and acts
	Timeout              int            // seconds in the guest
}

// Disk stands for the serial number of a cell's disk in what is said of it: the
// boot gives it one.
const Disk = "DISK"

// Setup is what all cells of a call have in common.
type Setup struct {
	Lab     *lab.Lab
	Kernel  kernels.Kernel
	Modules []string
	Own     []lab.OwnModule
	Tools   []lab.Program // besides dioStress
	Disks   []lab.Disk    // besides those of the cells
	Cmdline []string
	Lenient bool
	// NoPoison leaves freed iocbs as they are.
	NoPoison bool
	Alone    bool // a boot for every cell
	// HostLimit is how long a machine may take in all; 0: as long as its commands.
	HostLimit time.Duration
	WorkDir   string // "": logs are dropped
	// OnOutcome is called for every cell that has ended, in order; nil: not.
	OnOutcome func(*Outcome)
}

// Outcome is what became of one cell.
type Outcome struct {
	Cell    Cell
	State   machine.State   // of the machine while this cell ran; Finished: the cell ended
	Detail  string          // why State is what it is
	Status  int             // dioStress's, with Finished
	Seconds float64         // of dioStress, guest clock; 0: it did not end
	Result  *verdict.Result // nil: no report came back
	// Texts are the files that came back: "/NAME" from the guest's /out,
	// "/sys/..." from Reports, "-AFTER/NAME" from commands after the cell.
	Texts   map[string]string
	After   map[string]wire.Ended // commands after the cell that ended
	Oops    []string              // lines of the machine's console that a healthy kernel does not print
	Console string                // path, "" if it is not kept
	Output  string                // of the machine, all cells
}

// Run runs the cells. A kernel that dies takes the cell it ran with it; the
// others go on in a new boot. The error is for what kept machines from running.
func Run(ctx context.Context, s Setup, cells []Cell) ([]Outcome, error) {
	program, err := s.Lab.Build(ctx, "./cmd/dioStress")
	if err != nil {
		return nil, err
	}
	out := make([]Outcome, len(cells))
	for left := indexes(len(cells)); len(left) > 0; {
		n := min(len(left), perBoot)
		if s.Alone {
			n = 1
		}
		ended, err := s.boot(ctx, program, cells, left[:n], out)
		if err != nil {
			return nil, err
		}
		left = left[ended:]
	}
	return out, nil
}

// perBoot bounds the cells of one boot: each has a disk, and a machine has 32
// PCI slots.
const perBoot = 8

func indexes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// boot runs the cells with the given indexes in one machine, fills in the
// outcomes of those that ran, and returns how many that were, at least 1.
func (s *Setup) boot(ctx context.Context, program string, cells []Cell, which []int, out []Outcome) (int, error) {
	b := lab.Boot{
		Kernel: s.Kernel, Modules: slices.Clone(s.Modules), Own: s.Own, Cmdline: s.Cmdline, Lenient: s.Lenient, NoPoison: s.NoPoison, HostLimit: s.HostLimit,
		Programs: append(slices.Clone(s.Tools), lab.Program{Host: program, Guest: lab.GuestProgram}),
	}
	b.Programs = append(b.Programs, lab.FSTools()...)
	if s.WorkDir != "" {
		b.WorkDir = s.WorkDir + "/" + cells[which[0]].Name
	}
	b.Disks = slices.Clone(s.Disks)
	for i, c := range which {
		if err := cells[c].enter(&b, i); err != nil {
			return 0, err
		}
	}
	var text strings.Builder
	r, err := s.Lab.RunTo(ctx, b, &text)
	if err == nil && r.Booted == nil {
		// In emulation a processor may still meet the int3 of a patch that another
		// has finished; a second boot tells that from a kernel that cannot.
		text.Reset()
		r, err = s.Lab.RunTo(ctx, b, &text)
	}
	if err != nil {
		return 0, err
	}
	done := 0
	for _, c := range which {
		o, ran := outcome(cells[c], r)
		if r.Booted == nil || r.State == machine.GuestFailed {
			ran = true // another boot of the same would not get further
		}
		if !ran && done > 0 {
			break
		}
		o.Output = text.String()
		out[c] = o
		if err := o.keep(b.WorkDir); err != nil {
			return 0, err
		}
		if s.OnOutcome != nil {
			s.OnOutcome(&out[c])
		}
		done++
		if o.State != machine.Finished && r.Booted != nil && r.State != machine.GuestFailed {
			break
		}
	}
	return done, nil
}

// enter adds the cell's disk and commands to a boot. index makes the disk's
// serial number unique.
func (c *Cell) enter(b *lab.Boot, index int) error {
	make := lab.Raw
	if c.Host || c.Format == "xfs" {
		make = lab.Formatted
	}
	size := int64(lab.DefaultDiskSize)
	if c.FailData || c.FailBlocks {
		size = 96 << 20 // one block group
	}
	t, err := make(c.Format, size)
	if err != nil {
		return err
	}
	serial := fmt.Sprintf("c%d", index)
	for i, a := range t.Args {
		t.Args[i] = strings.ReplaceAll(a, t.Disk.Serial, serial)
	}
	t.Disk.Serial, t.Disk.WriteIOPS, t.Disk.FailData, t.Disk.FailBlocks = serial, c.WriteIOPS, c.FailData, c.FailBlocks
	if t.Disk.Mount != nil {
		t.Disk.Mount.Dir = "/mnt/" + serial
	}
	b.Disks = append(b.Disks, t.Disk)
	b.Modules = append(b.Modules, t.Modules...)
	argv := slices.Concat([]string{lab.GuestProgram, "--ioengine", c.Engine}, t.Args, c.Args,
		[]string{"--output", c.reportPath(), "--output-format", "json"})
	b.Commands = append(b.Commands, wire.Command{
		Name: c.Name, Argv: argv, Dir: "/root", TimeoutSec: c.Timeout, DoneFile: c.reportPath(), Acts: on(serial, c.Acts), Report: c.Reports,
	})
	for _, a := range c.After {
		a.Name = c.Name + "-" + a.Name
		a.Argv, a.Acts = slices.Clone(a.Argv), on(serial, a.Acts)
		for i := range a.Argv {
			a.Argv[i] = strings.ReplaceAll(a.Argv[i], Disk, serial)
		}
		b.Commands = append(b.Commands, a)
	}
	return nil
}

// on are the acts of a cell that has this disk: it may get another in a new boot.
func on(serial string, acts []wire.Act) []wire.Act {
	acts = slices.Clone(acts)
	for i := range acts {
		acts[i].Fail = strings.ReplaceAll(acts[i].Fail, Disk, serial)
		acts[i].ZeroOut = strings.ReplaceAll(acts[i].ZeroOut, Disk, serial)
	}
	return acts
}

func (c *Cell) reportPath() string { return wire.OutDir + "/" + c.Name + ".json" }

// outcome reads what a machine brought back about one cell; false: the machine
// had ended before the cell began.
func outcome(c Cell, r *lab.Result) (Outcome, bool) {
	o := Outcome{Cell: c, State: r.State, Detail: r.Detail, Oops: r.Oops, Console: r.Console, Texts: map[string]string{}, After: map[string]wire.Ended{}}
	ran := r.Running != nil && r.Running.Name == c.Name
	for _, e := range r.Ended {
		switch {
		case e.Name == c.Name && e.Timeout:
			ran, o.Detail = true, e.Error
		case e.Name == c.Name:
			ran = true
			o.State, o.Detail, o.Status, o.Seconds = machine.Finished, e.Error, e.Status, e.Seconds
		default:
			if name, ok := strings.CutPrefix(e.Name, c.Name+"-"); ok {
				o.After[name] = e
			}
		}
	}
	for _, rec := range r.Records {
		if name, ok := strings.CutPrefix(rec.Name, c.Name); ok {
			o.Texts[name] = string(rec.Data)
		}
	}
	if text, ok := o.Texts["/"+c.Name+".json"]; ok {
		o.Result = readReport([]byte(text))
	}
	return o, ran
}

// keep writes what came back beside the console of the boot.
func (o *Outcome) keep(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(dir, "output.log"), []byte(o.Output), 0o644); err != nil {
		return err
	}
	for name, text := range o.Texts {
		if err := os.WriteFile(filepath.Join(dir, o.Cell.Name+strings.ReplaceAll(name, "/", ".")), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readReport reads our part of a JSON report; nil if it is not whole.
func readReport(b []byte) *verdict.Result {
	var report struct {
		Ours *verdict.Result `json:"diostress"`
	}
	if json.Unmarshal(b, &report) != nil {
		return nil
	}
	return report.Ours
}

// Found lists the rules that a result calls broken, each once.
func (o *Outcome) Found() (rules []string) {
	if o.Result == nil {
		return nil
	}
	for _, f := range o.Result.Findings {
		if !slices.Contains(rules, f.Rule) {
			rules = append(rules, f.Rule)
		}
	}
	return rules
}

// OnlyPressure says that nothing but the pressure of the run is undecided: a
// slow machine made too few collisions to tell, and found nothing wrong.
func (o *Outcome) OnlyPressure() bool {
	if o.State != machine.Finished || o.Result == nil || o.Result.Verdict != verdict.Undecided || len(o.Result.Findings) > 0 {
		return false
	}
	lacks := false
	for _, r := range o.Result.Rules {
		switch {
		case !r.Required || r.Verdict == verdict.Pass || r.Verdict == verdict.NotApplicable:
		case r.Name == "adequacy" && r.Verdict == verdict.Undecided:
			lacks = true
		default:
			return false
		}
	}
	return lacks
}

// First is the run of the cell's engine, nil if there is none.
func (o *Outcome) First() *verdict.Run {
	if o.Result == nil || len(o.Result.Runs) == 0 {
		return nil
	}
	return &o.Result.Runs[0]
}

// Writes counts the completions of the cell's runs.
func (o *Outcome) Writes() (n uint64) {
	if o.Result != nil {
		for _, r := range o.Result.Runs {
			n += r.Completions.Completed
		}
	}
	return n
}
