package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"diostress/scripts/vm/disk"
	"diostress/scripts/vm/initramfs"
	"diostress/scripts/vm/machine"
	"diostress/scripts/vm/wire"
)

// RunTo is Run with the programs' output as it comes.
func (l *Lab) RunTo(ctx context.Context, b Boot, output io.Writer) (*Result, error) {
	work, err := os.MkdirTemp(l.Cache.Dir, "boot-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	spec := wire.Spec{Commands: b.Commands, Frames: !b.Raw, SysRq: "lwm"}
	disks, err := l.disks(ctx, b, work, &spec)
	if err != nil {
		return nil, err
	}
	initrd := filepath.Join(work, "initrd")
	if err := l.initrd(ctx, b, &spec, initrd); err != nil {
		return nil, err
	}
	limit := b.HostLimit
	if limit == 0 {
		limit = hostLimit(b.Commands)
	}
	r, err := machine.Run(ctx, machine.Config{
		QEMU: l.QEMU, Accel: l.Accel, Kernel: b.Kernel.Image, Initrd: initrd, Cmdline: b.Cmdline,
		Poison: !b.NoPoison, Fatal: !b.Lenient, MemoryMB: cmp.Or(b.MemoryMB, 1024), CPUs: cmp.Or(b.CPUs, 2), OneThread: b.OneThread,
		Disks: disks, WorkDir: work, HostLimit: limit, Output: output,
	})
	if err != nil {
		return nil, err
	}
	out := &Result{Result: r, Unclean: map[string]string{}}
	if b.Check && r.State == machine.Finished {
		for i, d := range b.Disks {
			if d.Format == "" {
				continue
			}
			f, _ := disk.FormatByName(d.Format)
			why, err := disk.Check(ctx, disks[i].Path, f)
			if err != nil {
				return nil, err
			}
			if why != "" {
				out.Unclean[d.Serial] = why
			}
		}
	}
	return out, keep(work, b.WorkDir, r)
}

// hostLimit is how long a machine may take in all: a boot, every command, and
// the end. A command without a timeout has no limit of its own: a day.
func hostLimit(commands []wire.Command) time.Duration {
	limit := time.Minute
	for _, c := range commands {
		if c.TimeoutSec == 0 {
			return 24 * time.Hour
		}
		limit += time.Duration(c.TimeoutSec) * time.Second
	}
	return limit
}

// keep moves the logs of a boot to where the caller wants them.
func keep(work, dir string, r *machine.Result) error {
	if dir == "" {
		r.Console = ""
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	r.Console = filepath.Join(dir, "console.log")
	if err := os.WriteFile(r.Console, []byte(r.ConsoleText), 0o644); err != nil {
		return err
	}
	log, err := os.ReadFile(filepath.Join(work, "qemu.log"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "qemu.log"), log, 0o644)
}

// forDirectories are the first of the free blocks, bytes: new directories get
// them, and one that cannot be written aborts the journal.
const forDirectories = 64 << 10

// disks makes the images and enters disks and mounts into the work order.
func (l *Lab) disks(ctx context.Context, b Boot, work string, spec *wire.Spec) ([]machine.Disk, error) {
	var out []machine.Disk
	for _, d := range b.Disks {
		path := filepath.Join(work, d.Serial+".img")
		var layer *wire.Layer
		rules := ""
		if d.Format == "" {
			if err := disk.Blank(path, d.Size); err != nil {
				return nil, err
			}
		} else {
			f, err := disk.FormatByName(d.Format)
			if err != nil {
				return nil, err
			}
			if err := disk.Make(ctx, filepath.Join(l.Cache.Dir, "images"), path, f, d.Size); err != nil {
				return nil, err
			}
			if d.FailData || d.FailBlocks {
				start, err := disk.DataStart(ctx, path)
				if err != nil {
					return nil, err
				}
				start += forDirectories
				if d.FailData {
					layer = &wire.Layer{FailFrom: uint64(start) / 512}
				}
				if d.FailBlocks {
					rules = path + ".rules"
					if err := os.WriteFile(rules, []byte(disk.FailRules(start, d.Size)), 0o600); err != nil {
						return nil, err
					}
				}
			}
			if d.Mount != nil {
				m := *d.Mount
				m.Serial, m.FSType = d.Serial, f.FSType
				spec.Mounts = append(spec.Mounts, m)
			}
		}
		spec.Disks = append(spec.Disks, wire.Disk{Serial: d.Serial, Layer: layer})
		out = append(out, machine.Disk{Serial: d.Serial, Path: path, WriteIOPS: d.WriteIOPS, Rules: rules})
	}
	return out, nil
}

// initrd writes the archive: init, work order, modules, programs.
func (l *Lab) initrd(ctx context.Context, b Boot, spec *wire.Spec, path string) error {
	a := initramfs.New()
	guest, err := l.Build(ctx, "./scripts/vm/guest")
	if err != nil {
		return err
	}
	if err := a.Program(guest, "/init"); err != nil {
		return err
	}
	if config, ok := b.Kernel.Config(); ok {
		// Where programs look for the options of the kernel that runs.
		a.File("/boot/config-"+b.Kernel.ABI, 0o644, config)
	}
	mods, err := b.Kernel.LoadOrder(ctx, b.Modules...)
	if err != nil {
		return err
	}
	for _, m := range mods {
		p := "/lib/modules/" + m.Name + ".ko"
		a.File(p, 0o644, m.Data)
		spec.Modules = append(spec.Modules, wire.Module{Path: p})
	}
	for _, m := range b.Own {
		data, err := os.ReadFile(m.Path)
		if err != nil {
			return err
		}
		p := "/lib/modules/own/" + filepath.Base(m.Path)
		a.File(p, 0o644, data)
		spec.Modules = append(spec.Modules, wire.Module{Path: p, Params: m.Params})
	}
	for _, p := range b.Programs {
		host, err := lookup(p.Host)
		if err != nil {
			return err
		}
		if err := a.Program(host, p.Guest); err != nil {
			return err
		}
		if filepath.Base(host) == "mke2fs" {
			if conf, err := os.ReadFile("/etc/mke2fs.conf"); err == nil {
				a.File("/etc/mke2fs.conf", 0o644, conf)
			}
		}
	}
	if b.Tree {
		if err := tree(a, l.Root); err != nil {
			return err
		}
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	a.File(wire.SpecPath, 0o644, text)
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := a.WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// lookup finds a program also where PATH does not reach into sbin.
func lookup(host string) (string, error) {
	if filepath.IsAbs(host) {
		return host, nil
	}
	if p, err := exec.LookPath(host); err == nil {
		return filepath.Abs(p)
	}
	for _, d := range []string{"/usr/sbin", "/sbin"} {
		if p, err := exec.LookPath(filepath.Join(d, host)); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("%w: %s (make vm-packages installs what scripts/vm/packages.txt lists)", disk.ErrTool, host)
}

// tree adds the repository's files at their path, so that tests find their
// testdata; not what is hidden, built or large.
func tree(a *initramfs.Archive, root string) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") && p != root {
			if d.IsDir() && d.Name() != ".ci" {
				return filepath.SkipDir
			}
			if !d.IsDir() {
				return nil
			}
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > 2<<20 {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		a.File(p, info.Mode(), b)
		return nil
	})
}
