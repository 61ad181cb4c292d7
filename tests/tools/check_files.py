# SPDX-License-Identifier: Apache-2.0
"""What every file of ours must have and must not say. Part of `./dev lint`.

SPDX     the licence's line among a source's first lines
header   a C file begins with a comment that says what it is (3 to 15 lines; a `length:` line may follow)
length   at most 400 lines; 600 if the header gives a reason on a line that begins with `length:`
words    nothing that is true on one machine only, and nothing left open
text     no tabs in C, no trailing blanks, a line break at the end, at most 100 columns in C
         (spin's models count as C)
"""

import argparse
import re
import sys
from pathlib import Path

SOURCES = {".c", ".h", ".def", ".py", ".sh", ".lua", ".pml", ".js", ".mjs", ".css", ".cmake"}
C_LIKE = (".c", ".h", ".pml")
NAMED = {"dev", "CMakeLists.txt"}  # sources without such an ending
NOT_OURS = re.compile(r"(^|/)(node_modules|third_party)/|^tests/data/|^docs/gen/|\.min\.(js|css)$")
BINARY = {".png", ".jpg", ".gif", ".ico", ".woff2", ".webp", ".gz", ".bin", ".svg"}
LINES_MAX, LINES_WITH_REASON, COLUMNS = 400, 600, 100

# Assembled, so that this file itself does not hold them.
WORDS = {
    "a path of one machine": re.compile(r"(?<![\w.])/(?:wor" r"k|roo" r"t|home/\w+|Users)/"),
    "a scratch path of one machine": re.compile(r"(?<![\w.$}])/tm" r"p/(?!\.)[\w-]+/"),
    "a folder outside the repository": re.compile(
        r"(?<![\w/-])\.?\.?/?shar" r"ed/(reference|protocol|DESIGN|STYLE)"
    ),
    "left open": re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HAC" r"K)\b"),
    "a conflict's mark": re.compile(r"^(<{7} |>{7} |={7}$)", re.M),
}


def is_source(name):
    path = Path(name)
    return path.suffix in SOURCES or path.name in NAMED or name.startswith((".ci/", ".githooks/"))


def check_header(text):
    """The comment after SPDX: (problem or None, has a reason for its length)."""
    m = re.match(r"(?:/\* SPDX[^\n]*\*/\n)\s*/\*(.*?)\*/", text, re.S)
    if not m:
        return "no header comment after the SPDX line: what it is, owns, its thread, its invariant", False
    return None, re.search(r"^\s*\*?\s*length:", m[1], re.M) is not None


def check_c(name, lines):
    for i, line in enumerate(lines, 1):
        if "\t" in line:
            yield i, "a tab"
        if len(line) > COLUMNS and Path(name).suffix in C_LIKE:
            yield i, f"{len(line)} columns, at most {COLUMNS}"


def check_source(name, text, lines):
    if not any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[:4]):
        yield 1, "no SPDX-License-Identifier: Apache-2.0"
    reason = re.search(r"^\W*length:", "\n".join(lines[:25]), re.M) is not None
    if Path(name).suffix in C_LIKE:
        wrong, reason = check_header(text)
        if wrong:
            yield 1, wrong
        yield from check_c(name, lines)
    limit = LINES_WITH_REASON if reason else LINES_MAX
    if len(lines) > limit:
        yield 1, f"{len(lines)} lines, at most {limit} (600 with a `length:` reason in the header)"


def check(name, root):
    path = root / name
    if path.suffix in BINARY or NOT_OURS.search(name):
        return
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        yield 1, "neither UTF-8 text nor a known binary kind"
        return
    lines = text.splitlines()
    if is_source(name):
        yield from check_source(name, text, lines)
    if text and not text.endswith("\n") and path.suffix != ".json":
        yield len(lines), "no line break at the end"
    for i, line in enumerate(lines, 1):
        if line != line.rstrip() and path.suffix != ".md":
            yield i, "trailing blanks"
        for what, pattern in WORDS.items():
            m = pattern.search(line)
            if m:
                yield i, f"{what}: {m[0]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("paths", nargs="*", help="- reads them from standard input, NUL-separated")
    args = parser.parse_args()
    names = sys.stdin.read().split("\0") if args.paths == ["-"] else args.paths
    names = sorted(n for n in names if (args.root / n).is_file() and not (args.root / n).is_symlink())
    bad = [f"{name}:{line}: {what}" for name in names for line, what in check(name, args.root)]
    print("\n".join(bad) if bad else f"{len(names)} files")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
