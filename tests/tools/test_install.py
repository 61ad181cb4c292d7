# SPDX-License-Identifier: Apache-2.0
"""`make install` works: into an empty root, from which the programs run and tell what they are."""

import os
import subprocess
from pathlib import Path

import pytest

from harness.node import SANITIZER_ENV
from harness.util import build_dir, scaled

PROGRAMS = ["fanfare-edge", "fanfare-worker", "fanfare-loadgen"]


def run(*argv, **env):
    more = {**os.environ, **SANITIZER_ENV, **env}
    return subprocess.run(
        [str(a) for a in argv], capture_output=True, text=True, env=more, timeout=scaled(60)
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A DESTDIR with everything installed under /usr."""
    dest = tmp_path_factory.mktemp("dest")
    done = run("cmake", "--install", build_dir(), "--prefix", "/usr", DESTDIR=str(dest))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return dest / "usr"


@pytest.mark.parametrize("program", PROGRAMS)
def test_help(root, program):
    done = run(root / "bin" / program, "--help")
    assert done.returncode == 0, done.stderr
    assert program in done.stdout and "--" in done.stdout
    assert len(done.stdout.splitlines()) >= 20, "a man page's worth of help"


@pytest.mark.parametrize("program", PROGRAMS)
def test_version(root, program):
    done = run(root / "bin" / program, "--version")
    assert done.returncode == 0 and done.stdout.strip()


def test_documents_come_along(root):
    docs = root / "share" / "doc" / "fanfare"
    assert (docs / "LICENSE").exists() and list(docs.rglob("HACKING.md"))


def test_nothing_of_the_tests_is_installed(root):
    names = {p.name for p in Path(root).rglob("*") if p.is_file()}
    assert not {n for n in names if "echo" in n or n.startswith("test_") or n.endswith((".a", ".h"))}
