# SPDX-License-Identifier: Apache-2.0
"""Values that a cluster shares, on a real Consul: nodes that are nothing but that (coord_probe)."""


def value(probe, key, *command, timeout=10):
    """(error, index, value) that a command brings."""
    count = len(probe.said("value", key)) + 1
    probe.ask(*command)
    _, text = probe.wait_said("value", key, count=count, timeout=timeout)
    err, _, text = text.removeprefix("err=").partition(" index=")
    index, _, text = text.partition(" ")
    return err, int(index), text


def test_values(probes):
    p = probes("a")
    none, changed = "No such file or directory", "Resource temporarily unavailable"
    assert value(p, "k", "get", "k") == (none, 0, "")
    assert value(p, "k", "put", "k", "one")[0] == "0"
    err, index, text = value(p, "k", "get", "k")
    assert (err, text) == ("0", "one") and index > 0
    assert value(p, "k", "cas", "k", 0, "two")[0] == changed
    assert value(p, "k", "cas", "k", index, "two")[0] == "0"
    assert value(p, "k", "cas", "k", index, "three")[0] == changed
    assert value(p, "k", "delete", "k", index)[0] == changed
    err, index, text = value(p, "k", "get", "k")
    assert text == "two"
    assert value(p, "k", "delete", "k", index)[0] == "0"
    assert value(p, "k", "get", "k") == (none, 0, "")
    assert value(p, "a/b&c=d?é", "put", "a/b&c=d?é", "x")[0] == "0"
    assert probes.agent.call("GET", "/v1/kv/a/b&c=d%3F%C3%A9")[0]["Value"] == "eA=="


def test_a_value_is_watched(probes):
    p, q = probes("a"), probes("b")
    assert value(p, "k", "watch", "k")[0] == "No such file or directory"
    for n, new in enumerate(["one", "two"]):
        assert value(q, "k", "put", "k", new)[0] == "0"
        assert p.wait_said("value", "k", count=n + 2)[1].endswith(f" {new}")
    probes.agent.kill()
    probes.agent.start()  # empty
    p.wait_said("value", "k", "err=No such file or directory", count=2)
    assert value(q, "k", "put", "k", "three")[0] == "0"
    assert p.wait_said("value", "k", count=5)[1].endswith(" three")
    assert p.end() == 0
    assert p.said("value", "k")[-1][1].startswith("err=Operation canceled")
