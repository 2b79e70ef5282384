// Package kernels gets kernels to boot: from Debian's mirror by apt, from a
// .deb file, from a bzImage, or built from Debian's source with a patch; and
// the modules, headers and module builds that go with them.
//
// It installs nothing on the host: everything lands in a cache directory that
// may be deleted at any time. It never boots anything.
package kernels

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Cache is the directory that keeps what was fetched and built.
type Cache struct {
	Dir string // absolute
	Log func(format string, args ...any)
}

// DefaultDir is .cache/vm of the repository that holds the working directory,
// or $DIOSTRESS_VM_CACHE.
func DefaultDir() (string, error) {
	if d := os.Getenv("DIOSTRESS_VM_CACHE"); d != "" {
		return filepath.Abs(d)
	}
	root, err := RepoRoot()
	return filepath.Join(root, ".cache", "vm"), err
}

// RepoRoot is the nearest directory upwards that holds the module's go.mod.
func RepoRoot() (string, error) {
	d, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; d = filepath.Dir(d) {
		if b, err := os.ReadFile(filepath.Join(d, "go.mod")); err == nil && strings.HasPrefix(string(b), "module diostress") {
			return d, nil
		}
		if d == "/" {
			return "", errors.New("not inside the diostress repository (no go.mod of module diostress upwards from here)")
		}
	}
}

// Kernel is one kernel that can be booted.
type Kernel struct {
	Dir      string   `json:"-"`       // its directory in the cache, "" for a bzImage
	Image    string   `json:"image"`   // the bzImage
	Series   string   `json:"series"`  // "6.1"; "" if not known
	ABI      string   `json:"abi"`     // uname -r as the package names it; "" for a bzImage
	Version  string   `json:"version"` // exact: Debian version, or a description of the file
	Modules  string   `json:"modules"` // lib/modules/ABI directory, "" without
	Headers  []string `json:"headers"` // packages name=version, for the module build
	BootOnly bool     `json:"boot_only"`
}

// Request says which kernel is wanted.
type Request struct {
	Spec    string // "6.1", "newest", or a path of a bzImage or .deb file
	Flavour string // "cloud-amd64" or "amd64"; only for a series
	Headers bool   // the kernel must have headers that this host can build against
}

var seriesForm = regexp.MustCompile(`^\d+\.\d+$`)

// IsSeries says whether a kernel is asked for by series rather than by file.
func IsSeries(spec string) bool { return spec == Newest || seriesForm.MatchString(spec) }

// CheckSpec says what is wrong with a kernel specification by itself.
func CheckSpec(spec string) error {
	if IsSeries(spec) {
		return nil
	}
	info, err := os.Stat(spec)
	if err != nil || info.IsDir() {
		return fmt.Errorf("kernel %q is neither a series (6.1, 6.12, newest) nor a bzImage or .deb file", spec)
	}
	return nil
}

// Get returns the kernel, fetching and unpacking it if the cache lacks it.
func (c *Cache) Get(ctx context.Context, r Request) (Kernel, error) {
	if err := CheckSpec(r.Spec); err != nil {
		return Kernel{}, err
	}
	unlock, err := c.lock("kernels")
	if err != nil {
		return Kernel{}, err
	}
	defer unlock()
	switch {
	case IsSeries(r.Spec):
		return c.series(ctx, r)
	case strings.HasSuffix(r.Spec, ".deb"):
		return c.debFile(ctx, r.Spec)
	}
	return bzImage(r.Spec)
}

// lock keeps two programs from filling the same part of the cache.
func (c *Cache) lock(part string) (func(), error) {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(c.Dir, "lock-"+part), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock of %s: %w", c.Dir, err)
	}
	return func() { f.Close() }, nil
}

// room says whether the cache's file system has so many bytes left.
func (c *Cache) room(need uint64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(c.Dir, &st); err != nil {
		return fmt.Errorf("%s: %w", c.Dir, err)
	}
	if free := st.Bavail * uint64(st.Bsize); free < need {
		return fmt.Errorf("%w: %s has %d MiB left, %d MiB are needed (DIOSTRESS_VM_CACHE names another place)", ErrUnavailable, c.Dir, free>>20, need>>20)
	}
	return nil
}

// Apt is the cache's own apt.
func (c *Cache) Apt() *Apt { return &Apt{Dir: filepath.Join(c.Dir, "apt")} }

