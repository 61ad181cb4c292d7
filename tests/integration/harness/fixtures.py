# SPDX-License-Identifier: Apache-2.0
"""Fixtures: real servers once per session on free ports, nodes per test with an answer at the end.

kafka          the session's broker (Broker: .bootstrap)
topics         Topics on it: create, produce, delete records …
topic          the name of a new topic of 4 partitions, this test's own
redis          the session's Redis, emptied before each test
redis_server   a factory: a Redis of this test's own, redis_server(maxmemory="64mb")
consul         a factory: a Consul agent of this test's own, consul(https=True, acl={…})
probes         a factory of nodes that are nothing but coordination, probes("a"), at the agent probes.agent
edges          starts edges on that Redis, without Kafka; the same answer at the end
fake_log       a log in that Redis, written by hand (FakeLog): what an edge needs of a worker
nodes          starts Workers and Edges; fails the test if one of them had an accident
gates          await gates(edge): a Gate, the way to an edge that a test cuts and turns elsewhere
fan            await fan(url or edge, …): a connected FanClient, closed at the test's end
"""

import itertools
import os
import re
import signal

import pytest

from .client import FanClient
from .consul import Consul
from .gate import Gate
from .kafka import Broker
from .node import Nodes
from .probe import Probe
from .redis import RedisServer
from .stream import FakeLog
from .topics import Topics

_serial = itertools.count(1)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    outside = os.environ.get("FANFARE_TEST_KAFKA")  # a broker that is there already, host:port
    if outside:
        broker = type("Outside", (), {"bootstrap": outside})()
        yield broker
        return
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    try:
        yield broker.start()
    finally:
        broker.kill()  # its data is thrown away: no need to wait for a clean stop


@pytest.fixture(scope="session")
def topics(kafka):
    return Topics(kafka.bootstrap)


@pytest.fixture
def topic(topics, request):
    name = re.sub(r"[^\w.-]+", "-", request.node.name)[:150]
    return topics.create(f"{name}-{os.getpid()}-{next(_serial)}", partitions=4)


@pytest.fixture(scope="session")
def redis_session(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture
def redis(redis_session):
    redis_session.flush()
    return redis_session


@pytest.fixture
def redis_server(tmp_path):
    servers = []

    def make(**settings):
        servers.append(RedisServer(tmp_path / f"redis-{len(servers)}", **settings))
        return servers[-1].start()

    yield make
    for server in servers:
        server.remove()


@pytest.fixture
def consul(tmp_path):
    agents = []

    def make(start=True, **settings):
        agents.append(Consul(tmp_path / f"consul-{len(agents)}", **settings))
        return agents[-1].start() if start else agents[-1]

    yield make
    for agent in agents:
        agent.kill()


@pytest.fixture
def probes(tmp_path, consul):
    agent, started = consul().settle(), []

    def make(name):
        started.append(Probe(name, agent, tmp_path).start())
        return started[-1]

    make.agent = agent
    yield make
    for probe in started:
        if probe.is_running():
            probe.signal(signal.SIGCONT)
            assert probe.end() == 0, probe.log.read_text()


@pytest.fixture
def nodes(tmp_path, kafka, redis):
    group = Nodes(tmp_path / "nodes", kafka, redis)
    yield group
    accidents = group.finish()
    if accidents:
        pytest.fail("a node had an accident:\n" + "\n".join(accidents), pytrace=False)


@pytest.fixture
def edges(tmp_path, redis):
    group = Nodes(tmp_path / "edges", None, redis)

    def make(**config):
        return group.edge(**{"namespaces": {"": {"topic": "t"}}, "shards": 1} | config)

    yield make
    accidents = group.finish()
    if accidents:
        pytest.fail("an edge had an accident:\n" + "\n".join(accidents), pytrace=False)


@pytest.fixture
def fake_log(redis):
    with FakeLog(redis, "t") as log:
        yield log


@pytest.fixture
async def fan():
    clients = []

    async def make(where, **options):
        client = await FanClient.connect(getattr(where, "url", where), **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
async def gates():
    opened = []

    async def make(edge):
        opened.append(await Gate(edge).start())
        return opened[-1]

    yield make
    for gate in opened:
        await gate.stop()
