package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// perfEvent is one open counter: one filter on one CPU.
type perfEvent struct {
	fd   int
	cpu  int
	kind Kind
	file int // InvalidateFail by file; -1: all of them
}

// perfTrace counts, and in TraceExact records, through perf_event_open: one
// event for each CPU, any task, filtered in the kernel.
type perfTrace struct {
	events  []perfEvent
	rings   []*ring
	online  string // the CPUs the events cover
	hasLost bool   // PERF_FORMAT_LOST (since 6.0)
	buf     [32]byte
}

// maxPerFile is how many files are counted one by one: each further filter is
// evaluated for every record.
const maxPerFile = 32

func openPerf(t *Trace) error {
	cpus, online, err := onlineCPUs()
	if err != nil {
		return err
	}
	p := &perfTrace{online: online, hasLost: true}
	opened := false
	for _, k := range tracedKinds(&t.opt) {
		st := &t.kinds[k]
		if st.decoder == nil {
			continue
		}
		if err := p.openKind(t, k, cpus); err != nil {
			p.close()
			return err
		}
		opened = true
	}
	if !opened {
		return errors.New("this kernel has none of the tracepoints")
	}
	if t.opt.Mode == TraceExact {
		t.queues = make([]queue, len(cpus))
		if err := p.openRings(t.opt.RingBytes); err != nil {
			p.close()
			t.queues = nil
			return err
		}
	}
	for _, e := range p.events {
		if err := unix.IoctlSetInt(e.fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
			p.close()
			return fmt.Errorf("perf: enabling %v on CPU %d: %w", e.kind, e.cpu, err)
		}
	}
	t.back = p
	return nil
}

func (p *perfTrace) openKind(t *Trace, k Kind, cpus []int) error {
	st := &t.kinds[k]
	d := st.decoder
	type filtered struct {
		text string
		file int
	}
	var fs []filtered
	switch {
	case k == BlockError:
		text := devFilter(st.disks, d.devName)
		if st.src.also != "" {
			text += " && " + st.src.also
		}
		fs = append(fs, filtered{text, -1})
	case k == InvalidateFail && len(t.opt.Files) <= maxPerFile:
		for i := range t.opt.Files {
			fs = append(fs, filtered{inodeFilters(t.opt.Files[i:i+1], d.devName, d.inoName, maxFilter)[0], i})
		}
	default:
		for _, text := range inodeFilters(t.opt.Files, d.devName, d.inoName, maxFilter) {
			fs = append(fs, filtered{text, -1})
		}
	}
	for _, f := range fs {
		for _, cpu := range cpus {
			fd, err := p.openEvent(d.id, cpu, t.opt.Mode == TraceExact)
			if err != nil {
				return perfError(fmt.Sprintf("perf_event_open of %s:%s on CPU %d", st.src.system, st.src.event, cpu), err)
			}
			p.events = append(p.events, perfEvent{fd, cpu, k, f.file})
			if err := setPerfFilter(fd, f.text); err != nil {
				return fmt.Errorf("perf: the kernel refuses the filter %q on %s:%s: %w", f.text, st.src.system, st.src.event, err)
			}
		}
	}
	return nil
}

func (p *perfTrace) openEvent(id, cpu int, sampled bool) (int, error) {
	for {
		attr := unix.PerfEventAttr{
			Type:        unix.PERF_TYPE_TRACEPOINT,
			Size:        uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
			Config:      uint64(id),
			Bits:        unix.PerfBitDisabled,
			Read_format: unix.PERF_FORMAT_TOTAL_TIME_ENABLED | unix.PERF_FORMAT_TOTAL_TIME_RUNNING,
		}
		if p.hasLost {
			attr.Read_format |= unix.PERF_FORMAT_LOST
		}
		if sampled {
			attr.Sample = 1
			attr.Sample_type = unix.PERF_SAMPLE_TID | unix.PERF_SAMPLE_TIME | unix.PERF_SAMPLE_CPU | unix.PERF_SAMPLE_RAW
			attr.Bits |= unix.PerfBitUseClockID
			attr.Clockid = unix.CLOCK_MONOTONIC
		}
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err == unix.EINVAL && p.hasLost {
			p.hasLost = false
			continue
		}
		return fd, err
	}
}

