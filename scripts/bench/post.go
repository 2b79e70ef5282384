package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// post is post-write invalidation failures: our profile, which counts them
// write by write, the best of fio's job files, and large writes against
// buffered ones.
func (b *bench) post(ctx context.Context) error {
	seconds := max(b.window.Seconds()*float64(b.pairs)/4, 1)
	for _, engine := range engines {
		if !b.wants("post", b.fs, engine) {
			continue
		}
		s, err := b.finished(ctx, b.plain, engine, seconds, "--profile", "post")
		if err != nil {
			return err
		}
		p := s.DioStress.Runs[0].Collisions.PostWrite
		v := float64(p.Count) / (float64(s.Jobs[0].Write.Runtime) / 1000)
		best, name := 0.0, ""
		for _, j := range jobsNamed("collide-") {
			n, err := b.fioPost(ctx, j, engine)
			if err != nil {
				return err
			}
			if n >= best {
				best, name = n, j
			}
		}
		b.say("%s %s: %.0f post-write failures/s (%s, %s); fio's best %s %.0f", b.fs, engine, v, p.Fidelity, p.Source, name, best)
		b.t.add(row{what: fmt.Sprintf("post-write failures/s, profile post (%s); fio's best: %s (at least)", p.Fidelity, name), where: b.fs + " " + engine,
			ours: count(v), theirs: count(best), ratio: fmt.Sprintf("%.1f", v/max(best, 1)), goal: "2,000/s", ok: v >= 2000 && p.Fidelity == "exact"})
	}
	if !b.wants("post", b.fs, "libaio", "large writes") {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, self, "--large-writes", b.plain.dir, "--window", fmt.Sprintf("%.1fs", seconds)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("large writes: %w\n%s", err, out)
	}
	var writes, failed int
	var took float64
	if _, err := fmt.Sscan(strings.TrimSpace(string(out)), &writes, &failed, &took); err != nil {
		return fmt.Errorf("large writes said %q: %w", out, err)
	}
	b.t.add(row{what: fmt.Sprintf("post-write failures/s, 32 MiB AIO writes against write(2), as generic/208 (%d of %d writes)", failed, writes),
		where: b.fs + " libaio", theirs: fmt.Sprintf("%.1f", float64(failed)/took)})
	return nil
}

// fioPost looks at the errseq of fio's file, some thousand times a second,
// while fio runs: failures between two looks show as one.
func (b *bench) fioPost(ctx context.Context, job, engine string) (perSecond float64, err error) {
	r, err := b.start(ctx, b.fio(b.plain, job, engine, 0))
	if err != nil {
		return 0, err
	}
	defer r.end()
	fd, err := unix.Open(filepath.Join(b.plain.dir, "collide.dat"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var stop atomic.Bool
	seen := make(chan int, 1)
	go func() {
		n := 0
		for !stop.Load() {
			if errseq(fd) == unix.EIO {
				n++
			}
			time.Sleep(100 * time.Microsecond)
		}
		seen <- n
	}()
	f, err := b.look(ctx, r)
	stop.Store(true)
	return float64(<-seen) / max(f.seconds, 1e-9), err
}
