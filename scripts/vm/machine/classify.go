package machine

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"diostress/scripts/vm/wire"
)

// State is how a machine ended.
type State string

// The states. Only the first four say something about the kernel.
const (
	Finished    State = "finished"     // all commands ran; their statuses count
	Panic       State = "panic"        // the kernel panicked without an oops before it
	Oops        State = "oops"         // an oops or WARN ended the machine
	Hang        State = "hang"         // a command ran into its timeout in the guest
	HostTimeout State = "host_timeout" // the guest booted, then said nothing more until it was killed
	NeverBooted State = "never_booted" // user space was not reached
	GuestFailed State = "guest_failed" // the init could not do its work (no disk, no module, mount refused)
	QEMUFailed  State = "qemu_failed"  // QEMU itself
)

// Exit statuses of a program that ran one machine.
const (
	ExitMisbehaved  = 1   // the kernel died
	ExitUsage       = 2   //
	ExitBroken      = 3   // nothing can be said about the kernel
	ExitUnavailable = 4   // this machine lacks something
	ExitStuck       = 124 //
)

// ExitStatus maps the state to an exit status; finished is the command's own.
func (s State) ExitStatus(command int) int {
	switch s {
	case Finished:
		return command
	case Panic, Oops:
		return ExitMisbehaved
	case Hang:
		return ExitStuck
	}
	return ExitBroken
}

// ending is what is known when QEMU is gone.
type ending struct {
	rc        int // exit status; -1: killed by a signal
	hostLimit bool
	limit     time.Duration
	booted    bool
	qemuLog   string
	notes     []string
}

// oopsLine finds what a healthy kernel does not print.
var oopsLine = regexp.MustCompile(`BUG: |BUG [-\w:]+ \(|kernel BUG at|Oops: |WARNING: .* at |general protection fault|refcount_t: |KASAN: |Unable to handle kernel|unable to handle |list_(add|del) corruption|Poison overwritten|Redzone .*overwritten|rcu: INFO: .* detected stalls|soft lockup|INFO: task .* blocked for more than|Object already free`)

var stamp = regexp.MustCompile(`^\[\s*\d+\.\d+\](\[[ TC\d]+\])? ?`)

// OopsLines returns the lines of a kernel log that a healthy kernel does not
// print, without their time stamps, at most 20.
func OopsLines(log string) []string {
	var out []string
	for line := range strings.Lines(log) {
		line = stamp.ReplaceAllString(strings.TrimSpace(line), "")
		if oopsLine.MatchString(line) && len(out) < 20 {
			out = append(out, line)
		}
	}
	return out
}

var panicLine = regexp.MustCompile(`Kernel panic - not syncing: .*`)

func classify(e ending, console string) (State, string, []string) {
	oops := OopsLines(console)
	panicked := strings.TrimSpace(panicLine.FindString(console))
	end, _, _ := wire.DecodeExit(e.rc)
	switch {
	case e.hostLimit && !e.booted:
		return NeverBooted, fmt.Sprintf("no user space after %s; last line: %s", e.limit, lastLine(console)), oops
	case e.hostLimit:
		return HostTimeout, fmt.Sprintf("killed after %s; last line: %s", e.limit, lastLine(console)), oops
	case end == wire.EndFinished:
		return Finished, "", oops
	case end == wire.EndTimeout:
		return Hang, "a command ran into its timeout in the guest", oops
	case end == wire.EndInitFailed:
		return GuestFailed, "the guest's init gave up: " + strings.Join(e.notes, "; "), oops
	case e.rc == 0 && !e.booted:
		why := panicked
		if why == "" {
			why = "reset"
		}
		return NeverBooted, why + " before user space", oops
	case e.rc == 0 && len(oops) > 0:
		return Oops, oops[0], oops
	case e.rc == 0 && panicked != "":
		return Panic, panicked, oops
	case e.rc == 0:
		return Panic, "reset without a word; last line: " + lastLine(console), oops
	}
	why := e.qemuLog
	if why == "" {
		why = "no message"
	}
	return QEMUFailed, fmt.Sprintf("status %d: %s", e.rc, why), oops
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return "(none)"
	}
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}
