package ioengine

// Placer is implemented by engines for which the kernel runs workers of its own.
type Placer interface {
	// PlaceWorkers says on which CPUs (0..1023) these workers are to run, from
	// now on. It is a wish: a kernel that cannot be told runs them anywhere.
	// It is called by the engine's thread, like everything else.
	PlaceWorkers(cpus []int)
}
