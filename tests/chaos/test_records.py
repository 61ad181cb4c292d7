# SPDX-License-Identifier: Apache-2.0
"""Records that can't be carried as they are: each has its documented fate, is counted and named.

They come in the load's own partitions while it runs; a client of the odd channel sees what became of them."""

import base64

import pytest

from harness.client import FanClient, FanError

BIG = b'"' + b"x" * 6000 + b'"'
NONE, MARKER = [], [None]
BAD_KEYS = [(b"\xff", b"6"), ("a\x01b", b"5")]
BASE64 = base64.b64encode(b"\xff\xfe").decode()
ODD = {  # what it is, the records, what a client of the channel sees, the reason that is counted
    "no_key": ("without a key", [(None, b"4")], NONE, "no_key"),
    "bad_key": ("keys of broken UTF-8 or with control characters", BAD_KEYS, NONE, "bad_key"),
    "too_large": ("over the limit", [("odd", BIG)], MARKER, "too_large"),
    "utf8": ("payload of broken UTF-8", [("odd", b"\xff\xfe")], [BASE64], None),
    "json": ("payload of broken JSON", [("odd", b"{not json")], ["{not json"], None),
    "tombstone": ("without a value", [("odd", None)], MARKER, None),
}
SHORT = ("json",)


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.short if k in SHORT else ()) for k in ODD]
)
def test_record_has_its_documented_fate(storm, ways, kind):
    what, odd, seen, reason = ODD[kind]
    worker = storm.worker(record_max=4000)
    _, edge = storm.edges(2)
    with storm.load(f"records: {what}"):
        client = ways.run(FanClient.connect(edge.url))
        ways.run(client.subscribe("odd"))
        where = storm.topics.produce(storm.topic, [("odd", b"1")])[0][0]
        storm.topics.produce(storm.topic, odd * 20, partition=where)
        storm.topics.produce(storm.topic, [("odd", b"7")])
        pubs = ways.run(client.wait_pubs("odd", 2 + 20 * len(seen)))
        assert [p.get("data") for p in pubs] == [1, *seen * 20, 7]
        if kind == "too_large":
            assert pubs[1]["tags"] == {"fanfare-error": "too_large", "fanfare-size": str(len(BIG))}
        ways.run(client.close())
        storm.wait_more(2000)
    refused = worker.metrics().total("fanfare_worker_refused_total")
    assert refused == (20 * len(odd) if reason else 0)
    if reason:  # counted and named
        assert worker.metrics().total("fanfare_worker_refused_total", reason=reason) == refused
        assert {e["reason"] for e in worker.events("refused")} == {reason}


def test_wrong_partitioner(storm, topics, ways):
    other = topics.create(f"{storm.topic}-other", partitions=4)
    storm.spaces["other"] = {"topic": other}
    worker, (edge, _) = storm.usual()
    with storm.load("records: a topic whose producer uses another partitioner, beside this one"):
        client = ways.run(FanClient.connect(edge.url))
        ways.run(client.subscribe("other:k1"))
        records = [(f"k{i}", b"1") for i in range(40)]
        topics.produce(other, records, partitioner="consistent_random")
        worker.wait_metric("fanfare_worker_partitioner_mismatches_total", 1, 30)
        storm.wait_event(worker, "unmapped")
        ways.run(client.wait_push("unsubscribe"))
        with pytest.raises(FanError) as error:
            ways.run(client.subscribe("other:k2"))
        assert error.value.code == 108
        ways.run(client.close())
        storm.wait_more(2000)
    assert "murmur2_random" in worker.event("unmapped")["mend"]
