# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the scripts behind ./dev share: paths, one line per step with its time, the list of our files.
# Sourced after `cd` to the repository's top. Invariant: a step's output is in build/log/, never lost.

CACHE=${FANFARE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fanfare}
export FANFARE_CACHE=$CACHE
LOGS=build/log
mkdir -p "$CACHE" "$LOGS"
PATH=$PATH:$CACHE/llvm-14/bin # clang-format-14 and clang-tidy-14, where apt has none (.ci/install)

now() {
    date +%s%N
}

# since START: seconds with one decimal.
since() {
    local ms=$((($(now) - $1) / 1000000))
    printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
}

say() {
    printf '%s\n' "$*"
}

die() {
    printf 'dev: %s\n' "$*" >&2
    exit 1
}

# step WHAT COMMAND…: one line when it is done; the last lines of its output if it fails.
step() {
    local what=$1 log start rc=0
    shift
    log=$LOGS/$(printf '%s' "$what" | tr -cs 'a-zA-Z0-9\n' '-' | cut -c1-60).log
    start=$(now)
    "$@" </dev/null >"$log" 2>&1 || rc=$?
    if [ $rc -eq 0 ]; then
        say "ok      $what ($(since "$start"))"
    else
        say "FAILED  $what ($(since "$start")); all of it in $log"
        tail -n "${STEP_TAIL:-60}" "$log" | sed 's/^/    /'
    fi
    return $rc
}

# files PATTERN…: our files (tracked, or new and not ignored), NUL-separated; in a commit's hook (STAGED set) only
# those of the commit: nobody is stopped by another's unfinished file.
files() {
    if [ -n "${STAGED:-}" ]; then
        git diff --cached --name-only -z --diff-filter=ACMR -- "$@"
    elif git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files -z --cached --others --exclude-standard --deduplicate -- "$@" |
            while IFS= read -r -d '' f; do [ ! -f "$f" ] || printf '%s\0' "$f"; done
    else
        local f p
        find . -path ./build -prune -o -type f -printf '%P\0' | while IFS= read -r -d '' f; do
            for p in "$@"; do
                # shellcheck disable=SC2053 # a pattern on purpose
                [[ $f != $p ]] || { printf '%s\0' "$f" && break; }
            done
        done
    fi
}

# requirements test|bench|deploy: the files that say which Python packages that set needs.
requirements() {
    [ "$1" = deploy ] || echo tests/integration/requirements.txt
    [ "$1" = test ] || echo "tests/$1/requirements.txt"
}

# venv_dir test|bench|deploy: that set's virtual environment, one per content of its requirements.
venv_dir() {
    # shellcheck disable=SC2046 # names without spaces
    printf '%s/venv-%s' "$CACHE" \
        "$( (cat $(requirements "$1") && /usr/bin/env python3 -V) | sha256sum | cut -c1-12)"
}

# at_least VERSION THIS: is THIS that version, or a later one?
at_least() {
    [ "$(printf '%s\n' "$1" "${2#v}" | sort -V | head -n 1)" = "$1" ]
}

# has_compose: does a docker daemon answer, and are it and its compose as new as docker/ needs? Older engines refuse
# start_interval, older composes !override.
has_compose() {
    local engine compose
    engine=$(docker version --format '{{.Server.Version}}' 2>/dev/null) && at_least 25 "$engine" &&
        compose=$(docker compose version --short 2>/dev/null) && at_least 2.24.4 "$compose"
}
