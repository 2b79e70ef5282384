package mmapdirty

import (
	"errors"
	"fmt"
	"math/bits"
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
	g       *Group
	id      int
	kind    Kind
	set     int
	nth     int // within its set
	place   Place
	how     Strategy
	files   []handle // by file index; closed ones are not for this dirtier
	buf     []byte   // mmap memory for Write and Read
	count   *counters
	rnd     uint64
	gen     uint64
	looks   uint64
	visits  int       // since the last sched_yield
	idle    int       // looks in vain since the last act
	last    visited   // the write that was overlapped last
	spent   [][]spent // by table and slot, with Strategy.Redirty
	advice  int       // next of the madvise cycle
	past    bool      // Fallocate: the next act is past the end of the write
	mapSink uint64    // keeps loads from being dead
	page    int64     // bytes
	ready   chan error
	done    chan struct{}
	exitErr error // valid once done is closed

	tid    atomic.Int32
	parked atomic.Bool
}

type visited struct {
	table *Table
	token uint64
}

// spent is how often a dirtier has made the pages of a write dirty anew.
type spent struct {
	token uint64
	times int
}

// faultTime is how long a store takes at least that had to ask the kernel for
// the page: others take a fiftieth of it, or a tenth where the TLB misses.
const faultTime = 500 * time.Nanosecond

// aim is what an act works on: a write in flight and the bytes to touch.
type aim struct {
	table  *Table
	target Target
	h      *handle
	off    int64
	len    int
	held   bool   // the write waits for this act
	spent  *spent // nil without Strategy.Redirty
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
	if k == Mmap && d.how.Redirty > 0 {
		for _, t := range g.cfg.Tables {
			d.spent = append(d.spent, make([]spent, t.Slots()))
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
		cpu := d.how.CPUs[d.nth%len(d.how.CPUs)]
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("pin thread to CPU %d of Strategy.CPUs: %w", cpu, err)
		}
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
			if d.how.StopAfterDirty || stay >= d.how.Stay || d.g.state.Load() != running || a.spent != nil && a.spent.times >= d.how.Redirty {
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

// pick looks for a write in flight that this dirtier may touch; one that is held
// back comes first.
func (d *dirtier) pick() (aim, bool) {
	d.looks++
	tables := d.g.cfg.Tables
	r := d.random()
	at := d.below(len(tables))
	for range tables {
		t := tables[at]
		if d.kind.Dirties() && d.place == Same {
			if target, ok := t.pickHeld(r); ok {
				if a, ok := d.aim(t, target); ok {
					a.held = true
					return a, true
				}
			}
		}
		if target, ok := t.Pick(d.how.Order, r); ok {
			if a, ok := d.aim(t, target); ok && d.mind(&a, at) {
				return a, true
			}
		}
		if at++; at == len(tables) {
			at = 0
		}
	}
	return aim{}, false
}

// mind says whether the pages of an aim are to be made dirty once more.
func (d *dirtier) mind(a *aim, table int) bool {
	if d.spent == nil {
		return true
	}
	a.spent = &d.spent[table][a.target.Slot]
	if a.spent.token != a.target.token {
		*a.spent = spent{token: a.target.token}
	}
	return a.spent.times < d.how.Redirty
}

// aim says which bytes to touch for a target, false if there are none for this
// dirtier.
func (d *dirtier) aim(t *Table, target Target) (aim, bool) {
	if target.File >= len(d.files) || !d.files[target.File].open {
		return aim{}, false
	}
	h := &d.files[target.File]
	off, n := d.place.bytes(target, h.size)
	if d.kind == Mmap {
		off, n = wholeWords(off, n)
	}
	return aim{table: t, target: target, h: h, off: off, len: n}, n > 0
}

// bytes returns the range to touch for a write in flight; n is 0 if there is
// none within the file.
func (p Place) bytes(t Target, size int64) (off int64, n int) {
	off = t.Off
	length := int64(t.Len)
	if length <= 0 || off < 0 {
		return 0, 0
	}
	if p == Neighbour {
		switch {
		case bits.OnesCount64(uint64(length)) == 1 && off&(length-1) == 0:
			off ^= length
		case off >= length:
			off -= length
		default:
			off += length
		}
	}
	if off >= size {
		return 0, 0
	}
	return off, int(min(length, size-off))
}

// wholeWords returns the aligned 8-byte words within a range.
func wholeWords(off int64, n int) (int64, int) {
	first := (off + 7) &^ 7
	return first, max(0, int(off+int64(n)-first)) &^ 7
}

// wait passes the time until the next look, the longer it was in vain the more
// gently.
func (d *dirtier) wait() {
	d.idle++
	switch {
	case d.idle <= d.how.Spin:
		spin(20)
		return
	case d.idle <= d.how.Spin+d.how.Yields || d.how.Sleep == 0:
		schedYield()
	default:
		doublings := min(d.idle-d.how.Spin-d.how.Yields-1, 20)
		d.nap(min(d.how.Sleep<<doublings, max(d.how.Sleep, d.how.MaxSleep)))
	}
	d.count.looks.Store(d.looks)
}

// rest leaves the CPU after a visit, as the Strategy says.
func (d *dirtier) rest() {
	if d.how.Rest > 0 {
		d.nap(d.how.Rest)
	}
	if d.how.YieldEvery > 0 {
		if d.visits++; d.visits >= d.how.YieldEvery && !d.awaited() {
			d.visits = 0
			schedYield()
		}
	}
}

// awaited says whether an engine thread waits for a dirtier: to yield to it
// would be in vain.
func (d *dirtier) awaited() bool {
	if !d.kind.Dirties() || d.place != Same {
		return false
	}
	for _, t := range d.g.cfg.Tables {
		if t.holding() {
			return true
		}
	}
	return false
}

// nap sleeps in the kernel; a signal may end it early, which does no harm.
func (d *dirtier) nap(t time.Duration) {
	ts := unix.NsecToTimespec(t.Nanoseconds())
	unix.Nanosleep(&ts, nil)
}

// schedYield keeps the P: handing it over costs more than the call.
func schedYield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// random is xorshift64*: cheap, and good enough to spread stores.
func (d *dirtier) random() uint64 {
	x := d.rnd
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	d.rnd = x
	return x * 0x2545f4914f6cdd1d
}

// below returns a number in 0..n-1.
func (d *dirtier) below(n int) int {
	if n == 1 {
		return 0
	}
	hi, _ := bits.Mul64(d.random(), uint64(n))
	return int(hi)
}

func pageDown(n, page int64) int64 { return n &^ (page - 1) }
func pageUp(n, page int64) int64   { return (n + page - 1) &^ (page - 1) }
