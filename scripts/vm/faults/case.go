// Package faults is the table of broken kernels: what is broken, how it is done
// in a throw-away machine, and which of dioStress's rules must catch it.
//
// It runs nothing; trial runs cells, and the command of trackrecord runs this
// table.
package faults

import (
	"fmt"
	"slices"
	"strings"
)

// Expect is what dioStress must say about a case.
type Expect struct {
	// Rules must all be among the findings.
	Rules []string
	// Any: at least one of these must be, too.
	Any []string
	// Legal: no finding, verdict pass.
	Legal bool
	// Device: no finding; every EIO of a completion is put down to the device.
	Device bool
	// Dies: the kernel may end (panic, oops, endless loop) before dioStress has
	// said anything; the machine's end is the finding then.
	Dies bool
}

// Count ties a number of dioStress's report to counters of the module.
type Count struct {
	Field    string   // "pre_write" or "post_write"
	Counters []string // whose sum it must be
}

// Case is one way to break a kernel.
type Case struct {
	Name   string
	About  string // one line, for the track record
	Module string // "retfault", "biofault"; "" if no module is needed
	// Params are the module's, engine by engine; "" holds for the others.
	Params    map[string]string
	Expect    map[string]Expect // by engine; "" for the others
	Counts    []Count
	Args      []string // of dioStress, after the settings
	Format    string   // "-1k", "-packed": appended to the file system's name
	WriteIOPS int      // throttle of the disk, writes a second; 0: none
	// Blkdebug or Flakey: the device fails, not the kernel.
	Blkdebug, Flakey bool
	// Deadly kernels get a boot for every run, and no poisoning of freed memory:
	// what corrupts memory would end the machine before a rule could speak.
	Deadly bool
	// Alone: no other machine runs meanwhile. The fault is a race of processors,
	// which emulated ones only lose while both of them run.
	Alone bool
	// Own: the kernel of `make vm-kernel`.
	Own bool
}

// ParamsFor returns the module's parameters for an engine.
func (c *Case) ParamsFor(engine string) string { return of(c.Params, engine) }

// ExpectFor returns what is expected with an engine.
func (c *Case) ExpectFor(engine string) Expect { return of(c.Expect, engine) }

func of[T any](m map[string]T, engine string) T {
	if v, ok := m[engine]; ok {
		return v
	}
	return m[""]
}

// SameFor says whether both engines can share a boot: the module is loaded once.
func (c *Case) SameFor(engines []string) bool {
	for _, e := range engines {
		if c.ParamsFor(e) != c.ParamsFor(engines[0]) {
			return false
		}
	}
	return !c.Deadly
}

// Names lists the cases.
func Names() (names []string) {
	for _, c := range Cases() {
		names = append(names, c.Name)
	}
	return names
}

// Select returns the named cases, all of them without a name.
func Select(names []string) ([]Case, error) {
	all := Cases()
	if len(names) == 0 {
		return all, nil
	}
	var out []Case
	for _, n := range names {
		i := slices.IndexFunc(all, func(c Case) bool { return c.Name == n })
		if i < 0 {
			return nil, fmt.Errorf("fault %q is not in the table; valid: %s", n, strings.Join(Names(), ", "))
		}
		out = append(out, all[i])
	}
	return out, nil
}
