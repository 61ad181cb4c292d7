# SPDX-License-Identifier: Apache-2.0
"""A region on a mirror: with offsets kept it is the same log, else another one, and clients are told."""

import json

from mirror import Mirror, second_kafka
from regions import start
from test_regions import RECOVERIES, behind, caught_up, figures

from harness.client import FanClient
from harness.topics import Topics
from harness.util import wait_until

LOG = "mirror01"


def test_a_mirror_that_keeps_offsets(ground, storm, sides, tmp_path):
    """One log_id in both regions: clients move between them with their cursors, also when the mirror lags."""
    home, far = sides
    with (
        second_kafka(ground, tmp_path / "mirror") as there,
        Mirror(ground.bootstrap["far"], there, storm.topic) as mirror,
    ):
        storm.spaces[""]["log_id"] = LOG
        far.bootstrap = there.bootstrap
        start(sides, edges=2)
        with storm.load("a region on a mirror that keeps offsets and lags, one log_id", cut_every="200ms"):
            storm.wait_more(1000, RECOVERIES, 60, nodes=far.edges, result="recovered")
            ground.link.silence()
            wait_until(lambda: behind(home, far) >= 1000, "the mirror lags", 60)
            storm.wait_more(50, RECOVERIES, 30, nodes=far.edges, result="error")
            lag = behind(home, far)
            ground.link.mend()
            caught_up(home, far)
            storm.wait_more(1000, RECOVERIES, 60, nodes=far.edges, result="recovered")
        assert mirror.copied >= storm.row["records"] > 0 and not mirror.wrong
    figures(storm, **{"moves": storm.row["resumed"], "mirror behind, records": lag})


async def moves(client, edge, channel):
    """The reply that this client gets at another edge, with its cursor."""
    offset, epoch = client.cursor(channel)
    async with await FanClient.connect(edge.url) as other:
        return await other.subscribe(channel, offset=offset, epoch=epoch)


async def test_a_mirror_that_does_not(ground, storm, sides, topics, tmp_path):
    """Each Kafka has a registry of its own, so each region's log has its own epoch: a client that moves is
    told, rather than sent what isn't behind its cursor."""
    home, far = sides
    storm.row["fault"] = "a region on a mirror with other offsets, no log_id"
    with second_kafka(ground, tmp_path / "mirror") as there:
        mirrored = Topics(there.bootstrap)
        mirrored.create(storm.topic, 8)
        far.bootstrap = there.bootstrap
        start(sides, edges=2)
        first = [("a", json.dumps({"n": n})) for n in range(10)]
        topics.produce(storm.topic, first)
        mirrored.produce(storm.topic, [("a", json.dumps({"n": -1})), *first])
        async with await FanClient.connect(home.edges[0].url) as client:
            await client.subscribe("a", offset=0, epoch=home.region.log())
            await client.wait_pubs("a", 10)
            assert (await moves(client, home.edges[1], "a"))["recovered"]
            reply = await moves(client, far.edges[0], "a")
    assert not reply.get("recovered") and reply["epoch"] == far.region.log() != home.region.log()
    storm.row["figures"] = {"a client that moves": "told: another log"}
