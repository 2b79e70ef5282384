package testbed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// mountOptions are options of mount(8), apart into the flags of mount(2) and
// what the file system itself understands.
type mountOptions struct {
	flags uintptr
	clear uintptr  // flags that a later "atime", "dev", ... took back
	data  []string // for the file system, in order
}

// mountFlags are the words that are flags of mount(2) and not options of a
// file system.
func mountFlags() map[string]uintptr {
	return map[string]uintptr{
		"noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME,
		"strictatime": unix.MS_STRICTATIME, "lazytime": unix.MS_LAZYTIME, "sync": unix.MS_SYNCHRONOUS,
		"dirsync": unix.MS_DIRSYNC, "nodev": unix.MS_NODEV, "nosuid": unix.MS_NOSUID, "noexec": unix.MS_NOEXEC,
		"mand": unix.MS_MANDLOCK, "silent": unix.MS_SILENT,
	}
}

// unmountFlags are the words that take a flag back.
func unmountFlags() map[string]uintptr {
	return map[string]uintptr{
		"defaults": 0, "rw": 0, "atime": unix.MS_NOATIME, "diratime": unix.MS_NODIRATIME, "norelatime": unix.MS_RELATIME,
		"nostrictatime": unix.MS_STRICTATIME, "nolazytime": unix.MS_LAZYTIME, "async": unix.MS_SYNCHRONOUS,
		"dev": unix.MS_NODEV, "suid": unix.MS_NOSUID, "exec": unix.MS_NOEXEC, "nomand": unix.MS_MANDLOCK, "loud": unix.MS_SILENT,
	}
}

// parseMount reads "noatime,data=journal", with or without a leading -o. A
// comma inside double quotes does not separate.
func parseMount(text string) (mountOptions, error) {
	var m mountOptions
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(text, "-o"); ok {
		text = strings.TrimSpace(rest)
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return m, errors.New("a control character cannot be part of a mount option")
	}
	options, err := splitCommas(text)
	if err != nil {
		return m, err
	}
	for _, o := range options {
		set, isFlag := mountFlags()[o]
		unset, isClear := unmountFlags()[o]
		switch {
		case o == "":
		case isFlag:
			m.flags |= set
			m.clear &^= set
		case isClear:
			m.flags &^= unset
			m.clear |= unset
		case o == "ro", o == "loop", o == "bind", o == "rbind", o == "remount", o == "move", strings.HasPrefix(o, "loop="):
			return m, fmt.Errorf("%q does not fit a new file system that is to be written", o)
		case strings.ContainsFunc(o, unicode.IsSpace) && !strings.Contains(o, `"`):
			return m, fmt.Errorf("%q holds a blank; separate mount options by commas", o)
		default:
			m.data = append(m.data, o)
		}
	}
	return m, nil
}

func splitCommas(text string) ([]string, error) {
	var list []string
	start, quoted := 0, false
	for i := range len(text) {
		switch {
		case text[i] == '"':
			quoted = !quoted
		case text[i] == ',' && !quoted:
			list = append(list, text[start:i])
			start = i + 1
		}
	}
	if quoted {
		return nil, errors.New(`the quote " is not closed`)
	}
	return append(list, text[start:]), nil
}

// add returns m with the options of more after it.
func (m mountOptions) add(more mountOptions) mountOptions {
	return mountOptions{
		flags: m.flags&^more.clear | more.flags,
		clear: m.clear&^more.flags | more.clear,
		data:  slices.Concat(m.data, more.data),
	}
}

// has says whether the option is in effect: of "data=..." the last counts.
func (m mountOptions) has(option string) bool {
	key, _, valued := strings.Cut(option, "=")
	last := ""
	for _, o := range m.data {
		if k, _, _ := strings.Cut(o, "="); o == option || valued && k == key {
			last = o
		}
	}
	return last == option
}

// acceptsMount asks the kernel about every option without a file system: a
// file-system context (fsopen, since 5.2) parses and is thrown away. It
// returns the first option that is refused and the kernel's words. Kernels
// and file systems without such contexts accept everything here (ext4 has
// them since 5.17, fs/ext4/super.c). known is false where the kernel has no
// such file system.
func acceptsMount(fs string, options []string) (refused, why string, known bool) {
	fd, err := unix.Fsopen(fs, unix.FSOPEN_CLOEXEC)
	switch {
	case err == unix.ENODEV:
		return "", "", false
	case err != nil:
		return "", "", true // cannot ask: mount(2) will tell
	}
	defer unix.Close(fd)
	for _, o := range options {
		key, value, valued := strings.Cut(o, "=")
		if valued {
			err = unix.FsconfigSetString(fd, key, strings.Trim(value, `"`))
		} else {
			err = unix.FsconfigSetFlag(fd, key)
		}
		if err == unix.EINVAL || err == unix.EOPNOTSUPP {
			return o, contextLog(fd, err), true
		}
	}
	return "", "", true
}

// contextLog reads what the kernel wrote into a file-system context.
func contextLog(fd int, otherwise error) string {
	var lines []string
	buf := make([]byte, 1024)
	for range 16 {
		n, err := unix.Read(fd, buf)
		if err != nil || n <= 0 {
			break
		}
		line := strings.TrimSpace(string(buf[:n]))
		if len(line) > 2 && line[1] == ' ' {
			line = line[2:] // severity
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return otherwise.Error()
	}
	return strings.Join(lines, "; ")
}
