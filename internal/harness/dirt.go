package harness

import (
	"fmt"
	"time"

	"diostress/internal/ledger"
	"diostress/internal/pattern"
	"diostress/internal/plan"
	"diostress/mmapdirty"
)

// dirt is the dirtiers of a run, and what their generations were when the
// epoch began.
type dirt struct {
	r      *run
	group  *mmapdirty.Group
	tables []*mmapdirty.Table
	from   map[int]uint64 // by writer id
	direct []uint64       // by job: newest generation at the beginning of the epoch
	sets   []mmapdirty.Set
}

// stopWait bounds how long a dirtier may take to come back from the kernel.
const stopWait = 20 * time.Second

// newDirt makes the tables; the dirtiers start later.
func newDirt(r *run) *dirt {
	d := &dirt{r: r, from: map[int]uint64{}, direct: make([]uint64, r.cfg.NumJobs)}
	if len(r.cfg.Dirty) > 0 {
		for range r.cfg.NumJobs {
			d.tables = append(d.tables, mmapdirty.NewTable(r.cfg.IODepth))
		}
	}
	return d
}

func (d *dirt) table(job int) *mmapdirty.Table {
	if d.tables == nil {
		return nil
	}
	return d.tables[job]
}

// start sets the dirtiers loose: every kind on the main files, and write(2)
// on the blocks beside the direct ones of the neighbour files.
func (d *dirt) start() error {
	if d.tables == nil {
		return nil
	}
	spec, err := mmapdirty.ParseSpec(d.r.cfg.DirtyString())
	if err != nil {
		return err
	}
	how, err := strategy(&d.r.cfg.Strategy)
	if err != nil {
		return err
	}
	how.CPUs = d.r.places.Load().dirtiers
	if len(usable()) == 1 {
		how.Watch = 0 // what it spends in looking it takes from the writes: 3,900 collisions a second against 6,300
	}
	var mains, beside []int
	var files []mmapdirty.File
	for i, f := range d.r.files {
		files = append(files, mmapdirty.File{Path: f.path, Size: f.Size, Grows: f.Grows() || f.Role == plan.Main && d.r.cfg.Zeroes()})
		switch f.Role {
		case plan.Main:
			mains = append(mains, i)
		case plan.Neighbour:
			beside = append(beside, i)
		}
	}
	d.sets = sets(spec, mains, how, &d.r.cfg.Strategy)
	if len(beside) > 0 {
		gentle := how
		gentle.CPUs = nil
		// It looks for one write in thirty-two: now and then is often enough,
		// and leaves the processor to the others.
		gentle.Order, gentle.Stay, gentle.StopAfterDirty, gentle.Watch, gentle.From, gentle.Redirty = mmapdirty.Random, 1, false, 0, 0, 0
		gentle.Spin, gentle.Yields, gentle.Sleep = 0, 0, 100*time.Microsecond
		d.sets = append(d.sets, mmapdirty.Set{
			Spec: mmapdirty.Spec{}.With(mmapdirty.Write, 1), Files: beside, Place: mmapdirty.Neighbour, Strategy: gentle,
		})
	}
	key := pattern.NewKey(d.r.cfg.Seed)
	d.group, err = mmapdirty.Start(mmapdirty.Config{
		Files: files, Tables: d.tables, Sets: d.sets,
		Word: func(file int, off int64, w int, gen uint64) uint64 {
			return key.Word(file, off, pattern.Dirtier(w), gen)
		},
		Fill: func(dst []byte, file int, off int64, w int, gen uint64) {
			key.Fill(dst, file, off, pattern.Dirtier(w), gen)
		},
		OnSync: d.r.rec.dirtierSync, Clock: d.r.clock.Now, DescriptionBase: dirtierFD, Seed: d.r.cfg.Seed,
	})
	return err
}

// sets splits the dirtiers by what they do: those that sync or drop pages in a
// tight loop would take the pages and the processor from those that dirty.
func sets(spec mmapdirty.Spec, files []int, how mmapdirty.Strategy, s *plan.Strategy) (out []mmapdirty.Set) {
	add := func(rest time.Duration, belongs func(mmapdirty.Kind) bool) {
		set := mmapdirty.Set{Files: files, Strategy: how}
		set.Strategy.Rest = rest
		for _, k := range mmapdirty.Kinds() {
			if belongs(k) {
				set.Spec = set.Spec.With(k, spec.Count(k))
			}
		}
		if set.Spec.Total() > 0 {
			out = append(out, set)
		}
	}
	add(0, mmapdirty.Kind.Dirties)
	add(s.RestSync, mmapdirty.Kind.Syncs)
	add(s.RestOther, func(k mmapdirty.Kind) bool { return !k.Dirties() && !k.Syncs() && !k.Alters() })
	add(alterRest, mmapdirty.Kind.Alters)
	return out
}

