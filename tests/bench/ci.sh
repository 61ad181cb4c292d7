#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ci.sh: the suite `bench` of ./dev test. ./dev bench --quick, judged by the figures of docs/performance.md: a ratio or
# a count of instructions that got a quarter worse fails (compare.py). Last line: N passed, N failed.
#
# When a change means to cost more, say so in its commit, and bring the page up to date with it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
unset FANFARE_BUILD # the tests run a debug build; benches have their own
log=$(mktemp)
trap 'rm -f "$log"' EXIT

./dev bench --quick --compare docs/performance/figures.json 2>&1 | tee "$log"
sed -n 's/^\(.*[^ ]\)  *\([0-9.]* → .* times WORSE\)/FAILED \1: \2/p; s/^\(.*\): could not be measured.*/FAILED \1/p' "$log"
if [[ $(tail -n 1 "$log") =~ ^bench:\ ([0-9]+)\ as\ good,\ ([0-9]+)\ worse,\ ([0-9]+)\ failed$ ]]; then
    echo "${BASH_REMATCH[1]} passed, $((BASH_REMATCH[2] + BASH_REMATCH[3])) failed"
else
    echo 'FAILED bench: it ended without a verdict'
    echo '0 passed, 1 failed'
fi
