# SPDX-License-Identifier: Apache-2.0
"""A rolling restart of four edges with 20,000 clients that ask where to connect: paced, empty in time, the
load even after each change, and nobody misses a record."""

import json
import signal
import time

import pytest

from harness.util import scaled, wait_until

CLIENTS = 19_900  # of one process that may have 20,000 files
MOVED, SESSIONS = "fanfare_edge_moved_total", "fanfare_edge_sessions"
MEMBERS = "fanfare_coordination_members"
GRACE = 20  # seconds
CALM = 8  # seconds: balance.c's pause after a round, and how long it looks at a surplus before the next
FULLEST, NEEDLESS, USED = 1.25, 0.05, 2  # the mean; of all clients for a change; seconds
SHED_TO = 1.2  # of the mean (CLUSTER_BOUND)
FASTER = 1.5  # times what was planned, at most, in any second


class Watch:
    """How fast the others take the clients of one that drains, second by second, until they have all."""

    def __init__(self, edge, others):
        self.edge, self.others = edge, others
        self.seen, self.ended = [], None

    def is_over(self):
        self.seen.append((time.monotonic(), sum(sessions(self.others))))
        if not self.ended and not self.edge.is_running():
            self.ended = time.monotonic()
        return self.ended and self.seen[-1][1] >= CLIENTS

    def highest(self):
        """Clients a second, of any stretch of a second or a little more."""
        found = 0
        for i, (at, count) in enumerate(self.seen):
            later = next(((t, n) for t, n in self.seen[i:] if t >= at + 1), self.seen[-1])
            found = max(found, (later[1] - count) / max(1, later[0] - at))
        return found


def drain(edge, others):
    """(seconds until it ended, clients a second at most, as planned). Returns when all are elsewhere."""
    watch, began = Watch(edge, others), time.monotonic()
    edge.signal(signal.SIGTERM)
    wait_until(watch.is_over, f"{edge.name} is empty, its clients are elsewhere", GRACE + 30, every=0.1)
    assert edge.popen.returncode == 0 and not edge.events("drain_cut")
    return watch.ended - began, watch.highest(), float(edge.event("drained")["rate"])


def sessions(edges):
    return [edge.metrics().total(SESSIONS) for edge in edges]


def moved(edges):
    return sum(edge.metrics().total(MOVED) for edge in edges)


def spread(edges):
    """The fullest one's clients, of what each would have if all had as many."""
    counts = sessions(edges)
    return max(counts) / max(1, sum(counts) / len(counts))


def is_named(edge, others):
    """Somebody who asks one of them for some channel's place is sent to it."""
    for n, other in enumerate(others * 10):
        status, text = other.get(f"/connect?channel=ch{n}", other.address)
        if status == 200 and edge.address in json.loads(text)["endpoints"][0]["endpoint"]:
            return True
    return False


def come(edge, others):
    """Starts it; seconds from its being ready to its being named."""
    edge.start(30)
    edge.wait_for(lambda: edge.get("/health/ready")[0] == 200, "it is ready", 30)
    began = time.monotonic()
    wait_until(lambda: is_named(edge, others), "it is named", 20, every=0.02)
    return time.monotonic() - began


class Moves:
    """Who is told to move because an edge comes, and for what. Made before that, with the others."""

    def __init__(self, others):
        self.others, self.had = others, sessions(others)
        self.before = moved(others)
        self.seen, self.since = None, 0

    def are_over(self, edges):
        """All are somewhere, the load is even, and for longer than edges pause nobody was told anything."""
        now, count = time.monotonic(), self.told(edges)
        if count != self.seen or sum(sessions(edges)) < CLIENTS or spread(edges) > FULLEST:
            self.seen, self.since = count, now
        return now - self.since >= CALM

    def told(self, edges):
        return moved(edges) - self.before

    def needless(self, edges):
        """Those whom their edge could have kept, with no more than edges shed to; and those in whose place
        others came. Where they went to is no matter: to another old edge that had little, too."""
        kept = SHED_TO * CLIENTS / len(edges)
        pairs = zip(self.had, sessions(self.others), strict=True)
        return self.told(edges) - sum(max(0, had - max(has, kept)) for had, has in pairs)


@pytest.mark.timeout(400)  # half a minute of it is to see that nobody moves any more
def test_rolling_restart(storm, sides, consul):
    home, _ = sides
    home.worker(), home.worker()
    for _ in range(4):
        home.edge(drain_time=f"{GRACE}s", plog_bytes="8MiB")
    home.wait_whole()
    for edge in home.edges:
        edge.wait_metric(MEMBERS, 4, 20, role="edge")
    calm = {"slow_percent": 0, "old_percent": 0, "cut_percent": 0, "ready_timeout": "90s", "payload": 200}
    drains, used, spreads, told, needless = [], [], [], [], []
    with storm.load(
        "rolling restart of 4 edges with 20,000 clients", clients=CLIENTS, subscriptions=1, channels=1000,
        rate=100, connect_rate=1500, place="true", **calm,
    ):  # fmt: skip
        for edge in home.edges:
            others = [e for e in home.edges if e is not edge]
            drains.append(drain(edge, others))
            spreads.append(spread(others))
            moves = Moves(others)
            used.append(come(edge, others))
            wait_until(lambda m=moves: m.are_over(home.edges), "all are even and stay", 60, every=0.2)
            spreads.append(spread(home.edges))
            told.append(moves.told(home.edges))
            needless.append(moves.needless(home.edges))
    took, fastest, planned = zip(*drains, strict=True)
    assert min(planned) > 0
    times = [a / b for a, b in zip(fastest, planned, strict=True)]
    storm.row["figures"] = {
        "empty after s, at most": f"{max(took):.1f}",
        "clients/s planned / seen": f"{max(planned):.0f} / {max(fastest):.0f}",
        "the fastest second, times what was planned": f"{max(times):.2f}",
        "the fullest edge / the mean, after each change": " ".join(f"{s:.2f}" for s in spreads),
        "an edge is named s after it is ready": " ".join(f"{s:.1f}" for s in used),
        "resume p50/p99 ms": "/".join(f"{storm.row['report']['resume_ms'][p]:.0f}" for p in ("p50", "p99")),
        "told to move as one came, of a hundred clients": " ".join(f"{100 * n / CLIENTS:.1f}" for n in told),
        "of these needlessly": " ".join(f"{100 * n / CLIENTS:.1f}" for n in needless),
    }
    assert max(took) <= scaled(GRACE + 2) and max(times) <= FASTER
    assert max(spreads) <= FULLEST and max(needless) <= NEEDLESS * CLIENTS
    assert max(used) <= scaled(USED)
