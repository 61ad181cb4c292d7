# SPDX-License-Identifier: Apache-2.0
"""Nodes find each other by a real Consul agent, notice who dies, and go on when Consul doesn't."""

import asyncio
import datetime
import os
import signal
import time

import pytest

from harness.certificate import make_certificate
from harness.stream import FakeLog
from harness.util import free_port, scaled, wait_until

ROUNDS = int(os.environ.get("FANFARE_TEST_ROUNDS", "2"))
DEAD_S, SEEN_S = 3.0, 2.0  # what is promised; of a death at a settled agent
EDGE, WORKER = "fanfare-edge", "fanfare-worker"


def by_consul(agent, **more):
    return {"coordination": "consul", "consul_url": agent.url, **more}


def pair(edges, agent, **more):
    """Two edges, a and b, that see each other."""
    both = [edges(node=name, **by_consul(agent, **more)) for name in "ab"]
    for edge in both:
        edge.wait_metric("fanfare_coordination_members", 2)
    return both


def told(edge, event, node=None):
    """The times at which an edge logged it, of a node if one is given."""
    found = []
    for line in edge.lines():
        if f"event={event} " in line and (node is None or f"node={node} " in line):
            found.append(datetime.datetime.fromisoformat(line.split(" ", 1)[0]).timestamp())
    return found


def members(edge):
    return edge.metrics().total("fanfare_coordination_members")


def stays(edge, seconds):
    """For so long, nobody left this edge's view."""
    until = time.monotonic() + seconds
    wait_until(lambda: edge.event("member_left") or time.monotonic() > until, "time passes", seconds + 5)
    assert not edge.events("member_left")


def test_workers_and_edges_are_told_to_each_other(nodes, topic, consul):
    agent = consul()
    spaces = {"": {"topic": topic}}
    worker = nodes.worker(group=topic, namespaces=spaces, node="w", region="eu", **by_consul(agent))
    edge = nodes.edge(namespaces=spaces, node="e", region="eu", **by_consul(agent))
    for node in worker, edge:
        node.wait_metric("fanfare_coordination_members", 1, role="edge")
        node.wait_metric("fanfare_coordination_members", 1, role="worker")
    meta = agent.wait_service(EDGE, "e")
    assert meta["url"] == f"ws://{edge.address}" and meta["region"] == "eu"
    assert meta["admin"] == edge.admin and meta["redis"] == nodes.redis.url
    assert agent.wait_service(WORKER, "w")["url"] == ""
    joined = edge.wait_event("member_joined")
    assert (joined["role"], joined["node"], joined["region"]) == ("worker", "w", "eu")
    assert worker.stop() == 0
    edge.wait_for(lambda: told(edge, "member_left", "w"), "the worker left", 2)
    assert WORKER not in agent.call("GET", "/v1/catalog/services")


def test_an_edge_is_used_when_it_is_ready(edges, consul, redis):
    """Without a log it is there, but for nobody: Consul's balancers leave it out."""
    agent = consul()
    edges(node="a", **by_consul(agent))
    assert agent.wait_service(EDGE, "a", "warning")["ready"] == "false"
    with FakeLog(redis, "t"):
        assert agent.wait_service(EDGE, "a", "passing")["ready"] == "true"


def test_an_edge_is_seen_at_once_and_missed_when_killed(edges, fake_log, consul):
    agent = consul().settle()
    watcher = edges(node="a", **by_consul(agent))
    agent.wait_service(EDGE, "a")
    seen, dead = [], []
    for n in range(ROUNDS):
        name = f"b{n}"
        edge = edges(node=name, **by_consul(agent))
        edge.wait_for(lambda e=edge: e.get("/health/ready")[0] == 200, "ready", 10)
        ready = time.time()
        agent.wait_service(EDGE, name)
        watcher.wait_for(lambda name=name: told(watcher, "member_joined", name), f"{name} joined", 10)
        seen.append(time.time() - ready)
        killed = time.time()
        edge.kill()
        watcher.wait_for(lambda name=name: told(watcher, "member_left", name), f"{name} left", 10)
        dead.append(told(watcher, "member_left", name)[0] - killed)
    print("seen after", [f"{s:.2f}" for s in seen], "dead after", [f"{s:.2f}" for s in dead])
    assert max(seen) < SEEN_S and max(dead) < DEAD_S


async def test_draining_is_told_at_once_and_the_end_too(edges, fake_log, consul, fan):
    agent = consul()
    a, b = await asyncio.to_thread(pair, edges, agent, drain_time="2s")
    await asyncio.to_thread(agent.wait_service, EDGE, "b")
    for _ in range(20):
        await fan(b)
    ending = asyncio.create_task(asyncio.to_thread(b.stop))  # it may wait for its turn to drain
    meta = await asyncio.to_thread(agent.wait_service, EDGE, "b", "warning")
    assert meta["draining"] == "true" and time.time() - told(b, "draining")[0] < scaled(0.5)
    assert await ending == 0
    ended = time.time()
    await asyncio.to_thread(a.wait_for, lambda: told(a, "member_left", "b"), "b left", 5)
    assert told(a, "member_left", "b")[0] - ended < 0.5
    assert "b" not in agent.services(EDGE)


