# SPDX-License-Identifier: Apache-2.0
"""The cluster suite's fixtures: those of the chaos suite, on hosts of their own (hosts.py).

ground   the networks of two regions, the link between them, Kafka at home; once for all drills
sides    (home, far): two regions, each with a Redis of this drill's own; start() brings workers and edges
storm    the chaos suite's: a load with an oracle that reads Kafka itself, and the drill's row
consul   all nodes find each other by it
ways     the chaos suite's: runs FanClients
topic    of 8 partitions, or as many as parametrize(..., indirect=True) says

A drill marked `short` is in the selection that a plain `./dev test` runs.
"""

import itertools
import os
import pathlib
import re
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / f"tests/{part}") for part in ("integration", "chaos", "cluster")]

import reporting  # noqa: E402
from regions import Ground, Side, redis_of  # noqa: E402
from storm import storm, ways  # noqa: E402, F401

from harness.consul import Consul  # noqa: E402
from harness.fixtures import nodes, topics  # noqa: E402, F401

_serial = itertools.count(1)


def pytest_configure(config):
    config.addinivalue_line("markers", "short: in the selection that CI runs")
    logs = pathlib.Path(os.environ.get("FANFARE_CHAOS_LOGS", REPO / "build" / "log"))
    config.pluginmanager.register(reporting.Rows(logs, "cluster"), "cluster-rows")


def pytest_runtest_setup(item):
    why = os.environ.get("FANFARE_NO_HOSTS", "it is run by tests/cluster/apart.py (./dev test cluster)")
    if why:
        pytest.skip(why)


@pytest.fixture(scope="session")
def long():
    """Drills last as long as in the field (./dev test cluster --long)."""
    return bool(os.environ.get("FANFARE_LONG"))


@pytest.fixture(scope="session")
def ground(tmp_path_factory):
    it = Ground(tmp_path_factory.mktemp("kafka"))
    try:
        yield it.start()
    finally:
        it.close()


@pytest.fixture(scope="session")
def kafka(ground):
    return ground.kafka


@pytest.fixture
def topic(topics, request):  # noqa: F811
    name = re.sub(r"[^\w.-]+", "-", request.node.name)[:100]
    return topics.create(f"{name}-{next(_serial)}", partitions=getattr(request, "param", 8))


@pytest.fixture
def servers(ground, tmp_path):
    """The regions' Redis servers, by name."""
    made = {name: redis_of(name, ground, tmp_path).start() for name in ground.sites}
    yield made
    for server in made.values():
        server.remove()


@pytest.fixture
def redis(servers):
    return servers["home"]


@pytest.fixture
def sides(ground, servers, storm):  # noqa: F811
    yield [Side(name, ground, server, storm) for name, server in servers.items()]
    ground.link.mend()


@pytest.fixture
def consul(ground, tmp_path, sides):
    """At home; all nodes are given the way to it."""
    it = Consul(tmp_path / "consul", host=ground.sites["home"].host("consul")).start()
    home, far = sides
    way = ground.link.open(it, far.site.gateway, homeward=True)
    for side, url in ((home, it.url), (far, f"http://{way.gate.address}")):
        side.settings = {"coordination": "consul", "consul_url": url, "region": side.name}
    yield it
    it.stop()
