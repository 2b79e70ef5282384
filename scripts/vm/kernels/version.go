package kernels

import "strings"

// CompareVersions compares two Debian package versions (deb-version(7)):
// negative if a is older than b.
func CompareVersions(a, b string) int {
	ea, ua, ra := splitVersion(a)
	eb, ub, rb := splitVersion(b)
	if c := comparePart(ea, eb); c != 0 {
		return c
	}
	if c := comparePart(ua, ub); c != 0 {
		return c
	}
	return comparePart(ra, rb)
}

func splitVersion(v string) (epoch, upstream, revision string) {
	epoch = "0"
	if i := strings.IndexByte(v, ':'); i >= 0 {
		epoch, v = v[:i], v[i+1:]
	}
	upstream, revision = v, "0"
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		upstream, revision = v[:i], v[i+1:]
	}
	return epoch, upstream, revision
}

// comparePart compares alternating runs of non-digits and digits. In the
// non-digits '~' sorts before the end, letters before everything else.
func comparePart(a, b string) int {
	for a != "" || b != "" {
		for (a != "" && !digit(a[0])) || (b != "" && !digit(b[0])) {
			if d := order(a) - order(b); d != 0 {
				return d
			}
			a, b = rest(a), rest(b)
		}
		na, nb := number(a), number(b)
		a, b = a[len(na):], b[len(nb):]
		na, nb = strings.TrimLeft(na, "0"), strings.TrimLeft(nb, "0")
		if d := len(na) - len(nb); d != 0 {
			return d
		}
		if d := strings.Compare(na, nb); d != 0 {
			return d
		}
	}
	return 0
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func rest(s string) string {
	if s == "" || digit(s[0]) {
		return s
	}
	return s[1:]
}

func number(s string) string {
	i := 0
	for i < len(s) && digit(s[i]) {
		i++
	}
	return s[:i]
}

func order(s string) int {
	switch {
	case s == "" || digit(s[0]):
		return 0
	case s[0] == '~':
		return -1
	case s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z':
		return int(s[0])
	}
	return int(s[0]) + 256
}
