// Package smoke is one kernel of the matrix in every `make test`: does a
// machine boot here, does dioStress pass in it, and is a kernel that does not
// boot named as that.
//
// It has no code but its tests, which are skipped, visibly, where no machine
// can be had.
package smoke
