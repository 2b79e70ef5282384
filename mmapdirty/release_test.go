package mmapdirty

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReleaseLetsTheCacheGo(t *testing.T) {
	f := newFile(t)
	g := start(t, config("mmap,madvise", []File{f}, oneInFlight()))
	if err := g.Release(); err == nil {
		t.Error("released the mappings of running dirtiers")
	}
	untilOps(t, g, 100)
	if err := g.Pause(patient); err != nil {
		t.Fatal(err)
	}
	// Clean and map the page, so that the mapping alone holds it.
	file, err := os.OpenFile(f.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
	var sink byte
	for _, d := range g.dirtiers {
		sink ^= d.files[0].mem[2*blk]
	}
	runtime.KeepAlive(sink)
	if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	if pages, _ := cached(t, f); pages != 1 {
		t.Fatalf("%d pages cached, want the mapped one to stay", pages)
	}
	if err := g.Release(); err != nil {
		t.Fatal(err)
	}
	dropCache(t, f)
	g.Resume()
	untilOps(t, g, 100)
	if err := g.Stop(patient); err != nil {
		t.Fatal(err)
	}
	if err := g.Release(); err != nil {
		t.Errorf("Release after Stop: %v", err)
	}
	if n := checkMarks(t, content(t, f), 0, 2*blk, 3*blk, g.Writers()); n == 0 {
		t.Error("no word stored")
	}
}
