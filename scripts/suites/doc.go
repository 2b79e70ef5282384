// Package suites is the test of the files beside it, by which other test suites
// run dioStress: xfstests, LTP, kselftest, LAVA and avocado. It holds their
// flags, exit statuses and output against the program, and runs them under the
// suites' own runners where a variable says where those are.
//
// It never fetches or builds a suite.
package suites
