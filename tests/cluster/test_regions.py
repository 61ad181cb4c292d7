# SPDX-License-Identifier: Apache-2.0
"""Two regions: their clients move between them, the link fails or is too narrow, one of them dies."""

import time

import pytest
from regions import start

from harness.util import wait_until

MOVES = 1000
MANY = 64  # partitions
RECOVERIES = "fanfare_edge_recoveries_total"
SESSIONS = "fanfare_edge_sessions"
DELIVERIES = "fanfare_edge_deliveries_total"
RUNNING, ADOPTED = "fanfare_worker_running_partitions", "fanfare_worker_adopted_partitions"
ASSIGNED = "fanfare_worker_assigned_partitions"


def caught_up(home, far):
    """The far region has all that home had a moment ago."""
    ends = home.lasts()
    wait_until(lambda: all(f >= h for f, h in zip(far.lasts(), ends, strict=True)), "it catches up", 60)


def behind(home, far):
    return sum(home.lasts()) - sum(far.lasts())


def figures(storm, **known):
    latency, resume = (storm.row["report"][f"{kind}_ms"] for kind in ("latency", "resume"))
    storm.row["figures"] = known | {
        "latency p50/p99 ms": f"{latency['p50']:.0f} / {latency['p99']:.0f}",
        "resume p50/p99 ms": f"{resume['p50']:.0f} / {resume['p99']:.0f}",
    }


@pytest.mark.short
def test_clients_move_between_regions(storm, sides):
    """Whoever loses an edge goes to the next one, which is in the other region: each resume is a move."""
    start(sides)
    with storm.load(f"clients moved {MOVES} times between two regions, 80 ms apart", cut_every="200ms"):
        subscriptions = MOVES * storm.settings["subscriptions"]
        storm.wait_more(subscriptions, RECOVERIES, 60, result="recovered")
        into = {side.name: side.total(RECOVERIES, result="recovered") for side in sides}
        told = sum(side.total(RECOVERIES, result="told") for side in sides)
    moves = storm.result.report["clients"]["resumed"]
    failed = storm.result.report["clients"]["connect_errors"]
    assert moves >= MOVES and not failed, "each of them went to the next edge"
    assert told == 0 and storm.row["false_recovered"] == 0
    assert min(into.values()) >= subscriptions / 3
    into = {name: f"{n:.0f} subscriptions recovered" for name, n in into.items()}
    figures(storm, moves=moves, **into)


@pytest.mark.parametrize("how", [pytest.param("cut", marks=pytest.mark.short), "silence"])
def test_the_link_fails_and_comes_back(ground, storm, sides, long, how):
    """cut: connections are reset; silence: they stay, and nothing arrives (half-open). Kafka drops the far
    region's workers from their group; they come back."""
    start(sides)
    home, far = sides
    lasting = 60 if long else 8
    with storm.load(f"the link between two regions: {how} for {lasting} s and back"):
        went, began = home.total(DELIVERIES), time.monotonic()
        getattr(ground.link, how)()
        wait_until(lambda: time.monotonic() >= began + lasting, "it has lasted", lasting + 10)
        rate = (home.total(DELIVERIES) - went) / (time.monotonic() - began)
        missing = behind(home, far)
        assert missing >= storm.settings["rate"] * lasting / 2, "the far region hears nothing"
        assert all(edge.get("/health/ready")[0] == 200 for edge in far.edges)
        ground.link.mend()
        began = time.monotonic()
        caught_up(home, far)
        took = time.monotonic() - began
        far.wait_whole()
    assert rate >= 1000, "home goes on"
    figures(
        storm,
        **{
            "far region behind, records": missing,
            "caught up within s": f"{took:.1f}",
            "deliveries/s at home meanwhile": f"{rate:.0f}",
        },
    )


