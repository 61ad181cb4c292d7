# SPDX-License-Identifier: Apache-2.0
"""The ground itself: a host reaches its own region and nothing else, and the link is as long as it says."""

import subprocess
import sys
import time

import pytest
import redis
from regions import ROUND_TRIP

from harness.util import wait_until

REACH = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"


def reaches(host, address):
    argv = [*host.enter, sys.executable, "-c", REACH, *address.split(":")]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


@pytest.mark.short
def test_a_host_reaches_its_own_region_only(ground):
    home, far = (ground.sites[name].host("redis") for name in ("home", "far"))
    assert reaches(home, ground.bootstrap["home"])
    assert not reaches(far, ground.bootstrap["home"])
    assert reaches(far, ground.bootstrap["far"])
    assert not reaches(home, ground.bootstrap["far"])
    far.plug(False)
    assert not reaches(far, ground.bootstrap["far"])
    far.plug()
    wait_until(lambda: reaches(far, ground.bootstrap["far"]), "it is back", 20)


@pytest.mark.short
def test_the_link_is_as_long_as_it_says(ground, servers):
    way = ground.link.open(servers["far"], ground.sites["home"].gateway, homeward=False)
    before = ground.link.carried()
    with redis.Redis(way.host.address, way.port, protocol=2) as client:
        client.ping()
        began = time.monotonic()
        pipe = client.pipeline(transaction=False)
        for _ in range(50):
            pipe.echo(b"x" * 10000)
        assert pipe.execute() == [b"x" * 10000] * 50
        took = time.monotonic() - began
    assert ROUND_TRIP <= took < 3 * ROUND_TRIP, "not one after the other"
    there, back = (now - then for now, then in zip(ground.link.carried(), before, strict=True))
    assert 500_000 < back < 520_000 and 500_000 < there < 520_000
