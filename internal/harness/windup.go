package harness

import (
	"context"
	"fmt"
	"time"

	"diostress/internal/ledger"

	"golang.org/x/sys/unix"
)

// windUp stops everything, reads what can only be read at the end, and hands
// over the trailer.
func (r *run) windUp() {
	t := &r.trailer
	r.series.sample(r)
	if err := r.dirt.stop(); err != nil && r.dog.found == nil && t.Broken == "" {
		t.Broken = err.Error()
	}
	r.goOn(false)
	t.Drained = true
	for _, w := range r.workers {
		select {
		case <-w.done:
			w.freeBuffers()
		case <-r.dog.stuck:
			select {
			case <-w.done:
			case <-time.After(2 * time.Second):
				t.Drained = false
			}
		}
	}
	t.Stuck = r.dog.close()
	if t.Stuck == nil {
		t.SyncFSErrno, t.SyncFSKnown = r.obs.syncFS(r.files)
	}
	r.rec.close()
	if r.rec.attr != nil {
		for _, e := range r.rec.attr.Finish() {
			r.rec.put(&ledger.Note{TimeNS: e.SubmitNS, Source: "trace", Class: "early", File: int(e.File), Off: e.Off, Gen: e.Gen,
				Text: fmt.Sprintf("generation %d was reaped %.3f ms before the kernel completed it", e.Gen, float64(e.SubmitNS-e.ReapNS)/1e6)})
		}
	}
	r.sums()
	if t.Stuck == nil {
		r.remount()
	}
	r.obs.finish(t)
	t.EndNS = r.clock.Now()
	r.rec.put(t)
}

// sums fills in the account of every job.
func (r *run) sums() {
	t := &r.trailer
	var attrs []ledger.AttrSum
	if r.rec.attr != nil {
		attrs = r.rec.attr.PerJob(len(r.workers))
	}
	for _, w := range r.workers {
		if w.err != nil && t.Broken == "" {
			t.Broken = w.err.Error()
		}
		a := w.acct
		j := ledger.JobSum{Pending: a.Close(), RunNS: w.activeNS, UserNS: w.userNS, SysNS: w.sysNS}
		j.Counts, j.Unusual = a.C, a.Unusual
		j.Slat, j.Clat, j.Lat = a.Slat.Sum(), a.Clat.Sum(), a.Lat.Sum()
		for i := range j.Pending {
			r.rec.put(&j.Pending[i])
		}
		if len(j.Pending) > 0 {
			t.Drained = false
		}
		j.PreWrite = r.obs.preWrite(w.job)
		if w.audit != nil {
			j.PostAudit = w.audit.post
		}
		if at := r.rec.attr; at != nil {
			j.Attr = attrs[w.job]
			if w.job == 0 {
				// The distributions are those of all jobs together.
				j.LatDirect, j.LatCollide = at.LatDirect.Sum(), at.LatCollided.Sum()
				t.Offsets = at.Offsets
			}
		} else {
			j.Attr.Unknown = a.C.Completed
		}
		if w.ring != nil {
			t.LogDropped += w.ring.Dropped()
		}
		t.OnlineReads += w.look.reads
		t.Work.FirstWrites += w.look.sum.FirstWrites
		t.Work.Extensions += w.look.sum.Extensions
		t.Work.SizeChecks += w.look.sum.SizeChecks
		t.Work.Unmapped += w.look.sum.Unmapped
		t.Jobs = append(t.Jobs, j)
	}
	t.Fsync = ledger.SyncSum{Calls: r.rec.calls, EIO: r.rec.eio}
	t.Dirtiers, t.Overlaps, t.Targets = r.dirt.sums()
	t.RetryWanted = r.cfg.Retry
	t.Series = r.series.list
}

// remount unmounts a file system of our own, checks it, mounts it again and
// reads every file once more: what comes now is on the disk for certain.
func (r *run) remount() {
	t := &r.trailer
	if r.Bed == nil || !r.Bed.CanRemount() {
		return
	}
	r.closeDescriptors()
	fail := func(what string, err error) {
		if t.Broken == "" {
			t.Broken = what + ": " + err.Error()
		}
	}
	if err := r.Bed.Unmount(); err != nil {
		fail("unmount", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	res, err := r.Bed.Fsck(ctx)
	if err == nil && res.Unreplayed && r.Bed.Remount() == nil {
		// Mounting replays the journal; only then is there something to check.
		if err = r.Bed.Unmount(); err == nil {
			res, err = r.Bed.Fsck(ctx)
		}
	}
	t.Fsck = ledger.FsckSum{Ran: res.Ran, Clean: res.Clean, Exit: res.ExitCode, Why: res.Why}
	if err != nil {
		t.Fsck.Why = err.Error()
	}
	if !res.Clean {
		t.Fsck.Output = tail(res.Output, 4000)
	}
	if err := r.Bed.Remount(); err != nil {
		fail("mount again", err)
		return
	}
	if r.cfg.Verify != "full" || t.Broken != "" {
		return
	}
	for _, f := range r.files {
		fd, err := unix.Open(f.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			fail("open "+f.path+" after mounting again", err)
			return
		}
		r.reader.file(f, fd, ledger.Remount, true)
		unix.Close(fd)
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// series is the run in intervals.
type series struct {
	every time.Duration
	list  []ledger.SampleSum
	last  ledger.SampleSum
}

const maxSamples = 600

func (s *series) begin(r *run) {
	s.every = max(200*time.Millisecond, r.cfg.Runtime/maxSamples)
}

func (s *series) sample(r *run) {
	now := ledger.SampleSum{TimeNS: r.clock.Now() - r.startNS, FsyncEIO: r.Live.FsyncEIO.Load()}
	for _, w := range r.workers {
		now.Writes += w.completed.Load()
		now.Bytes += w.bytes.Load()
		now.MaxLatNS = max(now.MaxLatNS, w.maxLat.Swap(0))
	}
	now.Collisions = r.obs.collisions()
	r.Live.Completed.Store(now.Writes)
	r.Live.Bytes.Store(now.Bytes)
	r.Live.Collisions.Store(now.Collisions)
	d := now
	d.Writes -= s.last.Writes
	d.Bytes -= s.last.Bytes
	d.Collisions -= s.last.Collisions
	d.FsyncEIO -= s.last.FsyncEIO
	s.last = now
	if len(s.list) < 2*maxSamples {
		s.list = append(s.list, d)
	}
}