@pytest.mark.parametrize("fetch", [16384, 131072], ids=["small", "large"])
def test_a_region_lags(ground, storm, sides, fetch):
    """The link carries half of what Kafka gets: the far region falls behind. Clients come there from home,
    with cursors that it doesn't have yet, and wait. Workers must ask for little at a time: an answer that
    takes over 10 s (socket.timeout.ms) is asked for again, in vain."""
    home, far = sides
    far.kafka = {"fetch.message.max.bytes": fetch}
    start(sides)
    fault = f"a link that carries half of the records, fetches of {fetch} B a partition"
    with storm.load(fault, cut_every="200ms", rate=500):
        ground.link.shape(rate=storm.settings["rate"] * storm.settings["payload"] // 2)
        wait_until(lambda: behind(home, far) >= 1500, "it lags", 60)
        lag = behind(home, far)
        refused = far.total(RECOVERIES, result="error")
        storm.wait_more(500, RECOVERIES, 30, nodes=far.edges, result="recovered")
        refused = far.total(RECOVERIES, result="error") - refused
        ground.link.shape()
        began = time.monotonic()
        caught_up(home, far)
        took = time.monotonic() - began
    figures(
        storm,
        **{
            "far region behind, records": lag,
            "subscriptions told to try again there": f"{refused:.0f}",
            "caught up within s": f"{took:.1f}",
        },
    )


def halved(workers, partitions):
    """Two workers, each carries its half."""
    found = [[w.metrics().total(name) for name in (ASSIGNED, RUNNING, ADOPTED)] for w in workers]
    return found == [[partitions / 2, partitions / 2, 0]] * 2


@pytest.mark.parametrize("topic", [MANY], indirect=True)
def test_workers_far_from_kafka_are_deployed(storm, sides):
    """However many partitions go from one to the other, their clients wait for some round trips, not for
    some of each partition."""
    _, far = sides
    far.worker(), far.worker()
    far.edge(), far.edge()
    far.wait_whole(MANY)
    with storm.load(f"workers of {MANY} partitions, 80 ms from Kafka: one stopped, one killed, started anew"):
        storm.pause_max = 3
        for worker, end in zip(far.workers, (lambda w: w.stop(), lambda w: w.kill()), strict=True):
            wait_until(lambda: halved(far.workers, MANY), "each has its half", 60, every=0.2)
            end(worker)
            worker.start(30)
        wait_until(lambda: halved(far.workers, MANY), "each has its half", 60, every=0.2)
        storm.wait_more(3000)
    figures(storm)


@pytest.mark.parametrize(
    ("how", "cut_every", "share"),
    [("killed", "2s", 0.95), ("unplugged", "8s", 0.8)],
    ids=["killed", "unplugged"],
)
def test_a_region_is_gone(storm, sides, how, cut_every, share):
    """killed: every process of it at once. unplugged: its hosts are silent, nobody is told (who is cut at
    home and tries there waits for 10 s). Its clients go to the other region; then it is back."""
    start(sides, ping_interval="5s")
    home, far = sides
    there = storm.settings["clients"] * share
    with storm.load(f"a region {how}, all of it, and back", slow_percent=0, cut_every=cut_every):
        began = time.monotonic()
        gone(far, how)
        wait_until(lambda: home.total(SESSIONS) >= there, "its clients are in the other region", 60)
        took = time.monotonic() - began
        storm.wait_more(3000, nodes=home.edges)
        began = time.monotonic()
        far.start_again() if how == "killed" else plug(far)
        far.wait_whole()
        caught_up(home, far)
        again = time.monotonic() - began
        storm.wait_more(100, RECOVERIES, 60, nodes=far.edges, result="recovered")
    known = {"its clients are in the other region after s": f"{took:.1f}"}
    figures(storm, **known, **{"whole and caught up again after s": f"{again:.1f}"})


def plug(side, plugged=True):
    for node in side.nodes:
        node.host.plug(plugged)


def gone(side, how):
    if how == "killed":
        side.kill()
        for edge in side.edges:
            with pytest.raises(OSError):
                edge.metrics()
    else:
        plug(side, False)
        with pytest.raises(OSError):
            side.edges[0].get("/health/live", timeout=1)
