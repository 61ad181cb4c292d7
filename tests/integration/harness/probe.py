# SPDX-License-Identifier: Apache-2.0
"""A node that is nothing but its coordination (../coord_probe.c), told what to do by lines."""

import subprocess

from .node import SANITIZER_ENV
from .util import Process, build_dir


class Probe(Process):
    """A coord_probe; its commands are what it is asked."""

    def __init__(self, name, agent, directory):
        argv = [build_dir() / "tests" / "coord_probe", name, agent.url]
        super().__init__(name, argv, directory / f"{name}.log", SANITIZER_ENV)
        self.log.touch()

    def start(self):
        with open(self.log, "ab") as out:
            self.popen = subprocess.Popen(
                self.argv, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, env=self.env
            )
        return self

    def ask(self, *words):
        self.popen.stdin.write((" ".join(str(w) for w in words) + "\n").encode())
        self.popen.stdin.flush()

    def said(self, *words):
        """[(ms, the rest)] of the lines that begin with these words."""
        begin, found = " ".join(words) + " ", []
        for line in self.log.read_text().splitlines():
            ms, _, rest = line.partition(" ")
            if (rest + " ").startswith(begin):
                found.append((int(ms), (rest + " ")[len(begin) :].strip()))
        return found

    def wait_said(self, *words, count=1, timeout=10):
        what = f"{' '.join(words)} × {count}"
        self.wait_for(lambda: len(self.said(*words)) >= count, what, timeout)
        return self.said(*words)[count - 1]

    def end(self):
        self.popen.stdin.close()
        return self.wait(10)
