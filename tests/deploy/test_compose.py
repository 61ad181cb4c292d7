# SPDX-License-Identifier: Apache-2.0
"""docker/compose.yaml as a user has it, on a real dockerd; only other people's images are stood in for.

Up, a record in and out, an edge stopped, more and fewer edges under load, a second region, monitoring, down.
"""

import contextlib
import json
import signal
import time

import manifests
import pytest
from dockerd import run
from stack import TWO, build_standins

from harness.client import FanClient
from harness.loadgen import Runner
from harness.telling import say
from harness.topics import Topics
from harness.util import REPO, wait_until

OURS = {"worker": 1, "edge": 2, "replay": 1}
CLIENTS = 200


@contextlib.asynccontextmanager
async def client(url):
    fan = await FanClient.connect(url)
    try:
        yield fan
    finally:
        await fan.close()


@pytest.fixture(scope="module")
def topics(stack):
    return Topics(stack.bootstrap)


def test_everything_is_up(stack):
    states = {}
    for c in stack.containers():
        states.setdefault(c["Service"], []).append((c["State"], c["Health"], c["ExitCode"]))
    assert states.pop("topics") == [("exited", "", 0)]
    assert states.pop("replay") == [("running", "", 0)]
    assert len(states["edge"]) == 2
    assert {s for of in states.values() for s in of} == {("running", "healthy", 0)}
    assert " is DOWN" not in stack.compose("logs", "--no-color", "balancer"), "begun before edges were ready"


async def test_a_record_goes_in_by_kafka_and_out_by_the_balancer(stack, topics):
    async with client(stack.url()) as fan:
        await fan.subscribe("try:tokyo")
        topics.produce("try", [("tokyo", '{"magnitude": 6.1}')])
        (pub,) = await fan.wait_pubs("try:tokyo", 1)
        assert pub["data"] == {"magnitude": 6.1}


async def test_the_page_and_its_data(stack):
    assert stack.get("/")[0] == 200
    status, text = stack.get("/demo.json")
    told = json.loads(text)
    assert status == 200 and told["edges"] == [{"name": "an edge", "url": "connection/websocket"}]
    async with client(stack.url()) as fan:
        for channel in told["channels"]:
            await fan.subscribe(channel)
        await fan.wait(lambda: sum(map(len, fan.pubs.values())) > 5, "earthquakes come", 30)


def test_nodes_find_each_other(stack):
    address = f"ws://127.0.0.1:{stack.ports['FANFARE_PORT']}"

    def passing(service):
        status, text = stack.get(f"/v1/health/service/{service}?passing=1", "CONSUL_PORT")
        return len(json.loads(text)) if status == 200 else 0

    def told():
        return stack.compose("exec", "-T", "edge", "fanfare-edge", "cluster", "--json").count(address)

    wait_until(lambda: passing("fanfare-edge") == 2, "Consul knows two edges", 10, 0.2)
    wait_until(lambda: passing("fanfare-worker") == 1, "Consul knows the worker", 10, 0.2)
    wait_until(lambda: told() == 2, "an edge is told of both", 10, 0.2)