async def test_its_load_is_told(edges, fake_log, consul, fan):
    agent = consul()
    edge = await asyncio.to_thread(lambda: edges(node="a", **by_consul(agent)))
    for _ in range(30):
        client = await fan(edge)
    await client.subscribe("x")

    def load():
        meta = agent.services(EDGE).get("a", (0, {}))[1]
        return meta.get("clients") == "30" and meta.get("partitions") == "1"

    await asyncio.to_thread(wait_until, load, "30 clients and a partition", 10)


async def test_consul_dies_and_comes_back_empty(edges, fake_log, consul, fan):
    agent = consul()
    a, b = await asyncio.to_thread(pair, edges, agent)
    client = await fan(a)
    await client.subscribe("x")
    agent.kill()
    for edge in a, b:
        lost = await asyncio.to_thread(edge.wait_event, "coordination_lost")
        assert agent.url in lost["why"] and lost["members"] == "2"
        assert edge.metrics().total("fanfare_coordination_lost") == 1
    await asyncio.to_thread(stays, a, 4)  # longer than anybody's check would have lasted
    fake_log.append([("x", 1)])
    await client.wait_pubs("x", 1)
    assert members(a) == 2 and a.get("/health/ready")[0] == 200
    await asyncio.to_thread(agent.start)
    for edge in a, b:
        await asyncio.to_thread(edge.wait_event, "coordination_back")
        assert not lost_for(edge, "(404:")  # an agent that forgot it: nothing to mend
        await asyncio.to_thread(edge.wait_metric, "fanfare_coordination_members", 2)
    for name in "ab":
        await asyncio.to_thread(agent.wait_service, EDGE, name)
    await asyncio.to_thread(stays, a, 6)
    assert not b.events("member_left") and members(a) == members(b) == 2
    assert a.metrics().total("fanfare_coordination_lost") == 0
    b.kill()  # and who dies later is missed as ever
    await asyncio.to_thread(a.wait_for, lambda: told(a, "member_left", "b"), "b left", DEAD_S)


def test_consul_stands_still_for_a_while(edges, fake_log, consul):
    agent = consul()
    a, b = pair(edges, agent)
    for pause in 2.6, 6:  # a beat is late; several fail
        agent.signal(signal.SIGSTOP)
        stays(a, pause)
        agent.signal(signal.SIGCONT)
        for edge in a, b:
            edge.wait_for(lambda e=edge: not e.metrics().total("fanfare_coordination_lost"), "back", 10)
        for name in "ab":
            agent.wait_service(EDGE, name)
        stays(a, 1)
        assert not b.events("member_left")
    assert a.event("coordination_back")


def test_an_agent_that_forgot_a_node_is_told_again(edges, fake_log, consul):
    agent = consul()
    a, b = pair(edges, agent)
    agent.wait_service(EDGE, "b")
    agent.call("PUT", f"/v1/agent/service/deregister/{EDGE}:b")
    agent.wait_service(EDGE, "b", timeout=2)
    b.wait_metric("fanfare_coordination_members", 2)
    b.wait_for(lambda: len(b.events("coordination_registered")) == 2, "it registers again", 10)
    assert not b.events("coordination_lost")


def test_an_agent_that_forgets_a_node_each_time_is_none(edges, fake_log, consul):
    """It takes the registration: but nobody sees that node, and what it says of others may be as wrong."""
    agent = consul()
    a, b = pair(edges, agent)

    def forget():
        if f"{EDGE}:b" in agent.call("GET", "/v1/agent/services"):
            agent.call("PUT", f"/v1/agent/service/deregister/{EDGE}:b")
        return lost_for(b, "(404:")

    said = b.wait_for(forget, "b says so", 15)
    assert "always lead to the same agent" in said[0]["why"] and members(b) == 2
    b.wait_event("coordination_back")
    agent.wait_service(EDGE, "b")
    a.wait_metric("fanfare_coordination_members", 2)
    assert len(lost_for(b, "(404:")) == 1 and not a.events("coordination_lost")


def test_a_node_of_any_name_is_renewed(edges, fake_log, consul):
    """An agent registers any name, but then refuses paths with characters that it can't print."""
    agent = consul()
    for name in "../a//b%2f?#", "é\u200b":
        edge = edges(node=name, **by_consul(agent))
        edge.wait_metric("fanfare_coordination_requests_total", 8, result="ok")
        assert edge.metrics().total("fanfare_coordination_requests_total", result="failed") == 0, name
        assert edge.stop() == 0
    assert not agent.services(EDGE)


