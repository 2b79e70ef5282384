package harness

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/internal/need"
	"diostress/internal/plan"
)

// page is what the kernel says of one page of this process: whether the page
// table holds it, and of which frame (0 without CAP_SYS_ADMIN).
func page(t *testing.T, p *byte) (present bool, frame uint64) {
	t.Helper()
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [8]byte
	if _, err := f.ReadAt(b[:], int64(uintptr(unsafe.Pointer(p)))/int64(os.Getpagesize())*8); err != nil {
		t.Fatal(err)
	}
	e := binary.NativeEndian.Uint64(b[:])
	return e>>63 == 1, e & (1<<55 - 1)
}

// rigged is a run with one written file and the buffers of a config.
func rigged(t *testing.T, buffer string) (*run, *buffers) {
	t.Helper()
	c := plan.Config{BS: 4096, Size: 64 << 10, IODepth: 4, NumJobs: 1, Range: "own", RW: "write", Verify: "full", Buffer: buffer, Seed: 1}
	r := &run{plan: plan.New(c)}
	r.cfg, r.Dir = &r.plan.Config, t.TempDir()
	for i, pf := range r.plan.Files {
		f := &file{File: pf, index: i, path: filepath.Join(r.Dir, pf.Name), direct: -1, cached: -1}
		r.files = append(r.files, f)
		if err := r.prefill(f); err != nil {
			t.Fatal(err)
		}
		var err error
		if f.cached, err = unix.Open(f.path, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		if f.direct, err = unix.Open(f.path, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0); err != nil {
			need.Skip(t, need.ODirect, err.Error())
		}
	}
	b, err := r.newBuffers(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.free()
		r.closeFiles()
	})
	return r, b
}

func write(t *testing.T, f *file, buf []byte, off int64) {
	t.Helper()
	if n, err := unix.Pwrite(f.direct, buf, off); n != len(buf) || err != nil {
		t.Fatalf("direct write: %d, %v", n, err)
	}
}

// TestSelfMmapFaults: a buffer that was filled and unmapped is out of the page
// table until the direct write faults it in, and the write has what it held.
func TestSelfMmapFaults(t *testing.T) {
	r, b := rigged(t, plan.BufferSelfMmap)
	f := r.files[0]
	for slot := range r.cfg.IODepth {
		buf := b.at(slot, 0)
		if err := b.guarded(func() {
			for i := range buf {
				buf[i] = byte(slot + 1)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if in, _ := page(t, &buf[0]); !in {
			t.Fatal("a page just written is not in the page table")
		}
		if err := b.unmap(buf); err != nil {
			t.Fatal(err)
		}
	}
	for slot := range r.cfg.IODepth {
		buf := b.at(slot, 0)
		if in, _ := page(t, &buf[0]); in {
			t.Fatalf("slot %d: the buffer is in the page table before the write: an earlier fault mapped it along", slot)
		}
		write(t, f, buf, int64(slot)*4096)
		if in, _ := page(t, &buf[0]); !in {
			t.Errorf("slot %d: the buffer is not in the page table after the write", slot)
		}
	}
	got := make([]byte, r.cfg.IODepth*4096)
	if n, err := unix.Pread(f.cached, got, 0); n != len(got) || err != nil {
		t.Fatal(n, err)
	}
	for i, x := range got {
		if x != byte(i/4096+1) {
			t.Fatalf("byte %d is %d, want %d", i, x, i/4096+1)
		}
	}
}

// TestSelfMmapIsTheFile: every file has buffers of its own, beyond what is
// judged.
func TestSelfMmapIsTheFile(t *testing.T) {
	r, b := rigged(t, plan.BufferSelfMmap)
	var first byte
	if err := b.guarded(func() { buf := b.at(1, 0); buf[0] = 0x5A; first = b.at(1, 0)[0] }); err != nil {
		t.Fatal(err)
	}
	var got [1]byte
	if _, err := unix.Pread(r.files[0].cached, got[:], r.files[0].TailOff()+r.cfg.BufStride()); err != nil || got[0] != 0x5A || first != 0x5A {
		t.Errorf("the file holds %#x where the buffer of slot 1 lies (%v)", got[0], err)
	}
}

// TestGuardedFault: a buffer that was cut off is an error, not the end of the
// process.
func TestGuardedFault(t *testing.T) {
	r, b := rigged(t, plan.BufferSelfMmap)
	if err := unix.Ftruncate(r.files[0].cached, 4096); err != nil {
		t.Fatal(err)
	}
	if err := b.guarded(func() { b.at(0, 0)[0] = 1 }); err != errBuffer {
		t.Errorf("%v, want %v", err, errBuffer)
	}
	if b.guarded(func() {}) != nil {
		t.Error("an error without a fault")
	}
}

// TestZeroPage: whatever buffer a write comes from, it is the same page of
// zeros.
func TestZeroPage(t *testing.T) {
	r, b := rigged(t, plan.BufferZero)
	frames := map[uint64]bool{}
	for slot := range r.cfg.IODepth {
		buf := b.at(slot, 0)
		write(t, r.files[0], buf, int64(slot)*4096)
		in, frame := page(t, &buf[0])
		if !in {
			t.Fatalf("slot %d is not in the page table after the write", slot)
		}
		frames[frame] = true
	}
	if frames[0] {
		need.Skip(t, need.Root, "the kernel hides which frames pages have")
	}
	// A huge zero page has frames of its own for each small page.
	if len(frames) != 1 && !consecutive(frames) {
		t.Errorf("the buffers lie in frames %v, want the one zero page", frames)
	}
}

func consecutive(frames map[uint64]bool) bool {
	lo, hi := ^uint64(0), uint64(0)
	for f := range frames {
		lo, hi = min(lo, f), max(hi, f)
	}
	return hi-lo < uint64(len(frames))
}
