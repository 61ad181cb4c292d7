# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The system packages of Debian 12+ and Ubuntu 24.04+, in sets. `a|b`: whichever exists. `?p`: only if it
# exists (it is part of another package, or absent, elsewhere).

# usable PROGRAM MAJOR: is one of at least that major version on PATH already?
usable() {
    local version
    version=$({ "$1" --version || "$1" -version; } 2>/dev/null | grep -oE '[0-9]+' | head -n 1) || return 1
    [ -n "$version" ] && [ "$version" -ge "$2" ]
}

# What compiles the programs alone: docker/Dockerfile takes this set.
packages_build() {
    echo build-essential cmake ninja-build ccache pkg-config \
        librdkafka-dev libwebsockets-dev '?libwebsockets-evlib-ev' libhiredis-dev libev-dev \
        libjansson-dev libjwt-dev libmicrohttpd-dev libcurl4-openssl-dev libssl-dev zlib1g-dev
}

packages_demo() {
    packages_build
    echo git libcmocka-dev redis-server redis-tools python3 ca-certificates curl
    usable node 18 || echo nodejs
    usable npm 8 || echo npm
}

packages_kafka() {
    usable java 17 || echo 'openjdk-17-jre-headless|default-jre-headless'
    usable mvn 3 || echo maven
}

# Go comes from PyPI where there is none that is new enough.
packages_consul() {
    echo python3 python3-venv ca-certificates
}

packages_test() {
    packages_demo
    packages_kafka
    packages_consul
    echo python3-venv python3-dev "?python3-lib2to3" kcat gcovr spin iproute2 util-linux
    command -v chromium chromium-browser google-chrome >/dev/null || echo '?chromium'
}

# Of the cluster that the suite k8s runs, what Debian has.
packages_k8s() {
    echo etcd-server containerd runc containernetworking-plugins nftables iproute2 openssl
    command -v kubectl >/dev/null || echo kubernetes-client
}

# Where there is no LLVM 14 (Debian 13), .ci/install takes the two tools from PyPI.
packages_lint() {
    echo build-essential cmake ninja-build pkg-config shellcheck python3 python3-venv git \
        '?clang-format-14' '?clang-tidy-14' 'clang-14|clang' '?libclang-rt-14-dev|?libclang-common-14-dev'
    packages_demo
}

# libuv: socketify's library is linked to it.
packages_bench() {
    packages_demo
    packages_kafka
    echo python3-venv valgrind 'libuv1t64|libuv1'
}

# For a dockerd of the tests' own, which is fetched apart (tests/deploy/dockerd.py).
packages_deploy() {
    usable runc 1 || echo runc
    command -v iptables >/dev/null || echo iptables
    echo debootstrap debian-archive-keyring
}
