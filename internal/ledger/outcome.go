package ledger

// Outcome classifies a completion.
type Outcome uint8

// The outcomes.
const (
	Full Outcome = iota
	Short
	Zero
	Overlong
	Failed
	Leaked    // an errno that must never leave the kernel
	Duplicate // the Tag was accepted once, and had its completion
	Stray     // the Tag was never accepted
)

var outcomeNames = [...]string{"full", "short", "zero", "overlong", "failed", "leaked_errno", "duplicate", "stray"}

// String returns the name used in reports.
func (o Outcome) String() string { return outcomeNames[o] }

// Counts is the account in numbers.
type Counts struct {
	Submitted, Completed        uint64
	Full, Short, Zero, Overlong uint64
	Bytes                       uint64
	Duplicate, Stray            uint64
	NonzeroRes2                 uint64
	Failed                      map[int64]uint64 // by errno, 1..511
	Leaked                      map[int64]uint64 // by errno: ENOTBLK and 512..4095
	Lost                        uint64           // in flight at the end
	BackPressure                uint64
	Submits, Reaps              uint64 // calls
	Control                     uint64 // writes to control files
}

// Errnos the kernel keeps to itself (include/linux/errno.h): ENOTBLK is legal
// as a number but only ever a private signal of a direct write
// (fs/iomap/direct-io.c, since 5.9).
const (
	enotblk       = 15
	firstInternal = 512
)

// enter counts a matched completion.
func (c *Counts) enter(e *Entry) Outcome {
	c.Completed++
	if e.Res2 != 0 {
		c.NonzeroRes2++
	}
	switch n := int64(e.Len); {
	case e.Res == n && n > 0:
		c.Full++
		c.Bytes += uint64(n)
		return Full
	case e.Res > n:
		c.Overlong++
		return Overlong
	case e.Res > 0:
		c.Short++
		c.Bytes += uint64(e.Res)
		return Short
	case e.Res == 0:
		c.Zero++
		return Zero
	}
	errno := -e.Res
	if errno == enotblk || errno >= firstInternal || errno < 0 {
		c.Leaked[errno]++
		return Leaked
	}
	c.Failed[errno]++
	return Failed
}

// maxUnusual bounds the witnesses kept of every outcome and result, and
// maxUnusualAll those of all.
const (
	maxUnusual    = 16
	maxUnusualAll = 16 * maxUnusual
)

// unusual keeps the first completions that were not simply full.
type unusual []Unusual

func (u *unusual) note(o Outcome, e *Entry) {
	if len(*u) >= maxUnusualAll {
		return
	}
	n := 0
	for i := range *u {
		if x := &(*u)[i]; x.Outcome == o.String() && x.Entry.Res == e.Res {
			n++
		}
	}
	if n < maxUnusual {
		*u = append(*u, Unusual{o.String(), *e})
	}
}
