// Package kernel reads what the running kernel says outside a completion:
// tracepoints, the errseq of a file (the witness), the kernel log, the taint,
// facts about the machine and about one file's page cache.
//
// It observes and never judges: whether a line, an errno or a count is a
// finding is decided elsewhere. It probes by presence and never by version. It
// never reads a completion, never issues a direct write and never reports a
// zero for "could not look": what it cannot see is Unavailable, with a reason.
//
// Times are ns of CLOCK_MONOTONIC unless a name says otherwise.
package kernel
