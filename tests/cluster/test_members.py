# SPDX-License-Identifier: Apache-2.0
"""Who is there, by Consul: edges die and come, Consul is away while everything goes on."""

import time

from regions import start

from harness.util import scaled, wait_until

MEMBERS = "fanfare_coordination_members"
LOST = "fanfare_coordination_lost"
DIED, CAME = 3, 2  # seconds, at most: a dead edge is in no view any more; one that is ready is in all


def nodes_of(sides):
    return [node for side in sides for node in side.nodes if node.is_running()]


def see(nodes, edges, workers=4):
    """Every one of them has so many in its view."""
    views = [node.metrics() for node in nodes]
    return all(
        v.total(MEMBERS, role="edge") == edges and v.total(MEMBERS, role="worker") == workers for v in views
    )


def seconds_until(probe, what, timeout=20):
    began = time.monotonic()
    wait_until(probe, what, timeout)
    return time.monotonic() - began


def test_edges_die_and_come(storm, sides, consul):
    start(sides)
    wait_until(lambda: see(nodes_of(sides), 6), "each knows all", 20)
    died, came = [], []
    with storm.load("an edge dies, an edge comes: when all others know"):
        for side in (*sides, *sides):
            edge = side.edges[0]
            edge.kill()
            died.append(seconds_until(lambda: see(nodes_of(sides), 5), "it is in no view any more"))
            edge.start(30)
            others = [node for node in nodes_of(sides) if node is not edge]
            edge.wait_for(lambda e=edge: e.get("/health/ready")[0] == 200, "it is ready", 30)
            came.append(seconds_until(lambda o=others: see(o, 6), "it is in every view"))
    storm.row["figures"] = {
        "dead edge out of all views after s": f"{max(died):.1f}",
        "new edge in all views s after it is ready": f"{max(came):.1f}",
    }
    assert max(died) <= scaled(DIED) and max(came) <= scaled(CAME)


def test_consul_is_away(storm, sides, consul, long):
    """Meanwhile, in each region, an edge and a worker are stopped and started anew, and an edge dies."""
    start(sides, drain_time="1s")
    wait_until(lambda: see(nodes_of(sides), 6), "each knows all", 20)
    lasting, began = 600 if long else 120, time.monotonic()
    with storm.load(f"Consul down for {lasting} s, under load and deploys", cut_every="2s", duration="20m"):
        storm.pause_max = 2
        consul.kill()
        for node in nodes_of(sides):
            node.wait_metric(LOST, 1, 30)
        for side in sides:
            side.edges[0].stop()
            side.edges[0].start(30)
            side.workers[0].stop()
            side.workers[0].start(30)
            side.edges[1].kill()
            side.edges[1].start(30)
        wait_until(lambda: time.monotonic() - began >= lasting, "it has lasted", lasting + 10, every=1)
        storm.wait_more(3000)
        consul.start()
        whole = seconds_until(lambda: see(nodes_of(sides), 6), "each knows all", 60)
        assert not any(node.metrics().total(LOST) for node in nodes_of(sides))
    storm.row["figures"] = {
        "longest pause s": f"{storm.row['pause_s']:.2f}",
        "all know all again after s": f"{whole:.1f}",
    }
