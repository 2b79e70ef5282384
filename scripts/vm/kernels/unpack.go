package kernels

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const kernelFile = "kernel.json" // written last: its presence says that the directory is complete

func readKernel(dir string) (Kernel, error) {
	var k Kernel
	b, err := os.ReadFile(filepath.Join(dir, kernelFile))
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal(b, &k); err != nil {
		return k, fmt.Errorf("%s/%s: %w", dir, kernelFile, err)
	}
	k.place(dir)
	return k, nil
}

// place makes the relative paths of a stored kernel absolute.
func (k *Kernel) place(dir string) {
	k.Dir = dir
	k.Image = filepath.Join(dir, k.Image)
	if k.Modules != "" {
		k.Modules = filepath.Join(dir, k.Modules)
	}
}

func writeKernel(dir string, k Kernel) error {
	b, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, kernelFile), b, 0o644)
}

// unpackKernel unpacks packages into dir and finds image and modules in them:
// boot/vmlinuz-ABI, since 7.2 usr/lib/modules/ABI/vmlinuz.
func (c *Cache) unpackKernel(ctx context.Context, dir string, k Kernel, debs []string) (Kernel, error) {
	tmp := dir + ".new"
	os.RemoveAll(tmp)
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return k, err
	}
	defer os.RemoveAll(tmp)
	for _, d := range debs {
		if err := unpackDeb(ctx, d, tmp); err != nil {
			return k, err
		}
	}
	err := filepath.WalkDir(tmp, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(tmp, p)
		switch {
		case !d.IsDir() && strings.HasPrefix(d.Name(), "vmlinuz"):
			k.Image = rel
		case d.IsDir() && filepath.Base(filepath.Dir(p)) == "modules" && strings.Contains(rel, "lib/modules/"):
			k.Modules = rel
			if k.ABI == "" {
				k.ABI = d.Name()
			}
		}
		return nil
	})
	if err != nil {
		return k, err
	}
	if k.Image == "" {
		return k, fmt.Errorf("no vmlinuz in %s", strings.Join(debs, ", "))
	}
	if err := writeKernel(tmp, k); err != nil {
		return k, err
	}
	os.RemoveAll(dir)
	if err := os.Rename(tmp, dir); err != nil {
		return k, err
	}
	k.place(dir)
	return k, nil
}

func unpackDeb(ctx context.Context, deb, dir string) error {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		return fmt.Errorf("%w: no dpkg-deb on this machine; give a bzImage instead", ErrUnavailable)
	}
	if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", deb, dir).CombinedOutput(); err != nil {
		return fmt.Errorf("unpack %s: %w: %s", deb, err, bytes.TrimSpace(out))
	}
	return nil
}

// bzImageVersion reads the version text of a bzImage: "HdrS" at 0x202, and at
// 0x20e the offset of the text less 0x200 (Documentation/arch/x86/boot.rst).
func bzImageVersion(r io.ReaderAt) (string, error) {
	var h [0x212]byte
	if _, err := r.ReadAt(h[:], 0); err != nil || string(h[0x202:0x206]) != "HdrS" {
		return "", errors.New("not a bzImage (no HdrS at 0x202)")
	}
	var text [256]byte
	off := int64(binary.LittleEndian.Uint16(h[0x20e:])) + 0x200
	if n, _ := r.ReadAt(text[:], off); n == 0 {
		return "", errors.New("bzImage without version text")
	}
	s, _, _ := bytes.Cut(text[:], []byte{0})
	return string(s), nil
}
