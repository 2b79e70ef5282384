package mmapdirty

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dirtier is one thread. Everything but the atomics and channels belongs to it
// alone once it runs.
type dirtier struct {
	g        *Group
	id       int
	kind     Kind
	set      int
	nth      int // within its set
	place    Place
	how      Strategy
	files    []handle // by file index; closed ones are not for this dirtier
	buf      []byte   // mmap memory for Write and Read
	count    *counters
	rnd      uint64
	gen      uint64
	looks    uint64
	visits   int       // since the last sched_yield
	idle     int       // looks in vain since the last act
	last     visited   // the write that was overlapped last
	freed    [][]freed // by table and slot; nil without Strategy.From, Redirty and Watch
	faults   int64     // page faults of the thread so far
	watching bool      // Strategy.Watch, and this kernel can
	gauge    gauge
	watcher  watcher
	advice   int    // next of the madvise cycle
	past     bool   // Fallocate: the next act is past the end of the write
	mapSink  uint64 // keeps loads from being dead
	page     int64  // bytes
	ready    chan error
	done     chan struct{}
	exitErr  error // valid once done is closed

	tid    atomic.Int32
	parked atomic.Bool
}

type visited struct {
	table *Table
	token uint64
}

// freed is a write that was held back and that this dirtier let go.
type freed struct {
	token  uint64
	at     time.Duration // when, since the group's start
	faults int           // stores since then that had a page fault
	struck bool          // in time
	done   bool          // struck, or too late to
}

// faultTime is how long a store takes at least that had to ask the kernel for
// the page: others take a fiftieth of it, or a tenth where the TLB misses. One
// that an interrupt met takes as long; that is told apart by the fault count.
const faultTime = 500 * time.Nanosecond

// aim is what an act works on: a write in flight and the bytes to touch.
type aim struct {
	table  *Table
	target Target
	h      *handle
	off    int64
	len    int
	held   bool   // the write waits for this act
	freed  *freed // of its slot; nil without Strategy.From, Redirty and Watch
}

// letGo says whether this dirtier has let the write go: it was held back, and no
// longer is.
func (a *aim) letGo() bool { return a.freed != nil && a.freed.token == a.target.token }

// mapped returns what is mapped of the aligned units that hold the range, up to
// the file's end.
func (a *aim) mapped(unit int64) []byte {
	end := min(pageUp(a.off+int64(a.len), unit), int64(len(a.h.mem)))
	return a.h.mem[pageDown(a.off, unit):end]
}

func newDirtier(g *Group, k Kind, set, nth int) *dirtier {
	id := g.cfg.WriterBase + len(g.dirtiers)
	d := &dirtier{
		g: g, id: id, kind: k, set: set, nth: nth,
		place: g.cfg.Sets[set].Place,
		how:   g.cfg.Sets[set].Strategy,
		files: make([]handle, len(g.cfg.Files)),
		count: new(counters),
		// An odd multiplier keeps the states of different ids apart; 0 would
		// be the fixed point of the generator.
		rnd:   (g.cfg.Seed+uint64(id)+1)*0x9e3779b97f4a7c15 | 1,
		page:  int64(os.Getpagesize()),
		ready: make(chan error, 1),
		done:  make(chan struct{}),
	}
	if d.how.From > 0 || d.how.Redirty > 0 || d.how.Watch > 0 {
		for _, t := range g.cfg.Tables {
			d.freed = append(d.freed, make([]freed, t.Slots()))
		}
	}
	return d
}

func (d *dirtier) openFiles() error {
	chosen := d.g.cfg.Sets[d.set].Files
	if chosen == nil {
		for i := range d.g.cfg.Files {
			chosen = append(chosen, i)
		}
	}
	for _, i := range chosen {
		if d.files[i].open {
			continue
		}
		desc := d.g.cfg.DescriptionBase + len(d.g.descs)
		h, err := openHandle(d.g.cfg.Files[i], d.kind.maps(), desc)
		if err != nil {
			return err
		}
		d.files[i] = h
		d.g.descs = append(d.g.descs, Description{ID: desc, Writer: d.id, File: i})
		d.watching = d.kind == Mmap && d.how.Watch > 0 && d.watcher.ask(h.fd, 0, 1) == nil
	}
	return nil
}

