#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# prepare.sh DIR: puts the cases of the Autobahn|Testsuite into DIR, ready to be driven by Python 3.
#
# The published package is Python 2. Its cases (inputs, expectations, judgement) are taken as they are and turned by
# lib2to3; they run on the autobahn 0.10.9 they were written for. Its byte strings become str of code points 0-255, which
# drive.py translates at the protocol's edge. DIR holds a virtual environment and DIR/ab, the modules.
set -euo pipefail
dir=$1
ab=$dir/ab
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

rm -rf "$dir"
mkdir -p "$(dirname "$dir")"
python3 -m venv "$dir"
pip=("$dir/bin/python" -m pip -q --disable-pip-version-check --no-input)
"${pip[@]}" install -r "$here/requirements.txt"
mkdir -p "$ab" "$dir/source"
"${pip[@]}" download --no-deps --no-binary :all: --no-build-isolation -d "$dir/source" autobahn==0.10.9
tar xzf "$dir/source/autobahn-0.10.9.tar.gz" -C "$ab" --strip-components=1 autobahn-0.10.9/autobahn

site=$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp -r "$site"/autobahntestsuite/case "$site"/autobahntestsuite/caseset.py "$ab/"
mkdir "$ab/autobahntestsuite"
touch "$ab/autobahntestsuite/__init__.py"
cp -r "$site/autobahntestsuite/testdata" "$ab/autobahntestsuite/"

# Only what lib2to3 can't know: bytes above 127 in literals, old-style bases, integer division.
sed -i 's/^# coding=utf-8/# coding=latin-1/; s/(object, Case, *)/(Case,)/' "$ab"/case/*.py
sed -i 's: / : // :' "$ab/case/case10_1_1.py"
sed -i 's:(payload_len / len(:(payload_len // len(:' "$ab/autobahn/websocket/protocol.py"
"$dir/bin/python" -W ignore -m lib2to3 -w -n --no-diffs "$ab/case" "$ab/caseset.py"
touch "$dir/complete"
