package kernel

import (
	"encoding/binary"
	"fmt"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fakeRing is a ring as perf would fill it, in ordinary memory.
type fakeRing struct{ ring }

func newFakeRing(cpu uint16, pages int) *fakeRing {
	mem := make([]byte, (1+pages)*4096)
	return &fakeRing{ring{mem: mem, data: mem[4096:], mask: uint64(pages*4096 - 1), cpu: cpu}}
}

func (r *fakeRing) header() *unix.PerfEventMmapPage {
	return (*unix.PerfEventMmapPage)(unsafe.Pointer(&r.mem[0]))
}

// put appends one PERF_RECORD_SAMPLE; it wraps like the kernel does.
func (r *fakeRing) put(ts int64, tid int32, raw []byte) {
	n := (36 + len(raw) + 7) &^ 7
	rec := make([]byte, n)
	binary.NativeEndian.PutUint32(rec, unix.PERF_RECORD_SAMPLE)
	binary.NativeEndian.PutUint16(rec[6:], uint16(n))
	binary.NativeEndian.PutUint32(rec[12:], uint32(tid))
	binary.NativeEndian.PutUint64(rec[16:], uint64(ts))
	binary.NativeEndian.PutUint32(rec[24:], uint32(r.cpu))
	binary.NativeEndian.PutUint32(rec[32:], uint32(n-36))
	copy(rec[36:], raw)
	r.append(rec)
}

func (r *fakeRing) append(rec []byte) {
	h := r.header()
	for _, b := range rec {
		r.data[h.Data_head&r.mask] = b
		h.Data_head++
	}
}

// rawOf writes a raw record of a format with the named integer fields.
func rawOf(f *Format, vals map[string]int64) []byte {
	size := 0
	for _, fd := range f.Fields {
		size = max(size, fd.Offset+fd.Size)
	}
	raw := make([]byte, size)
	put := func(fd Field, v int64) {
		switch fd.Size {
		case 1:
			raw[fd.Offset] = byte(v)
		case 2:
			binary.NativeEndian.PutUint16(raw[fd.Offset:], uint16(v))
		case 4:
			binary.NativeEndian.PutUint32(raw[fd.Offset:], uint32(v))
		case 8:
			binary.NativeEndian.PutUint64(raw[fd.Offset:], uint64(v))
		}
	}
	id, _ := f.Field("common_type")
	put(id, int64(f.ID))
	for name, v := range vals {
		fd, ok := f.Field(name)
		if !ok {
			panic("no field " + name + " in " + f.Name)
		}
		put(fd, v)
	}
	return raw
}

// fakeTrace is a Trace over fake rings, with the formats of one kernel.
func fakeTrace(tb testing.TB, version string, cpus, pages int) (*Trace, []*fakeRing, map[string]Format) {
	tb.Helper()
	clock, err := NewClock()
	if err != nil {
		tb.Fatal(err)
	}
	files := []TraceFile{{Dev: unix.Mkdev(7, 3), Ino: 12}, {Dev: unix.Mkdev(7, 3), Ino: 13}}
	t := &Trace{opt: Options{Mode: TraceExact, Files: files, Settle: 1}, clock: clock, pageSize: 4096, source: SourcePerf, seenFile: make([]uint64, 2)}
	if t.index, err = newFileIndex(files); err != nil {
		tb.Fatal(err)
	}
	formats := readFormats(tb, version)
	for k := range StalePagecache {
		for _, s := range sourcesOf(k) {
			if f, ok := formats[s.event]; ok {
				d, err := newDecoder(k, &f)
				if err != nil {
					tb.Fatal(err)
				}
				for len(t.byID) <= d.id {
					t.byID = append(t.byID, nil)
				}
				t.byID[d.id] = d
				break
			}
		}
	}
	p := &perfTrace{}
	var rings []*fakeRing
	for c := range cpus {
		r := newFakeRing(uint16(c), pages)
		rings = append(rings, r)
		p.rings = append(p.rings, &r.ring)
	}
	t.back, t.queues = p, make([]queue, cpus)
	return t, rings, formats
}

func BenchmarkDrain(b *testing.B) {
	for _, cpus := range []int{2, 16} {
		b.Run(fmt.Sprintf("cpus=%d", cpus), func(b *testing.B) {
			t, rings, formats := fakeTrace(b, "6.18", cpus, 256)
			begin, complete := formats["iomap_dio_rw_begin"], formats["iomap_dio_complete"]
			const perCPU = 4000
			for c, r := range rings {
				for i := range perCPU / 2 {
					ts := int64(i*1000*cpus + c*700)
					r.put(ts, 1, rawOf(&begin, map[string]int64{"dev": 7<<20 | 3, "ino": 12, "pos": int64(i) * 4096, "count": 4096, "aio": 1}))
					r.put(ts+500, 1, rawOf(&complete, map[string]int64{"dev": 7<<20 | 3, "ino": 12, "pos": int64(i+1) * 4096, "ret": 4096}))
				}
			}
			var n int
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				for _, r := range rings {
					r.header().Data_tail = 0
				}
				t.floor = 0
				n = 0
				if _, err := t.Drain(func(e *Event) { n++ }); err != nil {
					b.Fatal(err)
				}
			}
			if n != perCPU*cpus {
				b.Fatalf("drained %d events, want %d", n, perCPU*cpus)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/event")
		})
	}
}

func BenchmarkClockNow(b *testing.B) {
	c, err := NewClock()
	if err != nil {
		b.Fatal(err)
	}
	var sum int64
	for b.Loop() {
		sum += c.Now()
	}
	if sum == 0 {
		b.Fatal("clock stands still")
	}
}
