#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [CASE…]: the Autobahn cases (1.*, "6.4.*" …) against fanfare-edge-echo, a test-only program: the edge's own
# transport with an endpoint /echo. Last line: N passed, N failed. $ECHO_URL: an echo endpoint that runs already.
# Its packages are cached; the program is started on a free port and ended by its pid.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
cache=${FANFARE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fanfare}
build=${FANFARE_BUILD:-$top/build/debug}
case $build in
/*) ;;
*/*) build=$top/$build ;;
*) build=$top/build/$build ;;
esac

skip() {
    echo "SKIPPED cases: $1"
    echo '0 passed, 0 failed'
    exit 0
}

# lib2to3 left Python with 3.13; the cases themselves need nothing newer.
python3 -W ignore -c 'import lib2to3' 2>/dev/null ||
    skip 'this Python has no lib2to3, which turns the cases from Python 2 (Python 3.12 is the last that has it)'

key=$(cat "$here/requirements.txt" "$here/prepare.sh" <(python3 -V) | sha256sum | cut -c1-12)
venv=$cache/autobahn-$key
work=$(mktemp -d)
pid=
# shellcheck disable=SC2317 # called by the trap
cleanup() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

if [ ! -e "$venv/complete" ]; then
    "$here/prepare.sh" "$venv" >"$work/prepare.log" 2>&1 || {
        tail -n 30 "$work/prepare.log"
        echo 'FAILED the cases could not be fetched or turned'
        echo '0 passed, 1 failed'
        exit 1
    }
fi

url=${ECHO_URL:-}
if [ -z "$url" ]; then
    program=$build/edge-node/fanfare-edge-echo
    if [ ! -x "$program" ]; then
        echo "FAILED $program is not built"
        echo '0 passed, 1 failed'
        exit 1
    fi
    "$program" --set listen=127.0.0.1:0 --set admin_listen= >"$work/echo.log" 2>&1 &
    pid=$!
    for _ in $(seq 200); do
        listen=$(grep -m 1 'event=ready' "$work/echo.log" | grep -oE 'listen=[^ ]+' | cut -d= -f2) && break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    if [ -z "${listen:-}" ]; then
        cat "$work/echo.log"
        echo "FAILED $program did not become ready"
        echo '0 passed, 1 failed'
        exit 1
    fi
    url=ws://$listen/echo
fi

mkdir -p "$top/build/log"
rc=0
PYTHONPATH=$venv/ab PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -W ignore "$here/drive.py" \
    "$url" "$top/build/log/autobahn.json" "$@" >"$work/drive.log" 2>&1 || rc=$?

# The program must have outlived the cases, and end well: a sanitizer's report shows here.
if [ -n "$pid" ]; then
    kill -TERM "$pid" 2>/dev/null || true
    echo_rc=0
    wait "$pid" || echo_rc=$?
    pid=
    if [ $echo_rc -ne 0 ] || grep -qE 'Sanitizer|runtime error:|Assertion' "$work/echo.log"; then
        tail -n 40 "$work/echo.log"
        echo "FAILED fanfare-edge-echo ended with $echo_rc"
        sed -n '/^FAILED/p' "$work/drive.log"
        tail -n 1 "$work/drive.log" | awk '{ printf "%d passed, %d failed\n", $1, $3 + 1 }'
        exit 1
    fi
fi
cat "$work/drive.log"
exit $rc
