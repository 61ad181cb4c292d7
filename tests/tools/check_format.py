# SPDX-License-Identifier: Apache-2.0
"""clang-format 14 over the C files named on standard input (NUL-separated): one line for each that differs.

Part of `./dev lint` and of the pre-commit hook, so it starts few processes and says little.
"""

import collections
import concurrent.futures
import os
import re
import subprocess
import sys

CHUNK = 12


def complaints(names):
    argv = ["clang-format-14", "--dry-run", "-Werror", *names]
    done = subprocess.run(argv, capture_output=True, text=True)
    found = re.findall(r"^(.*?):(\d+):\d+: error:", done.stderr, re.M)
    if done.returncode and not found:
        raise SystemExit(done.stderr)
    return found


def main():
    names = [n for n in sys.stdin.read().split("\0") if n]
    chunks = [names[i : i + CHUNK] for i in range(0, len(names), CHUNK)]
    places = collections.defaultdict(set)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(complaints, chunks):
            for name, line in found:
                places[name].add(int(line))
    for name, lines in sorted(places.items()):
        print(f"{name}:{min(lines)}: {len(lines)} lines differ from clang-format's; ./dev format mends them")
    print(f"{len(names)} files, {len(places)} to be formatted")
    return 1 if places else 0


if __name__ == "__main__":
    sys.exit(main())