@pytest.mark.parametrize("service", OURS)
def test_containers_have_no_rights_they_do_not_need(stack, service):
    for container in stack.containers(service):
        about = stack.inspect(container["Name"])
        host = about["HostConfig"]
        assert about["Config"]["User"] == "10001:10001"
        assert host["ReadonlyRootfs"] and not host["Privileged"]
        assert host["CapDrop"] == ["ALL"] and not host["CapAdd"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert not about["Mounts"]


def test_an_edge_stops_when_asked_and_the_other_serves(stack):
    name = stack.containers("edge")[0]["Name"]
    began = time.monotonic()
    stack.docker.docker("stop", "-t", "30", name)
    took = time.monotonic() - began
    assert stack.inspect(name)["State"]["ExitCode"] == 0 and took < 15
    assert stack.get("/health/ready") == (200, "ok\n")
    stack.wait_balancer(1)
    stack.docker.docker("start", name)
    stack.wait_balancer(2)


def verdict(result):
    assert result.report, f"no report ({result.code}):\n{result.out}{result.err}"
    v = result.verdict
    assert result.report["clean"], result.out
    assert v["delivered"] == v["expected"] > 0
    assert [v[k] for k in ("missing", "duplicate", "disorder", "wrong", "told")] == [0] * 5, result.out
    return v


def test_scale_under_load(stack, tmp_path):
    """Five edges for two, and two again, while clients come, go and resume: nothing is lost."""
    runner = Runner(stack, "try", tmp_path)
    about = {"clients": CLIENTS, "channels": 40, "rate": 200, "duration": "10m", "warm_up": "2s"}
    cuts = {"cut_percent": 20, "cut_every": "1s", "straggler_timeout": "15s"}
    load = runner.start(stack.url(), namespace="try", **about, **cuts)
    try:
        wait_until(lambda: sum(stack.clients().values()) >= CLIENTS * 0.7, "clients are connected", 30, 0.5)
        began = time.monotonic()
        stack.up("--no-build", "--no-recreate", "--scale", "edge=5")
        stack.wait_balancer(5)
        five = time.monotonic() - began
        wait_until(lambda: min(stack.clients().values()) > CLIENTS / 20, "all five have clients", 20, 0.5)
        began = time.monotonic()
        stack.up("--no-build", "--no-recreate", "--scale", "edge=2")
        stack.wait_balancer(2)
        two = time.monotonic() - began
        wait_until(lambda: sum(stack.clients().values()) >= CLIENTS * 0.7, "all are back", 30, 0.5)
        assert load.poll() is None, "the load ended by itself"
    finally:
        load.send_signal(signal.SIGINT)  # it goes on until then, however long that takes here
        result = runner.finish(load)
    v = verdict(result)
    say(f"2 to 5 edges in {five:.1f} s, to 2 in {two:.1f} s; {v}")
    assert result.report["clients"]["resumed"] > CLIENTS


def test_the_load_generator_judges_the_demo(stack):
    """By the manual's command, which leaves the edges as many as they are."""
    stack.up("--no-build", "--no-recreate", "--scale", "edge=3")
    load = ("run", "--rm", "--no-deps", "-T", "loadgen")
    out = stack.compose(*load, "--set", "duration=5s", "--set", "verdict_only=true")
    assert " 0 missing, 0 duplicate, 0 out of order" in out, out
    assert len(stack.containers("edge")) == 3
    stack.up("--no-build", "--no-recreate", "--scale", "edge=2")


def test_monitoring_finds_every_node(stack):
    build_standins(stack.docker, ["prometheus"])
    stack.up("--no-build", "prometheus")

    def targets():
        status, text = stack.get("/api/v1/targets?state=active", "PROMETHEUS_PORT")
        found = json.loads(text)["data"]["activeTargets"] if status == 200 else []
        return sorted(t["labels"]["service"] for t in found if t["health"] == "up")

    wanted = ["balancer", "edge", "edge", "worker"]
    wait_until(lambda: targets() == wanted, lambda: f"targets {wanted}, there are {targets()}", 60, 0.5)
    query = "/api/v1/query?query=sum(fanfare_edge_deliveries_total)"
    assert json.loads(stack.get(query, "PROMETHEUS_PORT")[1])["data"]["result"]


def test_prometheus_understands_the_alarms(docker, tmp_path):
    """Each expression and each text, by Prometheus' own checker."""
    build_standins(docker, ["prometheus"])
    rules = manifests.named(manifests.overlay("production"), "PrometheusRule", "fanfare")["spec"]
    (tmp_path / "rules.yaml").write_text(json.dumps(rules))
    box = ("run", "--rm", "--network", "none", "--user", "0", "-v", f"{tmp_path}:/rules:ro")
    check = ("--entrypoint", "promtool", "fanfare-test/prometheus", "check", "rules", "/rules/rules.yaml")
    said = docker.docker(*box, *check, err=True)
    assert f"{sum(len(g['rules']) for g in rules['groups'])} rules found" in said, said


async def test_a_second_region_takes_the_same_cursor(stack, topics):
    stack.files = TWO
    stack.up("--no-build", "--no-recreate")
    async with client(stack.url()) as fan:
        await fan.subscribe("try:osaka")
        topics.produce("try", [("osaka", "1")])
        await fan.wait_pubs("try:osaka", 1)
        offset, epoch = fan.cursor("try:osaka")
    topics.produce("try", [("osaka", "2"), ("osaka", "3")])
    async with client(stack.url("REGION2_PORT")) as fan:
        reply = await fan.subscribe("try:osaka", offset, epoch)
        assert reply["recovered"] and reply["epoch"] == epoch
        pubs = await fan.wait_pubs("try:osaka", 2)
        assert [p["data"] for p in pubs] == [2, 3]


def dev(stack, command):
    env = stack.docker.env() | stack.env | {"COMPOSE_FILE": ":".join(map(str, stack.files))}
    return run([REPO / "dev", command], env=env)


def test_dev_up_and_down(stack):
    """The last one of this file: what comes after it finds nothing up."""
    if list((REPO / "build").glob("up.*")):
        pytest.skip("./dev up runs in this tree")
    said = dev(stack, "up")
    assert f"up in containers (docker compose): http://127.0.0.1:{stack.ports['FANFARE_PORT']}/;" in said
    assert stack.get("/")[0] == 200
    assert "already up in containers" in dev(stack, "up")
    assert dev(stack, "down").endswith("down\n") and "not up" in dev(stack, "down")
    assert stack.docker.docker("ps", "-aq").split() == []
    names = stack.docker.docker("network", "ls", "--format", "{{.Name}}").split()
    assert sorted(names) == ["host", "none"]
    assert stack.docker.docker("volume", "ls", "-q").split() == []
