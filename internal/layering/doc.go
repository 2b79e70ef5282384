// Package layering holds the test that keeps the rooms apart: the table of
// docs/architecture.md says who may import whom.
//
// It has no code of its own and nothing imports it.
package layering
