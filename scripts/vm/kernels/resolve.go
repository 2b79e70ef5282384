package kernels

import (
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// Choice is one kernel that the mirror offers, and the packages it is made of.
type Choice struct {
	Series   string // "6.1"
	ABI      string // uname -r, "6.1.0-56-cloud-amd64"
	Version  string // Debian version of the image, "6.1.192-2"
	Image    []Package
	Headers  []Package // empty: the mirror has none that fit
	BootOnly bool      // no modules: boots (everything needed is built in), loads nothing
}

// kernelName takes apart linux-image-ABI and linux-binary-ABI. Since 6.19 the
// image alone is linux-binary-ABI, its modules are linux-modules-ABI, and
// linux-image-ABI only depends on them. Meta packages of a series
// (linux-image-6.12-amd64) have no third number and do not match.
var kernelName = regexp.MustCompile(`^linux-(image|binary)-((\d+\.\d+)\.\d+[-+~.a-z0-9]*)$`)

// Flavours of Debian's kernels that boot here.
const (
	Cloud   = "cloud-amd64" // everything that a machine of this package needs is built in
	Generic = "amd64"
)

// flavourOf is the flavour that an ABI or package name ends in, "" for others
// (real-time kernels, debug symbols).
func flavourOf(name string) string {
	switch {
	case strings.HasSuffix(name, "-"+Cloud):
		return Cloud
	case strings.HasSuffix(name, "-rt-"+Generic) || !strings.HasSuffix(name, "-"+Generic):
		return ""
	}
	return Generic
}

// Concerns selects the names of packages that Choose wants to see.
func Concerns(flavour string) func(name string) bool {
	return func(name string) bool {
		switch {
		case strings.HasPrefix(name, "linux-kbuild-"):
			return true
		case strings.HasPrefix(name, "linux-headers-"):
			return strings.HasSuffix(name, "-common") || flavourOf(name) == flavour
		}
		for _, p := range []string{"linux-image-", "linux-binary-", "linux-modules-", "linux-base-"} {
			if strings.HasPrefix(name, p) && flavourOf(name) == flavour {
				return true
			}
		}
		return false
	}
}

// Choose returns the kernels of a flavour ("cloud-amd64", "amd64") that the
// packages offer, newest first. Complete ones come before those without
// modules. hostRelease is VERSION_ID of /etc/os-release ("12"): among equal
// kernels the one built for it comes first, because its headers run here.
func Choose(all []Package, flavour, hostRelease string) []Choice {
	byName := map[string][]Package{}
	for _, p := range all {
		byName[p.Name] = append(byName[p.Name], p)
	}
	exact := func(name, version string) (Package, bool) {
		for _, p := range byName[name] {
			if p.Version == version {
				return p, true
			}
		}
		return Package{}, false
	}
	var out []Choice
	seen := map[string]bool{}
	for _, p := range all {
		m := kernelName.FindStringSubmatch(p.Name)
		if m == nil || flavourOf(p.Name) != flavour {
			continue
		}
		if _, split := exact("linux-binary-"+m[2], p.Version); split && m[1] == "image" {
			continue
		}
		c := Choice{Series: m[3], ABI: m[2], Version: p.Version, Image: []Package{p}}
		if key := c.ABI + "=" + c.Version; seen[key] {
			continue
		} else {
			seen[key] = true
		}
		if m[1] == "binary" {
			mods, ok := exact("linux-modules-"+c.ABI, p.Version)
			c.BootOnly = !ok
			if ok {
				c.Image = append(c.Image, mods)
			}
			if base, ok := exact("linux-base-"+c.ABI, p.Version); ok {
				c.Image = append(c.Image, base)
			}
		}
		c.Headers = headersOf(c, byName, exact)
		out = append(out, c)
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if s := CompareVersions(a.Series, b.Series); s != 0 {
			return s > 0
		}
		if a.BootOnly != b.BootOnly {
			return b.BootOnly
		}
		if v := CompareVersions(plain(a.Version), plain(b.Version)); v != 0 {
			return v > 0
		}
		if h := fits(a.Version, hostRelease) - fits(b.Version, hostRelease); h != 0 {
			return h > 0
		}
		return CompareVersions(a.Version, b.Version) > 0
	})
	return out
}

// headersOf collects linux-headers-ABI and what of it the kernel build needs.
func headersOf(c Choice, byName map[string][]Package, exact func(string, string) (Package, bool)) []Package {
	head, ok := exact("linux-headers-"+c.ABI, c.Version)
	if !ok {
		return nil
	}
	out := []Package{head}
	for _, d := range head.Depends {
		if !strings.HasPrefix(d, "linux-headers-") && !strings.HasPrefix(d, "linux-kbuild-") {
			continue
		}
		p, ok := exact(d, c.Version)
		if !ok { // linux-kbuild-6.1 follows the newest build of its series
			for _, q := range byName[d] {
				if !ok || CompareVersions(q.Version, p.Version) > 0 {
					p, ok = q, true
				}
			}
		}
		if !ok {
			return nil
		}
		out = append(out, p)
	}
	return out
}

// Newest as a series means the newest kernel of all.
const Newest = "newest"

// Pick returns the newest choice of a series. A hostRelease other than ""
// asks for headers, too, whose build programs run on that release.
func Pick(choices []Choice, series, hostRelease string) (Choice, error) {
	for _, c := range choices {
		if (series == Newest || c.Series == series) && (hostRelease == "" || len(c.Headers) > 0 && buildable(c.ABI, hostRelease)) {
			return c, nil
		}
	}
	what := "kernel"
	if hostRelease != "" {
		what = "kernel with headers that can be built against on Debian " + hostRelease
	}
	return Choice{}, fmt.Errorf("%w: the mirror has no %s of series %s; it has: %s", ErrUnavailable, what, series, strings.Join(SeriesOf(choices), ", "))
}

// SeriesOf lists the series of the choices, newest first.
func SeriesOf(choices []Choice) []string {
	var out []string
	for _, c := range choices {
		if !slices.Contains(out, c.Series) {
			out = append(out, c.Series)
		}
	}
	return out
}

var rebuilt = regexp.MustCompile(`[+~](deb|bpo)(\d+).*$`)

// plain is a version without the mark of the release it was rebuilt for.
func plain(v string) string { return rebuilt.ReplaceAllString(v, "") }

// buildable: the programs of linux-kbuild are linked against the C library of
// the release that the ABI's +debN names; an older host cannot run them.
func buildable(abi, hostRelease string) bool {
	m := rebuilt.FindStringSubmatch(abi)
	return m == nil || CompareVersions(m[2], hostRelease) <= 0
}

// fits is 1 for a kernel that was rebuilt for the host's release.
func fits(v, hostRelease string) int {
	if m := rebuilt.FindStringSubmatch(v); m != nil && m[2] == hostRelease {
		return 1
	}
	return 0
}
