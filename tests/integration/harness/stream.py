# SPDX-License-Identifier: Apache-2.0
"""A region's Redis filled by hand, for tests of an edge without worker and Kafka.

Written from the drawings in common/base/entry.h and keys.h; no code of the worker's. FakeLog is one
incarnation of one topic: it appends entries, keeps the side hashes, and beats the beacon from a
thread of its own while it is open.
"""

import contextlib
import json
import random
import string
import threading

import redis as redis_py

JSON, TEXT, BINARY, NULL = range(4)
MARKER = 8


def murmur2(data):
    """Kafka's hash of a record key (Java's Utils.murmur2), as an unsigned number."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(key, partitions):
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def sized(data):
    return varint(len(data)) + data


def encode(distance, channel, payload, kind=JSON, marker=False, tags=None, time_ms=0, fingerprint=0):
    """The field `d` of one entry."""
    pairs = [sized(k.encode()) + sized(v.encode()) for k, v in (tags or {}).items()]
    head = bytes([1, kind | (MARKER if marker else 0)]) + varint(distance)
    head += fingerprint.to_bytes(4, "little") + varint(time_ms) + sized(channel.encode())
    return head + varint(len(pairs)) + b"".join(pairs) + payload


class FakeLog:
    """One log of a topic. namespace: the prefix its channels have ("" for the default namespace)."""

    def __init__(self, server, topic, namespace="", partitions=2, n=1, log=None, state="live"):
        self.r = server.client()
        self.topic, self.namespace, self.partitions, self.n = topic, namespace, partitions, n
        self.log = log or "".join(random.choices(string.ascii_letters + string.digits, k=8))
        self.state = state
        self.low = [1] * partitions
        self.last = [0] * partitions  # position of the last entry
        self._beats = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, args=(server,), daemon=True)
        self.beat(self.r)
        self.register()
        self._thread.start()

    def register(self, **more):
        row = {"n": self.n, "log": self.log, "partitions": self.partitions, "partitioner": "murmur2"}
        self.r.hset(f"ff:topic:{self.topic}", mapping=row | {"state": self.state} | more)

    def close(self):
        self._stop.set()
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def key(self, partition):
        return f"ff:{{{self.log}:{partition}}}"

    def beat(self, client):
        self._beats += 1
        rows = {"w:fake": f"{self._beats} {self.partitions}"}
        for p in range(self.partitions):
            text = f"{self._beats} fake live {self.low[p]} {self.last[p]} {self.last[p]} 0"
            rows[f"p:{self.log}:{p}"] = text
        client.hset("ff:beacon", mapping=rows)

    def _beat_on(self, server):
        with redis_py.Redis("127.0.0.1", server.port, password=server.password) as client:
            while not self._stop.wait(0.2):
                with contextlib.suppress(redis_py.ConnectionError):  # a test may have taken Redis away
                    self.beat(client)

    def channel(self, key):
        return f"{self.namespace}:{key}" if self.namespace else key

    def partition(self, key):
        return partition_of(key, self.partitions)

    def append(self, records, step=1, **entry):
        """records: [(record key, value)]; bytes travel as they are, anything else as JSON. step: the
        distance of positions, as aborted or other records leave holes. Returns the positions."""
        positions, pipe = [], self.r.pipeline(transaction=False)
        for key, value in records:
            payload = value if isinstance(value, bytes) else json.dumps(value).encode()
            p = self.partition(key)
            self.last[p] += step
            field = encode(step, self.channel(key), payload, **entry)
            pipe.xadd(self.key(p), {"d": field}, id=f"1-{self.last[p]}")
            pipe.hset(self.key(p) + ":side", mapping={"last": self.last[p], "fp": 0})
            positions.append(self.last[p])
        pipe.execute()
        return positions

    def lose(self, key, count):
        """The next `count` positions of the key's partition are nowhere, in Kafka neither."""
        p = self.partition(key)
        self.last[p] += count
        self.low[p] = self.last[p] + 1

    def trim(self, partition, keep):
        """Only the last `keep` entries stay, and Kafka has no more than they either."""
        self.low[partition] = self.last[partition] - keep + 1
        self.r.xtrim(self.key(partition), maxlen=keep, approximate=False)
