package plan

import "time"

// Profile is a named choice of the settings that decide how the direct writes
// and the dirtiers meet. Flags that the user gives win over it.
type Profile struct {
	Name    string
	About   string // one line
	BS      int
	Size    int64
	IODepth int
	Dirty   []Dirty
	How     Strategy
	Audit   bool
	Dwell   int // writes to a block before the next one
}

// chase is the strategy that the profiles with dirtiers begin with.
func chase() Strategy {
	return Strategy{
		Pick: "newest", Words: 1, Stay: 1, YieldEvery: 8, Spin: 200, Yields: 50,
		Sleep: 20 * time.Microsecond, MaxSleep: 500 * time.Microsecond,
		RestSync: 3 * time.Millisecond, RestOther: time.Millisecond,
	}
}

// Profiles returns every fixed profile, in the order of ProfileNames; auto is
// not among them: it is found by measuring.
func Profiles() []Profile {
	oldest := chase()
	oldest.Pick = "oldest"
	// A write that waits until its page is dirty collides nearly always: what
	// is lost by waiting comes back by not writing in vain.
	held := chase()
	held.Hold, held.Pin, held.Watch = time.Millisecond, true, 2*time.Microsecond
	held.From, held.Redirty = 8*time.Microsecond, 2 // where pages cannot be watched
	return []Profile{
		{Name: "rate", About: "most pre-write invalidation failures a second", BS: 4 << 10, Size: 512 << 10, IODepth: 1,
			Dirty: []Dirty{{"mmap", 1}}, How: held, Dwell: 16},
		{Name: "share", About: "greatest part of the direct writes collided", BS: 4 << 10, Size: 64 << 10, IODepth: 1,
			Dirty: []Dirty{{"mmap", 1}}, How: held},
		{Name: "post", About: "most post-write invalidation failures, counted one by one as in audit", BS: 4 << 10, Size: 512 << 10, IODepth: 4,
			Dirty: []Dirty{{"write", 1}}, How: oldest, Audit: true},
		{Name: "bench", About: "clean direct writes, no dirtiers", BS: 4 << 10, Size: 64 << 20, IODepth: 32, How: chase()},
		{Name: "audit", About: "one file and one write in flight for each slot, errseq looked at after every reap: post-write failures write by write",
			BS: 4 << 10, Size: 1 << 20, IODepth: 8, Dirty: []Dirty{{"mmap", 1}, {"write", 1}}, How: oldest, Audit: true},
	}
}

// FindProfile returns the profile of a name.
func FindProfile(name string) (Profile, bool) {
	for _, p := range Profiles() {
		if p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}

// Apply sets everything that the profile decides.
func (p *Profile) Apply(c *Config) {
	c.Profile, c.BS, c.Size, c.IODepth, c.Audit, c.Strategy = p.Name, p.BS, p.Size, p.IODepth, p.Audit, p.How
	c.Dwell = p.Dwell
	c.Dirty = append([]Dirty(nil), p.Dirty...)
}
