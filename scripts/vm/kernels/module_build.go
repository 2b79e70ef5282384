package kernels

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// BuildModules builds the modules of a directory with a kbuild Makefile
// against the kernel's headers and returns the directory that holds the .ko
// files. They are kept as long as neither the sources nor the kernel change.
func (c *Cache) BuildModules(ctx context.Context, k Kernel, src string) (string, error) {
	if len(k.Headers) == 0 {
		return "", fmt.Errorf("%w: the mirror has no headers of kernel %s, so no module can be built for it", ErrUnavailable, k.Version)
	}
	files, sum, err := readSources(src)
	if err != nil {
		return "", err
	}
	unlock, err := c.lock("modules")
	if err != nil {
		return "", err
	}
	defer unlock()
	out := filepath.Join(c.Dir, "modules", k.ABI+"_"+k.Version+"_"+sum)
	if ko, _ := filepath.Glob(filepath.Join(out, "*.ko")); len(ko) > 0 {
		return out, nil
	}
	headers, err := c.headers(ctx, k)
	if err != nil {
		return "", err
	}
	tmp := out + ".new"
	os.RemoveAll(tmp)
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(tmp, name), data, 0o644); err != nil {
			return "", err
		}
	}
	c.log("building the modules of %s for %s", filepath.Base(src), k.Version)
	cmd := exec.CommandContext(ctx, "make", "-s", "-C", headers, "M="+tmp, "modules")
	cmd.Env = append(os.Environ(), "LC_ALL=C", "MAKEFLAGS=", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("modules of %s for kernel %s: %w: %s", src, k.Version, err, bytes.TrimSpace(text))
	}
	ko, _ := filepath.Glob(filepath.Join(tmp, "*.ko"))
	if len(ko) == 0 {
		return "", fmt.Errorf("modules of %s for kernel %s: make made no .ko", src, k.Version)
	}
	// Debug information would be most of what a guest has to unpack.
	for _, f := range ko {
		if text, err := exec.CommandContext(ctx, "objcopy", "--strip-debug", f).CombinedOutput(); err != nil {
			return "", fmt.Errorf("objcopy --strip-debug %s: %w: %s", f, err, bytes.TrimSpace(text))
		}
	}
	os.RemoveAll(out)
	return out, os.Rename(tmp, out)
}

// readSources reads the files of a kbuild directory and sums them up.
func readSources(src string) (map[string][]byte, string, error) {
	entries, err := os.ReadDir(src)
	if err != nil {
		return nil, "", err
	}
	files := map[string][]byte{}
	h := sha256.New()
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(src, e.Name()))
		if err != nil {
			return nil, "", err
		}
		files[e.Name()] = b
		fmt.Fprintf(h, "%s %d\n%s", e.Name(), len(b), b)
	}
	return files, fmt.Sprintf("%x", h.Sum(nil))[:12], nil
}

var gccName = regexp.MustCompile(`(x86_64-linux-gnu-)?gcc-\d+\b`)

// headers unpacks the header packages and makes them usable where they lie:
// Debian's Makefiles name each other by absolute paths below /usr/src, and the
// compiler of the release that built the kernel.
func (c *Cache) headers(ctx context.Context, k Kernel) (string, error) {
	root := filepath.Join(c.Dir, "headers", k.ABI+"_"+k.Version)
	top := filepath.Join(root, "usr/src/linux-headers-"+k.ABI)
	if _, err := os.Stat(filepath.Join(root, "ready")); err == nil {
		return top, nil
	}
	os.RemoveAll(root)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	for _, h := range k.Headers {
		name, version, _ := strings.Cut(h, "=")
		c.log("fetching %s %s", name, version)
		deb, err := c.Apt().Download(ctx, filepath.Join(c.Dir, "debs"), Package{Name: name, Version: version})
		if err != nil {
			return "", err
		}
		if err := unpackDeb(ctx, deb, root); err != nil {
			return "", err
		}
	}
	gcc, err := compiler()
	if err != nil {
		return "", err
	}
	for file, edit := range map[string]func(string) string{
		"Makefile":         func(s string) string { return strings.ReplaceAll(s, "/usr/src/", root+"/usr/src/") },
		".kernelvariables": func(s string) string { return gccName.ReplaceAllString(s, gcc) },
	} {
		p := filepath.Join(top, file)
		b, err := os.ReadFile(p)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(p, []byte(edit(string(b))), 0o644); err != nil {
			return "", err
		}
	}
	// Its only use is type information for the module, which would need pahole.
	if err := os.RemoveAll(filepath.Join(top, "vmlinux")); err != nil {
		return "", err
	}
	return top, os.WriteFile(filepath.Join(root, "ready"), nil, 0o644)
}

// compiler is the C compiler for kernels and modules on this machine.
func compiler() (string, error) {
	for _, name := range []string{"gcc-12", "gcc-14", "gcc-13", "gcc"} {
		if _, err := exec.LookPath(name); err == nil {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w: no gcc on this machine (make vm-packages installs what scripts/vm/packages.txt lists)", ErrUnavailable)
}
