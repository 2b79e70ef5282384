//go:build race

package mmapdirty

// With the race detector an atomic store is done in its C code, where a SIGBUS
// ends the process: the file may be cut between its look at the page and the
// store. These do the same by one instruction of their own, on a 64-bit
// machine, which is what has a race detector.

//go:norace
//go:noinline
func storeWord(p *uint64, v uint64) { *p = v }

//go:norace
//go:noinline
func loadWord(p *uint64) uint64 { return *p }
