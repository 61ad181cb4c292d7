# SPDX-License-Identifier: Apache-2.0
"""What every benchmark uses: CPU time and memory of processes, children that talk in lines, the environment.

CPU time is the scheduler's own count in ns (schedstat), summed over a process's threads.
"""

import contextlib
import os
import pathlib
import platform
import subprocess

from harness.util import REPO, build_dir

SERVER_CPU, LOAD_CPU = 0, 1


def tool(name):
    """A program of this directory, built."""
    return build_dir() / "tests" / "bench" / f"bench_{name}"


def loadgen():
    return build_dir() / "loadgen" / "fanfare-loadgen"


def cpu_seconds(pid):
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:  # it ended between the listing and the reading
            continue
    return total / 1e9


def rss_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def pin(pid, cpu):
    """All threads of a process on one CPU, when there are two to choose from."""
    if len(os.sched_getaffinity(0)) < 2 and os.cpu_count() < 2:
        return
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {cpu})


class Talker:
    """A child that answers lines on stdin with lines on stdout."""

    def __init__(self, *argv, cpu=None, err=None):
        def on_cpu():
            if cpu is not None and os.cpu_count() > 1:
                os.sched_setaffinity(0, {cpu})

        self.name = pathlib.Path(argv[0]).name
        self.popen = subprocess.Popen(
            [str(a) for a in argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
            bufsize=1,
            preexec_fn=on_cpu,
        )

    @property
    def pid(self):
        return self.popen.pid

    def hear(self):
        line = self.popen.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended ({self.popen.wait()}) instead of answering")
        return line.strip()

    def tell(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def ask(self, line):
        self.tell(line)
        return self.hear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.kill()
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def _first_line(*argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=REPO)
        return (done.stdout or done.stderr).splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "?"


def kernel_costs():
    """What servers of this machine can't do without; see kernel.c. "?": an older build hasn't got it."""
    try:
        call, fault, wake = (int(n) / 1000 for n in _first_line(tool("kernel")).split())
    except ValueError:
        return "?"
    wakes = f", {wake:.1f} a wake-up" if wake else ""
    return f"{call:.2f} µs a system call, {fault:.2f} a page's first touch{wakes}"


def environment():
    model = "?"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cache = build_dir() / "CMakeCache.txt"
    kind = "?"
    if cache.exists():
        for line in cache.read_text().splitlines():
            if line.startswith("CMAKE_BUILD_TYPE:"):
                kind = line.partition("=")[2]
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": " ".join(f"{x:.2f}" for x in os.getloadavg()),
        "kernel's costs": kernel_costs(),
        "revision": _first_line("git", "describe", "--always", "--dirty"),
        "build": kind,
        "redis": _first_line("redis-server", "--version"),
        "librdkafka": _first_line("pkg-config", "--modversion", "rdkafka"),
        "libwebsockets": _first_line("pkg-config", "--modversion", "libwebsockets"),
        "java": _first_line("java", "-version"),
    }
