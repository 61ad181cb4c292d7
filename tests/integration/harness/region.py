# SPDX-License-Identifier: Apache-2.0
"""What a worker left in a region's Redis, read by hand from the drawing in common/base/entry.h.

No code of the worker's. Also the steps that the worker's tests share.
"""

import json

from .oracle import read_topic


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def decode(field):
    """The field `d` of a stream's entry as a dict."""
    assert field[0] == 1
    out = {"kind": field[1] & 7, "marker": bool(field[1] & 8)}
    out["distance"], at = varint(field, 2)
    out["fp"], at = int.from_bytes(field[at : at + 4], "little"), at + 4
    out["time"], at = varint(field, at)
    n, at = varint(field, at)
    out["channel"], at = field[at : at + n].decode(), at + n
    count, at = varint(field, at)
    out["tags"] = {}
    for _ in range(count):
        pair = []
        for _ in range(2):
            n, at = varint(field, at)
            pair.append(field[at : at + n].decode())
            at += n
        out["tags"][pair[0]] = pair[1]
    out["payload"] = field[at:]
    return out


class Region:
    """What a region's Redis holds for one topic."""

    def __init__(self, redis, topic):
        self.r, self.topic = redis.client(), topic

    def hash(self):
        return {k.decode(): v.decode() for k, v in self.r.hgetall(f"ff:topic:{self.topic}").items()}

    def log(self):
        return self.hash().get("log")

    def key(self, partition, log=None):
        return f"ff:{{{log or self.log()}:{partition}}}"

    def entries(self, partition, log=None):
        """[(position, entry)] with the prev chain checked: each continues from the one before."""
        out, before = [], None
        for entry_id, fields in self.r.xrange(self.key(partition, log)):
            ms, _, position = entry_id.decode().partition("-")
            assert ms == "1" and list(fields) == [b"d"]
            entry = decode(fields[b"d"])
            entry["prev"] = int(position) - entry["distance"]
            if before is not None:
                assert entry["prev"] == before, f"partition {partition}: the chain breaks at {position}"
            before = int(position)
            out.append((before, entry))
        return out

    def last(self, partition, log=None):
        found = self.r.xrevrange(self.key(partition, log), count=1)
        return int(found[0][0].decode().partition("-")[2]) if found else 0

    def total(self, partitions=4, log=None):
        return sum(self.r.xlen(self.key(p, log)) for p in range(partitions))

    def beacon(self, partition):
        row = self.r.hget("ff:beacon", f"p:{self.log()}:{partition}")
        return row.decode().split(" ") if row else None


def start(nodes, topic, name="q", **config):
    namespace = {"topic": topic, **config.pop("namespace", {})}
    return nodes.worker(group=topic, namespaces={name: namespace}, **config)


def records(n, keys=20, first=0):
    return [(f"k{i % keys}", json.dumps({"n": i})) for i in range(first, first + n)]


def wait_total(region, worker, n, partitions=4, timeout=30):
    worker.wait_for(lambda: region.log() and region.total(partitions) >= n, f"{n} entries", timeout)


def same_as_kafka(kafka, region, partitions=4, namespace="q"):
    """Each partition's stream is Kafka's partition: every record, once, in order, and its bytes."""
    held = {p: [] for p in range(partitions)}
    for record in read_topic(kafka.bootstrap, region.topic):
        held[record.partition].append(record)
    for p in range(partitions):
        got = region.entries(p)
        assert [pos for pos, _ in got] == [r.offset + 1 for r in held[p]], f"partition {p}"
        for (_, entry), record in zip(got, held[p], strict=True):
            assert entry["channel"] == f"{namespace}:{record.key.decode()}"
            assert entry["payload"] == record.value
    return sum(len(v) for v in held.values())
