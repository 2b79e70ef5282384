package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"diostress/ioengine"
)

// memory plays a script over memory: each step submits or reaps.
type memory struct {
	t    *testing.T
	eng  ioengine.Engine
	file []byte
	buf  []byte
}

func newMemory(t *testing.T, s Script) *memory {
	t.Helper()
	m := &memory{t: t, file: make([]byte, 64*sector), buf: make([]byte, 16*sector)}
	s.Memory = [][]byte{m.file}
	eng, err := Fake(s)(ioengine.Options{Depth: 8, BufSize: 2 * sector})
	if err != nil {
		t.Fatal(err)
	}
	m.eng = eng
	return m
}

// submit offers n writes of two sectors of the value 'a'+i at two sectors
// times i.
func (m *memory) submit(from, n int) (int, error) {
	var reqs []ioengine.Request
	for i := from; i < from+n; i++ {
		b := m.slot(i)
		for j := range b {
			b[j] = 'a' + byte(i)
		}
		reqs = append(reqs, ioengine.Request{Tag: uint64(i), Buf: unsafe.Pointer(&b[0]), Off: int64(i) * 2 * sector, Len: 2 * sector})
	}
	return m.eng.Submit(reqs)
}

func (m *memory) slot(i int) []byte { return m.buf[i%8*2*sector:][:2*sector] }

