package kernels

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Suites whose kernels are looked at, oldest first. A suite that the mirror no
// longer has is skipped; apt says so in update.log.
var suites = []struct {
	name     string
	security bool
}{
	{"bullseye", false}, {"bullseye-security", true},
	{"bookworm", false}, {"bookworm-security", true}, {"bookworm-backports", false},
	{"trixie", false}, {"trixie-security", true}, {"trixie-backports", false},
}

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// listsMaxAge is how old the package lists may be before apt fetches them anew.
const listsMaxAge = 24 * time.Hour

// ErrUnavailable says that this machine cannot get the kernel: no Debian
// mirror in /etc/apt, no network, or the mirror lacks the series.
var ErrUnavailable = errors.New("kernel not available here")

// Apt is an apt of our own: lists, state and configuration below Dir, nothing
// installed, every list checked against the Debian archive keyring.
type Apt struct {
	Dir string // absolute
}

// Mirrors are the archive roots that /etc/apt names.
type Mirrors struct{ Main, Security string }

// FindMirrors reads a machine's own apt sources below etc ("/etc/apt").
func FindMirrors(etc string) (Mirrors, error) {
	var m Mirrors
	files, _ := filepath.Glob(filepath.Join(etc, "sources.list.d", "*"))
	for _, f := range append([]string{filepath.Join(etc, "sources.list")}, files...) {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for _, uri := range parseSources(string(b), strings.HasSuffix(f, ".sources")) {
			uri = strings.TrimRight(uri, "/")
			switch {
			case strings.HasSuffix(uri, "/debian") && m.Main == "":
				m.Main = uri
			case strings.HasSuffix(uri, "/debian-security") && m.Security == "":
				m.Security = uri
			}
		}
	}
	if m.Main == "" {
		return m, fmt.Errorf("%w: %s names no Debian mirror (an URI that ends in /debian)", ErrUnavailable, etc)
	}
	if m.Security == "" {
		m.Security = m.Main + "-security"
	}
	return m, nil
}

// parseSources returns the URIs of a sources file, of one-line or deb822 style.
func parseSources(text string, deb822 bool) []string {
	var uris []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		if deb822 {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(k, "URIs") {
				uris = append(uris, strings.Fields(v)...)
			}
			continue
		}
		if !strings.HasPrefix(line, "deb ") {
			continue
		}
		rest := strings.TrimSpace(line[4:])
		if strings.HasPrefix(rest, "[") {
			if _, after, ok := strings.Cut(rest, "]"); ok {
				rest = strings.TrimSpace(after)
			}
		}
		if f := strings.Fields(rest); len(f) > 0 {
			uris = append(uris, f[0])
		}
	}
	return uris
}

// Update writes the configuration and fetches the lists if they are old.
func (a *Apt) Update(ctx context.Context) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("%w: no apt-get on this machine: give a kernel as bzImage or .deb file instead", ErrUnavailable)
	}
	if _, err := os.Stat(keyring); err != nil {
		return fmt.Errorf("%w: %s is missing: install debian-archive-keyring", ErrUnavailable, keyring)
	}
	m, err := FindMirrors("/etc/apt")
	if err != nil {
		return err
	}
	for _, d := range []string{"lists/partial", "parts", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.Dir, d), 0o755); err != nil {
			return err
		}
	}
	var src strings.Builder
	for _, s := range suites {
		uri := m.Main
		if s.security {
			uri = m.Security
		}
		fmt.Fprintf(&src, "deb [arch=amd64 signed-by=%s] %s %s main\n", keyring, uri, s.name)
	}
	old, _ := os.ReadFile(filepath.Join(a.Dir, "sources.list"))
	files := map[string]string{
		"sources.list": src.String(), "status": "",
		"apt.conf": fmt.Sprintf(`Dir::Etc::sourcelist "%[1]s/sources.list"; Dir::Etc::sourceparts "%[1]s/parts"; Dir::Etc::preferencesparts "%[1]s/parts";
Dir::State "%[1]s"; Dir::State::lists "%[1]s/lists"; Dir::State::status "%[1]s/status"; Dir::Cache "%[1]s/cache";
Acquire::Languages "none"; Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false"; Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
APT::Sandbox::User "root"; APT::Architecture "amd64"; Acquire::Retries "3";
`, a.Dir),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(a.Dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	stamp := filepath.Join(a.Dir, "updated")
	if info, err := os.Stat(stamp); err == nil && time.Since(info.ModTime()) < listsMaxAge && string(old) == src.String() {
		return nil
	}
	out, err := a.command(ctx, "apt-get", "update", "-q").CombinedOutput()
	os.WriteFile(filepath.Join(a.Dir, "update.log"), out, 0o644)
	if lists, _ := filepath.Glob(filepath.Join(a.Dir, "lists", "*_Packages*")); len(lists) == 0 {
		return fmt.Errorf("%w: apt-get update brought no package list (%v); see %s/update.log", ErrUnavailable, err, a.Dir)
	}
	return os.WriteFile(stamp, nil, 0o644) // single suites may be gone from the mirror: that is not a failure
}

// command names the cache files on the command line, which the machine's own
// apt.conf.d cannot override: container images turn them off there, and apt
// then reads all lists anew in every call.
func (a *Apt) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	args = append([]string{"-o", "Dir::Cache::pkgcache=pkgcache.bin", "-o", "Dir::Cache::srcpkgcache=srcpkgcache.bin"}, args...)
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.Dir, "apt.conf"), "LC_ALL=C")
	return c
}

