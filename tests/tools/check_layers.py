# SPDX-License-Identifier: Apache-2.0
"""Which file may include what: the layers, and each library's one owner. Part of `./dev lint`.

LAYERS says which directories a directory may include from; OWNERS which files may see a third-party
header. Both are tables: a new module is a new row, with the reason in HACKING's or ARCHITECTURE's words.
Run with paths to check only those; --root for another tree (the tests of this script).
"""

import argparse
import fnmatch
import re
import sys
from pathlib import Path

# directory: what its files may include besides their own. The most specific row counts.
LAYERS = {
    "common/base": [],
    "common/runtime": ["common/base"],
    "common/io": ["common/base", "common/runtime"],
    "edge-node": ["common/*"],
    "fanout-worker": ["common/*"],
    "loadgen": ["common/*"],
    "tests/unit/base": ["common/base", "tests/unit"],
    "tests/unit/runtime": ["common/base", "common/runtime", "tests/unit"],
    "tests/unit/io": ["common/*", "tests/unit"],
    "tests/unit/edge": ["common/*", "edge-node", "tests/unit"],
    "tests/unit/worker": ["common/*", "fanout-worker", "tests/unit"],
    "tests/unit/loadgen": ["common/*", "loadgen", "tests/unit"],
    "tests/unit": ["tests/unit"],
    "tests": ["*"],
}

# third-party header: the files that may include it.
OWNERS = {
    "jansson.h": ["common/runtime/json.c"],
    "hiredis/*": ["common/io/redis*"],
    "jwt.h": ["common/io/token.c"],
    "microhttpd.h": ["common/io/admin.c"],
    "openssl/*": ["common/io/token*.c", "edge-node/listener*", "edge-node/transport_*"],
    "libwebsockets.h": ["edge-node/transport_*", "edge-node/listener*", "edge-node/shard*"],
    "librdkafka/rdkafka_mock.h": ["tests/*"],
    "librdkafka/rdkafka.h": [
        "fanout-worker/source*",
        "fanout-worker/registry*",
        "fanout-worker/history*",
        "loadgen/plan*",
        "loadgen/oracle*",
    ],
    # The event loop: whatever runs on one. Not base, which has no state.
    "ev.h": ["common/runtime/*", "common/io/*", "edge-node/*", "fanout-worker/*", "loadgen/*"],
    "zlib.h": [],
    "curl/*": ["common/io/http.c", "common/io/http_url.c"],
    "cmocka.h": ["tests/unit/*"],
}
# Tests may look at a library from outside, to compare ours with it.
FREE = ["tests/*"]

# What the C library and the kernel bring; anything else in <> must have a row above.
SYSTEM = re.compile(
    r"^(sys|linux|netinet|arpa|net|asm|bits)/|^(assert|ctype|dirent|dlfcn|err|errno|execinfo|fcntl|float|getopt|"
    r"grp|ifaddrs|inttypes|limits|locale|malloc|math|netdb|poll|pthread|pwd|sched|semaphore|setjmp|signal|"
    r"spawn|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|termios|"
    r"threads|time|uchar|unistd|wchar|endian|byteswap|[a-z]mmintrin|x86intrin|sysexits|glob|ucontext|"
    r"sanitizer/.*)\.h$"
)
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.M)


def layer_of(path):
    """The most specific row of LAYERS that path is in, or None."""
    rows = [d for d in LAYERS if path.startswith(d + "/")]
    return max(rows, key=len, default=None)


def matches(path, patterns):
    return any(fnmatch.fnmatch(path, p) for p in patterns)


def check_own(path, layer, name, root):
    if not (root / name).exists():
        return f'"{name}" is not a path from the top of the tree'
    directory = str(Path(name).parent)
    if directory == str(Path(path).parent) or layer_of(name) == layer:
        return None
    if matches(directory, LAYERS[layer]) or matches(f"{directory}/", [p + "/*" for p in LAYERS[layer]]):
        return None
    return f'"{name}": {layer} may not include from {directory}'


def check_library(path, name):
    if SYSTEM.match(name):
        return None
    for header, owners in OWNERS.items():
        if fnmatch.fnmatch(name, header):
            if matches(path, owners) or matches(path, FREE):
                return None
            return f"<{name}> belongs to {', '.join(owners) or 'nobody yet'}"
    return f"<{name}> has no owner in tests/tools/check_layers.py"


def check(path, root):
    """[(line, what is wrong)] of one file."""
    layer = layer_of(path)
    if layer is None:
        return [(1, "is in no layer (see LAYERS in tests/tools/check_layers.py)")]
    text = (root / path).read_text(errors="replace")
    found = []
    for m in INCLUDE.finditer(text):
        wrong = check_own(path, layer, m[1], root) if m[1] else check_library(path, m[2])
        if wrong:
            found.append((text.count("\n", 0, m.start()) + 1, wrong))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("paths", nargs="*")
    args = parser.parse_args()
    top = ("common", "edge-node", "fanout-worker", "loadgen", "tests")
    paths = args.paths or sorted(
        str(p.relative_to(args.root))
        for d in top
        for p in (args.root / d).rglob("*")
        if p.suffix in (".c", ".h", ".def") and p.is_file() and "node_modules" not in p.parts
    )
    paths = [p for p in paths if p.startswith(top)]
    bad = [f"{path}:{line}: {what}" for path in paths for line, what in check(path, args.root)]
    print("\n".join(bad) if bad else f"{len(paths)} files, all includes go downward")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
