# SPDX-License-Identifier: Apache-2.0
"""Edges know each other by EndpointSlices, which they read from a real API server."""

import json
import time

import programs
import pytest
from apiserver import ApiServer

from harness.fixtures import edges, fake_log, redis, redis_session  # noqa: F401
from harness.util import scaled

SEEN_S = 2.0  # what is promised of a new edge
LONG_S = 3.0  # longer than any back-off


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = ApiServer(tmp_path_factory.mktemp("api") / "c", programs.fetch())
    try:
        made.start()
        made.make_namespace()
        yield made
    finally:
        made.finish()


@pytest.fixture
def api(server):
    server.allow()
    yield server
    server.forbid()
    server.delete_all()


@pytest.fixture
def edge_of(edges, fake_log, tmp_path):  # noqa: F811
    """edge_of(server, …): the edge of the pod edge-a."""

    def make(server, account=None, **more):
        account = account or server.account(tmp_path / "account")
        known = {"coordination": "kubernetes", "kubernetes_url": server.url, "node": "edge-a"}
        return edges(**known, kubernetes_account=str(account), **more)

    return make


def cluster(edge):
    found = json.loads(edge.get("/cluster")[1])["members"]
    return {m["node"]: m for m in found}


def wait_states(edge, **states):
    """Until the others are these: wait_states(edge, **{"edge-b": "ready"})"""

    def probe():
        return {n: m["state"] for n, m in cluster(edge).items() if n != "edge-a"} == states

    return edge.wait_for(probe, f"others are {states}", 10)


def lost(edge):
    return edge.metrics().total("fanfare_coordination_lost")


def test_who_is_behind_the_service(api, edge_of):
    both = {"edge-a": ("10.0.0.1", "ready"), "edge-b": ("10.0.0.2", "ready")}
    api.put("s-1", **both)
    edge = edge_of(api, region="eu", advertise="10.0.0.1:8000")
    wait_states(edge, **{"edge-b": "ready"})
    b = cluster(edge)["edge-b"]
    assert (b["url"], b["admin"], b["region"]) == ("ws://10.0.0.2:8000", "10.0.0.2:9100", "eu")
    assert b["clients"] is None and b["room"] is None
    told = [e["node"] for e in json.loads(edge.get("/connect", edge.address)[1])["endpoints"]]
    assert sorted(told) == ["edge-a", "edge-b"]
    began = time.monotonic()
    api.put("s-2", **{"edge-c": ("10.0.0.3", "starting")})
    wait_states(edge, **{"edge-b": "ready", "edge-c": "starting"})
    assert time.monotonic() - began < scaled(SEEN_S)
    api.put("s-1", **both | {"edge-b": ("10.0.0.2", "ending")})
    wait_states(edge, **{"edge-b": "draining", "edge-c": "starting"})
    api.delete("s-1")
    wait_states(edge, **{"edge-c": "starting"})
    assert not lost(edge) and not edge.events("coordination_lost")
    assert edge.stop() == 0


def test_the_server_is_away_and_comes_back(api, edge_of):
    """The view stays; what happened meanwhile is noticed."""
    api.put("s-1", **{"edge-b": ("10.0.0.2", "ready")})
    edge = edge_of(api)
    wait_states(edge, **{"edge-b": "ready"})
    api.kill()
    why = edge.wait_event("coordination_lost")["why"]
    assert api.url in why and "kubernetes_url" in why
    until = time.monotonic() + LONG_S
    edge.wait_for(lambda: edge.event("member_left") or time.monotonic() > until, "time passes", LONG_S + 5)
    assert not edge.events("member_left") and lost(edge) == 1
    assert edge.get("/health/ready")[0] == 200
    api.start()
    edge.wait_event("coordination_back")
    api.put("s-2", **{"edge-c": ("10.0.0.3", "ready")})
    wait_states(edge, **{"edge-b": "ready", "edge-c": "ready"})
    assert not lost(edge)


def test_a_service_that_loses_its_slices_one_by_one(api, edge_of):
    """As one that is deleted does: nobody is missing before the last one is gone, nor then."""
    api.put("s-1", **{"edge-b": ("10.0.0.2", "ready")})
    api.put("s-2", **{"edge-c": ("10.0.0.3", "ready")})
    edge = edge_of(api)
    wait_states(edge, **{"edge-b": "ready", "edge-c": "ready"})
    api.delete("s-1")
    api.delete("s-2")
    assert "no EndpointSlice" in edge.wait_event("coordination_lost")["why"]
    assert not edge.events("member_left") and cluster(edge).keys() == {"edge-a", "edge-b", "edge-c"}
    api.put("s-3", **{"edge-c": ("10.0.0.3", "ready")})
    edge.wait_event("coordination_back")
    wait_states(edge, **{"edge-c": "ready"})


def test_rights_are_named_when_they_are_missing(api, edge_of):
    api.put("s-1", **{"edge-b": ("10.0.0.2", "ready")})
    api.forbid()
    edge = edge_of(api)
    why = edge.wait_event("coordination_lost")["why"]
    assert "(403:" in why and "endpointslices" in why and "without-consul" in why and "fanfare" in why
    assert not cluster(edge).keys() - {"edge-a"}
    api.allow()
    edge.wait_event("coordination_back")
    wait_states(edge, **{"edge-b": "ready"})


def test_a_right_that_comes_later(api, edge_of):
    """A watch that is answered at last may have nothing to say: it is well when it lasts."""
    api.put("s-1", **{"edge-b": ("10.0.0.2", "ready")})
    api.forbid()
    api.allow("list")
    edge = edge_of(api)

    def lost_watch():
        return [e for e in edge.events("coordination_lost") if "cannot watch" in e["why"]]

    edge.wait_for(lost_watch, "it may not watch", 10)
    wait_states(edge, **{"edge-b": "ready"})
    api.forbid()
    api.allow()
    edge.wait_for(lambda: not lost(edge), "it is well", 10)


def test_a_token_is_read_again(api, edge_of, tmp_path):
    api.put("s-1", **{"edge-b": ("10.0.0.2", "ready")})
    account = api.account(tmp_path / "mine")
    good = (account / "token").read_text()
    (account / "token").write_text("no.such.token")
    edge = edge_of(api, account=account)
    why = edge.wait_event("coordination_lost")["why"]
    assert "(401:" in why and str(account) in why
    assert "no.such.token" not in edge.log.read_text()
    api.forbid()
    (account / "token").write_text(good)
    edge.wait_for(lambda: "(403:" in edge.event("coordination_lost")["why"], "the next reason", 15)
    api.allow()
    edge.wait_event("coordination_back")
    wait_states(edge, **{"edge-b": "ready"})


def test_a_service_that_has_no_slices(api, edge_of):
    api.put("s-1", **{"edge-b": ("10.0.0.2", "ready")})
    edge = edge_of(api, kubernetes_service="edge")
    why = edge.wait_event("coordination_lost")["why"]
    assert "Service edge" in why and "kubernetes_service" in why


def test_what_the_configuration_is_checked_for(edges, tmp_path):  # noqa: F811
    nowhere = str(tmp_path / "none")
    edge = edges(start=False, coordination="kubernetes", kubernetes_account=nowhere, kubernetes_service="")
    edge.launch()
    edge.expect_exit(2)
    assert edge.wait(10) == 2
    said = edge.log.read_text()
    for line in f"{nowhere}/token", f"{nowhere}/namespace", "KUBERNETES_SERVICE_HOST", "kubernetes_service: ":
        assert line in said, said
