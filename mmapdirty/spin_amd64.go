package mmapdirty

// spin executes n PAUSE instructions, n at least 1: it leaves the core to the
// other hyperthread without leaving the CPU.
//
//go:noescape
func spin(n uint32)