// alterRest is the pause of a dirtier after each call that changes what blocks
// the file has: all of them wait for every direct write in flight.
const alterRest = 500 * time.Microsecond

// Ids of open file descriptions: witnesses by file from 0, the direct
// descriptors from directFD, the dirtiers' from dirtierFD.
const (
	directFD  = 1 << 20
	dirtierFD = 1 << 21
)

func strategy(s *plan.Strategy) (mmapdirty.Strategy, error) {
	how := mmapdirty.Strategy{Words: s.Words, Stay: s.Stay, StopAfterDirty: s.StopAfter, Watch: s.Watch, From: s.From, Redirty: s.Redirty, YieldEvery: s.YieldEvery,
		Spin: s.Spin, Yields: s.Yields, Sleep: s.Sleep, MaxSleep: s.MaxSleep}
	switch s.Pick {
	case "newest":
		how.Order = mmapdirty.Newest
	case "random":
		how.Order = mmapdirty.Random
	case "oldest":
		how.Order = mmapdirty.Oldest
	default:
		return how, fmt.Errorf("dirtiers: %q is no order; valid: newest, random, oldest", s.Pick)
	}
	return how, nil
}

// pause makes the dirtiers stand still.
func (d *dirt) pause() error {
	if d.group == nil {
		return nil
	}
	return d.group.Pause(stopWait)
}

func (d *dirt) resume() {
	if d.group != nil {
		d.group.Resume()
	}
}

// release takes the pages out of the dirtiers' mappings; they are paused.
func (d *dirt) release() error {
	if d.group == nil {
		return nil
	}
	return d.group.Release()
}

func (d *dirt) stop() error {
	if d.group == nil {
		return nil
	}
	return d.group.Stop(stopWait)
}

// ranges says who may have written which generations to every file since the
// last call; dirtiers and workers stand still.
func (d *dirt) ranges() []ledger.FileEpoch {
	out := make([]ledger.FileEpoch, len(d.r.files))
	if d.group != nil {
		for _, w := range d.group.Writers() {
			first := d.from[w.ID] + 1
			d.from[w.ID] = w.Gen
			if !w.Kind.Dirties() || w.Gen < first {
				continue
			}
			for _, f := range d.sets[w.Set].Files {
				fe := &out[f]
				fe.Mmap = fe.Mmap || w.Kind == mmapdirty.Mmap
				fe.Write = fe.Write || w.Kind == mmapdirty.Write
				fe.Writers = append(fe.Writers, ledger.GenRange{Writer: uint8(pattern.Dirtier(w.ID)), First: first, Last: w.Gen})
			}
		}
	}
	for i, f := range d.r.files {
		out[i].Zeroes = f.Role == plan.Main && d.r.cfg.Zeroes()
	}
	for j, w := range d.r.workers {
		last := w.acct.LastGen()
		for i, f := range d.r.files {
			if f.Job == j || f.Role == plan.Main && d.r.cfg.Range == "shared" {
				out[i].Writers = append(out[i].Writers, ledger.GenRange{Writer: uint8(w.writer), First: d.direct[j] + 1, Last: last})
				out[i].Direct += last - d.direct[j]
			}
		}
		d.direct[j] = last
	}
	return out
}

func (d *dirt) sums() (out []ledger.DirtierSum, overlaps, targets uint64) {
	if d.group == nil {
		return nil, 0, 0
	}
	for _, s := range d.group.Stats() {
		var errs uint64
		for e, n := range s.Errnos {
			if int(e) != 5 || !s.Kind.Syncs() {
				errs += n
			}
		}
		out = append(out, ledger.DirtierSum{Kind: s.Kind.String(), Count: s.Dirtiers, Operations: s.Operations, Overlaps: s.Overlaps, Targets: s.Targets, Faults: s.Faults, Errors: errs})
		if s.Kind.Dirties() {
			overlaps += s.Overlaps
			targets += s.Targets
		}
	}
	return out, overlaps, targets
}
