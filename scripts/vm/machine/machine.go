// Package machine runs one virtual machine: it turns a kernel, an initramfs
// and some disks into a QEMU process, follows what the guest says, and tells
// how it ended.
//
// It fetches nothing and judges no program: a command's status is passed on,
// and a dead kernel is named as that.
package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"diostress/scripts/vm/disk"
	"diostress/scripts/vm/wire"
)

// Disk is one NVMe disk of the machine.
type Disk struct {
	Serial    string
	Path      string
	WriteIOPS int    // throttle, writes a second; 0: none
	Rules     string // path of the rules of a blkdebug node over the image; "": none
}

// Config is everything a boot needs.
type Config struct {
	QEMU      string // the program, "qemu-system-x86_64"
	Accel     Accel
	Kernel    string // bzImage
	Initrd    string
	Cmdline   []string // added to the machine's own
	Poison    bool     // poison freed iocbs and neighbours, check their red zones
	Fatal     bool     // oops and WARN end the machine
	MemoryMB  int
	CPUs      int
	OneThread bool // under TCG the CPUs take turns on one thread of the host
	Disks     []Disk
	WorkDir   string        // gets console.log, qemu.log and the result disk
	HostLimit time.Duration // the machine is killed after this
	Output    io.Writer     // program output as it comes, nil: dropped
}

// Result is what became of a boot.
type Result struct {
	State       State
	Detail      string // one line: why the state is what it is
	Booted      *wire.Booted
	Ended       []wire.Ended  // commands that ended, in order
	Running     *wire.Command // the command that had begun and not ended
	Notes       []string      // what the guest's init complained about
	Records     []wire.Record
	Torn        bool     // the last record was lost with the kernel
	Oops        []string // lines of the console that a healthy kernel does not print
	Console     string   // path of the console log
	ConsoleText string
	Wall        time.Duration
	QEMU        string // the command line
}

// resultDiskSize bounds what comes back from a guest, bytes; the file is sparse.
const resultDiskSize = 256 << 20

// Run boots the machine and returns when it has ended. The error is for what
// kept it from being started at all; ErrTool says that QEMU is missing.
func Run(ctx context.Context, c Config) (*Result, error) {
	qemu, err := exec.LookPath(c.QEMU)
	if err != nil {
		return nil, fmt.Errorf("%w: %s (make vm-packages installs what scripts/vm/packages.txt lists)", disk.ErrTool, c.QEMU)
	}
	results := filepath.Join(c.WorkDir, "results.img")
	if err := disk.Blank(results, resultDiskSize); err != nil {
		return nil, err
	}
	defer os.Remove(results)
	console := filepath.Join(c.WorkDir, "console.log")
	os.Remove(console)
	args := c.args(console, results)
	res := &Result{Console: console, QEMU: qemu + " " + strings.Join(args, " ")}

	ctx, cancel := context.WithTimeout(ctx, c.HostLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemu, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	var qemuLog bytes.Buffer
	cmd.Stderr = &qemuLog
	var mu sync.Mutex // OnFrame runs on the copying goroutine of exec
	split := &wire.Splitter{Out: c.Output, OnFrame: func(kind string, body []byte) {
		mu.Lock()
		defer mu.Unlock()
		res.frame(kind, body)
	}}
	cmd.Stdout = split
	start := time.Now()
	err = cmd.Start()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", qemu, err)
	}
	err = cmd.Wait()
	split.Close()
	res.Wall = time.Since(start)
	if werr := os.WriteFile(filepath.Join(c.WorkDir, "qemu.log"), append([]byte(res.QEMU+"\n"), qemuLog.Bytes()...), 0o644); werr != nil {
		return nil, werr
	}
	mu.Lock()
	defer mu.Unlock()
	text, _ := os.ReadFile(console)
	res.ConsoleText = string(text)
	end := ending{
		rc: -1, limit: c.HostLimit, hostLimit: errors.Is(ctx.Err(), context.DeadlineExceeded),
		booted: res.Booted != nil, qemuLog: strings.TrimSpace(qemuLog.String()),
		notes: res.Notes,
	}
	if cmd.ProcessState != nil {
		end.rc = cmd.ProcessState.ExitCode()
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return res, ctx.Err()
	}
	_ = err // the exit code says it all
	res.State, res.Detail, res.Oops = classify(end, string(text))
	if f, err := os.Open(results); err == nil {
		defer f.Close()
		res.Records, err = wire.ReadRecords(f, resultDiskSize)
		res.Torn = errors.Is(err, wire.ErrTorn)
		if err != nil && !res.Torn {
			return nil, err
		}
	}
	return res, nil
}

func (r *Result) frame(kind string, body []byte) {
	switch kind {
	case wire.FrameBooted:
		var b wire.Booted
		if json.Unmarshal(body, &b) == nil {
			r.Booted = &b
		}
	case wire.FrameBegin:
		var c wire.Command
		if json.Unmarshal(body, &c) == nil {
			r.Running = &c
		}
	case wire.FrameEnd:
		var e wire.Ended
		if json.Unmarshal(body, &e) == nil {
			r.Ended = append(r.Ended, e)
			r.Running = nil
		}
	case wire.FrameNote:
		var s string
		if json.Unmarshal(body, &s) == nil {
			r.Notes = append(r.Notes, s)
		}
	}
}

// Record returns the data of the record of that name.
func (r *Result) Record(name string) ([]byte, bool) {
	for _, rec := range r.Records {
		if rec.Name == name {
			return rec.Data, true
		}
	}
	return nil, false
}

// args is QEMU's command line.
func (c Config) args(console, results string) []string {
	kernel := []string{
		"console=ttyS0", "panic=-1", "mitigations=off", "nokaslr", "random.trust_cpu=on",
	}
	if c.Fatal {
		kernel = append(kernel, "oops=panic", "panic_on_warn=1")
	}
	if c.Poison {
		// Only the caches of iocbs and of what hangs on them: all caches cost 9 s a boot.
		kernel = append(kernel, "slub_debug=FZPU,aio_kiocb,io_kiocb,kmalloc-96,kmalloc-128,kmalloc-192")
	}
	kernel = append(kernel, c.Cmdline...)
	a := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-m", fmt.Sprint(c.MemoryMB), "-smp", fmt.Sprint(c.CPUs),
	}
	a = append(a, c.Accel.args(c.OneThread)...)
	a = append(a, "-kernel", c.Kernel, "-initrd", c.Initrd, "-append", strings.Join(kernel, " "),
		"-serial", "file:"+console, "-serial", "stdio",
		"-device", fmt.Sprintf("isa-debug-exit,iobase=%#x,iosize=4", wire.ExitPort))
	for i, d := range append([]Disk{{Serial: wire.ResultSerial, Path: results}}, c.Disks...) {
		id := fmt.Sprintf("d%d", i)
		if d.Rules != "" {
			a = append(a, "-blockdev", fmt.Sprintf("driver=file,node-name=f%d,filename=%s", i, d.Path),
				"-blockdev", fmt.Sprintf("driver=blkdebug,node-name=%s,image=f%d,config=%s", id, i, d.Rules))
		} else {
			drive := fmt.Sprintf("file=%s,format=raw,if=none,id=%s,cache=writeback", d.Path, id)
			if d.WriteIOPS > 0 {
				drive += fmt.Sprintf(",throttling.iops-write=%d", d.WriteIOPS)
			}
			a = append(a, "-drive", drive)
		}
		a = append(a, "-device", fmt.Sprintf("nvme,drive=%s,serial=%s", id, d.Serial))
	}
	return a
}
