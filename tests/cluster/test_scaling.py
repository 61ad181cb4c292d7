# SPDX-License-Identifier: Apache-2.0
"""Workers and edges of a region go from one to eight under load, and back, each on a host of its own."""

import itertools

from harness.util import wait_until

MOST = 8
RUNNING, ADOPTED = "fanfare_worker_running_partitions", "fanfare_worker_adopted_partitions"
ASSIGNED = "fanfare_worker_assigned_partitions"
SESSIONS = "fanfare_edge_sessions"


def shared(workers):
    """Every partition runs, each at the worker that the group gave it to, none has more than its share."""
    of_each = [w.metrics() for w in workers]
    assigned = [m.total(ASSIGNED) for m in of_each]
    running = sum(m.total(RUNNING) for m in of_each)
    fair = max(assigned) <= -(-MOST // len(workers))
    return running == sum(assigned) == MOST and fair and not any(m.total(ADOPTED) for m in of_each)


def test_workers_one_to_eight_and_back(storm, sides):
    """Back: every second one is stopped, the others are killed."""
    home, _ = sides
    home.worker()
    home.edge(), home.edge()
    home.wait_whole()
    with storm.load("workers 1 → 8 → 1 under load"):
        while len(home.workers) < MOST:
            home.worker()
            wait_until(lambda: shared(home.workers), f"{len(home.workers)} workers share", 40, every=0.1)
        storm.wait_more(3000)
        there = list(home.workers)
        for end in itertools.islice(itertools.cycle([lambda w: w.stop(), lambda w: w.kill()]), MOST - 1):
            end(there.pop(0))
            wait_until(lambda: shared(there), f"{len(there)} workers share", 40, every=0.1)
    storm.row["figures"] = {"longest pause s": f"{storm.row['pause_s']:.2f}"}


def test_edges_one_to_eight_and_back(storm, sides):
    """The load knows all eight: those that aren't there refuse it. Back: every second one drains, the others
    are killed."""
    home, _ = sides
    home.worker(), home.worker()
    first = home.edge(drain_time="1s")
    home.wait_whole()
    rest = [home.edge(start=False, drain_time="1s") for _ in range(MOST - 1)]
    with storm.load("edges 1 → 8 → 1 under load", urls=[e.url for other in rest for e in (first, other)]):
        for edge in rest:
            edge.start(30)
            edge.wait_metric(SESSIONS, 5, 30)
        storm.wait_more(3000)
        most = max(edge.metrics().total(SESSIONS) for edge in rest)
        assert most < storm.settings["clients"] / 2
        for edge, end in zip(rest, itertools.cycle([lambda e: e.stop(), lambda e: e.kill()])):  # noqa: B905
            end(edge)
            storm.wait_more(3000)
        first.wait_metric(SESSIONS, storm.settings["clients"] * 0.9, 30)
    storm.row["figures"] = {"longest pause s": f"{storm.row['pause_s']:.2f}"}
