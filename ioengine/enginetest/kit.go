package enginetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

const blockSize = 4096

// kit is what the checks share.
type kit struct {
	dir      string
	open     ioengine.Opener
	patience time.Duration // longest wait for completions that must come
	soak     int           // requests of the soak
	nfile    int
}

var errNoDirect = errors.New("no O_DIRECT")

// probeDirect writes one block with O_DIRECT.
func (k *kit) probeDirect() error {
	fd, err := k.file(1)
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w in %s (open: EINVAL): set TMPDIR to a directory of ext4 or xfs", errNoDirect, k.dir)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	mem, err := anonymous(blockSize)
	if err != nil {
		return err
	}
	defer unix.Munmap(mem)
	if _, err := unix.Pwrite(fd, mem, 0); errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w of %d bytes in %s (pwrite: EINVAL): set TMPDIR to a file system with smaller blocks", errNoDirect, blockSize, k.dir)
	} else if err != nil {
		return err
	}
	return nil
}

// file makes a new, wholly written file of so many blocks and opens it with
// O_DIRECT: writes to it are asynchronous where the engine is.
func (k *kit) file(blocks int) (fd int, err error) {
	k.nfile++
	path := filepath.Join(k.dir, fmt.Sprintf("file%d", k.nfile))
	if err := os.WriteFile(path, make([]byte, blocks*blockSize), 0o600); err != nil {
		return -1, err
	}
	// Else the first direct writes would meet the dirty pages of this one.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return -1, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return -1, err
	}
	fd, err = unix.Open(path, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s with O_DIRECT: %w", path, err)
	}
	return fd, nil
}

func (k *kit) path() string { return filepath.Join(k.dir, fmt.Sprintf("file%d", k.nfile)) }

func anonymous(size int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("mmap of %d bytes: %w", size, err)
	}
	return mem, nil
}

// rig is an open engine with its memory and files.
type rig struct {
	*kit
	eng   ioengine.Engine
	opts  ioengine.Options
	cqes  []ioengine.Completion
	rng   rng
	check []byte // one block, for reading back
}

// rig opens an engine over nfiles files of so many blocks, with two buffers
// for each request of depth.
func (k *kit) rig(depth, nfiles, blocks int) (*rig, error) {
	var fds []int
	for range nfiles {
		fd, err := k.file(blocks)
		if err != nil {
			return nil, err
		}
		fds = append(fds, fd)
	}
	return k.rigOn(depth, fds...)
}

// rigOn owns fds.
func (k *kit) rigOn(depth int, fds ...int) (*rig, error) {
	arena, err := anonymous((2*depth + 1) * blockSize)
	if err != nil {
		return nil, err
	}
	r := &rig{
		kit: k, rng: 1, cqes: make([]ioengine.Completion, 4*depth),
		check: arena[2*depth*blockSize:],
		opts:  ioengine.Options{Files: fds, Depth: depth, Arena: arena, BufSize: blockSize},
	}
	if r.eng, err = k.open(r.opts); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return r, nil
}

