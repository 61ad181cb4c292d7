# SPDX-License-Identifier: Apache-2.0
"""What a far region costs across the link: its worker beside its own Redis, reading Kafka from afar, or
beside Kafka, writing to the Redis afar. Decision 31 is made of these figures."""

import json
import random
import time

import pytest
from confluent_kafka import Producer

from harness.client import FanClient
from harness.util import scaled

RECORDS, RATE = 4000, 500  # one by one; records/s
BURST = 40_000  # at once
IDLE = 12  # seconds: from one look at Kafka's log to the next it is 5
CHANNELS = [f"ch{i}" for i in range(20)]
WORDS = [bytes(random.Random(n).choices(b"abcdefghijklmnoprstuvw", k=3 + n % 8)).decode() for n in range(400)]
ENTRIES = "fanfare_worker_entries_total"


class Watcher(FanClient):
    """Notes how old each record is when it comes."""

    async def _reply(self, reply):
        await super()._reply(reply)
        data = reply.get("push", {}).get("pub", {}).get("data", {})
        if "t" in data:
            self.ages = [*getattr(self, "ages", []), time.monotonic() - data["t"]]


def value(n):
    """About 300 bytes that compress as an event's do."""
    chance = random.Random(n)
    text = " ".join(chance.choices(WORDS, k=24))
    event = {"n": n, "t": time.monotonic(), "user": chance.randrange(10**8), "kind": "comment", "text": text}
    return json.dumps(event | {"at": [round(chance.uniform(-90, 90), 5) for _ in range(2)]})


def produce(producer, topic, count, rate=None):
    began = time.monotonic()
    for n in range(count):
        while rate and (wait := began + n / rate - time.monotonic()) > 0:
            producer.poll(wait)
        while True:
            try:
                producer.produce(topic, value(n), CHANNELS[n % len(CHANNELS)])
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(scaled(30)) == 0


class Across:
    """Bytes over the link while the body runs."""

    def __init__(self, link):
        self.link = link

    def __enter__(self):
        self.before, self.began = self.link.carried(), time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.began
        self.bytes = [now - then for now, then in zip(self.link.carried(), self.before, strict=True)]

    def per(self, count):
        """Bytes out / back."""
        return " / ".join(f"{n / count:.0f}" for n in self.bytes)


def worker_at(placement, ground, sides):
    """The region's worker, at home or far."""
    home, far = sides
    if placement == "far":
        return far.worker()
    way = ground.link.open(far.redis, ground.sites["home"].gateway, homeward=False)
    return home.worker(region="far", group=f"{home.storm.topic}-far", redis=way)


@pytest.mark.parametrize("compression", ["none", "lz4"])
@pytest.mark.parametrize("placement", ["far", "home"])
def test_what_a_far_region_costs(ground, storm, sides, ways, placement, compression):
    where = "in the far region" if placement == "far" else "beside Kafka"
    storm.row["fault"] = f"cost of a far region, its worker {where}, producers' compression {compression}"
    worker, link = worker_at(placement, ground, sides), ground.link
    edge = sides[1].edge()
    worker.wait_metric("fanfare_worker_running_partitions", 8, 30)
    edge.wait_for(lambda: edge.get("/health/ready")[0] == 200, "it is ready", 30)
    settings = {"partitioner": "murmur2_random", "linger.ms": 5, "compression.type": compression}
    producer = Producer({"bootstrap.servers": ground.kafka.bootstrap, "log_level": 2} | settings)

    async def watch():
        client = await Watcher.connect(edge.url)
        for channel in CHANNELS:
            await client.subscribe(channel)
        return client

    client = ways.run(watch())
    produce(producer, storm.topic, 500, RATE)  # all is warm
    ways.run(client.wait(lambda: len(client.ages) == 500, "the first ones", 30), 40)
    with Across(link) as steady:
        produce(producer, storm.topic, RECORDS, RATE)
        ways.run(client.wait(lambda: len(client.ages) == 500 + RECORDS, "all of them", 30), 40)
    ages = sorted(client.ages[500:])
    ways.run(client.close())
    done = worker.metrics().total(ENTRIES)
    with Across(link) as burst:
        produce(producer, storm.topic, BURST)
        worker.wait_metric(ENTRIES, done + BURST, 120)
    producer.poll(IDLE)  # what came last was looked at again
    with Across(link) as idle:
        producer.poll(IDLE)
    p50, p99 = (1000 * ages[int(len(ages) * q)] for q in (0.5, 0.99))
    storm.row["figures"] = {
        "value, bytes": len(value(1)),
        f"a record at {RATE}/s, bytes out / back": steady.per(RECORDS),
        "a record of a burst, bytes out / back": burst.per(BURST),
        "idle, bytes/s out / back": idle.per(idle.seconds),
        "lag p50 / p99 ms": f"{p50:.0f} / {p99:.0f}",
        "burst, records/s": f"{BURST / burst.seconds:.0f}",
    }