func (m *memory) reap() (got []ioengine.Completion) {
	m.t.Helper()
	got = make([]ioengine.Completion, 32)
	n, err := m.eng.Reap(got, 0, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	return got[:n]
}

// at returns the two sectors of request i, as a string of their first bytes;
// "." is zero and "?" anything mixed.
func (m *memory) at(i int) string {
	out := ""
	for s := range 2 {
		p := m.file[(2*i+s)*sector:][:sector]
		switch {
		case bytes.Count(p, p[:1]) != sector:
			out += "?"
		case p[0] == 0:
			out += "."
		default:
			out += string(rune(p[0]))
		}
	}
	return out
}

// TestActs: what each act makes of request 1 of three.
func TestActs(t *testing.T) {
	const whole = 2 * sector
	one := func(res int64) []ioengine.Completion { return []ioengine.Completion{{Tag: 1, Res: res}} }
	for _, c := range []struct {
		rule Rule
		want []ioengine.Completion // of request 1, or of nobody
		data string
	}{
		{Rule{}, one(whole), "bb"},
		{Rule{Do: Short}, one(sector), "b."},
		{Rule{Do: Short, N: 512}, one(512), "b."},
		{Rule{Do: Zero}, one(0), ".."},
		{Rule{Do: Overlong}, one(whole + 512), "bb"},
		{Rule{Do: Overlong, N: 1}, one(whole + 1), "bb"},
		{Rule{Do: Torn}, one(whole), "b."},
		{Rule{Do: Duplicate}, append(one(whole), one(whole)...), "bb"},
		{Rule{Do: Duplicate, N: 2}, append(append(one(whole), one(whole)...), one(whole)...), "bb"},
		{Rule{Do: Stray}, []ioengine.Completion{{Tag: 1, Res: whole}, {Tag: math.MaxUint64 - 1, Res: whole}}, "bb"},
		{Rule{Do: Stray, N: 77}, []ioengine.Completion{{Tag: 1, Res: whole}, {Tag: 77, Res: whole}}, "bb"},
		{Rule{Do: Lost}, nil, "bb"},
		{Rule{Do: Swallowed}, nil, ".."},
		{Rule{Do: Errno}, one(-5), ".."},
		{Rule{Do: Errno, N: ENOTBLK}, one(-15), ".."},
		{Rule{Do: ErrnoWritten, N: EIOCBQUEUED}, one(-529), "bb"},
		{Rule{Do: TwoResults}, append(one(-5), one(whole)...), "bb"},
		{Rule{Do: Res2}, []ioengine.Completion{{Tag: 1, Res: whole, Res2: 1}}, "bb"},
		{Rule{Do: Flags, N: 4}, []ioengine.Completion{{Tag: 1, Res: whole, Flags: 4}}, "bb"},
		{Rule{Do: DataLost}, one(whole), ".."},
		{Rule{Do: WrongData, N: whole}, one(whole), "\u009d\u009d"},
		{Rule{Do: PartialAccept}, one(whole), "bb"},
	} {
		t.Run(fmt.Sprintf("%s/%d", c.rule.Do, c.rule.N), func(t *testing.T) {
			var fired []uint64
			s := Script{Fired: func(op uint64, do Act, r ioengine.Request) {
				if do != c.rule.Do || r.Tag != op {
					t.Errorf("fired: op %d, %s, %+v", op, do, r)
				}
				fired = append(fired, op)
			}}
			if c.rule.Do != 0 {
				c.rule.Op = 1
				s.Rules = []Rule{c.rule}
			}
			m := newMemory(t, s)
			n, err := m.submit(0, 3)
			wantN := 3
			if c.rule.Do == PartialAccept {
				wantN = 2
			}
			if n != wantN || err != nil {
				t.Fatalf("submit: %d, %v; want %d", n, err, wantN)
			}
			if n == 2 {
				if n, err := m.submit(2, 1); n != 1 || err != nil {
					t.Fatalf("submit of the rest: %d, %v", n, err)
				}
			}
			var got []ioengine.Completion
			sound := 0
			for _, q := range m.reap() {
				if q == (ioengine.Completion{Tag: 0, Res: whole}) || q == (ioengine.Completion{Tag: 2, Res: whole}) {
					sound++
				} else {
					got = append(got, q)
				}
			}
			if sound != 2 || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%d sound completions, and %+v; want 2, and %+v", sound, got, c.want)
			}
			if m.at(0) != "aa" || m.at(1) != c.data || m.at(2) != "cc" {
				t.Errorf("file %q %q %q, want aa %q cc", m.at(0), m.at(1), m.at(2), c.data)
			}
			if c.rule.Do != 0 && !reflect.DeepEqual(fired, []uint64{1}) {
				t.Errorf("fired on %v, want [1]", fired)
			}
			err = m.eng.Close()
			if lost := c.want == nil; lost != errors.Is(err, ioengine.ErrInFlight) || !lost && err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// TestLanding: Early keeps the data of submission, Poison takes what the
// buffer holds when it lands, and both come after the completion.
func TestLanding(t *testing.T) {
	for _, c := range []struct {
		do   Act
		n    int64
		data string
	}{{Early, 0, "aa"}, {Early, 3, "aa"}, {Poison, 0, "zz"}, {Poison, 3, "zz"}} {
		m := newMemory(t, Script{Rules: []Rule{{Op: 0, Do: c.do, N: c.n}}})
		if n, err := m.submit(0, 1); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if got := m.reap(); len(got) != 1 || got[0].Res != 2*sector {
			t.Fatalf("%s: %+v", c.do, got)
		}
		for i := range m.slot(0) {
			m.slot(0)[i] = 'z'
		}
		for call := int64(1); call <= or(c.n, 1); call++ {
			if m.at(0) != ".." {
				t.Errorf("%s %d: landed before call %d", c.do, c.n, call)
			}
			m.reap()
		}
		if m.at(0) != c.data {
			t.Errorf("%s %d: %q landed, want %q", c.do, c.n, m.at(0), c.data)
		}
	}
	m := newMemory(t, Script{Rules: []Rule{{Op: 0, Do: Early, N: 100}}})
	m.submit(0, 1)
	m.reap()
	if err := m.eng.Close(); err != nil || m.at(0) != "aa" {
		t.Errorf("after close: %q, %v", m.at(0), err)
	}
}

func TestMisplaced(t *testing.T) {
	m := newMemory(t, Script{Rules: []Rule{{Op: 1, Do: Misplaced}}})
	m.submit(0, 2)
	if m.at(1) != ".." || m.at(2) != "bb" || len(m.reap()) != 2 {
		t.Errorf("file %q %q", m.at(1), m.at(2))
	}
}

func TestLate(t *testing.T) {
	m := newMemory(t, Script{Rules: []Rule{{Op: 0, Do: Late, N: 2}}})
	m.submit(0, 2)
	for call, want := range []int{1, 0, 1} {
		if got := m.reap(); len(got) != want {
			t.Errorf("reap %d: %+v, want %d", call, got, want)
		}
	}
	// A waiting reap gets it at once.
	m = newMemory(t, Script{Rules: []Rule{{Op: 0, Do: Late, N: 50}}})
	m.submit(0, 1)
	if n, err := m.eng.Reap(make([]ioengine.Completion, 4), 1, 0); n != 1 || err != nil {
		t.Errorf("waiting reap: %d, %v", n, err)
	}
	m = newMemory(t, Script{Rules: []Rule{{Op: 0, Do: Late, Delay: 30 * time.Millisecond}}})
	start := time.Now()
	m.submit(0, 1)
	if n, err := m.eng.Reap(make([]ioengine.Completion, 4), 1, 5*time.Millisecond); n != 0 || err != nil {
		t.Errorf("reap before the delay: %d, %v", n, err)
	}
	if n, err := m.eng.Reap(make([]ioengine.Completion, 4), 1, 0); n != 1 || err != nil || time.Since(start) < 30*time.Millisecond {
		t.Errorf("reap: %d, %v after %v", n, err, time.Since(start))
	}
}

func TestRefusals(t *testing.T) {
	m := newMemory(t, Script{Rules: []Rule{{Op: 1, Do: BackPressure, N: 2}, {Op: 2, Do: SubmitError, N: int64(unix.ENOMEM)}}})
	for call, want := range []struct {
		from, n, got int
		errno        error
	}{{0, 3, 1, nil}, {1, 2, 0, nil}, {1, 2, 1, unix.ENOMEM}, {2, 1, 1, nil}} {
		n, err := m.submit(want.from, want.n)
		if n != want.got || !errors.Is(err, want.errno) {
			t.Errorf("call %d: %d, %v; want %d, %v", call, n, err, want.got, want.errno)
		}
	}
	if got := m.reap(); len(got) != 3 {
		t.Errorf("%+v", got)
	}
}

// TestWhen: Every and OneIn, and that the seed decides.
func TestWhen(t *testing.T) {
	run := func(s Script) (ops []uint64) {
		s.Fired = func(op uint64, _ Act, _ ioengine.Request) { ops = append(ops, op) }
		m := newMemory(t, s)
		for i := range 1000 {
			m.submit(i%8, 1)
			m.reap()
		}
		return ops
	}
	if got, want := run(Script{Rules: []Rule{{Op: 10, Every: 300, Do: Zero}}}), []uint64{10, 310, 610, 910}; !reflect.DeepEqual(got, want) {
		t.Errorf("every: %v, want %v", got, want)
	}
	rules := []Rule{{Op: 5, OneIn: 10, Do: Zero}}
	a, b, other := run(Script{Seed: 1, Rules: rules}), run(Script{Seed: 1, Rules: rules}), run(Script{Seed: 2, Rules: rules})
	if !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, other) {
		t.Errorf("seeds: %v, %v, %v", a, b, other)
	}
	if len(a) < 70 || len(a) > 130 || a[0] != 5 {
		t.Errorf("one in ten of 1000 fired %d times from %d on", len(a), a[0])
	}
}

func TestRulesMeet(t *testing.T) {
	m := newMemory(t, Script{Rules: []Rule{{Do: Errno}, {Do: Duplicate}, {Do: Late}}})
	m.submit(0, 1)
	if got := m.reap(); len(got) != 0 {
		t.Errorf("not late: %+v", got)
	}
	if got := m.reap(); len(got) != 2 || got[0].Res != -5 || got[1].Res != -5 {
		t.Errorf("%+v, want -EIO twice", got)
	}
}

func TestBadRules(t *testing.T) {
	for _, r := range []Rule{{}, {Do: SubmitError + 1}, {Do: Errno, N: -5}} {
		if _, err := Fake(Script{Rules: []Rule{r}, NoIO: true})(ioengine.Options{Depth: 1}); err == nil {
			t.Errorf("rule %+v was accepted", r)
		}
	}
}

func BenchmarkFakeNoIO(b *testing.B) {
	for _, s := range []Script{{NoIO: true}, {NoIO: true, Rules: []Rule{{OneIn: 1000, Do: Late}}}} {
		b.Run(fmt.Sprintf("%d rules", len(s.Rules)), func(b *testing.B) {
			eng, err := Fake(s)(ioengine.Options{Depth: 32})
			if err != nil {
				b.Fatal(err)
			}
			reqs := make([]ioengine.Request, 32)
			cqes := make([]ioengine.Completion, 32)
			for i := range reqs {
				reqs[i] = ioengine.Request{Tag: uint64(i), Len: blockSize}
			}
			b.ReportAllocs()
			for done := 0; done < b.N; {
				if _, err := eng.Submit(reqs); err != nil {
					b.Fatal(err)
				}
				n, err := eng.Reap(cqes, 1, time.Second)
				if err != nil {
					b.Fatal(err)
				}
				done += n
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mops/s")
		})
	}
}