// close drains and closes the engine. Memory that may still be lent stays
// mapped.
func (r *rig) close() error {
	give := time.Now().Add(r.patience)
	for {
		err := r.eng.Close()
		if errors.Is(err, ioengine.ErrInFlight) && time.Now().Before(give) {
			if _, err := r.eng.Reap(r.cqes, 1, 10*time.Millisecond); err != nil {
				return fmt.Errorf("reap before close: %w", err)
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("close: %w", err)
		}
		break
	}
	for _, fd := range r.opts.Files {
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	return unix.Munmap(r.opts.Arena)
}

// with runs f on a new rig and closes it.
func (k *kit) with(depth, nfiles, blocks int, f func(*rig) error) error {
	r, err := k.rig(depth, nfiles, blocks)
	if err != nil {
		return err
	}
	return errors.Join(f(r), r.close())
}

func (r *rig) buf(i int) []byte { return r.opts.Arena[i*blockSize : (i+1)*blockSize] }

func (r *rig) ptr(i int) unsafe.Pointer { return unsafe.Pointer(&r.opts.Arena[i*blockSize]) }

// write is a request for one block from buffer i, stamped.
func (r *rig) write(tag uint64, i, file, block int, stamp uint64) ioengine.Request {
	fill(r.buf(i), stamp)
	return ioengine.Request{Tag: tag, Buf: r.ptr(i), Off: int64(block) * blockSize, Len: blockSize, File: uint16(file)}
}

// submitAll offers reqs until all are accepted, reaping for room.
func (r *rig) submitAll(reqs []ioengine.Request, reaped func(ioengine.Completion) error) error {
	give := time.Now().Add(r.patience)
	for len(reqs) > 0 {
		n, err := r.eng.Submit(reqs)
		if n < 0 || n > len(reqs) {
			return fmt.Errorf("submit of %d returned %d", len(reqs), n)
		}
		reqs = reqs[n:]
		if err != nil {
			return &refusal{err}
		}
		if len(reqs) > 0 {
			if time.Now().After(give) {
				return fmt.Errorf("%d requests not accepted within %v", len(reqs), r.patience)
			}
			if err := r.reap(1, 10*time.Millisecond, reaped); err != nil {
				return err
			}
		}
	}
	return nil
}

// refusal is an error of Submit.
type refusal struct{ error }

func (e *refusal) Unwrap() error { return e.error }

func (r *rig) reap(min int, timeout time.Duration, reaped func(ioengine.Completion) error) error {
	n, err := r.eng.Reap(r.cqes, min, timeout)
	if n < 0 || n > len(r.cqes) {
		return fmt.Errorf("reap into %d returned %d", len(r.cqes), n)
	}
	for _, c := range r.cqes[:n] {
		if err := reaped(c); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("reap: %w", err)
	}
	return nil
}

// do has all requests done and returns their completions in the same order.
// Each must complete exactly once, and nothing else may.
func (r *rig) do(reqs ...ioengine.Request) ([]ioengine.Completion, error) {
	at := make(map[uint64]int, len(reqs))
	for i, q := range reqs {
		at[q.Tag] = i
	}
	done := make([]ioengine.Completion, len(reqs))
	seen := make([]bool, len(reqs))
	left := len(reqs)
	reaped := func(c ioengine.Completion) error {
		i, ok := at[c.Tag]
		if !ok {
			return fmt.Errorf("stray completion %+v", c)
		}
		if seen[i] {
			return fmt.Errorf("second completion %+v of one request, the first was %+v", c, done[i])
		}
		seen[i], done[i] = true, c
		left--
		return nil
	}
	if err := r.submitAll(reqs, reaped); err != nil {
		return nil, err
	}
	give := time.Now().Add(r.patience)
	for left > 0 {
		if time.Now().After(give) {
			return nil, fmt.Errorf("%d of %d requests not completed within %v", left, len(reqs), r.patience)
		}
		if err := r.reap(1, 20*time.Millisecond, reaped); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// quiet waits a little for completions that must not come.
func (r *rig) quiet() error {
	return r.reap(1, 20*time.Millisecond, func(c ioengine.Completion) error {
		return fmt.Errorf("completion %+v with nothing in flight", c)
	})
}

// verdict is what became of one request, -errno if refused at submission.
func (r *rig) verdict(q ioengine.Request) (int64, error) {
	done, err := r.do(q)
	var no *refusal
	var errno unix.Errno
	if errors.As(err, &no) && errors.As(err, &errno) {
		return -int64(errno), nil
	}
	if err != nil {
		return 0, err
	}
	return done[0].Res, nil
}

// kernelSays does the same write synchronously.
func kernelSays(fd int, q ioengine.Request) int64 {
	iov := unix.Iovec{Base: (*byte)(q.Buf)}
	iov.SetLen(int(q.Len))
	n, _, errno := unix.Syscall6(unix.SYS_PWRITEV2, uintptr(fd), uintptr(unsafe.Pointer(&iov)), 1, uintptr(q.Off), 0, uintptr(q.RWFlags))
	if errno != 0 {
		return -int64(errno)
	}
	return int64(n)
}

// full wants every completion to be a whole block.
func full(done []ioengine.Completion) error {
	for _, c := range done {
		if c.Res != blockSize || c.Res2 != 0 || c.Flags != 0 {
			return fmt.Errorf("completion %+v, want Res %d, Res2 0, Flags 0", c, blockSize)
		}
	}
	return nil
}

// holds wants the file's block to bear the stamp.
func (r *rig) holds(file, block int, stamp uint64) error {
	n, err := unix.Pread(r.opts.Files[file], r.check, int64(block)*blockSize)
	if err != nil || n != blockSize {
		return fmt.Errorf("read back file %d block %d: %d bytes, %v", file, block, n, err)
	}
	return stamped(r.check, stamp, fmt.Sprintf("file %d block %d", file, block))
}

func fill(p []byte, stamp uint64) {
	s := rng(stamp)
	for i := 0; i < len(p); i += 8 {
		*(*uint64)(unsafe.Pointer(&p[i])) = s.next()
	}
}

func stamped(p []byte, stamp uint64, what string) error {
	s := rng(stamp)
	for i := 0; i < len(p); i += 8 {
		if got, want := *(*uint64)(unsafe.Pointer(&p[i])), s.next(); got != want {
			return fmt.Errorf("%s: word at %d is %#x, want %#x (stamp %#x)", what, i, got, want, stamp)
		}
	}
	return nil
}
