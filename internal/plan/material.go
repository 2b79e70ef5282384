package plan

import (
	"errors"
	"fmt"
	"slices"
)

// Layouts: what the files of a run are before the first write, and again after
// every epoch.
const (
	LayoutWritten   = "written"   // every block written
	LayoutUnwritten = "unwritten" // allocated by fallocate, no block written
	LayoutSparse    = "sparse"    // of full size by ftruncate, no block allocated
	LayoutEmpty     = "empty"     // of size 0: every write extends
)

// Buffers: what memory the direct writes come from.
const (
	BufferAnon     = "anon"     // anonymous memory, stamped for every write
	BufferZero     = "zero"     // memory that was never written: the kernel's zero page
	BufferSelfMmap = "selfmmap" // a shared mapping of the end of the very file that is written
)

var (
	layoutNames = []string{LayoutWritten, LayoutUnwritten, LayoutSparse, LayoutEmpty}
	bufferNames = []string{BufferAnon, BufferZero, BufferSelfMmap}
)

// LayoutNames returns the valid layouts, the default first.
func LayoutNames() []string { return slices.Clone(layoutNames) }

// BufferNames returns the valid buffers, the default first.
func BufferNames() []string { return slices.Clone(bufferNames) }

// zeroing are the dirtiers that turn data into zeros.
var zeroing = []string{"truncate", "punch"}

// Fresh says whether the file has blocks that no write has reached yet: they
// read as zeros.
func (f *File) Fresh() bool { return f.Layout != "" && f.Layout != LayoutWritten }

// Grows says whether writes extend the file.
func (f *File) Grows() bool { return f.Layout == LayoutEmpty }

// Fresh says the same of the files of a config.
func (c *Config) Fresh() bool { return c.Layout != "" && c.Layout != LayoutWritten }

// Zeroes says whether dirtiers turn data of main files into zeros.
func (c *Config) Zeroes() bool { return c.Dirties(zeroing...) }

// Exact says whether a file has one legal value for each block that no write
// is in flight on: nothing but direct writes changes its data.
func (c *Config) Exact(f *File) bool {
	switch f.Role {
	case Control:
		return true
	case Main:
		return !c.Dirties("mmap", "write") && !c.Zeroes() && !c.Overlap
	}
	return false
}

// tailAlign keeps the buffers in a file out of the folios of the blocks that
// are judged: the largest folio of the page cache has 2 MiB on x86 and 8 MiB
// is what ext4 would ask for (ext4_set_inode_mapping_order, fs/ext4/inode.c).
const tailAlign = 8 << 20

// TailOff is where the buffers of a file begin that holds its own.
func (f *File) TailOff() int64 { return (f.Size + tailAlign - 1) / tailAlign * tailAlign }

// faultAround is the window in which the kernel maps neighbouring pages
// along with the one that faulted (fault_around_bytes, mm/memory.c).
const faultAround = 64 << 10

// BufStride is the distance of two buffers, bytes. Buffers that are to fault
// lie in windows of their own.
func (c *Config) BufStride() int64 {
	if c.Buffer != BufferSelfMmap {
		return int64(c.BS)
	}
	return (int64(c.BS) + faultAround - 1) / faultAround * faultAround
}

// Sharers is how many jobs write a main file.
func (c *Config) Sharers() int {
	if c.Range == "shared" {
		return c.NumJobs
	}
	return 1
}

// tail is the size of the buffers in a file.
func (c *Config) tail(role Role) int64 {
	if c.Buffer != BufferSelfMmap {
		return 0
	}
	n := c.BufStride() * int64(c.IODepth)
	if role == Main {
		n *= int64(c.Sharers())
	}
	return n
}

// material checks layout and buffers against the rest.
func (c *Config) material() error {
	if c.Layout != "" {
		if err := OneOf("--layout", c.Layout, layoutNames); err != nil {
			return err
		}
	}
	if c.Buffer != "" {
		if err := OneOf("--buffer", c.Buffer, bufferNames); err != nil {
			return err
		}
	}
	switch {
	case c.Fresh() && c.Audit:
		return fmt.Errorf("--layout %s has no place beside --profile audit, which needs written files; valid: --layout written", c.Layout)
	case c.Layout == LayoutEmpty && c.RW != "write":
		return fmt.Errorf("--layout empty grows in order and needs --rw write, not --rw %s", c.RW)
	case c.Layout == LayoutEmpty && c.Overlap:
		return errors.New("--layout empty excludes --overlap: every block extends the file once")
	case c.Layout == LayoutEmpty && c.Dirties("truncate"):
		return errors.New("--layout empty excludes --dirty truncate: it would give the file its full size at once")
	case c.Buffer == BufferZero && c.FixedBufs:
		return errors.New("--buffer zero excludes --fixedbufs: to register a buffer the kernel asks for memory that can be written")
	case c.Buffer == BufferSelfMmap && c.FixedBufs:
		return errors.New("--buffer selfmmap excludes --fixedbufs: the kernel registers no mapping of a file")
	case c.Buffer == BufferSelfMmap && c.Fresh():
		return fmt.Errorf("--buffer selfmmap needs --layout written, not %s: the buffers lie in the file", c.Layout)
	case c.Buffer == BufferSelfMmap && c.Dirties("truncate"):
		return errors.New("--buffer selfmmap excludes --dirty truncate: it would cut off the buffers, which lie at the end of the file")
	}
	return nil
}
