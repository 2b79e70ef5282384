package disk

import (
	"fmt"
	"strings"
)

// failEvery is the distance of the blocks that fail: a file of 1 MiB that lies
// in one piece has ten of them.
const failEvery = 24 * 4096

// FailRules are rules for QEMU's blkdebug over a disk of size bytes: from one
// sign to the next, a write-zeroes command, every write that touches one of the
// chosen blocks between start and the end fails with EIO; reads do not. The last
// block, which the sign zeroes, is none of them.
func FailRules(start, size int64) string {
	var b strings.Builder
	// The states are 1, where nothing fails, and 2. Rules of the state that a sign
	// ends become those in force; one that no write meets replaces them.
	b.WriteString("[set-state]\nevent = \"pwritev_zero\"\nstate = \"1\"\nnew_state = \"2\"\n")
	b.WriteString("[set-state]\nevent = \"pwritev_zero\"\nstate = \"2\"\nnew_state = \"1\"\n")
	rule := func(state int, iotype string, at int64) {
		fmt.Fprintf(&b, "[inject-error]\nevent = \"pwritev_zero\"\nstate = \"%d\"\niotype = \"%s\"\nerrno = \"5\"\nsector = \"%d\"\n", state, iotype, at/512)
	}
	rule(2, "discard", size-4096)
	for at := start; at < size-4096; at += failEvery {
		rule(1, "write", at)
	}
	return b.String()
}
