# SPDX-License-Identifier: Apache-2.0
"""How long the machine itself stood still: what a bound on a pause in seconds is judged beside.

A thread on each CPU sleeps for a moment, again and again, and notes by how much it woke too late. A program
that is slow, hangs, or takes a whole CPU for itself makes nobody late who only wants to wake up; a virtual
machine that isn't run does. Invariant: the threads end with stop().
"""

import contextlib
import os
import threading
import time

NAP = 0.02  # seconds
LATE = 0.1  # less than that is an ordinary wait for a CPU


class Stalls:
    def __init__(self):
        self.late = {cpu: [] for cpu in os.sched_getaffinity(0)}  # [(when it woke, so many seconds late)]
        self._beat = {}  # when it woke last
        self._lock, self._over = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=(c,), daemon=True) for c in self.late]

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def stop(self):
        self._over.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _watch(self, cpu):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {cpu})  # of this thread
        self._wake(cpu)
        while not self._over.wait(NAP):
            self._wake(cpu)

    def _wake(self, cpu):
        with self._lock:
            now = time.monotonic()
            self.late[cpu] += self._since(cpu, now)
            self._beat[cpu] = now

    def _since(self, cpu, now):
        late = now - self._beat.get(cpu, now) - NAP
        return [(now, late)] if late >= LATE else []

    def within(self, seconds, since=0.0):
        """The most that a CPU stood still, all together, in any stretch of so many seconds that ended after
        that moment (monotonic). A thread that hasn't woken yet is late by now."""
        with self._lock:
            now, found = time.monotonic(), 0
            for cpu, late in self.late.items():
                going = [] if self._over.is_set() else self._since(cpu, now)
                found = max(found, most([s for s in late + going if s[0] > since], seconds))
            return found


def most(late, seconds):
    """What is in it of a stretch of so many seconds that ends with one of them."""
    found = 0
    for end, _ in late:
        since = end - seconds
        parts = (min(long, woke - since) for woke, long in late if since < woke <= end)
        found = max(found, sum(parts))
    return found
