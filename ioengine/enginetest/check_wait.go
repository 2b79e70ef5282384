package enginetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

// checkBackPressure: depth requests, and not one more, are accepted until a
// completion was reaped.
func checkBackPressure(k *kit) error {
	const depth = 4
	return k.with(depth, 1, 16, func(r *rig) error {
		for round := range 3 {
			var reqs []ioengine.Request
			for i := range depth + 1 {
				reqs = append(reqs, r.write(uint64(round*10+i), i, 0, i, uint64(i)))
			}
			n, err := r.eng.Submit(reqs)
			if n != depth || err != nil {
				return fmt.Errorf("submit of %d: %d, %v; want %d, nil", len(reqs), n, err, depth)
			}
			for range 3 {
				if n, err := r.eng.Submit(reqs[depth:]); n != 0 || err != nil {
					return fmt.Errorf("submit to a full engine: %d, %v; want 0, nil", n, err)
				}
			}
			// Completed but not reaped is still in flight.
			time.Sleep(20 * time.Millisecond)
			if n, err := r.eng.Submit(reqs[depth:]); n != 0 || err != nil {
				return fmt.Errorf("submit with %d not reaped: %d, %v; want 0, nil", depth, n, err)
			}
			one := make([]ioengine.Completion, 1)
			if n, err := r.eng.Reap(one, 1, r.patience); n != 1 || err != nil {
				return fmt.Errorf("reap of one: %d, %v", n, err)
			}
			if n, err := r.eng.Submit(reqs[depth:]); n != 1 || err != nil {
				return fmt.Errorf("submit after one was reaped: %d, %v; want 1, nil", n, err)
			}
			if n, err := r.eng.Reap(r.cqes, depth, r.patience); n != depth || err != nil {
				return fmt.Errorf("reap of the rest: %d, %v; want %d, nil", n, err, depth)
			}
		}
		return r.quiet()
	})
}

// checkMin: Reap returns at least min, at most what dst holds, and loses
// nothing in between.
func checkMin(k *kit) error {
	return k.with(16, 1, 16, func(r *rig) error {
		if n, err := r.eng.Reap(nil, 0, 0); n != 0 || err != nil {
			return fmt.Errorf("reap into nothing: %d, %v", n, err)
		}
		if n, err := r.eng.Submit(nil); n != 0 || err != nil {
			return fmt.Errorf("submit of nothing: %d, %v", n, err)
		}
		for _, min := range []int{1, 3, 7, 16} {
			var reqs []ioengine.Request
			for i := range 16 {
				reqs = append(reqs, r.write(uint64(i), i, 0, i, uint64(i)))
			}
			if err := r.submitAll(reqs, func(c ioengine.Completion) error { return fmt.Errorf("early %+v", c) }); err != nil {
				return err
			}
			n, err := r.eng.Reap(r.cqes, min, 0) // no timeout
			if err != nil || n < min {
				return fmt.Errorf("reap of at least %d: %d, %v", min, n, err)
			}
			seen := map[uint64]bool{}
			for _, c := range r.cqes[:n] {
				if seen[c.Tag] {
					return fmt.Errorf("second completion %+v", c)
				}
				seen[c.Tag] = true
			}
			for len(seen) < 16 {
				want, min := 2, 5 // min is lowered to what dst holds
				if len(seen) == 15 {
					want, min = 1, 1
				}
				n, err := r.eng.Reap(r.cqes[:2], min, r.patience)
				if err != nil || n != want {
					return fmt.Errorf("reap of %d into 2 with %d left: %d, %v; want %d", min, 16-len(seen), n, err, want)
				}
				for _, c := range r.cqes[:n] {
					if seen[c.Tag] {
						return fmt.Errorf("second completion %+v", c)
					}
					seen[c.Tag] = true
				}
			}
		}
		return r.quiet()
	})
}

