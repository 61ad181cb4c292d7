# SPDX-License-Identifier: Apache-2.0
"""What Kafka holds against what clients got, channel by channel.

Reads Kafka itself with confluent-kafka (read_committed) and shares no code with worker or edge: names
and payloads are derived here a second time, from the documentation.
"""

import base64
import contextlib
import json
from collections import defaultdict
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from .util import scaled, wait_until


@dataclass(frozen=True)
class Record:
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple = ()
    time_ms: int = 0

    @property
    def position(self):
        return self.offset + 1


@dataclass
class Verdict:
    """All lists hold (channel, position); a right run has none of them."""

    expected: int = 0
    missing: list = field(default_factory=list)
    duplicate: list = field(default_factory=list)
    disorder: list = field(default_factory=list)
    wrong: list = field(default_factory=list)
    unknown: list = field(default_factory=list)

    def bad(self):
        names = ("missing", "duplicate", "disorder", "wrong", "unknown")
        return {n: getattr(self, n) for n in names if getattr(self, n)}

    def check(self):
        bad = self.bad()
        said = ", ".join(f"{len(v)} {n} (first: {v[0]})" for n, v in bad.items())
        assert not bad, f"of {self.expected} records: {said}"


LEADERLESS = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)


def ends_of(consumer, tp, timeout):
    """(low, high) of a partition; just after an election the client may still ask who led before."""

    def ask():
        try:
            return consumer.get_watermark_offsets(tp, timeout=scaled(timeout))
        except KafkaException as error:
            if error.args[0].code() in LEADERLESS:
                return None
            raise

    return wait_until(ask, f"{tp.topic} {tp.partition} has a leader", timeout)


def read_topic(bootstrap, topic, timeout=30, keys=None):
    """Every record of a topic (or those with one of these keys) from its beginning up to the ends seen at
    the start of the call."""
    conf = {
        "bootstrap.servers": bootstrap,
        "group.id": "oracle",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
    }
    consumer = Consumer(conf)
    try:
        meta = consumer.list_topics(topic, timeout=scaled(timeout)).topics[topic]
        parts = [TopicPartition(topic, p) for p in sorted(meta.partitions)]
        ends, open_parts = {}, []
        for tp in parts:
            low, high = ends_of(consumer, tp, timeout)
            ends[tp.partition] = high
            tp.offset = low
            if high > low:
                open_parts.append(tp.partition)
        consumer.assign(parts)
        records, left = [], set(open_parts)

        def poll():
            message = consumer.poll(0.1)
            if message is None:
                return not left
            partition = message.partition()
            if message.error():
                left.discard(partition)  # the end of the partition: aborted records leave no other trace
                return not left
            if message.offset() < ends[partition] and (keys is None or message.key() in keys):
                records.append(_record(message))
            if message.offset() + 1 >= ends[partition]:
                left.discard(partition)
            return not left

        wait_until(poll, f"{topic} is read to its end", timeout, every=0)
        return sorted(records, key=lambda r: (r.partition, r.offset))
    finally:
        consumer.close()


def _record(message):
    headers = tuple(message.headers() or ())
    return Record(
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        headers,
        message.timestamp()[1],
    )


def payload_as_sent(value, payload="json"):
    """What a client's `data` must be for a valid value under a namespace's `payload` setting."""
    if value is None:
        return None
    if payload == "json":
        return json.loads(value)
    if payload == "text":
        return value.decode()
    return base64.b64encode(value).decode()


def by_channel(records, namespace="", payload="json"):
    """{channel: [(position, data)]} in the order of the log; records without a key have no channel."""
    channels = defaultdict(list)
    prefix = f"{namespace}:" if namespace else ""
    for r in records:
        if r.key:
            with contextlib.suppress(UnicodeDecodeError):
                channel = prefix + r.key.decode()
                channels[channel].append((r.position, payload_as_sent(r.value, payload)))
    return dict(channels)


def compare(expected, got, after=None):
    """expected: {channel: [(position, data)]}; got: {channel: [publication]}, as FanClient.pubs.
    Only the channels of `got` are judged; after[channel]: the cursor a client began from (default 0)."""
    verdict = Verdict()
    for channel, pubs in got.items():
        start = (after or {}).get(channel, 0)
        want = {p: data for p, data in expected.get(channel, []) if p > start}
        verdict.expected += len(want)
        seen, last = set(), start
        for pub in pubs:
            position = pub.get("offset", 0)
            place = (channel, position)
            if position in seen:
                verdict.duplicate.append(place)
                continue
            seen.add(position)
            if position < last:
                verdict.disorder.append(place)
            last = max(last, position)
            if position not in want:
                verdict.unknown.append(place)
            elif pub.get("data") != want[position]:
                verdict.wrong.append(place)
        verdict.missing += [(channel, p) for p in want if p not in seen]
    return verdict


