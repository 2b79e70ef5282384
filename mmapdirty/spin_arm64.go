package mmapdirty

// spin executes n YIELD instructions, n at least 1.
//
//go:noescape
func spin(n uint32)
