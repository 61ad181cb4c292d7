# SPDX-License-Identifier: Apache-2.0
"""Free ports, the cache directory, the one scaled time-out, polling, and child processes.

Standard library only: ./dev uses harness.kafka before any virtual environment exists.
Invariant: a process started here is ended by its own pid, within a bound.
"""

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

REPO = pathlib.Path(__file__).resolve().parents[3]

# One knob for slow machines and sanitizer builds: every wait in the tests is multiplied by it.
SCALE = float(os.environ.get("FANFARE_TIMEOUT_SCALE", "1"))


def scaled(seconds):
    return seconds * SCALE


def build_dir():
    """The build under test: $FANFARE_BUILD, a path or a preset's name (default: debug)."""
    build = os.environ.get("FANFARE_BUILD", "debug")
    path = pathlib.Path(build)
    return path.resolve() if path.is_absolute() or "/" in build else REPO / "build" / build


def cache_dir():
    """Where what installs take is kept, outside the tree."""
    base = os.environ.get("FANFARE_CACHE")
    if not base:
        xdg = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        base = os.path.join(xdg, "fanfare")
    path = pathlib.Path(base)
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(path):
    """Holds an exclusive lock on a file: two runs don't fill the same cache at once."""
    with open(path, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


class Place:
    """Where servers run: its address, and what a command begins with that is to run there."""

    def __init__(self, address, enter=()):
        self.address, self.enter = address, enter


HERE = Place("127.0.0.1")


def free_port():
    """A loopback port nobody listens on now. Use port 0 where the server can tell what it got."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def port_open(port, host="127.0.0.1"):
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


class WaitError(AssertionError):
    """Something did not happen in time."""


def wait_until(probe, what, timeout=10.0, every=0.02):
    """Polls probe() until it answers something true, and returns that; one time-out, scaled."""
    deadline = time.monotonic() + scaled(timeout)
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise WaitError(f"not within {scaled(timeout):g} s: {what() if callable(what) else what}")
        time.sleep(every)


def tail(path, lines=30):
    try:
        text = pathlib.Path(path).read_text(errors="replace")
    except OSError as e:
        return f"({e})"
    return "\n".join(text.splitlines()[-lines:])


def snippet(document, language, begin):
    """The code block of a document that has this line's beginning in it; there must be one."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", (REPO / document).read_text(), re.S | re.M)
    (found,) = (b for b in blocks if any(line.startswith(begin) for line in b.splitlines()))
    return found


def need_program(name):
    path = shutil.which(name)
    if not path:
        raise FileNotFoundError(f"{name} is not on PATH; ./dev test installs it")
    return path


class Process:
    """A child with its output in a file. Ends with its parent's stop(), by SIGTERM, then SIGKILL."""

    def __init__(self, name, argv, log, env=None, cwd=None, host=HERE):
        self.name, self.host = name, host
        self.argv = [str(a) for a in (*host.enter, *argv)]
        self.log = pathlib.Path(log)
        self.env = {**os.environ, **(env or {})}
        self.cwd = cwd
        self.popen = None

    def spawn(self):
        with open(self.log, "ab") as out:
            # A session of its own: a Ctrl-C at the terminal reaches pytest, which then stops us.
            self.popen = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.cwd,
                start_new_session=True,
            )

    @property
    def pid(self):
        return self.popen.pid

    def is_running(self):
        return self.popen is not None and self.popen.poll() is None

    def wait_for(self, probe, what, timeout):
        """wait_until(), but a child that died is told at once, with its last lines."""

        def check():
            if not self.is_running():
                code = self.popen.returncode if self.popen else None
                raise WaitError(f"{self.name} ended ({code}) before {what}:\n{tail(self.log)}")
            return probe()

        return wait_until(check, lambda: f"{self.name}: {what}\n{tail(self.log)}", timeout)

    def signal(self, number):
        if self.is_running():
            self.popen.send_signal(number)

    def wait(self, timeout):
        return self.popen.wait(scaled(timeout))

    def kill(self):
        self.signal(signal.SIGKILL)
        if self.popen:
            return self.popen.wait()
        return None

    def stop(self, timeout=10.0):
        """SIGTERM, the bound, then SIGKILL. The exit code, or None if it had to be killed."""
        if self.popen is None:
            return 0
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