// Package is one entry of the lists.
type Package struct {
	Name, Version string
	Depends       []string // names only, the first of each alternative
}

// Packages returns the entries of all packages whose name keep accepts, all
// versions of them.
func (a *Apt) Packages(ctx context.Context, keep func(name string) bool) ([]Package, error) {
	out, err := a.command(ctx, "apt-cache", "pkgnames", "linux-").Output()
	if err != nil {
		return nil, fmt.Errorf("apt-cache pkgnames: %w", err)
	}
	names := slices.DeleteFunc(strings.Fields(string(out)), func(n string) bool { return !keep(n) })
	if len(names) == 0 {
		return nil, nil
	}
	slices.Sort(names)
	// Names without a version (only referred to by others) make apt-cache complain, no more.
	out, err = a.command(ctx, "apt-cache", append([]string{"show"}, names...)...).Output()
	if err != nil && len(out) == 0 {
		return nil, fmt.Errorf("apt-cache show: %w", err)
	}
	return ParsePackages(bytes.NewReader(out))
}

// ParsePackages reads "apt-cache show" paragraphs.
func ParsePackages(r io.Reader) ([]Package, error) {
	var out []Package
	var p Package
	end := func() {
		if p.Name != "" && p.Version != "" {
			out = append(out, p)
		}
		p = Package{}
	}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		line := s.Text()
		if line == "" {
			end()
			continue
		}
		key, val, ok := strings.Cut(line, ":")
		if !ok || line[0] == ' ' {
			continue
		}
		val = strings.TrimSpace(val)
		switch key {
		case "Package":
			p.Name = val
		case "Version":
			p.Version = val
		case "Depends":
			for d := range strings.SplitSeq(val, ",") {
				first, _, _ := strings.Cut(strings.TrimSpace(d), "|")
				if f := strings.Fields(first); len(f) > 0 {
					p.Depends = append(p.Depends, f[0])
				}
			}
		}
	}
	end()
	return out, s.Err()
}

// Download fetches one package into dir and returns the file. A file that is
// already there is kept.
func (a *Apt) Download(ctx context.Context, dir string, p Package) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	pattern := filepath.Join(dir, p.Name+"_"+strings.ReplaceAll(p.Version, ":", "%3a")+"_*.deb")
	if have, _ := filepath.Glob(pattern); len(have) == 1 {
		return have[0], nil
	}
	c := a.command(ctx, "apt-get", "download", "-q", p.Name+"="+p.Version)
	c.Dir = dir
	out, err := c.CombinedOutput()
	have, _ := filepath.Glob(pattern)
	if err != nil || len(have) != 1 {
		return "", fmt.Errorf("%w: apt-get download %s=%s: %v: %s", ErrUnavailable, p.Name, p.Version, err, bytes.TrimSpace(out))
	}
	return have[0], nil
}
