package kernel

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// How a postProbe counts.
const (
	postPerf         = "perf kprobe"
	postKprobeEvents = "kprobe_events"
)

const postFunction = "dio_warn_stale_pagecache"

// postProbe counts calls of dio_warn_stale_pagecache: once for each direct
// write whose post-write invalidation failed, before the message is rate
// limited (since 4.16, fs/direct-io.c, mm/filemap.c).
type postProbe struct {
	how    string // "": it cannot be done
	why    string
	symbol string
	fds    []int
	fs     *tracefs // with kprobe_events
	event  string
}

func openPostProbe(fs *tracefs) *postProbe {
	p := &postProbe{}
	symbol, err := findSymbol(fs)
	if err != nil {
		p.why = err.Error()
		return p
	}
	p.symbol = symbol
	perfErr := p.openPerf()
	if perfErr == nil {
		p.how = postPerf
		return p
	}
	evErr := p.openKprobeEvents(fs)
	if evErr == nil {
		p.how = postKprobeEvents
		return p
	}
	p.why = fmt.Sprintf("no kprobe on %s: %v; %v", symbol, perfErr, evErr)
	return p
}

// findSymbol looks the function up: its own name, else a part of it that the
// compiler split off (".part.0", ".isra.0"). available_filter_functions is what
// ftrace can probe; kallsyms is what is there at all.
func findSymbol(fs *tracefs) (string, error) {
	var whys []error
	for _, path := range []string{fs.path("available_filter_functions"), "/proc/kallsyms"} {
		f, err := os.Open(path)
		if err != nil {
			whys = append(whys, err)
			continue
		}
		name, err := scanSymbols(bufio.NewScanner(f), postFunction)
		f.Close()
		if err != nil {
			whys = append(whys, fmt.Errorf("%s: %w", path, err))
			continue
		}
		if name != "" {
			return name, nil
		}
		whys = append(whys, fmt.Errorf("%s does not list it", path))
	}
	return "", fmt.Errorf("function %s not found (inlined, or hidden): %w", postFunction, errors.Join(whys...))
}

// scanSymbols reads both forms: "name [module]" and "address type name".
func scanSymbols(sc *bufio.Scanner, want string) (string, error) {
	part := ""
	for sc.Scan() {
		line := sc.Bytes()
		if !strings.Contains(string(line), want) {
			continue
		}
		for _, w := range strings.Fields(string(line)) {
			if w == want {
				return w, nil
			}
			// .cold is a jump target, not a function.
			if rest, ok := strings.CutPrefix(w, want+"."); ok && !strings.Contains(rest, "cold") && part == "" {
				part = w
			}
		}
	}
	return part, sc.Err()
}

// openPerf makes a local kprobe through perf (since 4.17); the kernel removes
// it with the fd.
func (p *postProbe) openPerf() error {
	text, err := os.ReadFile("/sys/bus/event_source/devices/kprobe/type")
	if errors.Is(err, os.ErrNotExist) {
		return errors.New("perf has no kprobe PMU (CONFIG_KPROBE_EVENTS=n)")
	}
	if err != nil {
		return err
	}
	typ, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return fmt.Errorf("perf's kprobe type %q: %w", text, err)
	}
	cpus, _, err := onlineCPUs()
	if err != nil {
		return err
	}
	// The kernel reads the name during the call only; pinned because the struct
	// carries it as an integer.
	name := append([]byte(p.symbol), 0)
	var pin runtime.Pinner
	pin.Pin(&name[0])
	defer pin.Unpin()
	for _, cpu := range cpus {
		attr := unix.PerfEventAttr{
			Type:        uint32(typ),
			Size:        uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
			Ext1:        uint64(uintptr(unsafe.Pointer(&name[0]))), // config1: kprobe_func
			Read_format: unix.PERF_FORMAT_TOTAL_TIME_ENABLED | unix.PERF_FORMAT_TOTAL_TIME_RUNNING,
		}
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			p.closeFDs()
			return perfError("perf kprobe on "+p.symbol, err)
		}
		p.fds = append(p.fds, fd)
	}
	return nil
}

