package kernels

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Module is a module file ready to load, uncompressed.
type Module struct {
	Name string // with underscores
	Data []byte
}

// LoadOrder returns the named modules and everything they depend on, in an
// order in which they can be loaded one after another. Names that are built
// into the kernel yield nothing.
func (k Kernel) LoadOrder(ctx context.Context, names ...string) ([]Module, error) {
	if len(names) == 0 {
		return nil, nil
	}
	if k.Modules == "" {
		return nil, fmt.Errorf("%w: kernel %s has no modules here, so %s cannot be loaded", ErrUnavailable, k.Version, strings.Join(names, ", "))
	}
	files := map[string]string{}
	err := filepath.WalkDir(k.Modules, func(p string, d fs.DirEntry, err error) error {
		if base, _, ok := strings.Cut(d.Name(), ".ko"); err == nil && ok && !d.IsDir() {
			files[underscore(base)] = p
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	built, err := k.builtin()
	if err != nil {
		return nil, err
	}
	var out []Module
	seen := map[string]bool{}
	var add func(name, by string, soft bool) error
	add = func(name, by string, soft bool) error {
		name = underscore(name)
		if seen[name] || built[name] {
			return nil
		}
		seen[name] = true
		f, ok := files[name]
		if !ok {
			if soft {
				return nil
			}
			return fmt.Errorf("%w: kernel %s has no module %s (wanted by %s)", ErrUnavailable, k.Version, name, by)
		}
		data, err := readModule(ctx, f)
		if err != nil {
			return err
		}
		hard, pre, err := modinfo(data)
		if err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		for _, d := range pre {
			if err := add(d, name, true); err != nil {
				return err
			}
		}
		for _, d := range hard {
			if err := add(d, name, false); err != nil {
				return err
			}
		}
		out = append(out, Module{name, data})
		return nil
	}
	for _, n := range names {
		if err := add(n, "the caller", false); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Config returns the kernel's configuration: boot/config-ABI, since 7.2 beside
// the modules. False: the package has none.
func (k Kernel) Config() ([]byte, bool) {
	if k.ABI == "" || k.Dir == "" {
		return nil, false
	}
	for _, p := range []string{filepath.Join(k.Dir, "boot", "config-"+k.ABI), filepath.Join(k.Modules, "config")} {
		if b, err := os.ReadFile(p); err == nil {
			return b, true
		}
	}
	return nil, false
}

func underscore(s string) string { return strings.ReplaceAll(s, "-", "_") }

func (k Kernel) builtin() (map[string]bool, error) {
	out := map[string]bool{}
	b, err := os.ReadFile(filepath.Join(k.Modules, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		base, _, _ := strings.Cut(filepath.Base(strings.TrimSpace(line)), ".ko")
		out[underscore(base)] = true
	}
	return out, nil
}

func readModule(ctx context.Context, path string) ([]byte, error) {
	if !strings.HasSuffix(path, ".xz") {
		return os.ReadFile(path)
	}
	out, err := exec.CommandContext(ctx, "xz", "-dc", path).Output()
	if err != nil {
		return nil, fmt.Errorf("xz -dc %s (package xz-utils): %w", path, err)
	}
	return out, nil
}

// modinfo reads depends= and softdep=pre: of a module's .modinfo section.
func modinfo(data []byte) (hard, pre []string, err error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, nil, err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, nil, fmt.Errorf("no .modinfo section: not a kernel module")
	}
	b, err := s.Data()
	if err != nil {
		return nil, nil, err
	}
	for field := range strings.SplitSeq(string(b), "\x00") {
		key, val, _ := strings.Cut(field, "=")
		switch {
		case key == "depends" && val != "":
			hard = append(hard, strings.Split(val, ",")...)
		case key == "softdep" && strings.HasPrefix(val, "pre:"):
			list, _, _ := strings.Cut(strings.TrimPrefix(val, "pre:"), "post:")
			pre = append(pre, strings.Fields(list)...)
		}
	}
	return hard, pre, nil
}
