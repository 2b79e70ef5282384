// Package mmapdirty keeps pages dirty while direct writes to them are in
// flight: threads of this process that look up a write in flight and store
// into, write to, read, sync or drop exactly those pages.
//
// The engine threads publish what is in flight in a [Table]; the dirtiers of a
// [Group] chase it without locks. What is written is decided by functions of
// the caller ([Config].Word, [Config].Fill); what came back is counted
// ([Group.Stats]) or handed over ([Config].OnSync).
//
// The package never submits a direct write, never judges a result, and never
// keeps a thread, a descriptor or a mapping past a [Group.Stop] that returned
// nil.
//
// A store to a mapped page that faults is not a system call: for the Go
// scheduler the goroutine runs on, and it holds its P until the kernel has
// answered the fault. A stop-the-world waits for it as well. The caller sets
// GOMAXPROCS to at least dirtiers + engine threads + 2, or mmap dirtiers
// starve the thread that reaps.
package mmapdirty