// Choices returns what the mirror offers of a flavour. The answer is kept as
// long as the package lists.
func (c *Cache) Choices(ctx context.Context, flavour string) ([]Choice, error) {
	kept := filepath.Join(c.Dir, "choices-"+flavour+".json")
	if info, err := os.Stat(kept); err == nil && time.Since(info.ModTime()) < listsMaxAge {
		var out []Choice
		if b, err := os.ReadFile(kept); err == nil && json.Unmarshal(b, &out) == nil && len(out) > 0 {
			return out, nil
		}
	}
	a := c.Apt()
	c.log("asking the mirror for kernels")
	if err := a.Update(ctx); err != nil {
		return nil, err
	}
	all, err := a.Packages(ctx, Concerns(flavour))
	if err != nil {
		return nil, err
	}
	out := Choose(all, flavour, HostRelease())
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: the mirror offers no %s kernel at all; see %s/update.log", ErrUnavailable, flavour, a.Dir)
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	return out, os.WriteFile(kept, b, 0o644)
}

// HostRelease is VERSION_ID of this machine's /etc/os-release; "0" on another
// distribution than Debian.
func HostRelease() string {
	b, _ := os.ReadFile("/etc/os-release")
	id, version := "", ""
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch k {
		case "ID":
			id = strings.Trim(v, `"`)
		case "VERSION_ID":
			version = strings.Trim(v, `"`)
		}
	}
	if id != "debian" || version == "" {
		return "0"
	}
	return version
}

func (c *Cache) series(ctx context.Context, r Request) (Kernel, error) {
	choices, err := c.Choices(ctx, r.Flavour)
	if err != nil {
		if k, ok := c.kept(r); ok {
			c.log("the mirror cannot be asked (%v): taking %s from the cache", err, k.Version)
			return k, nil
		}
		return Kernel{}, err
	}
	host := ""
	if r.Headers {
		host = HostRelease()
	}
	ch, err := Pick(choices, r.Spec, host)
	if err != nil {
		return Kernel{}, err
	}
	dir := filepath.Join(c.Dir, "kernels", ch.ABI+"_"+ch.Version)
	if k, err := readKernel(dir); err == nil {
		return k, nil
	}
	var debs []string
	for _, p := range ch.Image {
		c.log("fetching %s %s", p.Name, p.Version)
		f, err := c.Apt().Download(ctx, filepath.Join(c.Dir, "debs"), p)
		if err != nil {
			return Kernel{}, err
		}
		debs = append(debs, f)
	}
	k := Kernel{Series: ch.Series, ABI: ch.ABI, Version: ch.Version, BootOnly: ch.BootOnly}
	for _, p := range ch.Headers {
		k.Headers = append(k.Headers, p.Name+"="+p.Version)
	}
	return c.unpackKernel(ctx, dir, k, debs)
}

// kept is the newest kernel of the cache that fits the request.
func (c *Cache) kept(r Request) (best Kernel, ok bool) {
	files, _ := filepath.Glob(filepath.Join(c.Dir, "kernels", "*", kernelFile))
	for _, f := range files {
		k, err := readKernel(filepath.Dir(f))
		if err != nil || flavourOf(k.ABI) != r.Flavour || r.Spec != Newest && k.Series != r.Spec || r.Headers && len(k.Headers) == 0 {
			continue
		}
		if !ok || CompareVersions(k.Version, best.Version) > 0 {
			best, ok = k, true
		}
	}
	return best, ok
}

func (c *Cache) debFile(ctx context.Context, path string) (Kernel, error) {
	out, err := exec.CommandContext(ctx, "dpkg-deb", "-f", path, "Package", "Version").Output()
	if err != nil {
		return Kernel{}, fmt.Errorf("%s is not a Debian package: %w", path, err)
	}
	ps, _ := ParsePackages(strings.NewReader(string(out)))
	if len(ps) != 1 {
		return Kernel{}, fmt.Errorf("%s: no Package and Version in it", path)
	}
	dir := filepath.Join(c.Dir, "kernels", ps[0].Name+"_"+ps[0].Version+"_file")
	os.RemoveAll(dir) // the file may have been built anew with the same version
	return c.unpackKernel(ctx, dir, Kernel{Version: ps[0].Version + " (" + filepath.Base(path) + ")"}, []string{path})
}

func bzImage(path string) (Kernel, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Kernel{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return Kernel{}, err
	}
	defer f.Close()
	version, err := bzImageVersion(f)
	if err != nil {
		return Kernel{}, fmt.Errorf("%s: %w", path, err)
	}
	series, _ := strings.CutSuffix(regexp.MustCompile(`^\d+\.\d+`).FindString(version), ".")
	return Kernel{Image: path, Version: version, Series: series}, nil
}

func (c *Cache) log(format string, args ...any) {
	if c.Log != nil {
		c.Log(format, args...)
	}
}
