package enginetest

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

const sector = 512

// fate is what the rules have in store for one request.
type fate struct {
	write   func(e *fake, r *ioengine.Request) int64 // nil: properly; the result is what the file took
	res     func(r *ioengine.Request, took int64) int64
	extra   []func(c ioengine.Completion) item // posted besides; before the true one if ahead
	ahead   bool
	silent  bool // no completion
	landing *landing
	reaps   int64 // held back
	delay   time.Duration
	isHeld  bool
	res2    int64
	flags   uint32
	last    bool // accept nothing behind it in this call
}

// landing is a write that reaches the file after its completion was handed
// out.
type landing struct {
	req   ioengine.Request
	data  []byte // nil: what the buffer holds at the time
	delay uint64 // calls
	call  uint64
}

func nothing(*fake, *ioengine.Request) int64 { return 0 }

func fixed(n int64) func(*ioengine.Request, int64) int64 {
	return func(*ioengine.Request, int64) int64 { return n }
}

func whole(r *ioengine.Request, _ int64) int64 {
	if r.Op == ioengine.OpFsync {
		return 0
	}
	return int64(r.Len)
}

func took(_ *ioengine.Request, n int64) int64 { return n }

func half(r *ioengine.Request) int64 { return int64(r.Len) / 2 / sector * sector }

// add folds one rule in.
func (f *fate) add(s *Rule, r *ioengine.Request) {
	n := s.N
	switch s.Do {
	case Short:
		f.write, f.res = prefix(or(n, half(r))), took
	case Zero:
		f.write, f.res = nothing, fixed(0)
	case Overlong:
		f.res = fixed(int64(r.Len) + or(n, sector))
	case Torn:
		f.write, f.res = prefix(or(n, half(r))), whole
	case Duplicate:
		for range or(n, 1) {
			f.extra = append(f.extra, func(c ioengine.Completion) item { return item{c: c} })
		}
	case Stray:
		f.extra = append(f.extra, func(c ioengine.Completion) item {
			c.Tag = ^c.Tag
			if n != 0 {
				c.Tag = uint64(n)
			}
			return item{c: c}
		})
	case Early, Poison:
		l := &landing{req: *r, delay: uint64(or(n, 1))}
		if s.Do == Early {
			l.data = alignedCopy(bytesAt(r))
		}
		f.landing, f.write, f.res = l, nothing, whole
	case Late:
		f.isHeld, f.reaps, f.delay = true, or(n, 1), s.Delay
	case Lost:
		f.silent = true
	case Swallowed:
		f.silent, f.write = true, nothing
	case Errno:
		f.write, f.res = nothing, fixed(-or(n, int64(unix.EIO)))
	case ErrnoWritten:
		f.res = fixed(-or(n, int64(unix.EIO)))
	case TwoResults:
		f.ahead = true
		f.extra = append(f.extra, func(c ioengine.Completion) item {
			c.Res = -or(n, int64(unix.EIO))
			return item{c: c}
		})
	case Res2:
		f.res2 = or(n, 1)
	case Flags:
		f.flags = uint32(or(n, 1))
	case DataLost:
		f.write, f.res = nothing, whole
	case WrongData:
		f.write, f.res = spoilt(or(n, sector)), whole
	case Misplaced:
		f.write, f.res = displaced(or(n, int64(r.Len))), whole
	case PartialAccept:
		f.last = true
	}
}

// carryOut accepts r and does with it what f says.
func (e *fake) carryOut(r *ioengine.Request, f fate) {
	e.op++
	e.inflight++
	n := int64(0)
	if f.write != nil {
		n = f.write(e, r)
	} else {
		n = e.do(r)
	}
	if f.silent {
		return
	}
	if f.res != nil {
		n = f.res(r, n)
	}
	own := item{c: ioengine.Completion{Tag: r.Tag, Res: n, Res2: f.res2, Flags: f.flags}, own: true, after: f.landing}
	items := make([]item, 0, 1+len(f.extra))
	if !f.ahead {
		items = append(items, own)
	}
	for _, x := range f.extra {
		items = append(items, x(own.c))
	}
	if f.ahead {
		items = append(items, own)
	}
	for _, it := range items {
		if f.isHeld {
			e.held = append(e.held, heldItem{item: it, reaps: e.reaps + 1 + uint64(f.reaps), at: time.Since(e.base) + f.delay})
		} else {
			e.push(it)
		}
	}
}

