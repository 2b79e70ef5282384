package mmapdirty

import "fmt"

// Kind is one way of keeping pages busy.
type Kind uint8

// The kinds. Mmap and Write make pages dirty; Truncate, Punch and Fallocate
// change what blocks the file has; the others read, clean or drop pages, which
// moves the moment at which a dirtied page meets the direct write.
const (
	Mmap Kind = iota
	Write
	Read
	Fsync
	Fdatasync
	Msync
	SyncFileRange
	Madvise
	Fadvise
	Truncate
	Punch
	Fallocate
	numKinds = iota
)

var kindTable = [numKinds]struct{ name, text string }{
	Mmap:          {"mmap", "store single 8-byte words into the mapped pages of a write in flight"},
	Write:         {"write", "buffered pwrite over the bytes of a write in flight"},
	Read:          {"read", "buffered pread of those bytes, which fills the page cache again"},
	Fsync:         {"fsync", "fsync the file of a write in flight"},
	Fdatasync:     {"fdatasync", "fdatasync the file of a write in flight"},
	Msync:         {"msync", "msync(MS_SYNC) the pages of a write in flight"},
	SyncFileRange: {"sync_file_range", "sync_file_range(WAIT_BEFORE|WRITE|WAIT_AFTER) those bytes"},
	Madvise:       {"madvise", "map those pages, then MADV_DONTNEED, COLD, PAGEOUT, WILLNEED in turn"},
	Fadvise:       {"fadvise", "posix_fadvise(DONTNEED) on those pages"},
	Truncate:      {"truncate", "cut the file off at the start of a write in flight, then grow it to its full size"},
	Punch:         {"punch", "punch a hole where a write is in flight"},
	Fallocate:     {"fallocate", "fallocate up to the start of a write in flight, and past its end without growing the file, in turn"},
}

// Kinds returns every kind, in the order in which a [Spec] is printed.
func Kinds() []Kind {
	ks := make([]Kind, numKinds)
	for i := range ks {
		ks[i] = Kind(i)
	}
	return ks
}

// String returns the name that ParseSpec reads.
func (k Kind) String() string {
	if int(k) < numKinds {
		return kindTable[k].name
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Describe says in one line, without a full stop, what the kind does.
func (k Kind) Describe() string {
	if int(k) < numKinds {
		return kindTable[k].text
	}
	return k.String()
}

// Dirties tells whether the kind changes the content of pages, and therefore
// has a generation.
func (k Kind) Dirties() bool { return k == Mmap || k == Write }

// Alters tells whether the kind changes what blocks the file has.
func (k Kind) Alters() bool { return k == Truncate || k == Punch || k == Fallocate }

// Zeroes tells whether the kind turns data into zeros: such zeros carry no
// generation.
func (k Kind) Zeroes() bool { return k == Truncate || k == Punch }

// Syncs tells whether the kind makes calls that return, and so consume, the
// errseq error of its open file description: fsync, fdatasync, msync and a
// waiting sync_file_range (file_check_and_advance_wb_err in mm/filemap.c,
// since 4.13).
func (k Kind) Syncs() bool {
	return k == Fsync || k == Fdatasync || k == Msync || k == SyncFileRange
}

func (k Kind) maps() bool { return k == Mmap || k == Msync || k == Madvise }