func (d *dirtier) closeFiles() error {
	var errs []error
	for i := range d.files {
		if err := d.files[i].close(); err != nil {
			errs = append(errs, fmt.Errorf("%v writer %d: close %s: %w", d.kind, d.id, d.g.cfg.Files[i].Path, err))
		}
	}
	if d.buf != nil {
		if err := unix.Munmap(d.buf); err != nil {
			errs = append(errs, fmt.Errorf("%v writer %d: munmap buffer: %w", d.kind, d.id, err))
		}
		d.buf = nil
	}
	return errors.Join(errs...)
}

// main runs the dirtier on a thread of its own, which ends with it: a goroutine
// that ends while locked takes its thread along.
func (d *dirtier) main() {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		// The runtime keeps the first thread of the process for ever, and
		// with it would keep our affinity and name.
		go d.main()
		<-d.done
		runtime.UnlockOSThread()
		return
	}
	d.tid.Store(int32(unix.Gettid()))
	defer close(d.done)
	defer func() { d.exitErr = d.closeFiles() }()
	if err := d.setUpThread(); err != nil {
		d.ready <- err
		return
	}
	d.ready <- nil
	for d.chase() {
	}
}

func (d *dirtier) setUpThread() error {
	debug.SetPanicOnFault(true)
	// The kernel cuts names at 15 bytes.
	name := append([]byte(fmt.Sprintf("d%d-%v", d.id, d.kind)), 0)
	if _, _, e := unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0); e != 0 {
		return fmt.Errorf("name thread: %w", e)
	}
	// Short sleeps would otherwise last 50 us longer than asked.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0); err != nil {
		return fmt.Errorf("set timer slack: %w", err)
	}
	if len(d.how.CPUs) > 0 {
		if err := d.pin(0, d.how.CPUs); err != nil {
			return err
		}
		// So much weight makes a CPU look busy to the scheduler, which then wakes
		// the kernel's workers where they are called from. It takes privilege, and
		// does no harm where it is refused.
		unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), pinnedNice)
	}
	return nil
}

// chase visits writes in flight until the group stops (false) or a fault ended
// a visit (true: call it again).
func (d *dirtier) chase() (again bool) {
	defer d.recoverFault(&again)
	for d.mayRun() {
		a, ok := d.pick()
		if !ok {
			d.wait()
			continue
		}
		d.idle = 0
		for stay := 1; ; stay++ {
			d.visit(&a)
			d.rest()
			if d.how.StopAfterDirty || stay >= d.how.Stay || d.g.state.Load() != running || !d.due(&a) {
				break
			}
			d.looks++
			if !a.table.Still(a.target) {
				break
			}
		}
		if d.how.StopAfterDirty {
			for d.g.state.Load() == running && a.table.Still(a.target) {
				d.wait()
			}
			d.idle = 0
		}
	}
	return false
}

// recoverFault turns a SIGBUS in one of our mappings into a count. Any other
// panic goes on.
func (d *dirtier) recoverFault(again *bool) {
	r := recover()
	if r == nil {
		return
	}
	fault, ok := r.(interface{ Addr() uintptr })
	if !ok || !d.owns(fault.Addr()) {
		panic(r)
	}
	bump(&d.count.faults)
	schedYield() // a fault may repeat at once; leave room for others
	*again = true
}

func (d *dirtier) owns(addr uintptr) bool {
	for i := range d.files {
		if m := d.files[i].mem; len(m) > 0 {
			start := uintptr(unsafe.Pointer(&m[0]))
			// The mapping ends at a page boundary, at or past its length.
			if addr >= start && addr < start+uintptr(pageUp(int64(len(m)), d.page)) {
				return true
			}
		}
	}
	return false
}

// mayRun stands still while the group is paused; false once it is stopped.
func (d *dirtier) mayRun() bool {
	g := d.g
	for {
		switch g.state.Load() {
		case running:
			return true
		case stopped:
			return false
		}
		g.gateMu.Lock()
		gate := g.gate
		g.gateMu.Unlock()
		// After parked is set the state is read again, and after it is
		// cleared too (by the loop): Pause does it the other way round, so
		// that one of both always sees the other.
		d.parked.Store(true)
		if g.state.Load() == paused {
			<-gate
		}
		d.parked.Store(false)
	}
}
