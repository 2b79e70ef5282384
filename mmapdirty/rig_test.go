package mmapdirty

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(8) // faulting dirtiers hold a P each
	os.Exit(m.Run())
}

const (
	blk     = 4096
	blocks  = 16
	patient = 20 * time.Second
	untouch = 0xEE
)

// mark packs who stored a word into the word.
func mark(file int, off int64, writer int, gen uint64) uint64 {
	return uint64(file&0xf)<<60 | uint64(writer&0xfff)<<48 | uint64(off&0xffffff)<<24 | gen&0xffffff
}

func fillMarks(dst []byte, file int, off int64, writer int, gen uint64) {
	for i := 0; i+8 <= len(dst); i += 8 {
		binary.NativeEndian.PutUint64(dst[i:], mark(file, off+int64(i), writer, gen))
	}
}

// newFile makes a written and synced file of untouch bytes.
func newFile(t testing.TB) File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Repeat([]byte{untouch}, blk*blocks)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return File{Path: path, Size: blk * blocks}
}

func config(spec string, files []File, tables ...*Table) Config {
	s, err := ParseSpec(spec)
	if err != nil {
		panic(err)
	}
	start := time.Now()
	return Config{
		Files: files, Tables: tables,
		Sets: []Set{{Spec: s, Strategy: DefaultStrategy()}},
		Word: mark, Fill: fillMarks,
		Clock:      func() int64 { return int64(time.Since(start)) },
		WriterBase: 100, DescriptionBase: 50, Seed: 1,
	}
}

func start(t testing.TB, cfg Config) *Group {
	t.Helper()
	g, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(patient); err != nil {
			t.Error(err)
		}
	})
	return g
}

func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patient); !cond(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patient, what)
		}
	}
}

func ops(g *Group) (n uint64) {
	for _, s := range g.Stats() {
		n += s.Operations
	}
	return n
}

// untilOps waits for n more acts.
func untilOps(t testing.TB, g *Group, n uint64) {
	t.Helper()
	from := ops(g)
	until(t, "dirtiers act", func() bool { return ops(g) >= from+n })
}

func content(t testing.TB, f File) []byte {
	t.Helper()
	b, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != f.Size {
		t.Fatalf("%s: %d bytes, want %d", f.Path, len(b), f.Size)
	}
	return b
}

// checkMarks holds every word of a file against the rule that it is untouched,
// or lies in [from, to) and was stored there by one of the writers with a
// generation it has begun. It returns how many were stored.
func checkMarks(t testing.TB, b []byte, file int, from, to int64, writers []Writer) (stored int) {
	t.Helper()
	gens := map[uint64]uint64{}
	for _, w := range writers {
		gens[uint64(w.ID)] = w.Gen
	}
	for off := int64(0); off < int64(len(b)); off += 8 {
		v := binary.NativeEndian.Uint64(b[off:])
		if v == 0xEEEEEEEEEEEEEEEE {
			continue
		}
		writer, gen := v>>48&0xfff, v&0xffffff
		last, known := gens[writer]
		if off < from || off >= to || !known || gen == 0 || gen > last || v != mark(file, off, int(writer), gen) {
			t.Fatalf("word %#x at %d: not a word that a dirtier may have stored there (range %d..%d, generations %v)", v, off, from, to, gens)
		}
		stored++
	}
	return stored
}

// engine is a stand-in for an engine thread: it keeps depth writes in flight
// and submits as fast as the dirtiers let it.
type engine struct {
	stop chan struct{}
	wg   sync.WaitGroup
	sent uint64 // valid after halt
}

func runEngine(tab *Table, file int, flight time.Duration) *engine {
	e := &engine{stop: make(chan struct{})}
	e.wg.Go(func() {
		depth := tab.Slots()
		for i := 0; ; i++ {
			s := i % depth
			if i >= depth {
				tab.End(s)
			}
			select {
			case <-e.stop:
				for s := range depth {
					tab.End(s)
				}
				return
			default:
			}
			tab.Begin(s, file, int64(i*7%blocks)*blk, blk)
			e.sent++
			time.Sleep(flight)
		}
	})
	return e
}

func (e *engine) halt() {
	close(e.stop)
	e.wg.Wait()
}

// resources counts what a group must give back: descriptors and mappings of
// anything in dir.
func resources(t testing.TB, dir string) (fds, maps int) {
	t.Helper()
	ents, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ents {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, dir) {
			fds++
		}
	}
	m, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return fds, strings.Count(string(m), dir)
}
