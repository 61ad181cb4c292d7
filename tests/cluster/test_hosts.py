# SPDX-License-Identifier: Apache-2.0
"""The ground itself: a host reaches its own region and nothing else, and the link is as long as it says."""

import subprocess
import sys
import time

import pytest
import redis
from regions import ROUND_TRIP

from harness.util import wait_until

ROUNDS = 10
REACH = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"


def reaches(host, address):
    argv = [*host.enter, sys.executable, "-c", REACH, *address.split(":")]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


@pytest.mark.short
def test_a_host_reaches_its_own_region_only(ground):
    home, far = (ground.sites[name].host("redis") for name in ("home", "far"))
    wait_until(lambda: reaches(home, ground.bootstrap["home"]), "its own region", 20)
    wait_until(lambda: reaches(far, ground.bootstrap["far"]), "its own region's gateway", 20)
    assert not reaches(far, ground.bootstrap["home"])
    assert not reaches(home, ground.bootstrap["far"])
    far.plug(False)
    assert not reaches(far, ground.bootstrap["far"])
    far.plug()
    wait_until(lambda: reaches(far, ground.bootstrap["far"]), "it is back", 20)


@pytest.mark.short
def test_the_link_is_as_long_as_it_says(ground, servers):
    """No round is shorter, and it is long at once for all that is under way. A machine that stands still
    makes rounds longer, so the shortest one says how long the link is."""
    way = ground.link.open(servers["far"], ground.sites["home"].gateway, homeward=False)
    before, took = ground.link.carried(), []
    with redis.Redis(way.host.address, way.port, protocol=2) as client:
        client.ping()
        for _ in range(ROUNDS):
            began = time.monotonic()
            pipe = client.pipeline(transaction=False)
            for _ in range(50):
                pipe.echo(b"x" * 10000)
            assert pipe.execute() == [b"x" * 10000] * 50
            took.append(time.monotonic() - began)
    assert ROUND_TRIP <= min(took) < 3 * ROUND_TRIP, f"not one after the other: {took}"
    there, back = (now - then for now, then in zip(ground.link.carried(), before, strict=True))
    assert all(500_000 < carried / ROUNDS < 520_000 for carried in (there, back))