// land writes what is due at the given call.
func (e *fake) land(call uint64) {
	if len(e.landings) == 0 {
		return
	}
	kept := e.landings[:0]
	for _, l := range e.landings {
		if l.call > call {
			kept = append(kept, l)
			continue
		}
		r := l.req
		if l.data != nil {
			r.Buf = unsafe.Pointer(&l.data[0])
		}
		e.do(&r)
	}
	e.landings = kept
}

// do does a request properly and returns what the kernel says.
func (e *fake) do(r *ioengine.Request) int64 {
	switch {
	case e.script.NoIO:
		return whole(r, 0)
	case e.script.Memory != nil:
		return toMemory(e.script.Memory[r.File], r)
	case r.Op == ioengine.OpFsync:
		return errnoOr(0, unix.Fsync(e.files[r.File]))
	case r.RWFlags != 0:
		iov := unix.Iovec{Base: (*byte)(r.Buf)}
		iov.SetLen(int(r.Len))
		n, _, errno := unix.Syscall6(unix.SYS_PWRITEV2, uintptr(e.files[r.File]), uintptr(unsafe.Pointer(&iov)), 1,
			uintptr(r.Off), 0, uintptr(r.RWFlags))
		if errno != 0 {
			return -int64(errno)
		}
		return int64(n)
	}
	n, err := unix.Pwrite(e.files[r.File], bytesAt(r), r.Off)
	return errnoOr(n, err)
}

func errnoOr(n int, err error) int64 {
	if errno, ok := err.(unix.Errno); ok {
		return -int64(errno)
	}
	return int64(n)
}

func toMemory(file []byte, r *ioengine.Request) int64 {
	if r.Op == ioengine.OpFsync || r.Len == 0 {
		return 0
	}
	if r.Off >= int64(len(file)) {
		return -int64(unix.EFBIG)
	}
	return int64(copy(file[r.Off:], bytesAt(r)))
}

func bytesAt(r *ioengine.Request) []byte {
	if r.Op == ioengine.OpFsync {
		return nil
	}
	return unsafe.Slice((*byte)(r.Buf), r.Len)
}

func prefix(n int64) func(*fake, *ioengine.Request) int64 {
	return func(e *fake, r *ioengine.Request) int64 {
		q := *r
		q.Len = uint32(min(n, int64(r.Len)))
		if q.Len == 0 || q.Op == ioengine.OpFsync {
			return 0
		}
		return e.do(&q)
	}
}

func displaced(by int64) func(*fake, *ioengine.Request) int64 {
	return func(e *fake, r *ioengine.Request) int64 {
		q := *r
		q.Off = max(q.Off+by, 0)
		return e.do(&q)
	}
}

// spoilt flips n bytes at a place the seed decides.
func spoilt(n int64) func(*fake, *ioengine.Request) int64 {
	return func(e *fake, r *ioengine.Request) int64 {
		if r.Op == ioengine.OpFsync || r.Len == 0 || e.script.NoIO {
			return e.do(r)
		}
		data := e.copyOf(bytesAt(r))
		n := min(n, int64(r.Len))
		at := int64(e.rng.below(uint64((int64(r.Len)-n)/sector)+1)) * sector
		for i := at; i < at+n; i++ {
			data[i] ^= 0xff
		}
		q := *r
		q.Buf = unsafe.Pointer(&data[0])
		return e.do(&q)
	}
}

// copyOf copies into the engine's page-aligned scratch memory.
func (e *fake) copyOf(p []byte) []byte {
	if len(e.scratch) < len(p) {
		mem, err := unix.Mmap(-1, 0, len(p), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			panic("enginetest: no memory for the scratch buffer: " + err.Error())
		}
		if e.scratch != nil {
			_ = unix.Munmap(e.scratch) // whole, as it was mapped: cannot fail
		}
		e.scratch = mem
	}
	return e.scratch[:copy(e.scratch, p)]
}

// alignedCopy returns a page-aligned copy for a synchronous direct write, nil
// of nothing.
func alignedCopy(p []byte) []byte {
	if len(p) == 0 {
		return nil
	}
	const page = 4096
	mem := make([]byte, len(p)+page)
	skip := -int(uintptr(unsafe.Pointer(&mem[0]))) & (page - 1)
	return mem[skip : skip+copy(mem[skip:], p)]
}
