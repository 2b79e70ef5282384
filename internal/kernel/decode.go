package kernel

import (
	"encoding/binary"
	"fmt"
)

// target is the place in an Event that a record's field goes to.
type target uint8

const (
	toPos target = iota
	toPosPages
	toPosSectors
	toLen
	toLenSectors
	toSize
	toRet
	toErrno
	toErrnoOfNew
	toAio
	toOld
	toPtr
	toOp
)

type want struct {
	to    target
	names []string
}

var (
	devNames = []string{"dev", "s_dev"}
	inoNames = []string{"ino", "i_ino"}
)

// wants says which fields a kind needs besides dev and ino. All must be there:
// a record with a field missing would turn "not known" into a zero.
func wants(k Kind) []want {
	switch k {
	case InvalidateFail, DioQueued:
		return []want{{toPos, []string{"offset", "pos"}}, {toLen, []string{"length", "count"}}, {toSize, []string{"size", "isize"}}}
	case DioBegin:
		return []want{{toPos, []string{"pos", "offset"}}, {toLen, []string{"count", "length"}}, {toSize, []string{"isize", "size"}}, {toAio, []string{"aio"}}}
	case DioComplete:
		return []want{{toPos, []string{"pos", "offset"}}, {toSize, []string{"isize", "size"}}, {toAio, []string{"aio"}}, {toErrno, []string{"error"}}, {toRet, []string{"ret"}}}
	case SetWbErr:
		return []want{{toErrnoOfNew, []string{"errseq"}}}
	case AdvanceWbErr:
		return []want{{toPtr, []string{"file"}}, {toOld, []string{"old"}}, {toErrnoOfNew, []string{"new"}}}
	case BlockError:
		return []want{{toPosSectors, []string{"sector"}}, {toLenSectors, []string{"nr_sector"}}, {toErrno, []string{"error"}}, {toOp, []string{"rwbs"}}}
	case ReleaseFolio:
		return []want{{toPosPages, []string{"index"}}}
	}
	return nil
}

type load struct {
	off    uint16
	size   uint8
	signed bool
	to     target
}

// decoder turns one tracepoint's records into Events.
type decoder struct {
	kind     Kind
	id       int
	min      int // bytes a record must have
	dev, ino load
	hasIno   bool
	loads    []load
	devName  string
	inoName  string
}

func newDecoder(k Kind, f *Format) (*decoder, error) {
	d := &decoder{kind: k, id: f.ID}
	take := func(names []string, to target) (load, string, error) {
		fd, ok := f.Field(names...)
		if !ok {
			return load{}, "", fmt.Errorf("tracepoint %s has no field %q here", f.Name, names[0])
		}
		if to == toOp {
			if !fd.Array || fd.Size < 1 || fd.Size > 255 {
				return load{}, "", fmt.Errorf("tracepoint %s: field %s of %d bytes, want char[]", f.Name, fd.Name, fd.Size)
			}
		} else if fd.Array || (fd.Size != 1 && fd.Size != 2 && fd.Size != 4 && fd.Size != 8) {
			return load{}, "", fmt.Errorf("tracepoint %s: field %s of %d bytes, want an integer", f.Name, fd.Name, fd.Size)
		}
		if fd.Offset+fd.Size >= maxRecord {
			return load{}, "", fmt.Errorf("tracepoint %s: field %s at %d lies outside any record", f.Name, fd.Name, fd.Offset)
		}
		d.min = max(d.min, fd.Offset+fd.Size)
		return load{uint16(fd.Offset), uint8(fd.Size), fd.Signed, to}, fd.Name, nil
	}
	var err error
	if d.dev, d.devName, err = take(devNames, toPos); err != nil {
		return nil, err
	}
	if k != BlockError {
		if d.ino, d.inoName, err = take(inoNames, toPos); err != nil {
			return nil, err
		}
		d.hasIno = true
	}
	for _, w := range wants(k) {
		l, _, err := take(w.names, w.to)
		if err != nil {
			return nil, err
		}
		d.loads = append(d.loads, l)
	}
	return d, nil
}

