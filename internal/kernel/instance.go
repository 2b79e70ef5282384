package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// namePrefix starts the name of everything of ours that could outlive us.
const namePrefix = "diostress"

// instance takes records from a tracefs instance of our own, in the kernel's
// binary page form, for machines where perf_event_open is not to be had.
// It has no counters: what it counts is what it has read.
type instance struct {
	dir  string
	cpus []instanceCPU
	page []byte
	head pageLayout
}

type instanceCPU struct {
	cpu uint16
	fd  int
}

// pageLayout says where a ring-buffer page keeps its parts
// (events/header_page).
type pageLayout struct {
	commit, commitSize, data int
	size                     int // bytes of the whole page
}

func openInstance(t *Trace) error {
	in := &instance{}
	ok := false
	defer func() {
		if !ok {
			in.close()
		}
	}()
	var err error
	if in.head, err = readPageLayout(t.fs); err != nil {
		return err
	}
	in.page = make([]byte, in.head.size)
	for n := 0; ; n++ {
		dir := t.fs.path("instances", fmt.Sprintf("%s-%d-%d", namePrefix, os.Getpid(), n))
		err := os.Mkdir(dir, 0o700)
		if err == nil {
			in.dir = dir
			break
		}
		if !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("tracefs instance: %w", err)
		}
	}
	if err := writeFile(in.dir+"/trace_clock", "mono"); err != nil {
		return fmt.Errorf("tracefs instance: setting the clock to mono: %w", err)
	}
	if err := writeFile(in.dir+"/buffer_size_kb", strconv.Itoa(max(t.opt.RingBytes/1024, 8))); err != nil {
		return fmt.Errorf("tracefs instance: setting the buffer size: %w", err)
	}
	// Like perf: what is there stays, what finds no room is counted as lost.
	if err := writeFile(in.dir+"/options/overwrite", "0"); err != nil {
		return fmt.Errorf("tracefs instance: %w", err)
	}
	cpus, _, err := onlineCPUs()
	if err != nil {
		return err
	}
	for _, c := range cpus {
		path := fmt.Sprintf("%s/per_cpu/cpu%d/trace_pipe_raw", in.dir, c)
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("tracefs instance: opening trace_pipe_raw of CPU %d: %w", c, err)
		}
		in.cpus = append(in.cpus, instanceCPU{uint16(c), fd})
	}
	opened := false
	for _, k := range tracedKinds(&t.opt) {
		st := &t.kinds[k]
		if st.decoder == nil {
			continue
		}
		if err := in.enable(t, k); err != nil {
			return err
		}
		opened = true
	}
	if !opened {
		return errors.New("this kernel has none of the tracepoints")
	}
	t.queues = make([]queue, len(in.cpus))
	t.back, ok = in, true
	return nil
}

func (in *instance) enable(t *Trace, k Kind) error {
	st := &t.kinds[k]
	d := st.decoder
	var text string
	if k == BlockError {
		text = devFilter(st.disks, d.devName)
		if st.src.also != "" {
			text += " && " + st.src.also
		}
	} else {
		// One filter an event: where the inodes do not fit, the device must do,
		// and Trace.record drops the rest.
		fs := inodeFilters(t.opt.Files, d.devName, d.inoName, maxFilter)
		if text = fs[0]; len(fs) > 1 {
			text = devFilter(devsOf(t.opt.Files), d.devName)
		}
	}
	dir := fmt.Sprintf("%s/events/%s/%s", in.dir, st.src.system, st.src.event)
	if err := writeFile(dir+"/filter", text); err != nil {
		return fmt.Errorf("tracefs instance: filter %q on %s:%s: %w", text, st.src.system, st.src.event, err)
	}
	if err := writeFile(dir+"/enable", "1"); err != nil {
		return fmt.Errorf("tracefs instance: enabling %s:%s: %w", st.src.system, st.src.event, err)
	}
	return nil
}

func readPageLayout(fs *tracefs) (pageLayout, error) {
	text, err := os.ReadFile(fs.path("events", "header_page"))
	if err != nil {
		return pageLayout{}, err
	}
	return parsePageLayout(text)
}

func parsePageLayout(text []byte) (pageLayout, error) {
	// header_page has fields only; the rest makes it a format text.
	f, err := ParseFormat(append([]byte("name: header_page\nID: 0\n"), text...))
	if err != nil {
		return pageLayout{}, err
	}
	ts, ok1 := f.Field("timestamp")
	commit, ok2 := f.Field("commit")
	data, ok3 := f.Field("data")
	l := pageLayout{commit.Offset, commit.Size, data.Offset, data.Offset + data.Size}
	if !ok1 || !ok2 || !ok3 || ts.Offset != 0 || ts.Size != 8 || (commit.Size != 4 && commit.Size != 8) ||
		commit.Offset+commit.Size > data.Offset || l.size < 64 {
		return pageLayout{}, fmt.Errorf("header_page: unknown layout %q", text)
	}
	return l, nil
}

