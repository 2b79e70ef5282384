#!/bin/sh
# SPDX-License-Identifier: MIT
#
# diostress.sh [FLAG...]: runs dioStress with the given flags and tells it the
# way a test of the Linux Test Project does: a line for every rule and the
# summary on standard error, TFAIL 1, TBROK 2 and TCONF 32 as exit statuses.
#
# DIOSTRESS is the program (default: dioStress in PATH, which holds LTP's
# testcases/bin). Each engine runs 10 s, times LTP_RUNTIME_MUL.
set -u

program=${DIOSTRESS:-dioStress}
work=$(mktemp -d "${TMPDIR:-/tmp}/diostress.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT

# tell STATUS: the KTAP report on standard input, as LTP puts it. A status for
# which no rule accounts gets a line of its own. A rule that this mode cannot
# check is no TCONF: kirk shows every test with one as skipped, whatever passed.
tell() {
	awk -v status="$1" '
	function say(type, text) {
		count[type]++
		if (type != "TINFO") n++
		printf "diostress %d %s: %s\n", n, type, text
	}
	{ line = $0; sub(/^ +/, "", line) }
	# The totals and the plan say nothing that the summary does not.
	line ~ /^(KTAP version|# Totals:)/ { next }
	line ~ /^# run / { run = substr(line, 7) ": "; next }
	line ~ /^# / { say("TINFO", substr(line, 3)); next }
	line ~ /^1\.\.0 # SKIP/ { sub(/^1\.\.0 # SKIP */, "", line); say("TCONF", line); next }
	line !~ /^(not )?ok [0-9]+ / { next }
	{
		bad = line ~ /^not /
		sub(/^(not )?ok [0-9]+ /, "", line)
		why = ""
		if (i = index(line, " # ")) { why = substr(line, i + 3); line = substr(line, 1, i - 1) }
	}
	# A result of a whole run repeats those of its rules, except a skip: it has none.
	$0 !~ /^ / && why !~ /^SKIP/ { run = ""; next }
	{
		rule = $0 ~ /^ /
		type = bad ? "TFAIL" : "TPASS"
		if (bad && why ~ /^ERROR/) type = "TBROK"
		if (!bad && why ~ /^SKIP/) type = rule ? "TINFO" : "TCONF"
		sub(/^(SKIP|ERROR) */, "", why)
		say(type, (rule ? run : "") line (why == "" ? "" : ": " why))
	}
	END {
		if (status == 1 && !count["TFAIL"]) say("TFAIL", "exit status 1")
		else if (status == 32 && !count["TCONF"]) say("TCONF", "exit status 32")
		else if (status != 0 && status != 1 && status != 32 && !count["TBROK"]) say("TBROK", "exit status " status)
		printf "\nSummary:\npassed   %d\nfailed   %d\nbroken   %d\nskipped  %d\nwarnings 0\n", count["TPASS"], count["TFAIL"], count["TBROK"], count["TCONF"]
	}' >&2
}

if ! command -v "$program" >/dev/null 2>&1; then
	echo "1..0 # SKIP there is no program $program" | tell 32
	exit 32
fi
runtime=$(awk -v m="${LTP_RUNTIME_MUL:-1}" 'BEGIN { t = int(10 * m); print(t < 1 ? 1 : t) }')

# In the background, so that a signal reaches the program at once: it drains,
# judges and reports.
"$program" --exit-style ltp --runtime "$runtime" --output-format ktap --output "$work/ktap" "$@" >&2 &
pid=$!
trap 'kill -TERM "$pid" 2>/dev/null' INT TERM HUP
wait "$pid"
status=$?
while kill -0 "$pid" 2>/dev/null; do
	wait "$pid"
	status=$?
done
if [ ! -e "$work/ktap" ]; then
	: >"$work/ktap"
fi
tell "$status" <"$work/ktap"
# kirk (4.1) reads no further once the test has gone, whatever is in the pipe.
[ -t 2 ] || sleep 1
exit "$status"