func (l load) get(raw []byte) uint64 {
	p := raw[l.off:]
	switch l.size {
	case 8:
		return binary.NativeEndian.Uint64(p)
	case 4:
		v := binary.NativeEndian.Uint32(p)
		if l.signed {
			return uint64(int32(v))
		}
		return uint64(v)
	case 2:
		v := binary.NativeEndian.Uint16(p)
		if l.signed {
			return uint64(int16(v))
		}
		return uint64(v)
	}
	if l.signed {
		return uint64(int8(p[0]))
	}
	return uint64(p[0])
}

// decode fills in what the record says. It returns false for a record too
// short for its format, which the caller counts; nothing is guessed.
func (d *decoder) decode(raw []byte, pageSize int64, e *Event) (dev uint32, ino uint64, ok bool) {
	if len(raw) < d.min {
		return 0, 0, false
	}
	e.Kind = d.kind
	dev = uint32(d.dev.get(raw))
	if d.hasIno {
		ino = d.ino.get(raw)
	}
	for i := range d.loads {
		l := &d.loads[i]
		if l.to == toOp {
			e.Op = opOf(raw[l.off : int(l.off)+int(l.size)])
			continue
		}
		v := l.get(raw)
		switch l.to {
		case toPos:
			e.Pos = int64(v)
		case toPosPages:
			e.Pos = int64(v) * pageSize
		case toPosSectors:
			e.Pos = int64(v) * 512
		case toLen:
			e.Len = int64(v)
		case toLenSectors:
			e.Len = int64(v) * 512
		case toSize:
			e.Size = int64(v)
		case toRet:
			e.Ret = int64(v)
		case toErrno:
			n := int32(v)
			e.Errno = max(n, -n)
		case toErrnoOfNew:
			e.New = uint32(v)
			e.Errno = int32(v & 0xfff) // lib/errseq.c: the low 12 bits
		case toAio:
			e.Aio = v != 0
		case toOld:
			e.Old = uint32(v)
		case toPtr:
			e.Ptr = v
		}
	}
	return dev, ino, true
}

// opOf reads the operation out of a block rwbs string: a leading F is a
// preflush when an operation follows it (kernel/trace/blktrace.c,
// blk_fill_rwbs).
func opOf(rwbs []byte) byte {
	if len(rwbs) > 1 && rwbs[0] == 'F' {
		switch rwbs[1] {
		case 'W', 'R', 'D', 'N':
			return rwbs[1]
		}
	}
	return rwbs[0]
}

// fileIndex maps (kernel dev, ino) to the index in Options.Files.
type fileIndex struct {
	devs []uint32
	inos []uint64
	big  map[[2]uint64]int32 // beyond a handful a map is faster
}

func newFileIndex(files []TraceFile) (*fileIndex, error) {
	x := &fileIndex{}
	seen := map[[2]uint64]int32{}
	for i, f := range files {
		key := [2]uint64{uint64(f.kernelDev()), f.Ino}
		if j, dup := seen[key]; dup {
			return nil, fmt.Errorf("trace: files %d and %d are the same inode %d; name each file once", j, i, f.Ino)
		}
		seen[key] = int32(i)
		x.devs, x.inos = append(x.devs, f.kernelDev()), append(x.inos, f.Ino)
	}
	if len(files) > 8 {
		x.big = seen
	}
	return x, nil
}

// find returns -1 for an inode that is none of the files.
func (x *fileIndex) find(dev uint32, ino uint64) int32 {
	if x.big != nil {
		if i, ok := x.big[[2]uint64{uint64(dev), ino}]; ok {
			return i
		}
		return -1
	}
	for i, n := range x.inos {
		if n == ino && x.devs[i] == dev {
			return int32(i)
		}
	}
	return -1
}