// bombard sends SIGURG, which the Go runtime takes for a preemption, to this
// thread until stop is called. sent tells how many so far.
func bombard(every time.Duration) (sent func() int, stop func()) {
	pid, tid := unix.Getpid(), unix.Gettid()
	var wg sync.WaitGroup
	done := make(chan struct{})
	var count atomic.Int64
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-done:
				return
			default:
			}
			if unix.Tgkill(pid, tid, unix.SIGURG) == nil {
				count.Add(1)
			}
			time.Sleep(every)
		}
	}()
	return func() int { return int(count.Load()) }, func() { close(done); wg.Wait() }
}

// checkTimeout: a wait for what does not come lasts as long as it was told to,
// however often it is interrupted.
func checkTimeout(k *kit) error {
	return k.with(4, 1, 4, func(r *rig) error {
		const timeout, slack = 150 * time.Millisecond, 2 * time.Second
		for _, signals := range []bool{false, true} {
			sent, stop := func() int { return 1 }, func() {}
			if signals {
				sent, stop = bombard(200 * time.Microsecond)
			}
			start := time.Now()
			n, err := r.eng.Reap(r.cqes, 1, timeout)
			took := time.Since(start)
			stop()
			if sent() == 0 {
				return fmt.Errorf("no signal was sent: nothing is shown")
			}
			if n != 0 || err != nil {
				return fmt.Errorf("reap with nothing in flight: %d, %v", n, err)
			}
			if took < timeout || took > timeout+slack {
				return fmt.Errorf("a wait of %v took %v (signals: %v)", timeout, took, signals)
			}
		}
		start := time.Now()
		for range 100 {
			if n, err := r.eng.Reap(r.cqes, 0, time.Hour); n != 0 || err != nil {
				return fmt.Errorf("a look with nothing in flight: %d, %v", n, err)
			}
		}
		if took := time.Since(start); took > slack {
			return fmt.Errorf("100 looks took %v: they waited", took)
		}
		return nil
	})
}

// checkWaitUnderSignals: interrupted waits neither lose nor invent.
func checkWaitUnderSignals(k *kit) error {
	return k.with(16, 1, 64, func(r *rig) error {
		const enough = 200
		sent, stop := bombard(100 * time.Microsecond)
		give := time.Now().Add(r.patience)
		var err error
		for round := 0; err == nil && (round < 100 || sent() < enough); round++ {
			if err = r.signalRound(round); err == nil && time.Now().After(give) {
				err = fmt.Errorf("only %d signals were sent within %v: nothing is shown", sent(), r.patience)
			}
		}
		stop()
		if err != nil {
			return err
		}
		return r.quiet()
	})
}

func (r *rig) signalRound(round int) error {
	var reqs []ioengine.Request
	for i := range 16 {
		reqs = append(reqs, r.write(uint64(round)<<8|uint64(i), i, 0, i, uint64(round+i)))
	}
	seen := 0
	if err := r.submitAll(reqs, func(ioengine.Completion) error { seen++; return nil }); err != nil {
		return err
	}
	n, err := r.eng.Reap(r.cqes, 16-seen, r.patience)
	if err != nil || n+seen != 16 {
		return fmt.Errorf("round %d: reap of %d: %d, %v", round, 16-seen, n, err)
	}
	tags := map[uint64]bool{}
	for _, c := range r.cqes[:n] {
		tags[c.Tag] = true
	}
	if len(tags) != n {
		return fmt.Errorf("round %d: %d completions for %d requests", round, n, len(tags))
	}
	return full(r.cqes[:n])
}

