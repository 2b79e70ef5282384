package main

import "diostress/internal/verdict"

// The exit statuses; docs/exit-status.md is held against them by a test.
const (
	exitPass        = 0
	exitFail        = 1
	exitUsage       = 2
	exitBroken      = 3
	exitUnsupported = 4
	exitStuck       = 124
	exitInterrupted = 130
)

// exitStatus says how a result leaves the program.
func exitStatus(r *verdict.Result) int {
	switch {
	case r.Stuck:
		return exitStuck
	case r.Verdict == verdict.Fail:
		return exitFail
	case r.Interrupted:
		return exitInterrupted
	}
	switch r.Verdict {
	case verdict.Pass:
		return exitPass
	case verdict.Unsupported:
		return exitUnsupported
	}
	return exitBroken
}

// exitStyles are the valid values of --exit-style.
var exitStyles = [...]string{"default", "ltp"}

// styled maps an exit status to the wanted style. The Linux Test Project knows
// TFAIL 1, TBROK 2 and TCONF 32 (include/tst_res_flags.h).
func styled(style string, status int) int {
	if style != "ltp" {
		return status
	}
	switch status {
	case exitUsage, exitBroken:
		return 2
	case exitUnsupported:
		return 32
	case exitStuck:
		return 1
	}
	return status
}
