//go:build !race

package mmapdirty

import "sync/atomic"

// storeWord stores to a mapped page. It is atomic, so that the compiler neither
// drops nor merges it, and the word is never seen half stored.
func storeWord(p *uint64, v uint64) { atomic.StoreUint64(p, v) }

// loadWord loads from a mapped page.
func loadWord(p *uint64) uint64 { return atomic.LoadUint64(p) }
