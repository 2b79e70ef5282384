package kernels

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Recipe is a kernel built from Debian's source package of a series.
type Recipe struct {
	Name   string // of the result, "bug2007"
	Series string // "6.1": package linux-source-6.1
	Patch  string // a file for patch -p1
	Config string // a file of options on top of tinyconfig
}

// sum stands for the contents of patch and configuration.
func (r *Recipe) sum() (string, error) {
	h := sha256.New()
	for _, f := range []string{r.Patch, r.Config} {
		b, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%d\n%s", len(b), b)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6]), nil
}

// Built returns the newest kernel of a recipe that the cache holds; nothing is
// fetched or built.
func (c *Cache) Built(r Recipe) (best Kernel, ok bool) {
	sum, err := r.sum()
	if err != nil {
		return Kernel{}, false
	}
	dirs, _ := filepath.Glob(filepath.Join(c.Dir, "kernels", r.Name+"_*_"+sum))
	for _, d := range dirs {
		if k, err := readKernel(d); err == nil && (!ok || CompareVersions(k.Version, best.Version) > 0) {
			best, ok = k, true
		}
	}
	return best, ok
}

// sourceRoom is what an unpacked and built kernel source takes, bytes.
const sourceRoom = 3 << 30

// Build returns the kernel of a recipe: from the cache if it was built from the
// same source version, patch and configuration before, else built now, which
// takes minutes and 3 GB below the cache until it is done.
func (c *Cache) Build(ctx context.Context, r Recipe, output io.Writer) (Kernel, error) {
	pkg, err := c.sourcePackage(ctx, r.Series)
	if err != nil {
		return Kernel{}, err
	}
	sum, err := r.sum()
	if err != nil {
		return Kernel{}, err
	}
	unlock, err := c.lock("source-" + r.Name)
	if err != nil {
		return Kernel{}, err
	}
	defer unlock()
	dir := filepath.Join(c.Dir, "kernels", r.Name+"_"+pkg.Version+"_"+sum)
	if k, err := readKernel(dir); err == nil {
		return k, nil
	}
	gcc, err := compiler()
	if err != nil {
		return Kernel{}, err
	}
	if err := c.room(sourceRoom); err != nil {
		return Kernel{}, err
	}
	src := dir + ".src"
	os.RemoveAll(src)
	defer os.RemoveAll(src)
	tree, err := c.unpackSource(ctx, pkg, src, r.Patch)
	if err != nil {
		return Kernel{}, err
	}
	c.log("building %s from %s %s", r.Name, pkg.Name, pkg.Version)
	config, err := filepath.Abs(r.Config)
	if err != nil {
		return Kernel{}, err
	}
	jobs := fmt.Sprintf("-j%d", runtime.NumCPU())
	for _, argv := range [][]string{
		{"make", "CC=" + gcc, "tinyconfig"},
		{"scripts/kconfig/merge_config.sh", "-m", ".config", config},
		{"make", "CC=" + gcc, "olddefconfig"},
		{"make", "CC=" + gcc, jobs, "bzImage"},
	} {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir = tree
		cmd.Env = append(os.Environ(), "LC_ALL=C", "MAKEFLAGS=", "KBUILD_BUILD_USER=vm", "KBUILD_BUILD_HOST=vm")
		var log bytes.Buffer
		cmd.Stdout, cmd.Stderr = io.MultiWriter(output, &log), io.MultiWriter(output, &log)
		if err := cmd.Run(); err != nil {
			return Kernel{}, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, lastLines(log.String(), 20))
		}
	}
	if err := configHeld(filepath.Join(tree, ".config"), config); err != nil {
		return Kernel{}, err
	}
	return store(dir, tree, Kernel{Image: "bzImage", Series: r.Series, Version: pkg.Version + " " + r.Name})
}

// store keeps what is needed of a built tree.
func store(dir, tree string, k Kernel) (Kernel, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return k, err
	}
	for from, to := range map[string]string{"arch/x86/boot/bzImage": "bzImage", ".config": "config", "System.map": "System.map"} {
		if err := os.Rename(filepath.Join(tree, from), filepath.Join(dir, to)); err != nil {
			return k, err
		}
	}
	if err := writeKernel(dir, k); err != nil {
		return k, err
	}
	k.place(dir)
	return k, nil
}

// sourcePackage is the newest linux-source of a series.
func (c *Cache) sourcePackage(ctx context.Context, series string) (Package, error) {
	unlock, err := c.lock("kernels")
	if err != nil {
		return Package{}, err
	}
	defer unlock()
	a := c.Apt()
	if err := a.Update(ctx); err != nil {
		return Package{}, err
	}
	name := "linux-source-" + series
	all, err := a.Packages(ctx, func(n string) bool { return n == name })
	if err != nil {
		return Package{}, err
	}
	var best Package
	for _, p := range all {
		if best.Name == "" || CompareVersions(p.Version, best.Version) > 0 {
			best = p
		}
	}
	if best.Name == "" {
		return best, fmt.Errorf("%w: the mirror has no %s", ErrUnavailable, name)
	}
	return best, nil
}

// unpackSource fetches, unpacks and patches a source package below dir and
// returns the source tree.
func (c *Cache) unpackSource(ctx context.Context, pkg Package, dir, patch string) (string, error) {
	c.log("fetching %s %s", pkg.Name, pkg.Version)
	deb, err := c.Apt().Download(ctx, filepath.Join(c.Dir, "debs"), pkg)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := unpackDeb(ctx, deb, dir); err != nil {
		return "", err
	}
	tree := filepath.Join(dir, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return "", err
	}
	tar := filepath.Join(dir, "usr/src", pkg.Name+".tar.xz")
	if out, err := exec.CommandContext(ctx, "tar", "-xf", tar, "-C", tree, "--strip-components=1").CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpack %s: %w: %s", tar, err, bytes.TrimSpace(out))
	}
	f, err := os.Open(patch)
	if err != nil {
		return "", err
	}
	defer f.Close()
	cmd := exec.CommandContext(ctx, "patch", "-p1", "--forward")
	cmd.Dir, cmd.Stdin = tree, f
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s does not fit %s %s: %w: %s", filepath.Base(patch), pkg.Name, pkg.Version, err, bytes.TrimSpace(out))
	}
	return tree, nil
}

// configHeld says which wanted options kconfig did not keep: an unmet
// dependency would otherwise show as a missing disk in the guest.
func configHeld(config, wanted string) error {
	have, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	want, err := os.ReadFile(wanted)
	if err != nil {
		return err
	}
	set := map[string]bool{}
	for line := range strings.Lines(string(have)) {
		set[strings.TrimSpace(line)] = true
	}
	var lost []string
	for line := range strings.Lines(string(want)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "CONFIG_") && !set[line] {
			lost = append(lost, line)
		}
	}
	if len(lost) > 0 {
		return errors.New("the kernel's configuration does not hold: " + strings.Join(lost, ", "))
	}
	return nil
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Bug2007 is the kernel with the double completion of 2007 in it.
func Bug2007(root string) Recipe {
	dir := filepath.Join(root, "scripts/vm/faults")
	return Recipe{Name: "bug2007", Series: "6.1", Patch: filepath.Join(dir, "bug2007-6.1.patch"), Config: filepath.Join(dir, "bug2007.config")}
}
