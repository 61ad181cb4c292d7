# SPDX-License-Identifier: Apache-2.0
# The unit tests and fuzzers' corpora on Debian 13: with the libraries that the images have, newer than the floor's.
FROM debian:trixie-slim
WORKDIR /src
COPY dev ./
COPY .ci .ci
RUN ./dev install build && \
    apt-get install -y --no-install-recommends libcmocka-dev redis-server
COPY . .
RUN --mount=type=cache,target=/ccache \
    export CCACHE_DIR=/ccache && \
    cmake --preset debug -DFANFARE_COVERAGE=OFF -DCMAKE_C_COMPILER_LAUNCHER=ccache && \
    ninja -C build/debug && \
    ctest --test-dir build/debug -L 'unit|fuzz' -j "$(nproc)" --output-on-failure --timeout 240
