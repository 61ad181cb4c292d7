#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command in a network of its own, in which it may make hosts (hosts.py); ./dev test cluster uses it.

    python3 tests/cluster/apart.py COMMAND…

Its processes are in a namespace of their own, too: when the command ends, or this one is killed, the kernel
kills all that it started, and takes hosts and networks away. So nothing can be left behind, and nothing needs
to be cleaned up. Where it can't be had, the command is run all the same, and $FANFARE_NO_HOSTS says why.
What needs the network outside is fetched before. Standard library only.
"""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from harness import consul, kafka  # noqa: E402

KINDS = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
PROBE = "ip link add site type bridge && ip link add one type veth peer name two && exec unshare --net true"


def unshare():
    """Who isn't root is, in there, where the system allows that."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, *KINDS]


def refusal():
    """Why hosts can't be made here; empty if they can."""
    try:
        done = subprocess.run([*unshare(), "sh", "-c", PROBE], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as e:
        return str(e)
    said = (done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]
    return said if done.returncode else ""


def fetch():
    """What the network outside is needed for; on a machine that has nothing yet it may take minutes."""
    kafka.archive(kafka.fetch())
    consul.fetch()


def main():
    fetch()
    why, argv = refusal(), sys.argv[1:]
    if why:
        os.environ["FANFARE_NO_HOSTS"] = f"no network namespaces here: {why}"
    else:
        os.environ["FANFARE_NO_HOSTS"] = ""
        argv = [*unshare(), *argv]
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main()
