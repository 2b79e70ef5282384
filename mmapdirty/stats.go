package mmapdirty

import (
	"sync/atomic"
	"syscall"
)

// maxErrno is the largest errno of Linux, EHWPOISON.
const maxErrno = 133

// counters are written by one dirtier and read by anybody.
type counters struct {
	_        [cacheLine]byte
	gen      atomic.Uint64
	looks    atomic.Uint64
	ops      atomic.Uint64
	overlaps atomic.Uint64
	beside   atomic.Uint64
	targets  atomic.Uint64
	faults   atomic.Uint64
	short    atomic.Uint64
	syncs    atomic.Uint64
	syncEIO  atomic.Uint64
	errnos   [maxErrno + 2]atomic.Uint64 // the last one for anything larger
	_        [cacheLine]byte
}

// bump adds one; the owner is the only writer, so it need not be atomic as a
// whole.
func bump(c *atomic.Uint64) { c.Store(c.Load() + 1) }

func (c *counters) errno(e syscall.Errno) {
	bump(&c.errnos[min(int(e), maxErrno+1)])
}

// KindStats are the sums over all dirtiers of one kind, since Start.
type KindStats struct {
	Kind     Kind
	Dirtiers int
	// Operations is how many acts came back, also those with an errno or
	// short; for Mmap an act is a visit of Strategy.Words stores.
	Operations uint64
	// Overlaps is how many acts on the bytes of a write began and ended while
	// that write was in flight and succeeded. Beside is the same for acts on
	// its neighbour.
	Overlaps, Beside uint64
	// Targets is how many of Overlaps and Beside fell on another write than
	// the same dirtier's one before.
	Targets uint64
	// Looks is how often a table was searched or a write looked at again.
	Looks  uint64
	Faults uint64 // SIGBUS: a store or load past EOF, or one the file system could not serve
	Short  uint64 // pwrite or pread of fewer bytes than asked
	Syncs  uint64 // fsync, fdatasync, msync, sync_file_range calls that came back
	EIO    uint64 // of Syncs, those that returned EIO
	// Errnos counts failed calls, syncs included; one larger than any of
	// Linux counts as 134. Empty if none failed.
	Errnos map[syscall.Errno]uint64
}

// Stats returns the sums per kind, in the order of Kinds; kinds that do not run
// are left out. It may be called at any time by any thread; while dirtiers run,
// the figures of one kind need not be from the same moment.
func (g *Group) Stats() []KindStats {
	var sums [numKinds]KindStats
	for _, d := range g.dirtiers {
		s, c := &sums[d.kind], d.count
		s.Dirtiers++
		s.Operations += c.ops.Load()
		s.Overlaps += c.overlaps.Load()
		s.Beside += c.beside.Load()
		s.Targets += c.targets.Load()
		s.Looks += c.looks.Load()
		s.Faults += c.faults.Load()
		s.Short += c.short.Load()
		s.Syncs += c.syncs.Load()
		s.EIO += c.syncEIO.Load()
		if s.Errnos == nil {
			s.Errnos = map[syscall.Errno]uint64{}
		}
		for e := range c.errnos {
			if n := c.errnos[e].Load(); n > 0 {
				s.Errnos[syscall.Errno(e)] += n
			}
		}
	}
	var out []KindStats
	for k := range sums {
		if sums[k].Dirtiers > 0 {
			sums[k].Kind = Kind(k)
			out = append(out, sums[k])
		}
	}
	return out
}

// Writer is one dirtier as its marks in the data name it.
type Writer struct {
	ID   int
	Kind Kind
	Set  int // index into Config.Sets
	// TID is the kernel's thread id, for /proc/self/task/TID/stack; the
	// thread exists until Stop.
	TID int
	// Gen is the generation begun last, 0 for none. It is published before
	// the first byte that carries it is stored, so no byte in the file
	// carries a later one. Kinds that do not dirty stay at 0.
	Gen uint64
}

// Writers returns all dirtiers, ascending by ID. It may be called at any time;
// paused dirtiers begin no new generation.
func (g *Group) Writers() []Writer {
	ws := make([]Writer, len(g.dirtiers))
	for i, d := range g.dirtiers {
		ws[i] = Writer{ID: d.id, Kind: d.kind, Set: d.set, TID: int(d.tid.Load()), Gen: d.count.gen.Load()}
	}
	return ws
}

// Description is one open file description of a dirtier.
type Description struct {
	ID     int // SyncResult.Description
	Writer int
	File   int
}

// Descriptions returns every open file description that the group made,
// ascending by ID, also after Stop.
func (g *Group) Descriptions() []Description {
	return append([]Description(nil), g.descs...)
}
