# SPDX-License-Identifier: Apache-2.0
"""Records that can't be carried as they are: each has its documented fate, is counted and named.

They come in the load's own partitions while it runs; a client of the odd channel sees what became of them."""

import base64

import pytest

from harness.client import FanClient, FanError


@pytest.mark.short
def test_records_have_their_documented_fates(storm, ways):
    worker = storm.worker(record_max=4000)
    _, edge = storm.edges(2)
    big = b'"' + b"x" * 6000 + b'"'
    with storm.load("records: no key, over the limit, broken UTF-8, broken JSON, tombstone"):
        client = ways.run(FanClient.connect(edge.url))
        ways.run(client.subscribe("odd"))
        odd = [("odd", b"1"), ("odd", big), ("odd", b"\xff\xfe"), ("odd", b"{not json"), ("odd", None)]
        where = storm.topics.produce(storm.topic, odd * 3)[0][0]
        storm.topics.produce(storm.topic, [(None, b"4"), ("a\x01b", b"5"), (b"\xff", b"6")], partition=where)
        storm.topics.produce(storm.topic, [("odd", b"7")])
        pubs = ways.run(client.wait_pubs("odd", 16))
        data = [p.get("data") for p in pubs]
        broken = base64.b64encode(b"\xff\xfe").decode()
        assert data == [1, None, broken, "{not json", None] * 3 + [7]
        assert pubs[1]["tags"] == {"fanfare-error": "too_large", "fanfare-size": str(len(big))}
        ways.run(client.close())
        storm.wait_more(2000)
    m, name = worker.metrics(), "fanfare_worker_refused_total"
    counts = {r: m.total(name, reason=r) for r in ("no_key", "bad_key", "too_large")}
    assert counts == {"no_key": 1, "bad_key": 2, "too_large": 3}
    assert {e["reason"] for e in worker.events("refused")} == set(counts)


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
