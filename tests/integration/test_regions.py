# SPDX-License-Identifier: Apache-2.0
"""`regions: all`: one worker that feeds every region with live edges, by a process each."""

import os
import re
import signal

import pytest

from harness.region import Region, wait_total
from harness.util import wait_until

RECORDS = [(f"k{i % 20}", f'{{"n":{i}}}') for i in range(200)]
KEEP_S = 2


@pytest.fixture
def regions(topic):
    """The names of two that are this test's own: consumer groups are named after them."""
    own = f"{os.getpid()}-{topic.rpartition('-')[2]}"
    return f"a{own}", f"b{own}"


@pytest.fixture
def agent(consul):
    return consul()


@pytest.fixture
def feeder(nodes, topic, agent):
    return nodes.worker(
        regions="all",
        region_keep=f"{KEEP_S}s",
        namespaces={"q": {"topic": topic}},
        coordination="consul",
        consul_url=agent.url,
    )


@pytest.fixture
def edge_in(nodes, topic, agent):
    """edge_in(region, redis): an edge of that region."""

    def start(region, redis):
        return nodes.edge(
            region=region,
            redis=redis,
            namespaces={"q": {"topic": topic}},
            coordination="consul",
            consul_url=agent.url,
        )

    return start


def children(feeder, region):
    return [int(e["process"]) for e in feeder.events("region_started") if e["region"] == region]


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_ready(edge):
    return edge.get("/health/ready")[0] == 200


def test_regions_come_and_go(feeder, edge_in, regions, topics, topic, redis_server):
    here, there = redis_server(), redis_server()
    first = edge_in(regions[0], here)
    wait_until(lambda: is_ready(first), "the first region is fed", 20)
    topics.produce(topic, RECORDS)
    second = edge_in(regions[1], there)
    wait_until(lambda: is_ready(second), "the new region is fed, without a restart", 20)
    for redis in here, there:
        wait_total(Region(redis, topic), feeder, len(RECORDS))
    assert Region(here, topic).log() == Region(there, topic).log()
    status, text = feeder.get("/health/ready")
    assert status == 200 and len(re.findall("^region .*: process [1-9]", text, re.M)) == 2, text
    pid = children(feeder, regions[1])[0]
    second.stop()
    wait_until(lambda: not lives(pid), "the region without edges is left", KEEP_S + 20)
    assert feeder.wait_event("region_ended")["region"] == regions[1]  # a moment after its end
    wait_until(lambda: feeder.metrics().total("fanfare_worker_regions") == 1, "one is left", 5)
    assert lives(children(feeder, regions[0])[0])


def test_a_killed_region_s_process_comes_back(feeder, edge_in, regions, redis):
    edge = edge_in(regions[0], redis)
    wait_until(lambda: is_ready(edge), "the region is fed", 20)
    os.kill(children(feeder, regions[0])[0], signal.SIGKILL)
    failed = feeder.wait_event("region_failed")
    assert failed["signal"] == "9"
    wait_until(lambda: len(children(feeder, regions[0])) == 2, "it is started again", 5)
    assert lives(children(feeder, regions[0])[1])


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_children_end_with_it(feeder, edge_in, regions, redis, how):
    edge = edge_in(regions[0], redis)
    wait_until(lambda: is_ready(edge), "the region is fed", 20)
    pid = children(feeder, regions[0])[0]
    getattr(feeder, how)()
    wait_until(lambda: not lives(pid), "its child ended", 15)


def test_a_lost_consul_ends_no_region(feeder, edge_in, regions, topics, topic, agent, redis):
    edge = edge_in(regions[0], redis)
    wait_until(lambda: is_ready(edge), "the region is fed", 20)
    pid = children(feeder, regions[0])[0]
    agent.kill()
    feeder.wait_metric("fanfare_coordination_lost", 1)
    topics.produce(topic, RECORDS)
    wait_total(Region(redis, topic), feeder, len(RECORDS))
    assert lives(pid) and not feeder.events("region_ending")
