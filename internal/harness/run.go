package harness

import (
	"context"
	"errors"
	"fmt"
	"time"

	"diostress/internal/kernel"
	"diostress/internal/ledger"
	"diostress/internal/pattern"
	"diostress/internal/plan"
	"diostress/ioengine"
)

// Run carries out one run and hands everything that happened to the sink,
// beginning with the header and ending with the trailer. It returns an error
// only for what kept the run from starting (ErrUnsupported, or what broke);
// what breaks later stands in the trailer.
func Run(ctx context.Context, s Setup) (err error) {
	r := &run{Setup: s, plan: s.Plan, cfg: &s.Plan.Config, rounds: make(chan struct{}, 1)}
	if r.Live == nil {
		r.Live = &Live{}
	}
	if r.clock, err = kernel.NewClock(); err != nil {
		return err
	}
	defer quietRuntime(r.cfg)()
	if err := r.openFiles(); err != nil {
		return err
	}
	defer r.closeFiles()
	if r.obs, err = newObserver(r); err != nil {
		return err
	}
	defer r.obs.close()
	r.places.Store(newPlaces(&r.cfg.Strategy))
	r.dog = newWatchdog(r)
	r.dirt = newDirt(r)
	r.rec = newRecorder(r)
	if r.reader, err = r.newReader(); err != nil {
		return err
	}
	defer r.reader.buf.free()
	r.makeWorkers()
	if err := r.startWorkers(); err != nil {
		return err
	}
	r.startNS = r.clock.Now()
	r.header()
	if err := r.baselines(); err != nil {
		r.trailer.Broken = err.Error()
	}
	r.Live.run.Store(r)
	defer r.Live.run.Store(nil)
	r.steer(ctx)
	return nil
}

func (r *run) makeWorkers() {
	for j := range r.cfg.NumJobs {
		w := &worker{
			r: r, job: j, bs: r.cfg.BS, control: newControl(), stream: r.plan.Stream(j),
			acct: ledger.NewAccount(j, r.cfg.IODepth, r.cfg.BS, r.sizes()),
			key:  pattern.NewKey(r.cfg.Seed), writer: pattern.Direct(j), stamp: r.cfg.Verify == "full" && r.cfg.Buffer != plan.BufferZero,
			table: r.dirt.table(j), cqes: make([]ioengine.Completion, r.cfg.IODepth), pub: make([]pubSlot, r.cfg.IODepth), tries: make([]uint16, r.cfg.IODepth),
			reqs: make([]ioengine.Request, 0, r.cfg.IODepth),
		}
		w.acct.NoLegal = r.cfg.Verify != "full"
		for i := r.cfg.IODepth - 1; i >= 0; i-- {
			w.free = append(w.free, i)
		}
		if r.cfg.DSync {
			w.flags = rwfDSync
		}
		if r.cfg.Audit {
			w.audit = &auditor{}
		}
		if r.cfg.Dirties("mmap", "write") {
			w.hold = r.cfg.Strategy.Hold
		}
		if r.rec.wantsEntries() {
			w.ring = ledger.NewRing(1 << 15)
			r.rec.rings = append(r.rec.rings, w.ring)
		}
		r.workers = append(r.workers, w)
	}
}

const rwfDSync = 2 // RWF_DSYNC, include/uapi/linux/fs.h

func (r *run) startWorkers() error {
	var first error
	for _, w := range r.workers {
		var err error
		if w.bufs, err = r.newBuffers(w.job); err != nil {
			return err
		}
		if w.look, err = r.newLooker(); err != nil {
			return err
		}
		if r.cfg.Fresh() {
			w.round = w.stream.Round()
		}
		go w.startPaused()
		if err := <-w.ready; err != nil && first == nil {
			first = fmt.Errorf("%s: %w", r.Engine, err)
			if errors.Is(err, ioengine.ErrUnsupported) {
				first = fmt.Errorf("%w: %w", ErrUnsupported, err)
			}
		} else if err == nil {
			w.alive = true
			<-w.parked
		}
	}
	if first != nil {
		r.endWorkers()
	}
	return first
}

// endWorkers ends the threads of workers that are parked or about to be.
func (r *run) endWorkers() {
	for _, w := range r.workers {
		if !w.alive {
			continue
		}
		w.want.Store(cmdStop)
		select {
		case w.resume <- false:
		case <-w.done:
		}
		<-w.done
		w.freeBuffers()
	}
}

func (r *run) header() {
	h := r.Header
	h.Format, h.Run, h.Engine, h.Config, h.Files = ledger.Format, r.Setup.Run, r.Engine, *r.cfg, r.plan.Files
	h.StartNS, h.EntriesIn = r.startNS, r.Entries
	h.Facts = r.Facts
	r.obs.facts(&h.Facts)
	h.Facts.ClockErrNS = int64(r.clock.Bound())
	h.Facts.LateReapNS = int64(r.Late)
	r.rec.put(&h)
}

func (r *run) baselines() error {
	for _, f := range r.files {
		if err := r.baseline(f); err != nil {
			return err
		}
	}
	return nil
}

// steer runs the epochs until the time is up, then winds the run up.
func (r *run) steer(ctx context.Context) {
	t := &r.trailer
	t.TaintBefore = r.obs.taintBefore
	go r.rec.main()
	go r.dog.main()
	if err := r.dirt.start(); err != nil {
		t.Broken = "dirtiers: " + err.Error()
	}
	r.dirt.ranges()
	r.series.begin(r)
	r.Live.CollisionsKnown.Store(r.obs.count(kernel.InvalidateFail).Known)
	left := r.cfg.Runtime
	r.Live.StartNS.Store(r.startNS)
	r.Live.DeadlineNS.Store(r.startNS + int64(left))
	r.goOn(true)
	for t.Broken == "" {
		began := r.clock.Now()
		stop := r.wait(ctx, min(left, r.nextEpoch()))
		left -= time.Duration(r.clock.Now() - began)
		if err := r.quiesce(); err != nil {
			r.failed(err)
			break
		}
		if stop || left <= 0 {
			break
		}
		if err := r.renew(); err != nil {
			r.failed(err)
			break
		}
		r.dirt.resume()
		r.goOn(true)
	}
	t.Interrupted = ctx.Err() != nil
	r.windUp()
}

// failed notes why the run ended before its time.
func (r *run) failed(err error) {
	for _, w := range r.workers {
		if w.err != nil {
			r.trailer.Broken = w.err.Error()
			return
		}
	}
	if !errors.Is(err, errStuck) || !r.dog.hasBitten() {
		r.trailer.Broken = err.Error()
	}
}

// wait lets the epoch run; true ends the run.
func (r *run) wait(ctx context.Context, span time.Duration) bool {
	began := time.Now()
	until := began.Add(span)
	end := time.NewTimer(span)
	defer end.Stop()
	tick := time.NewTicker(r.series.every)
	defer tick.Stop()
	follow := time.NewTicker(followEvery)
	defer follow.Stop()
	for {
		select {
		case <-ctx.Done():
			return true
		case <-r.dog.stuck:
			return true
		case <-end.C:
			return false
		case <-r.rounds:
			// The files are full: what comes now is no first write any more.
			end.Reset(max(0, min(time.Until(until), time.Until(began.Add(r.leastEpoch())))))
		case <-follow.C:
			r.follow()
		case <-tick.C:
			r.series.sample(r)
			for _, w := range r.workers {
				select {
				case <-w.done:
					return true
				default:
				}
			}
		}
	}
}