func perfError(what string, err error) error {
	switch err {
	case unix.EACCES, unix.EPERM:
		par, _ := os.ReadFile("/proc/sys/kernel/perf_event_paranoid")
		return fmt.Errorf("%s: %w (kernel.perf_event_paranoid is %s; run as root or with CAP_PERFMON)", what, err, strings.TrimSpace(string(par)))
	case unix.EMFILE:
		return fmt.Errorf("%s: %w (raise RLIMIT_NOFILE: one fd for each tracepoint and CPU)", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func setPerfFilter(fd int, text string) error {
	b := append([]byte(text), 0)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_SET_FILTER, uintptr(unsafe.Pointer(&b[0])))
	runtime.KeepAlive(b)
	if errno != 0 {
		return errno
	}
	return nil
}

// openRings maps one ring for each CPU and points all the CPU's events at it.
func (p *perfTrace) openRings(bytes int) error {
	owner := map[int]int{}
	for _, e := range p.events {
		if fd, ok := owner[e.cpu]; ok {
			if err := unix.IoctlSetInt(e.fd, unix.PERF_EVENT_IOC_SET_OUTPUT, fd); err != nil {
				return fmt.Errorf("perf: sharing the ring of CPU %d: %w", e.cpu, err)
			}
			continue
		}
		r, err := mapRing(e.fd, e.cpu, bytes)
		if err != nil {
			return err
		}
		owner[e.cpu] = e.fd
		p.rings = append(p.rings, r)
	}
	return nil
}

func (p *perfTrace) ingest(t *Trace) error {
	for i, r := range p.rings {
		if err := r.read(t, i); err != nil {
			return err
		}
	}
	return nil
}

// read returns one event's value, times and lost records.
func (p *perfTrace) read(e *perfEvent) (value, enabled, running, lost uint64, err error) {
	want := 24
	if p.hasLost {
		want = 32
	}
	n, err := unix.Read(e.fd, p.buf[:])
	for err == unix.EINTR {
		n, err = unix.Read(e.fd, p.buf[:])
	}
	if err != nil {
		return 0, 0, 0, 0, fmt.Errorf("perf: reading %v on CPU %d: %w", e.kind, e.cpu, err)
	}
	if n != want {
		return 0, 0, 0, 0, fmt.Errorf("perf: reading %v on CPU %d gave %d bytes, want %d: the event is in the error state", e.kind, e.cpu, n, want)
	}
	u := func(i int) uint64 { return binary.NativeEndian.Uint64(p.buf[i*8:]) }
	if p.hasLost {
		lost = u(3)
	}
	return u(0), u(1), u(2), lost, nil
}

func (p *perfTrace) count(t *Trace, k Kind, file int) Count {
	c := Count{Fidelity: FidelityExact}
	found := false
	for i := range p.events {
		e := &p.events[i]
		if e.kind != k || (file >= 0 && e.file != file) {
			continue
		}
		found = true
		v, enabled, running, _, err := p.read(e)
		if err != nil {
			return Count{Fidelity: FidelityUnavailable, Reason: err.Error()}
		}
		c.N += v
		if running < enabled {
			c.Fidelity, c.Reason = FidelityAtLeast, fmt.Sprintf("the event was counted for %d of %d ns on CPU %d", running, enabled, e.cpu)
		}
	}
	if !found {
		return Count{Fidelity: FidelityUnavailable, Reason: fmt.Sprintf("more than %d files are not counted one by one", maxPerFile)}
	}
	if _, online, err := onlineCPUs(); err != nil || online != p.online {
		c.Fidelity, c.Reason = FidelityAtLeast, fmt.Sprintf("CPUs online were %s and are now %s", p.online, online)
	}
	return c
}

func (p *perfTrace) lost() (uint64, error) {
	var read, told uint64
	if p.hasLost {
		for i := range p.events {
			_, _, _, lost, err := p.read(&p.events[i])
			if err != nil {
				return 0, err
			}
			read += lost
		}
	}
	for _, r := range p.rings {
		told += r.lost
	}
	return max(read, told), nil
}

func (p *perfTrace) close() error {
	var err error
	for _, r := range p.rings {
		err = errors.Join(err, r.close())
	}
	for _, e := range p.events {
		err = errors.Join(err, unix.Close(e.fd))
	}
	p.rings, p.events = nil, nil
	return err
}
