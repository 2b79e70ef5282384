package enginetest

import (
	"errors"
	"fmt"
	"math"

	"diostress/ioengine"
)

func checkOptions(k *kit) error {
	fd, err := k.file(1)
	if err != nil {
		return err
	}
	for _, depth := range []int{-1, 0, ioengine.MaxDepth + 1} {
		arena := make([]byte, blockSize) // never lent: the engine must not open
		eng, err := k.open(ioengine.Options{Files: []int{fd}, Depth: depth, Arena: arena, BufSize: blockSize})
		if err == nil {
			return errors.Join(fmt.Errorf("depth %d was accepted", depth), eng.Close())
		}
		if errors.Is(err, ioengine.ErrUnsupported) {
			return fmt.Errorf("depth %d: %w: a wrong option is no lack of this machine", depth, err)
		}
		if eng != nil {
			return fmt.Errorf("depth %d: an error and an engine too", depth)
		}
	}
	r, err := k.rigOn(1, fd)
	if err != nil {
		return err
	}
	if d, ok := r.eng.(ioengine.Describer); ok {
		for _, f := range d.Features() {
			if f == "" {
				err = errors.New("an empty feature name")
			}
		}
	}
	return errors.Join(err, r.close())
}

// checkExactlyOnce: every request completes once, with its own result.
func checkExactlyOnce(k *kit) error {
	return k.with(32, 1, 64, func(r *rig) error {
		for round := range 16 {
			var reqs []ioengine.Request
			for i := range 32 {
				reqs = append(reqs, r.write(uint64(round)<<32|uint64(i), i, 0, i*2, uint64(round*32+i)))
			}
			done, err := r.do(reqs...)
			if err != nil {
				return err
			}
			if err := full(done); err != nil {
				return err
			}
		}
		if err := r.quiet(); err != nil {
			return err
		}
		for i := range 32 {
			if err := r.holds(0, i*2, uint64(15*32+i)); err != nil {
				return err
			}
		}
		return nil
	})
}

func checkTags(k *kit) error {
	return k.with(8, 1, 8, func(r *rig) error {
		var reqs []ioengine.Request
		for i, tag := range []uint64{0, 1, math.MaxUint64, math.MaxUint64 - 1, 1 << 63, math.MaxUint32, 0xdeadbeef00000000, uint64(uintptr(r.ptr(0)))} {
			reqs = append(reqs, r.write(tag, i, 0, i, tag))
		}
		done, err := r.do(reqs...)
		if err != nil {
			return err
		}
		return full(done)
	})
}

// checkFiles: Request.File picks the file, Off the place, Buf the data.
func checkFiles(k *kit) error {
	const files, blocks = 5, 8
	return k.with(files, files, blocks, func(r *rig) error {
		for b := range blocks {
			var reqs []ioengine.Request
			for f := range files {
				reqs = append(reqs, r.write(uint64(f), (f+b)%(2*files), f, b, uint64(1+f*blocks+b)))
			}
			done, err := r.do(reqs...)
			if err != nil {
				return err
			}
			if err := full(done); err != nil {
				return err
			}
		}
		for f := range files {
			for b := range blocks {
				if err := r.holds(f, b, uint64(1+f*blocks+b)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// checkDataBeforeCompletion: once the completion is there the data is, and
// what becomes of the buffer is no longer the kernel's business.
func checkDataBeforeCompletion(k *kit) error {
	return k.with(4, 1, 64, func(r *rig) error {
		for i := range 64 {
			done, err := r.do(r.write(uint64(i), i%4, 0, i, uint64(i)))
			if err != nil {
				return err
			}
			if err := full(done); err != nil {
				return err
			}
			if err := r.holds(0, i, uint64(i)); err != nil {
				return fmt.Errorf("right after the completion: %w", err)
			}
			fill(r.buf(i%4), ^uint64(i))
			if err := r.quiet0(); err != nil {
				return err
			}
			if err := r.holds(0, i, uint64(i)); err != nil {
				return fmt.Errorf("after the buffer was used again: %w", err)
			}
		}
		return nil
	})
}

// quiet0 looks without waiting.
func (r *rig) quiet0() error {
	return r.reap(0, 0, func(c ioengine.Completion) error {
		return fmt.Errorf("completion %+v with nothing in flight", c)
	})
}

// checkSoak: random blocks, batches and waits, no two requests on one block.
func checkSoak(k *kit) error {
	const depth, blocks = 32, 1024
	return k.with(depth, 1, blocks, func(r *rig) error {
		s := soak{rig: r, block: make([]int, depth), gen: make([]uint64, blocks), busy: make([]bool, blocks), tag: make([]uint64, depth)}
		for i := range depth {
			s.free = append(s.free, i)
		}
		if err := s.run(); err != nil {
			return fmt.Errorf("after %d requests: %w", s.done, err)
		}
		if err := r.quiet(); err != nil {
			return err
		}
		for b, gen := range s.gen {
			if gen == 0 {
				continue
			}
			if err := r.holds(0, b, s.stamp(b)); err != nil {
				return err
			}
		}
		return nil
	})
}

type soak struct {
	*rig
	free  []int
	block []int    // by slot; -1: fsync
	tag   []uint64 // by slot; 0: free
	gen   []uint64 // by block
	busy  []bool   // by block
	reqs  []ioengine.Request
	sent  int
	done  int
}

func (s *soak) stamp(block int) uint64 { return uint64(block)<<32 | s.gen[block] }

func (s *soak) run() error {
	for s.done < s.soak {
		for want := int(s.rng.below(16)); want > 0 && len(s.free) > 0 && s.sent < s.soak; want-- {
			s.offer()
		}
		n, err := s.eng.Submit(s.reqs)
		if err != nil {
			return err
		}
		s.reqs = s.reqs[:copy(s.reqs, s.reqs[n:])]
		live := len(s.tag) - len(s.free) - len(s.reqs)
		least := int(s.rng.below(uint64(live) + 1))
		if s.sent == s.soak || len(s.free) == 0 {
			least = min(1, live)
		}
		before := s.done
		if err := s.reap(least, s.patience, s.complete); err != nil {
			return err
		}
		if s.done-before < least {
			return fmt.Errorf("%d of %d completions within %v", s.done-before, least, s.patience)
		}
	}
	return nil
}

func (s *soak) offer() {
	slot := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.sent++
	tag := s.rng.next()<<8 | uint64(slot) | 1<<63
	s.tag[slot] = tag
	if s.rng.below(5000) == 0 {
		s.block[slot] = -1
		s.reqs = append(s.reqs, ioengine.Request{Tag: tag, Op: ioengine.OpFsync})
		return
	}
	b := int(s.rng.below(uint64(len(s.busy))))
	for s.busy[b] {
		b = (b + 1) % len(s.busy)
	}
	s.busy[b] = true
	s.gen[b]++
	s.block[slot] = b
	s.reqs = append(s.reqs, s.write(tag, slot, 0, b, s.stamp(b)))
}

func (s *soak) complete(c ioengine.Completion) error {
	slot := int(c.Tag & 0xff)
	if slot >= len(s.tag) || s.tag[slot] != c.Tag {
		return fmt.Errorf("stray or second completion %+v", c)
	}
	want := int64(blockSize)
	if s.block[slot] < 0 {
		want = 0
	} else {
		s.busy[s.block[slot]] = false
	}
	if c.Res != want || c.Res2 != 0 || c.Flags != 0 {
		return fmt.Errorf("completion %+v, want Res %d, Res2 0, Flags 0", c, want)
	}
	s.tag[slot] = 0
	s.free = append(s.free, slot)
	s.done++
	return nil
}
