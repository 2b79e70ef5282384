package plan

import "fmt"

// Role is what a file is for, and so how its data may be judged.
type Role string

// The roles. Main is what the dirtiers chase: mmap stores make its content
// legally lossy. Control is written directly beside it and touched by no
// dirtier: any loss there is a finding. Neighbour has direct writes on its even
// blocks and buffered writes (never mmap) on the odd ones of the same folio:
// its disk content is certain, and a stale cache must be reported at fsync.
const (
	Main      Role = "main"
	Control   Role = "control"
	Neighbour Role = "neighbour"
)

// File is one file of a run.
type File struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
	Job  int    `json:"job"`
	Size int64  `json:"size"` // bytes

	Layout string `json:"layout,omitempty"` // "": written
	Tail   int64  `json:"tail,omitempty"`   // bytes of buffers from TailOff on, mapped by the engine threads
}

// Plan is a Config with everything that follows from it.
type Plan struct {
	Config Config
	Files  []File
}

// Sizes of the judging files, in blocks. Large blocks make do with fewer: all
// of them are read back in every epoch.
const (
	controlBlocks   = 64
	neighbourBlocks = 64
	auditBlocks     = 16
	controlBytes    = 4 << 20
)

// New lays out the files of a run.
func New(c Config) *Plan {
	p := &Plan{Config: c}
	bs := int64(c.BS)
	judged := c.Verify == "full" && len(c.Dirty) > 0 && !c.Audit
	most := max(controlBytes/bs, 2*int64(c.IODepth))
	beside := max(min(controlBlocks, most), 2*int64(c.IODepth))
	for j := range c.NumJobs {
		add := func(name string, role Role, size int64) {
			f := File{Name: fmt.Sprintf("%s.%d", name, j), Role: role, Job: j, Size: size, Tail: c.tail(role)}
			if role != Neighbour {
				f.Layout = c.Layout
			}
			p.Files = append(p.Files, f)
		}
		switch {
		case c.Audit:
			per := max(auditBlocks, c.Size/bs/int64(c.IODepth)) * bs
			for i := range c.IODepth {
				add(fmt.Sprintf("audit%d", i), Main, per)
			}
		case c.Range == "own" || j == 0:
			add("main", Main, c.Size/bs*bs)
		}
		if judged {
			add("control", Control, beside*bs)
			if c.Dirties("write") {
				add("neighbour", Neighbour, 2*max(min(neighbourBlocks, most), beside)*bs)
			}
		}
	}
	return p
}

// Bytes returns what all files need together.
func (p *Plan) Bytes() (n int64) {
	for _, f := range p.Files {
		n += f.Size + f.Tail
	}
	return n
}

// Stream returns the writes of one job.
func (p *Plan) Stream(job int) *Stream {
	c := &p.Config
	random := c.RW == "randwrite"
	s := &Stream{random: c.Overlap, rng: mix(c.Seed + uint64(job))}
	for i, f := range p.Files {
		blocks := f.Size / int64(c.BS)
		cur := cursor{file: i, step: 1}
		seed := mix(c.Seed ^ uint64(i)<<32 ^ uint64(job))
		switch {
		case f.Role == Main && c.Range == "shared" && !c.Audit:
			cur.start, cur.step = int64(job), int64(c.NumJobs)
			n := (blocks - int64(job) + int64(c.NumJobs) - 1) / int64(c.NumJobs)
			cur.perm = newPermutation(uint64(n), seed, random)
			cur.dwell, cur.width = uint64(c.Dwell), uint64(c.IODepth)
			s.main = append(s.main, cur)
		case f.Job != job:
		case f.Role == Main:
			cur.perm = newPermutation(uint64(blocks), seed, random)
			cur.dwell, cur.width = uint64(c.Dwell), uint64(c.IODepth)
			s.main = append(s.main, cur)
		case f.Role == Control:
			cur.perm = newPermutation(uint64(blocks), seed, random)
			s.control = &cur
		case f.Role == Neighbour:
			cur.step = 2
			cur.perm = newPermutation(uint64(blocks/2), seed, random)
			s.neighbour = &cur
		}
	}
	return s
}