func (in *instance) ingest(t *Trace) error {
	for q, c := range in.cpus {
		for {
			n, err := unix.Read(c.fd, in.page)
			if err == unix.EINTR {
				continue
			}
			if err == unix.EAGAIN || (err == nil && n == 0) {
				break
			}
			if err != nil {
				return fmt.Errorf("tracefs instance: reading trace_pipe_raw of CPU %d: %w", c.cpu, err)
			}
			if err := in.head.records(in.page[:n], func(ts int64, raw []byte) {
				var pid int32
				if len(raw) >= 8 {
					pid = int32(load{off: 4, size: 4}.get(raw)) // common_pid
				}
				t.record(q, ts, c.cpu, pid, raw)
			}); err != nil {
				return fmt.Errorf("tracefs instance: CPU %d: %w", c.cpu, err)
			}
		}
	}
	return nil
}

// records walks one ring-buffer page (include/linux/ring_buffer.h, enum
// ring_buffer_type).
func (l pageLayout) records(page []byte, fn func(ts int64, raw []byte)) error {
	if len(page) < l.data {
		return fmt.Errorf("ring-buffer page of %d bytes, want %d at least", len(page), l.data)
	}
	ts := binary.NativeEndian.Uint64(page)
	commit := load{off: uint16(l.commit), size: uint8(l.commitSize)}.get(page)
	size := int(commit & (1<<27 - 1)) // the top bits of 32 flag lost records
	if size > len(page)-l.data {
		return fmt.Errorf("ring-buffer page claims %d bytes of %d", size, len(page)-l.data)
	}
	d := page[l.data : l.data+size]
	for len(d) >= 4 {
		h := binary.NativeEndian.Uint32(d)
		kind, delta := h&31, uint64(h>>5)
		var array uint64
		if kind == 0 || kind >= 29 {
			if kind == 29 && delta == 0 {
				return nil // the rest of the page is empty
			}
			if len(d) < 8 {
				return fmt.Errorf("ring-buffer record cut off after %d bytes", len(d))
			}
			array = uint64(binary.NativeEndian.Uint32(d[4:]))
		}
		body, whole := 4, 0
		switch kind {
		case 29: // padding: a discarded record; its time counts
			whole = 4 + int(array)
		case 30: // time extend
			ts += delta + array<<27
			d = d[8:]
			continue
		case 31: // absolute time stamp: 59 bits
			ts = ts&^(1<<59-1) | delta | array<<27
			d = d[8:]
			continue
		case 0:
			body, whole = 8, 4+int(array)
		default:
			whole = 4 + int(kind)*4
		}
		ts += delta
		whole = (whole + 3) &^ 3
		if whole < body || whole > len(d) {
			return fmt.Errorf("ring-buffer record of %d bytes with %d left", whole, len(d))
		}
		if kind != 29 {
			fn(int64(ts), d[body:whole])
		}
		d = d[whole:]
	}
	return nil
}

func (in *instance) count(t *Trace, k Kind, file int) Count {
	if err := in.ingest(t); err != nil {
		return Count{Fidelity: FidelityUnavailable, Reason: err.Error()}
	}
	c := Count{N: t.seen[k], Fidelity: FidelityExact}
	if file >= 0 {
		c.N = t.seenFile[file]
	}
	lost, err := in.lost()
	if err != nil {
		c.Fidelity, c.Reason = FidelityAtLeast, err.Error()
	} else if lost > 0 {
		c.Fidelity, c.Reason = FidelityAtLeast, fmt.Sprintf("%d records of all kinds found no room", lost)
	}
	return c
}

func (in *instance) lost() (uint64, error) {
	var sum uint64
	for _, c := range in.cpus {
		text, err := os.ReadFile(fmt.Sprintf("%s/per_cpu/cpu%d/stats", in.dir, c.cpu))
		if err != nil {
			return 0, err
		}
		n, err := lostInStats(string(text))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// lostInStats adds up the three ways a ring buffer loses records.
func lostInStats(text string) (uint64, error) {
	var sum uint64
	found := 0
	for line := range strings.Lines(text) {
		key, val, _ := strings.Cut(line, ":")
		switch key {
		case "overrun", "commit overrun", "dropped events":
			n, err := strconv.ParseUint(strings.TrimSpace(val), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("tracefs stats: %q is not a number", line)
			}
			sum += n
			found++
		}
	}
	if found == 0 {
		return 0, fmt.Errorf("tracefs stats: no overrun line in %q", text)
	}
	return sum, nil
}

func (in *instance) close() error {
	var err error
	for _, c := range in.cpus {
		err = errors.Join(err, unix.Close(c.fd))
	}
	in.cpus = nil
	if in.dir != "" {
		// Removing an instance turns its events off (kernel/trace/trace.c).
		err = errors.Join(err, unix.Rmdir(in.dir))
		in.dir = ""
	}
	return err
}
