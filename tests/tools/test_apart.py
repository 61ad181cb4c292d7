# SPDX-License-Identifier: Apache-2.0
"""What the cluster suite runs in leaves nothing behind, and says why where it can't be had."""

import os
import pathlib
import subprocess
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests" / "cluster"))

import apart  # noqa: E402

from harness.util import wait_until  # noqa: E402

NAPS = f"{10**6 + os.getpid()}"  # seconds: by this argument a process of ours is found


def nappers():
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            is_one = path.read_bytes().split(b"\0")[:2] == [b"sleep", NAPS.encode()]
        except OSError:  # it ended meanwhile
            continue
        found += [path] if is_one else []
    return found


def test_a_refusal_says_why(monkeypatch):
    monkeypatch.setattr(apart, "unshare", lambda: ["sh", "-c", "echo not for you >&2; exit 1"])
    assert apart.refusal() == "not for you"
    monkeypatch.setattr(apart, "unshare", lambda: ["no-such-program"])
    assert "no-such-program" in apart.refusal()


@pytest.mark.timeout(600)  # it may be the first one here that wants Kafka
def test_killed_it_takes_all_with_it():
    why = apart.refusal()
    if why:
        pytest.skip(f"no network namespaces here: {why}")
    apart.fetch()
    nap = f"setsid sleep {NAPS} & ip link add site type bridge && unshare --net sleep {NAPS} & wait"
    argv = [sys.executable, REPO / "tests" / "cluster" / "apart.py", "sh", "-c", nap]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as popen:
        try:
            wait_until(lambda: len(nappers()) == 2, "both are there", 30)
            assert not pathlib.Path("/sys/class/net/site").exists()
        finally:
            popen.kill()
    wait_until(lambda: not nappers(), "nobody is left", 10)


@pytest.mark.parametrize(
    ("told", "why"), [({"FANFARE_NO_HOSTS": "none today"}, "none today"), ({}, "./dev test cluster")]
)
def test_without_it_the_suite_is_skipped(tmp_path, told, why):
    """With the reason that was told, or how it is run."""
    argv = [sys.executable, "-m", "pytest", "-c", "tests/integration/pytest.ini", "-p", "no:cacheprovider"]
    env = {k: v for k, v in os.environ.items() if k not in ("FANFARE_NO_HOSTS", "FANFARE_ROWS_FD")}
    env |= {"FANFARE_CHAOS_LOGS": str(tmp_path)} | told
    argv.append("tests/cluster/test_hosts.py")
    with subprocess.Popen(argv, cwd=REPO, env=env, stdout=subprocess.PIPE, text=True) as popen:
        said = popen.communicate(timeout=60)[0]
    assert popen.returncode == 0 and "2 skipped" in said and why in said, said
