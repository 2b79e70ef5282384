package harness

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"diostress/internal/ledger"
	"diostress/internal/plan"
)

// errStuck ends a run whose writes do not come back.
var errStuck = errors.New("stuck")

// quiesce brings everything to rest, samples every description until it has
// nothing more to say, closes the epoch and reads the files back. Dirtiers and
// workers stand still when it returns nil.
func (r *run) quiesce() error {
	if !r.pause() {
		return fmt.Errorf("%w: an engine thread did not come to rest", errStuck)
	}
	if err := r.dirt.pause(); err != nil {
		return fmt.Errorf("%w: %w", errStuck, err)
	}
	if err := r.sampleAll(); err != nil {
		return err
	}
	if r.cfg.Retry > 0 {
		if err := r.retryPaused(); err != nil {
			return err
		}
	}
	if err := r.settleSizes(); err != nil {
		return err
	}
	r.rec.settle()
	r.rec.rest()
	r.rec.put(&ledger.Epoch{N: r.epoch, BeginNS: r.epochNS(), EndNS: r.clock.Now(), Files: r.dirt.ranges(), Drained: true})
	if r.cfg.Verify == "full" {
		if err := r.readAll(); err != nil {
			return err
		}
	}
	r.epoch++
	return nil
}

func (r *run) epochNS() int64 {
	at := r.startNS
	if r.lastEpochNS != 0 {
		at = r.lastEpochNS
	}
	r.lastEpochNS = r.clock.Now()
	return at
}

// sampleAll fsyncs the witness of every file, and the direct descriptor, until
// they return 0, at most a few times: EIO again without a cause in between is
// for the oracle to see.
func (r *run) sampleAll() error {
	// The trace names the thread that made a call.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tid := int32(unix.Gettid())
	for _, f := range r.files {
		for range 4 {
			s, err := f.witness.Sample()
			if err != nil {
				return err
			}
			r.rec.sync(ledger.Sync{Call: "fsync", FD: f.index, File: f.index, BeginNS: s.BeginNS, EndNS: s.EndNS, Errno: int(s.Errno), Quiesced: true, Witness: true, TID: tid})
			if s.Errno == 0 {
				break
			}
		}
		for range 4 {
			begin := r.clock.Now()
			errno := fsync(f.direct)
			r.rec.sync(ledger.Sync{Call: "fsync", FD: directFD + f.index, File: f.index, BeginNS: begin, EndNS: r.clock.Now(), Errno: errno, Quiesced: true, TID: tid})
			if errno == 0 {
				break
			}
		}
	}
	return nil
}

func fsync(fd int) int {
	for {
		err := unix.Fsync(fd)
		if err == unix.EINTR {
			continue
		}
		if e, ok := err.(unix.Errno); ok {
			return int(e)
		}
		return 0
	}
}

// retryPaused submits the collided writes that kept colliding again, with the
// dirtiers paused and the files synced.
func (r *run) retryPaused() error {
	for range r.cfg.Retry + 1 {
		r.rec.settle()
		todo := r.rec.takeGaveUp()
		if len(todo) == 0 {
			return nil
		}
		for job, list := range todo {
			w := r.workers[job]
			select {
			case w.orders <- list:
			case <-w.done:
				return nil
			}
			select {
			case <-w.acks:
			case <-w.done:
				return nil
			case <-r.dog.stuck:
				return errStuck
			}
		}
		if err := r.sampleAll(); err != nil {
			return err
		}
	}
	return nil
}

// jobOf says which job writes a block.
func (r *run) jobOf(w plan.Write) int {
	f := r.plan.Files[w.File]
	if f.Role == plan.Main && r.cfg.Range == "shared" && !r.cfg.Audit {
		return int(w.Block % int64(r.cfg.NumJobs))
	}
	return f.Job
}

// nextEpoch returns how long the next epoch lasts: so long that reading back
// takes no more than a small part of the run.
func (r *run) nextEpoch() time.Duration {
	return max(r.cfg.Epoch, 25*r.readTook)
}

// leastEpoch returns how long an epoch lasts at least, even if the files are
// full before: no more than half of the time goes into reading back.
func (r *run) leastEpoch() time.Duration {
	return max(50*time.Millisecond, r.readTook)
}
