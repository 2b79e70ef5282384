package main

import (
	"slices"
	"sync"

	"diostress/internal/plan"
	"diostress/ioengine"
	"diostress/ioengine/libaio"
	"diostress/ioengine/psync"
	"diostress/ioengine/uring"
)

// engine is one row of the table of engines.
type engine struct {
	name, about string
	open        ioengine.Opener
}

// engines is the table; plan.EngineNames has the same names.
func engines() []engine {
	return []engine{
		{"io_uring", "asynchronous, by the io_uring rings", uring.Open},
		{"libaio", "asynchronous, by io_submit and io_getevents", libaio.Open},
		{"psync", "the synchronous control, pwritev2", psync.Open},
	}
}

func findEngine(name string) engine {
	all := engines()
	return all[slices.IndexFunc(all, func(e engine) bool { return e.name == name })]
}

// defaultEngines is what runs when --ioengine is not given: every engine, in
// turn; one that cannot run here is listed as skipped.
func defaultEngines() []string { return plan.EngineNames() }

// featureTap passes an engine's opener through and remembers what features the
// engine says it runs with.
type featureTap struct {
	mu    sync.Mutex
	found []string
}

func (f *featureTap) wrap(open ioengine.Opener) ioengine.Opener {
	return func(o ioengine.Options) (ioengine.Engine, error) {
		e, err := open(o)
		if d, ok := e.(ioengine.Describer); ok && err == nil {
			f.mu.Lock()
			f.found = d.Features()
			f.mu.Unlock()
		}
		return e, err
	}
}

func (f *featureTap) features() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.found
}