// openKprobeEvents makes a named probe in tracefs, which outlives a crash until
// CleanTracing.
func (p *postProbe) openKprobeEvents(fs *tracefs) error {
	ctl := fs.path("kprobe_events")
	if _, err := os.Stat(ctl); err != nil {
		return errors.New("tracefs has no kprobe_events (CONFIG_KPROBE_EVENTS=n)")
	}
	for n := 0; ; n++ {
		ev := fmt.Sprintf("%s_%d_%d", namePrefix, os.Getpid(), n)
		if _, err := os.Stat(fs.path("events", namePrefix, ev)); err == nil {
			continue
		}
		if err := appendFile(ctl, fmt.Sprintf("p:%s/%s %s\n", namePrefix, ev, p.symbol)); err != nil {
			return fmt.Errorf("kprobe_events: %w", err)
		}
		p.event, p.fs = ev, fs
		break
	}
	if err := writeFile(fs.path("events", namePrefix, p.event, "enable"), "1"); err != nil {
		return errors.Join(fmt.Errorf("kprobe_events: %w", err), p.removeEvent())
	}
	return nil
}

func (p *postProbe) count() Count {
	c := Count{Fidelity: FidelityExact}
	if p.symbol != postFunction {
		c.Fidelity = FidelityAtLeast
		c.Reason = "only " + p.symbol + " can be probed, a part the compiler split off"
	}
	unknown := func(err error) Count { return Count{Fidelity: FidelityUnavailable, Reason: err.Error()} }
	if p.how == postKprobeEvents {
		text, err := os.ReadFile(p.fs.path("kprobe_profile"))
		if err != nil {
			return unknown(err)
		}
		n, missed, err := profileHits(string(text), p.event)
		if err != nil {
			return unknown(err)
		}
		if c.N = n; missed > 0 {
			c.Fidelity, c.Reason = FidelityAtLeast, fmt.Sprintf("kprobe_profile says %d calls were missed", missed)
		}
		return c
	}
	for _, fd := range p.fds {
		var b [24]byte
		n, err := unix.Read(fd, b[:])
		for err == unix.EINTR {
			n, err = unix.Read(fd, b[:])
		}
		if err != nil || n != len(b) {
			return unknown(fmt.Errorf("perf kprobe: read gave %d bytes: %w", n, err))
		}
		c.N += binary.NativeEndian.Uint64(b[:])
		if binary.NativeEndian.Uint64(b[16:]) < binary.NativeEndian.Uint64(b[8:]) {
			c.Fidelity, c.Reason = FidelityAtLeast, "the kprobe was not counted all the time"
		}
	}
	return c
}

// profileHits finds an event's line "  NAME  HITS  MISSED" in kprobe_profile.
func profileHits(text, event string) (hits, missed uint64, err error) {
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) < 3 || w[0] != event {
			continue
		}
		hits, err1 := strconv.ParseUint(w[1], 10, 64)
		missed, err2 := strconv.ParseUint(w[2], 10, 64)
		return hits, missed, errors.Join(err1, err2)
	}
	return 0, 0, fmt.Errorf("kprobe_profile has no line for %s", event)
}

func (p *postProbe) removeEvent() error {
	if p.event == "" {
		return nil
	}
	err := removeKprobe(p.fs, namePrefix, p.event)
	p.event = ""
	return err
}

// removeKprobe turns a named probe off and deletes it.
func removeKprobe(fs *tracefs, group, event string) error {
	off := writeFile(fs.path("events", group, event, "enable"), "0")
	return errors.Join(off, appendFile(fs.path("kprobe_events"), fmt.Sprintf("-:%s/%s\n", group, event)))
}

func (p *postProbe) closeFDs() error {
	var err error
	for _, fd := range p.fds {
		err = errors.Join(err, unix.Close(fd))
	}
	p.fds = nil
	return err
}

func (p *postProbe) close() error {
	err := errors.Join(p.closeFDs(), p.removeEvent())
	p.how = ""
	return err
}