def test_another_datacenter_that_is_not_heard_of(edges, fake_log, consul):
    """It is named, and its own one isn't lost with it: whoever is there is known, and balanced."""
    agent = consul().settle()
    a, b = pair(edges, agent, consul_datacenters=["dc1", "mars"])
    said = a.wait_event("datacenter_lost")
    assert said["datacenter"] == "mars" and "of datacenter mars (500: " in said["why"]
    a.wait_metric("fanfare_coordination_datacenters_lost", 1)
    b.kill()
    a.wait_for(lambda: told(a, "member_left", "b"), "b left", DEAD_S)
    assert not a.events("coordination_lost") and a.metrics().total("fanfare_coordination_lost") == 0
    agent.kill()
    a.wait_event("coordination_lost")
    assert len(a.events("datacenter_lost")) == 1


def lost_for(edge, reason):
    return [said for said in edge.events("coordination_lost") if reason in said["why"]]


def test_another_reason_is_told(edges, fake_log, consul):
    """Who mended the first thing that is wrong learns of the next one."""
    agent = consul(start=False)
    edge = edges(node="a", **by_consul(agent))
    edge.wait_event("coordination_lost")
    agent.settings["acl"] = {"enabled": True, "default_policy": "deny"}
    agent.start()
    edge.wait_for(lambda: lost_for(edge, "consul_token"), "it says that a token is missing", 15)
    assert not edge.events("coordination_back")


def test_a_start_without_consul(edges, fake_log, consul):
    """Deploys must work while it is down: a node starts, says what is wrong, and comes in later."""
    agent = consul(start=False)
    edge = edges(node="a", **by_consul(agent))
    why = edge.wait_event("coordination_lost")["why"]
    assert agent.url in why and "consul_url" in why
    edge.wait_for(lambda: edge.get("/health/ready")[0] == 200, "ready", 10)
    assert members(edge) == 1
    agent.start()
    edge.wait_event("coordination_back", 5)
    agent.wait_service(EDGE, "a", timeout=5)


RULES = """
service_prefix "fanfare-" { policy = "read" }
service "fanfare-edge" { policy = "write" }
node_prefix "" { policy = "read" }
"""


@pytest.fixture
def guarded(consul):
    """An agent that lets nobody do anything without a token: (agent, make(rules) → a token)."""
    root = "deadbeef-0000-4000-8000-000000000000"
    agent = consul(token=root, acl={"enabled": True, "default_policy": "deny", "tokens": {"master": root}})

    def ready():
        try:
            return agent.call("GET", "/v1/acl/policies") is not None
        except AssertionError:
            return False

    wait_until(ready, "the ACL system is there", 20)
    made = []

    def make(rules):
        made.append(f"p{len(made)}")
        agent.call("PUT", "/v1/acl/policy", {"Name": made[-1], "Rules": rules})
        return agent.call("PUT", "/v1/acl/token", {"Policies": [{"Name": made[-1]}]})["SecretID"]

    return agent, make


def test_tokens(edges, fake_log, guarded):
    agent, make = guarded
    wrong = edges(node="a", **by_consul(agent, consul_token="00000000-1111-4000-8000-000000000000"))
    lost = wrong.wait_event("coordination_lost")
    assert "403" in lost["why"] and "consul_token" in lost["why"] and "service:write" in lost["why"]
    blind = edges(node="b", **by_consul(agent, consul_token=make('service_prefix "" { policy = "write" }')))
    assert "node:read" in blind.wait_event("coordination_lost")["why"]
    good = [edges(node=n, **by_consul(agent, consul_token=make(RULES))) for n in "cd"]
    for edge in good:
        edge.wait_metric("fanfare_coordination_members", 2)
        assert not edge.events("coordination_lost")
    assert "a" not in agent.services(EDGE)
    for edge in wrong, blind, *good:
        assert "1111-4000" not in edge.log.read_text()


def test_tls(edges, fake_log, consul, tmp_path):
    certificate, key = make_certificate(tmp_path)
    agent = consul(https=True, cert_file=str(certificate), key_file=str(key))
    url = f"https://127.0.0.1:{agent.https_port}"
    distrusts = edges(node="a", **by_consul(agent) | {"consul_url": url})
    distrusts.wait_for(lambda: lost_for(distrusts, "certificate"), "it says why", 15)
    trusts = edges(node="z", consul_ca=str(certificate), **by_consul(agent) | {"consul_url": url})
    agent.wait_service(EDGE, "z")
    assert not trusts.events("coordination_lost")


def test_what_the_configuration_is_checked_for(edges, tmp_path):
    wrong = {"consul_url": f"127.0.0.1:{free_port()}", "consul_cert": str(tmp_path / "x")}
    edge = edges(start=False, coordination="consul", advertise="http://x", region="", **wrong)
    edge.launch()
    edge.expect_exit(2)
    assert edge.wait(10) == 2
    said = edge.log.read_text()
    for knob in "consul_url", "consul_cert", "consul_key", "advertise", "region":
        assert f"{knob}: " in said
