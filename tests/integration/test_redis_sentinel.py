# SPDX-License-Identifier: Apache-2.0
"""A Redis found by Sentinels: what a node says when it can't be, and whose password is whose. Failovers under
load: tests/chaos/test_redis_sentinel.py."""

import pytest

from harness.region import Region, records, same_as_kafka, start, wait_total
from harness.sentinel import RedisSet
from harness.util import free_port


@pytest.fixture
def guarded(tmp_path):
    """Redis and Sentinels with a password each, and no replica."""
    it = RedisSet(tmp_path / "set", replicas=0, password="for-redis", sentinel_password="for-sentinels")
    yield it.start()
    it.remove()


def refusal(node):
    node.launch()
    node.expect_exit(1)
    assert node.wait(20) == 1
    return node.event("boot_failed")["why"]


def test_what_is_wrong_is_said(guarded, nodes, topic):
    spaces = {"q": {"topic": topic}}
    right = {"redis_password": "for-redis", "redis_sentinel_password": "for-sentinels"}
    nowhere = f"sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/region"
    wrong = guarded.url.replace("/region", "/regoin")
    for make in (nodes.worker, nodes.edge):

        def why(make=make, **config):
            return refusal(make(start=False, namespaces=spaces, **(right | config)))

        said = why(redis_url=wrong)
        assert 'the Sentinels know no master called \\"regoin\\"' in said and "set redis_url" in said
        assert "no Sentinel answers" in why(redis_url=nowhere)
        said = why(redis_url=guarded.url, redis_sentinel_password="")
        assert "no Sentinel answers (" in said and "NOAUTH" in said
        assert "WRONGPASS" in why(redis_url=guarded.url, redis_password="for-sentinels")
        assert "for-" not in said


async def test_each_has_its_own_password(guarded, nodes, topics, topic, kafka, fan):
    creds = {"redis": guarded, "redis_sentinel_password": "for-sentinels"}
    worker = start(nodes, topic, **creds)
    region = Region(guarded, topic)
    edge = nodes.edge(namespaces={"q": {"topic": topic}}, **creds)
    topics.produce(topic, records(100))
    wait_total(region, worker, 100)
    assert same_as_kafka(kafka, region) == 100
    client = await fan(edge)
    reply = await client.subscribe("q:k1", offset=0, epoch=region.log())
    assert reply["recovered"] is True
    await client.wait_pubs("q:k1", 5)
    assert worker.event("redis_up")["at"] == f"127.0.0.1:{guarded.master().port}"
