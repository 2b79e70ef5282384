package ledger

import "testing"

// seq makes an errseq value: counter, errno, seen.
func seq(count, errno uint32, seen bool) uint32 {
	v := count<<seqShift | errno
	if seen {
		v |= seqSeen
	}
	return v
}

func TestSyncMatcher(t *testing.T) {
	const me, other = 7, 8
	sample := Sync{FD: 1, BeginNS: 100, EndNS: 200, Errno: 5, TID: me}
	for _, x := range []struct {
		name               string
		do                 func(*SyncMatcher)
		edit               func(*Sync)
		advanced, set, can bool
		old, new           uint32
	}{
		{name: "invalidation", do: func(m *SyncMatcher) { m.Advanced(0, 150, me, 0, seq(0, 5, true)) }, advanced: true, can: true, new: seq(0, 5, true)},
		{name: "writeback", do: func(m *SyncMatcher) {
			m.SetErr(0, 50, seq(0, 5, false))
			m.Advanced(0, 150, me, 0, seq(0, 5, true))
		}, advanced: true, set: true, can: true, new: seq(0, 5, true)},
		{name: "an older writeback error, told of before", do: func(m *SyncMatcher) {
			m.SetErr(0, 50, seq(0, 5, false))
			m.Advanced(0, 150, me, seq(0, 5, true), seq(1, 5, true))
		}, advanced: true, can: true, old: seq(0, 5, true), new: seq(1, 5, true)},
		{name: "the set is stamped after the report", do: func(m *SyncMatcher) {
			m.Advanced(0, 150, me, seq(4, 5, true), seq(5, 5, true))
			m.SetErr(0, 151, seq(5, 5, false))
		}, advanced: true, set: true, can: true, old: seq(4, 5, true), new: seq(5, 5, true)},
		{name: "a later writeback error is not in it", do: func(m *SyncMatcher) {
			m.Advanced(0, 150, me, seq(4, 5, true), seq(5, 5, true))
			m.SetErr(0, 160, seq(6, 5, false))
		}, advanced: true, can: true, old: seq(4, 5, true), new: seq(5, 5, true)},
		{name: "both, coalesced", do: func(m *SyncMatcher) {
			m.SetErr(0, 50, seq(5, 5, false))
			m.Advanced(0, 150, me, seq(2, 5, true), seq(7, 5, true))
		}, advanced: true, set: true, can: true, old: seq(2, 5, true), new: seq(7, 5, true)},
		{name: "the counter wraps", do: func(m *SyncMatcher) {
			m.SetErr(0, 50, seq(seqMask, 5, false))
			m.Advanced(0, 150, me, seq(seqMask-1, 5, true), seq(1, 5, true))
		}, advanced: true, set: true, can: true, old: seq(seqMask-1, 5, true), new: seq(1, 5, true)},
		{name: "an unseen EIO was overwritten by ENOSPC", do: func(m *SyncMatcher) {
			m.SetErr(0, 50, seq(3, 28, false))
			m.Advanced(0, 150, me, seq(3, 5, true), seq(3, 28, true))
		}, advanced: true, set: true, can: true, old: seq(3, 5, true), new: seq(3, 28, true)},
		{name: "another thread's report", do: func(m *SyncMatcher) { m.Advanced(0, 150, other, 0, seq(0, 5, true)) }, can: true},
		{name: "two threads at once", do: func(m *SyncMatcher) {
			m.Advanced(0, 150, me, 0, seq(0, 5, true))
			m.Advanced(0, 151, other, seq(0, 5, true), seq(1, 5, true))
		}, advanced: true, can: true, new: seq(0, 5, true)},
		{name: "outside the call", do: func(m *SyncMatcher) {
			m.Advanced(0, 99, me, 0, seq(0, 5, true))
			m.Advanced(0, 201, me, 0, seq(0, 5, true))
		}, can: true},
		{name: "another file", do: func(m *SyncMatcher) { m.Advanced(1, 150, me, 0, seq(0, 5, true)) }, can: true},
		{name: "no thread known, one report", edit: func(s *Sync) { s.TID = 0 }, do: func(m *SyncMatcher) { m.Advanced(0, 150, other, 0, seq(0, 5, true)) },
			advanced: true, can: true, new: seq(0, 5, true)},
		{name: "no thread known, two reports", edit: func(s *Sync) { s.TID = 0 }, do: func(m *SyncMatcher) {
			m.SetErr(0, 120, seq(9, 5, false))
			m.Advanced(0, 150, other, 0, seq(0, 5, true))
			m.Advanced(0, 160, me, 0, seq(0, 5, true))
		}, advanced: true, set: true, can: true},
		{name: "the journal", can: true},
		{name: "records lost", do: func(m *SyncMatcher) { m.Lost(90) }},
		{name: "no such file", edit: func(s *Sync) { s.File = 9 }},
	} {
		m := NewSyncMatcher(2)
		if x.do != nil {
			x.do(m)
		}
		s := sample
		if x.edit != nil {
			x.edit(&s)
		}
		m.Tell(&s)
		if s.Advanced != x.advanced || s.SetErr != x.set || s.CanTell != x.can || s.Old != x.old || s.New != x.new {
			t.Errorf("%s: %+v", x.name, s)
		}
	}
}

// TestSyncMatcherLoss: what was lost counts for the samples whose span reaches
// back to it, and for no other.
func TestSyncMatcherLoss(t *testing.T) {
	m := NewSyncMatcher(1)
	tell := func(begin, end int64) bool {
		s := Sync{FD: 3, BeginNS: begin, EndNS: end}
		m.Tell(&s)
		return s.CanTell
	}
	if !tell(100, 110) {
		t.Error("nothing was lost yet")
	}
	m.Lost(150)
	if tell(200, 210) {
		t.Error("something between this sample and the last was lost")
	}
	if !tell(300, 310) {
		t.Error("the last sample came after the loss")
	}
	for i := range int64(3 * maxErrRecords) {
		m.SetErr(0, 400+i, seq(uint32(i), 5, false))
		m.Advanced(0, 400+i, 9, 0, 0)
	}
	if tell(400+3*maxErrRecords, 410+3*maxErrRecords) {
		t.Error("records were dropped for want of room")
	}
	if n := len(m.files[0].sets); n > maxErrRecords {
		t.Errorf("%d sets", n)
	}
	// A storm under one counter value is one record.
	m = NewSyncMatcher(1)
	for i := range int64(3 * maxErrRecords) {
		m.SetErr(0, i, seq(4, 5, false))
	}
	if len(m.files[0].sets) != 1 || m.files[0].dropped != 0 {
		t.Errorf("%d sets, dropped %d", len(m.files[0].sets), m.files[0].dropped)
	}
}