// checkSubmitReap: the combined call keeps the contract of both parts.
func checkSubmitReap(k *kit) error {
	return k.with(8, 1, 16, func(r *rig) error {
		both, ok := r.eng.(ioengine.SubmitReaper)
		if !ok {
			return nil // optional
		}
		seen, sent := map[uint64]bool{}, 0
		take := func(n int) error {
			for _, c := range r.cqes[:n] {
				if seen[c.Tag] {
					return fmt.Errorf("second completion %+v", c)
				}
				seen[c.Tag] = true
			}
			return full(r.cqes[:n])
		}
		for round := range 200 {
			var reqs []ioengine.Request
			for i := range 1 + round%8 {
				reqs = append(reqs, r.write(uint64(round)<<8|uint64(i), i, 0, i, uint64(round<<8+i)))
			}
			s, n, err := both.SubmitReap(reqs, r.cqes, len(reqs), r.patience)
			if err != nil || s != len(reqs) || n != len(reqs) {
				return fmt.Errorf("round %d: %d requests: %d, %d, %v", round, len(reqs), s, n, err)
			}
			sent += s
			if err := take(n); err != nil {
				return err
			}
			for i := range reqs {
				if err := stampedOnce(r, round, i); err != nil {
					return err
				}
			}
		}
		if len(seen) != sent {
			return fmt.Errorf("%d completions of %d requests", len(seen), sent)
		}
		return r.combinedEdges(both)
	})
}

// stampedOnce reads back one block in a few of the rounds.
func stampedOnce(r *rig, round, i int) error {
	if round%16 != 7 {
		return nil
	}
	return r.holds(0, i, uint64(round<<8+i))
}

func (r *rig) combinedEdges(both ioengine.SubmitReaper) error {
	_, stop := bombard(200 * time.Microsecond)
	start := time.Now()
	s, n, err := both.SubmitReap(nil, r.cqes, 1, 100*time.Millisecond)
	took := time.Since(start)
	stop()
	if s != 0 || n != 0 || err != nil || took < 100*time.Millisecond || took > 2*time.Second {
		return fmt.Errorf("a wait of 100ms with nothing in flight: %d, %d, %v after %v", s, n, err, took)
	}
	// A wait for more than there is ends with the timeout and what there is.
	start = time.Now()
	s, n, err = both.SubmitReap([]ioengine.Request{r.write(1, 0, 0, 0, 1)}, r.cqes, 2, 100*time.Millisecond)
	if took = time.Since(start); s != 1 || n != 1 || err != nil || took < 100*time.Millisecond {
		return fmt.Errorf("a wait for 2 of 1: %d, %d, %v after %v", s, n, err, took)
	}
	// Back-pressure: nine into eight; the wait is for what is in flight.
	var reqs []ioengine.Request
	for i := range 9 {
		reqs = append(reqs, r.write(uint64(100+i), i, 0, i, uint64(i)))
	}
	start = time.Now()
	s, n, err = both.SubmitReap(reqs, r.cqes, 9, r.patience)
	if took = time.Since(start); s != 8 || n != 8 || err != nil || took > r.patience/2 {
		return fmt.Errorf("9 requests at depth 8: %d, %d, %v after %v; want 8, 8, nil at once", s, n, err, took)
	}
	// min 0 does not wait, and a small dst loses nothing.
	s, n, err = both.SubmitReap(reqs[:8], r.cqes[:1], 0, r.patience)
	if s != 8 || n > 1 || err != nil {
		return fmt.Errorf("8 requests, room for 1: %d, %d, %v", s, n, err)
	}
	left := 8 - n
	s, n, err = both.SubmitReap(nil, r.cqes, left, r.patience)
	if s != 0 || n != left || err != nil {
		return fmt.Errorf("the %d left: %d, %d, %v", left, s, n, err)
	}
	// A request that no engine takes.
	bad := r.write(5, 0, 0, 0, 1)
	bad.File = 9
	s, n, err = both.SubmitReap([]ioengine.Request{r.write(4, 1, 0, 1, 1), bad}, r.cqes, 1, r.patience)
	if s != 1 || err == nil {
		return fmt.Errorf("a bad request behind a good one: %d, %d, %v; want 1 and an error", s, n, err)
	}
	if n == 0 {
		if n, err := r.eng.Reap(r.cqes, 1, r.patience); n != 1 || err != nil {
			return fmt.Errorf("reap of the good one: %d, %v", n, err)
		}
	}
	return r.quiet()
}
