// Package lab puts a boot together: a kernel, the programs it shall run, the
// disks it shall have; and runs it.
//
// It gives no verdict: what a program found in the guest is the program's to
// say, and how the machine ended is machine's.
package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"diostress/scripts/vm/disk"
	"diostress/scripts/vm/kernels"
	"diostress/scripts/vm/machine"
	"diostress/scripts/vm/wire"
)

// Lab is where machines run. Methods may be used by several goroutines.
type Lab struct {
	Cache *kernels.Cache
	Root  string        // the repository
	QEMU  string        // program name or path
	Accel machine.Accel // set by Open

	mu    sync.Mutex
	built map[string]string // programs by package
}

// Options of Open.
type Options struct {
	Accel machine.Accel                    // "": KVM where it boots a kernel, else TCG
	Log   func(format string, args ...any) // what takes long, nil: silent
}

// Programs that a lab cannot do without; the others are looked up when needed.
var tools = []string{qemuName, "dpkg-deb"}

const qemuName = "qemu-system-x86_64"

// Open finds the repository, the cache and the tools. ErrTool or
// kernels.ErrUnavailable say that this machine cannot run machines.
func Open(ctx context.Context, o Options) (*Lab, error) {
	if runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("%w: the machines are x86-64 ones and their programs are built for the host, which is %s", kernels.ErrUnavailable, runtime.GOARCH)
	}
	for _, t := range tools {
		if _, err := exec.LookPath(t); err != nil {
			return nil, fmt.Errorf("%w: %s (make vm-packages installs what scripts/vm/packages.txt lists)", disk.ErrTool, t)
		}
	}
	root, err := kernels.RepoRoot()
	if err != nil {
		return nil, err
	}
	dir, err := kernels.DefaultDir()
	if err != nil {
		return nil, err
	}
	l := &Lab{Cache: &kernels.Cache{Dir: dir, Log: o.Log}, Root: root, QEMU: qemuName, Accel: o.Accel}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if l.Accel == "" {
		l.Accel, err = machine.ProbeAccel(ctx, dir, l.probe)
	}
	return l, err
}

// probe boots the smallest guest there is under one accelerator. It takes any
// kernel the cache holds, else fetches one.
func (l *Lab) probe(ctx context.Context, a machine.Accel, limit time.Duration) (bool, error) {
	k, err := l.Cache.Get(ctx, kernels.Request{Spec: "6.1", Flavour: kernels.Cloud})
	if err != nil {
		return false, err
	}
	one := &Lab{Cache: l.Cache, Root: l.Root, QEMU: l.QEMU, Accel: a}
	r, err := one.Run(ctx, Boot{Kernel: k, Commands: nil, HostLimit: limit})
	if err != nil {
		return false, err
	}
	return r.Booted != nil, nil
}

// Unavailable says whether an error means that this machine lacks something,
// as opposed to something having broken.
func Unavailable(err error) bool {
	return errors.Is(err, disk.ErrTool) || errors.Is(err, kernels.ErrUnavailable)
}

// Build compiles a package of the repository into a static binary below the
// cache and returns its path. A package is compiled once in the life of a Lab,
// and what was compiled stays as it is for a day, so that a long run is of one
// source whatever happens to the tree meanwhile.
func (l *Lab) Build(ctx context.Context, pkg string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if path, ok := l.built[pkg]; ok {
		return path, nil
	}
	dir := filepath.Join(l.Cache.Dir, "programs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	name := filepath.Base(pkg)
	tmp, err := os.CreateTemp(dir, "."+name+"-")
	if err != nil {
		return "", err
	}
	tmp.Close()
	defer os.Remove(tmp.Name())
	cmd := exec.CommandContext(ctx, "go", "build", "-o", tmp.Name(), pkg)
	cmd.Dir = l.Root
	// A caller's flags (-race, coverage) are not for the guest's programs.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=-ldflags=-checklinkname=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w: %s", pkg, err, bytes.TrimSpace(out))
	}
	data, err := os.ReadFile(tmp.Name())
	if err != nil {
		return "", err
	}
	prune(dir)
	path := filepath.Join(dir, fmt.Sprintf("%s-%.6x", name, sha256.Sum256(data)))
	if err := os.Rename(tmp.Name(), path); err != nil {
		return "", err
	}
	if l.built == nil {
		l.built = map[string]string{}
	}
	l.built[pkg] = path
	return path, nil
}

// prune removes programs that nobody has compiled for a day.
func prune(dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			os.Remove(f)
		}
	}
}

// OwnModule is a module built for the kernel, loaded after the kernel's own.
type OwnModule struct {
	Path   string
	Params string
}

// Program is a host's program wanted in the guest, with its libraries.
type Program struct {
	Host  string // a path, or a name to look up
	Guest string
}

// Disk is a disk of the machine. Mount makes the init mount it.
type Disk struct {
	Serial    string
	Format    string // name of a disk.Format; "" leaves it blank
	Size      int64  // bytes
	WriteIOPS int
	// FailData puts a layer over the disk that an act can make fail for file
	// data alone: a format with packed metadata, one block group (128 MiB). It
	// needs dm-flakey among the modules.
	FailData bool
	// FailBlocks makes writes to some blocks of the file data fail between two
	// zeroings of the end of the disk by the guest; the same format.
	FailBlocks bool
	Mount      *wire.Mount // Serial and FSType are filled in
}

// Boot is one boot.
type Boot struct {
	Kernel    kernels.Kernel
	Modules   []string // modules of the kernel; what they depend on follows
	Own       []OwnModule
	Programs  []Program
	Tree      bool // the repository's files, at their path on the host
	Disks     []Disk
	Commands  []wire.Command
	Raw       bool // no frames around the output
	Cmdline   []string
	Lenient   bool          // an oops or WARN does not end the machine
	NoPoison  bool          // freed iocbs are not poisoned
	MemoryMB  int           // 0: 1024
	CPUs      int           // 0: 2
	OneThread bool          // see machine.Config
	HostLimit time.Duration // 0: the commands' timeouts and a minute
	WorkDir   string        // keeps console.log and qemu.log; "": nothing is kept
	Check     bool          // check formatted disks on the host afterwards
}

// Result is what became of a boot.
type Result struct {
	*machine.Result
	Unclean map[string]string // by disk: what the file system's checker found on the host
}

// Run boots and waits for the end. The error is for what kept the machine from
// being started.
func (l *Lab) Run(ctx context.Context, b Boot) (*Result, error) {
	return l.RunTo(ctx, b, nil)
}
