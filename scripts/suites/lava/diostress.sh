#!/bin/sh
# SPDX-License-Identifier: MIT
#
# diostress.sh [FLAG...]: runs dioStress with the given flags on a device of a
# LAVA lab. Its report consists of LAVA's signals, a test set for each run and a
# test case for each rule; the case "dioStress" says how the program ended, so
# that a report that never came shows. Exits 0 always: the cases are the result.
#
# DIOSTRESS is the program (default: dioStress in PATH). With KMSG set, signals
# go to the kernel log, as those of the job option "lava-signal: kmsg".
set -u

program=${DIOSTRESS:-dioStress}

signal() {
	if [ -n "${KMSG:-}" ]; then
		echo "<0>$1" >/dev/kmsg
	else
		echo "$1"
	fi
}

# finish RESULT REASON
finish() {
	echo "dioStress: $2"
	signal "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=dioStress RESULT=$1>"
	exit 0
}

command -v "$program" >/dev/null 2>&1 || finish skip "there is no program $program"

report=$(mktemp "${TMPDIR:-/tmp}/diostress.XXXXXX") || finish fail "mktemp failed"
trap 'rm -f "$report"' EXIT
"$program" --eta never --output-format lava --output "$report" "$@"
status=$?
while IFS= read -r line; do
	case $line in
	"<LAVA_SIGNAL_"*) signal "$line" ;;
	*) echo "$line" ;;
	esac
done <"$report"

# What the statuses mean: docs/exit-status.md of dioStress.
case $status in
0) finish pass "exit status 0" ;;
4) finish skip "exit status 4: this device cannot run it" ;;
*) finish fail "exit status $status" ;;
esac
