#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pack.sh BUILD OUT PROGRAM…: for an image's build: OUT/bin/PROGRAM without debug information, and
# OUT/libraries/PROGRAM, the Debian packages of the libraries it is linked to, read from the binary itself.
set -eu
build=$1 out=$2
shift 2
mkdir -p "$out/bin" "$out/libraries"
work=$(mktemp -d)
mkdir "$work/debian"
touch "$work/debian/control" # dpkg-shlibdeps wants to be in a source package
for program in "$@"; do
    strip -o "$out/bin/$program" "$(find "$build" -type f -name "$program")"
    # shlibs:Depends=libc6 (>= 2.38), libev4t64 (>= 1:4.04)
    (cd "$work" && dpkg-shlibdeps -O "$out/bin/$program") |
        sed 's/^shlibs:Depends=//; s/([^)]*)//g; s/,/ /g' >"$out/libraries/$program"
    [ -s "$out/libraries/$program" ]
done
rm -r "$work"
