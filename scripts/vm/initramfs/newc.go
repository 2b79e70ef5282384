// Package initramfs writes the archive that a kernel unpacks as its first root:
// the "newc" cpio format, uncompressed, without root rights and without cpio.
//
// It knows nothing of kernels or guests; the caller says what lies where.
package initramfs

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
)

// Archive collects the members. Parent directories are made as needed; a path
// that is added twice keeps the last content.
type Archive struct {
	members map[string]member
}

type member struct {
	mode uint32 // S_IF* and permission bits
	data []byte
	rdev [2]uint32
}

// File types of a member's mode, as in stat(2).
const (
	typeDir  = 0o040000
	typeChar = 0o020000
	typeReg  = 0o100000
	typeLink = 0o120000
)

// New returns an archive with the directories and the console node that a
// kernel expects before anything is mounted.
func New() *Archive {
	a := &Archive{members: map[string]member{}}
	for _, d := range []string{"/dev", "/proc", "/sys", "/tmp", "/mnt", "/out", "/root", "/usr", "/usr/sbin", "/usr/local", "/usr/local/sbin"} {
		a.Dir(d)
	}
	a.Device("/dev/console", 5, 1)
	return a
}

// Dir adds a directory.
func (a *Archive) Dir(name string) { a.put(name, member{mode: typeDir | 0o755}) }

// Device adds a character device node.
func (a *Archive) Device(name string, major, minor uint32) {
	a.put(name, member{mode: typeChar | 0o600, rdev: [2]uint32{major, minor}})
}

// File adds a regular file; perm's permission bits are kept.
func (a *Archive) File(name string, perm fs.FileMode, data []byte) {
	a.put(name, member{mode: typeReg | uint32(perm.Perm()), data: data})
}

// Link adds a symbolic link.
func (a *Archive) Link(name, target string) {
	a.put(name, member{mode: typeLink | 0o777, data: []byte(target)})
}

// Has says whether a member of that path exists.
func (a *Archive) Has(name string) bool { _, ok := a.members[clean(name)]; return ok }

func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

func (a *Archive) put(name string, m member) {
	name = clean(name)
	for d := path.Dir(name); d != "."; d = path.Dir(d) {
		if _, ok := a.members[d]; !ok {
			a.members[d] = member{mode: typeDir | 0o755}
		}
	}
	a.members[name] = m
}

// WriteTo writes the archive: members in path order (a directory before what
// is in it), headers and data at multiples of 4 bytes, everything owned by
// root, times zero, so that the same members give the same bytes.
func (a *Archive) WriteTo(w io.Writer) (int64, error) {
	names := make([]string, 0, len(a.members))
	for n := range a.members {
		if n != "" {
			names = append(names, n)
		}
	}
	sort.Strings(names)
	out := &padder{w: w}
	for i, n := range names {
		m := a.members[n]
		out.entry(uint32(i+1), n, m)
	}
	out.entry(0, "TRAILER!!!", member{})
	return out.n, out.err
}

type padder struct {
	w   io.Writer
	n   int64
	err error
}

func (p *padder) write(b []byte) {
	if p.err != nil {
		return
	}
	n, err := p.w.Write(b)
	p.n, p.err = p.n+int64(n), err
}

func (p *padder) align() { p.write(make([]byte, (4-p.n%4)%4)) }

// entry writes one member. The fields are those of "newc" in
// Documentation/driver-api/early-userspace/buffer-format.rst: 8 hex digits each.
func (p *padder) entry(ino uint32, name string, m member) {
	if len(m.data) > 1<<31 {
		p.err = fmt.Errorf("%s: %d bytes are too many for a newc archive", name, len(m.data))
		return
	}
	nlink := uint32(1)
	if m.mode&0o170000 == typeDir {
		nlink = 2
	}
	head := "070701"
	for _, v := range []uint32{ino, m.mode, 0, 0, nlink, 0, uint32(len(m.data)), 0, 0, m.rdev[0], m.rdev[1], uint32(len(name) + 1), 0} {
		head += fmt.Sprintf("%08X", v)
	}
	p.write([]byte(head + name + "\x00"))
	p.align()
	p.write(m.data)
	p.align()
}
