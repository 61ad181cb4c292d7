# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the suite k8s: one cluster for all tests, and the overlay `local` running on it.

cluster    the API server and all that belongs to it (cluster.Cluster), with the images that the pods need
region     a Region: the overlay applied, its Deployments ready
load       with load(): clients and records from the load generator, and its verdict at the end
"""

import contextlib
import os
import pathlib
import shutil
import signal
import tempfile

import images
import programs
import pytest
from cluster import Cluster
from live import NAMESPACE, NodeRunner, Region, delivered, release_build, with_component

from harness.telling import say
from harness.util import REPO

TAG = "0.1.0"
LOAD = {
    "clients": 300,
    "channels": 30,
    "subscriptions": 2,
    "rate": 200,
    "namespace": "quakes",
    "duration": "10m",  # until the test is through: it ends it
    "connect_rate": 300,
    "straggler_timeout": "20s",
}


@pytest.fixture(scope="session")
def cluster():
    if os.geteuid() != 0:
        pytest.skip("a cluster needs root: it lives in namespaces of its own")
    home = programs.fetch()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="fanfare-k8s-"))  # short: it holds sockets
    made = Cluster(directory / "c", home)
    try:
        made.start()
        build = release_build()
        (directory / "images").mkdir()
        for archive in (
            images.pause(directory / "images"),
            images.fanfare(directory / "images", build, "fanfare-edge", TAG),
            images.fanfare(directory / "images", build, "fanfare-worker", TAG),
            images.redis(directory / "images", "fanfare.test/redis:1"),
            images.kafka_broker(directory / "images", "fanfare.test/kafka:1"),
        ):
            made.load_image(archive)
        made.start_kubelet()
        yield made
    finally:
        made.finish()
        keep_logs(directory / "c")
        shutil.rmtree(directory, ignore_errors=True)


def keep_logs(directory):
    logs = REPO / "build" / "log" / "k8s"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    for log in directory.glob("*.log"):
        shutil.copy(log, logs)


@pytest.fixture(scope="session")
def region(cluster, tmp_path_factory):
    made = Region(cluster)
    overlay = with_component(tmp_path_factory.mktemp("overlay"), "without-consul")
    _, _, said = cluster.kubectl("apply", "-k", overlay)
    assert "would violate PodSecurity" not in said, said
    try:
        for name in ("redis", "kafka", "fanfare-worker", "fanfare-edge"):
            made.wait_rolled_out(name)
    except AssertionError as e:
        raise AssertionError(f"{e}\n{made.explain()}") from None
    address = {
        name: cluster.get("-n", NAMESPACE, "service", name)["spec"]["clusterIP"]
        for name in ("fanfare-edge", "kafka")
    }
    cluster.forward(f"8000={address['fanfare-edge']}:8000", f"9094={address['kafka']}:9094")
    return made


@pytest.fixture
def load(region, tmp_path, request):
    @contextlib.contextmanager
    def run(**settings):
        runner = NodeRunner(region.cluster, tmp_path)
        known = LOAD | settings
        popen = runner.start("ws://127.0.0.1:8000/connection/websocket", **known)
        try:
            line = popen.stderr.readline()
            while line.startswith("%"):  # librdkafka's own
                line = popen.stderr.readline()
            assert "event=ready" in line, f"{line}\n{region.explain()}"
            delivered(region, 2000)
            yield popen
            assert popen.poll() is None, "the load ended before the test was through"
            delivered(region, 2000)
            popen.send_signal(signal.SIGINT)
            result = runner.finish(popen)
        finally:
            if popen.poll() is None:
                popen.kill()
        assert result.code == 0, f"{result.out}\n{result.err}"
        clients = result.report["clients"]
        wrong = {k: result.verdict[k] for k in ("missing", "duplicate", "disorder", "wrong", "told")}
        wrong["refused"] = clients["connect_errors"]  # a pod that goes takes clients until nobody sends any
        moved = f"{clients['lost']} reconnects, {result.verdict['resumed']} subscriptions resumed"
        test = request.node.name.removeprefix("test_").replace("_", " ")
        say(f"{test}: {result.verdict['delivered']} records delivered, {moved}, {wrong}")
        assert not any(wrong.values()), wrong

    return run
