#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs dioStress for the kselftest runner: KTAP on standard output, 4 (SKIP)
# where this machine cannot run it. More flags come from the runner's
# KSELFTEST_DIOSTRESS_SH_ARGS.
#
# DIOSTRESS is the program (default: the one beside this file, else in PATH).
set -u

program=${DIOSTRESS:-}
if [ -z "$program" ]; then
	program=$(dirname "$0")/dioStress
	[ -x "$program" ] || program=dioStress
fi
if ! command -v "$program" >/dev/null 2>&1; then
	printf 'KTAP version 1\n1..0 # SKIP there is no program %s\n' "$program"
	exit 4
fi
exec "$program" --runtime 10 --output-format ktap --output - "$@"
