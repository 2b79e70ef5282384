package enginetest

import (
	"errors"
	"fmt"
	"os/signal"

	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

// sameAsKernel wants the engine to report what the kernel says to the same
// write made synchronously, and to go on working.
func (r *rig) sameAsKernel(q ioengine.Request) (int64, error) {
	want := kernelSays(r.opts.Files[q.File], q)
	got, err := r.verdict(q)
	if err != nil {
		return 0, err
	}
	if got != want {
		return got, fmt.Errorf("result %d, but pwritev2 says %d, to %+v", got, want, q)
	}
	return got, nil
}

// works wants a plain write to succeed.
func (r *rig) works(file int) error {
	done, err := r.do(r.write(1<<40, 0, file, 0, 0x77))
	if err != nil {
		return fmt.Errorf("a plain write afterwards: %w", err)
	}
	if err := full(done); err != nil {
		return fmt.Errorf("a plain write afterwards: %w", err)
	}
	return r.holds(file, 0, 0x77)
}

// checkMisaligned: the errno of the kernel, whatever this one makes of it
// (6.15 to 6.17 write such requests through the page cache).
func checkMisaligned(k *kit) error {
	return k.with(4, 1, 8, func(r *rig) error {
		off := r.write(1, 0, 0, 1, 1)
		off.Off++
		length := r.write(2, 0, 0, 1, 1)
		length.Len--
		for _, q := range []ioengine.Request{off, length} {
			if _, err := r.sameAsKernel(q); err != nil {
				return err
			}
		}
		return r.works(0)
	})
}

func checkReadOnly(k *kit) error {
	good, err := k.file(4)
	if err != nil {
		return err
	}
	ro, err := unix.Open(k.path(), unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	r, err := k.rigOn(4, good, ro)
	if err != nil {
		return err
	}
	return errors.Join(func() error {
		got, err := r.sameAsKernel(r.write(1, 0, 1, 1, 1))
		if err != nil {
			return err
		}
		if got != -int64(unix.EBADF) {
			return fmt.Errorf("a write to a read-only descriptor gave %d, want -EBADF", got)
		}
		// In a batch: what came before is done, what comes after can be.
		a, bad, b := r.write(2, 0, 0, 2, 22), r.write(3, 1, 1, 1, 1), r.write(4, 2, 0, 3, 33)
		if err := r.batchWithBad(a, bad, b); err != nil {
			return err
		}
		if err := errors.Join(r.holds(0, 2, 22), r.holds(0, 3, 33)); err != nil {
			return err
		}
		return r.works(0)
	}(), r.close())
}

// batchWithBad submits three at once, of which the second may be refused, then
// and there or in its completion.
func (r *rig) batchWithBad(reqs ...ioengine.Request) error {
	n, res := 0, map[uint64]int64{}
	reaped := func(c ioengine.Completion) error {
		if _, twice := res[c.Tag]; twice {
			return fmt.Errorf("second completion %+v", c)
		}
		res[c.Tag] = c.Res
		return nil
	}
	for tries := 0; n < len(reqs); tries++ {
		if tries > 10 {
			return fmt.Errorf("%d of %d accepted in %d calls", n, len(reqs), tries)
		}
		k, err := r.eng.Submit(reqs[n:])
		n += k
		if err != nil {
			if n != 1 {
				return fmt.Errorf("the error is about request %d, want 1: %w", n, err)
			}
			res[reqs[n].Tag] = -int64(unix.EBADF)
			n++
		}
	}
	for tries := 0; len(res) < len(reqs); tries++ {
		if tries > 100 {
			return fmt.Errorf("%d of %d results: %v", len(res), len(reqs), res)
		}
		if err := r.reap(1, r.patience/100, reaped); err != nil {
			return err
		}
	}
	for i, want := range []int64{blockSize, -int64(unix.EBADF), blockSize} {
		if got := res[reqs[i].Tag]; got != want {
			return fmt.Errorf("request %d of the batch: %d, want %d", i, got, want)
		}
	}
	return nil
}

func checkInvalid(k *kit) error {
	return k.with(4, 1, 4, func(r *rig) error {
		file := r.write(1, 0, 0, 1, 1)
		file.File = 7
		op := r.write(2, 0, 0, 1, 1)
		op.Op = 200
		for _, q := range []ioengine.Request{file, op} {
			if n, err := r.eng.Submit([]ioengine.Request{q}); n != 0 || err == nil {
				return fmt.Errorf("submit of %+v: %d, %v; want 0 and an error", q, n, err)
			}
		}
		// -1 would be the file position to some system calls.
		off := r.write(3, 0, 0, 1, 1)
		off.Off = -1
		n, err := r.eng.Submit([]ioengine.Request{off})
		if n == 0 && err == nil {
			return errors.New("a negative offset was called back-pressure")
		}
		if n == 1 {
			var res int64
			if err := r.reap(1, r.patience, func(c ioengine.Completion) error { res = c.Res; return nil }); err != nil {
				return err
			}
			if res >= 0 {
				return fmt.Errorf("a negative offset gave %d", res)
			}
		}
		if err := r.quiet(); err != nil {
			return err
		}
		return r.works(0)
	})
}

// checkFlags: RWFlags reach the kernel, and stay with their request.
func checkFlags(k *kit) error {
	const depth, blocks = 4, 8
	return k.with(depth, 1, blocks, func(r *rig) error {
		unknown := r.write(1, 0, 0, 1, 1)
		unknown.RWFlags = 1 << 30
		got, err := r.sameAsKernel(unknown)
		if err != nil {
			return err
		}
		if got >= 0 {
			return fmt.Errorf("an unknown flag gave %d, want an errno", got)
		}
		// RWF_APPEND shows in the file: the data goes to its end.
		end := blocks
		for i := range 2 * depth {
			q := r.write(uint64(10+i), i%depth, 0, 1, uint64(100+i))
			if i%2 == 0 {
				q.RWFlags = unix.RWF_APPEND
			}
			done, err := r.do(q)
			if err != nil {
				return err
			}
			if err := full(done); err != nil {
				return err
			}
			at := 1
			if i%2 == 0 {
				at, end = end, end+1
			}
			if err := r.holds(0, at, uint64(100+i)); err != nil {
				return fmt.Errorf("RWFlags %#x: %w", q.RWFlags, err)
			}
		}
		// All slots once without flags: none may be left over.
		for i := range 2 * depth {
			done, err := r.do(r.write(uint64(50+i), i%depth, 0, i%blocks, uint64(i)))
			if err != nil {
				return err
			}
			if err := full(done); err != nil {
				return err
			}
		}
		var st unix.Stat_t
		if err := unix.Fstat(r.opts.Files[0], &st); err != nil {
			return err
		}
		if st.Size != int64(end)*blockSize {
			return fmt.Errorf("file of %d bytes, want %d: a flag of an earlier request stuck", st.Size, end*blockSize)
		}
		return nil
	})
}

func checkDsync(k *kit) error {
	return k.with(4, 1, 8, func(r *rig) error {
		for i := range 8 {
			q := r.write(uint64(i), i%4, 0, i, uint64(i))
			q.RWFlags = unix.RWF_DSYNC
			done, err := r.do(q)
			if err != nil {
				return err
			}
			if err := errors.Join(full(done), r.holds(0, i, uint64(i))); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkFsync: it completes with 0 on a file, and with the kernel's errno where
// there is nothing to sync.
func checkFsync(k *kit) error {
	file, err := k.file(4)
	if err != nil {
		return err
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	r, err := k.rigOn(4, file, pipe[1], pipe[0])
	if err != nil {
		return err
	}
	return errors.Join(func() error {
		// The slots' last users had all fields set.
		for i := range 4 {
			q := r.write(uint64(i), i, 0, i, 9)
			q.RWFlags = unix.RWF_DSYNC
			if _, err := r.do(q); err != nil {
				return err
			}
		}
		for i := range 8 {
			got, err := r.verdict(ioengine.Request{Tag: uint64(i), Op: ioengine.OpFsync})
			if err != nil || got != 0 {
				return fmt.Errorf("fsync of a file: %d, %v; want 0", got, err)
			}
		}
		got, err := r.verdict(ioengine.Request{Tag: 9, Op: ioengine.OpFsync, File: 1})
		if err != nil || got != -int64(unix.EINVAL) {
			return fmt.Errorf("fsync of a pipe: %d, %v; want -EINVAL", got, err)
		}
		return r.works(0)
	}(), r.close())
}

// checkShortWrite: a write across RLIMIT_FSIZE is cut short (mm/filemap.c,
// generic_write_checks), and the count is reported as it is.
func checkShortWrite(k *kit) error {
	return k.with(4, 1, 1024, func(r *rig) (err error) {
		// What the kernel sends with -EFBIG; its default action is a core dump.
		signal.Ignore(unix.SIGXFSZ)
		defer signal.Reset(unix.SIGXFSZ)
		var old unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
			return err
		}
		const limit = 513 * blockSize
		lower := unix.Rlimit{Cur: limit, Max: old.Max}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &lower); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unix.Setrlimit(unix.RLIMIT_FSIZE, &old)) }()
		q := r.write(1, 0, 0, 512, 5)
		fill(r.buf(1), 6)
		q.Len = 2 * blockSize
		got, err := r.sameAsKernel(q)
		if err != nil {
			return err
		}
		if got != blockSize {
			return fmt.Errorf("a write of %d bytes across a limit gave %d, want %d", q.Len, got, blockSize)
		}
		if err := r.holds(0, 512, 5); err != nil {
			return err
		}
		got, err = r.sameAsKernel(r.write(2, 0, 0, 514, 5))
		if err != nil {
			return err
		}
		if got != -int64(unix.EFBIG) {
			return fmt.Errorf("a write behind the limit gave %d, want -EFBIG", got)
		}
		return nil
	})
}
