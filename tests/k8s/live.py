# SPDX-License-Identifier: Apache-2.0
"""What runs on the cluster: the pods of one region and what they say, and a load from the node."""

import os

import yaml

from harness.loadgen import Runner
from harness.node import Metrics
from harness.util import REPO, wait_until

NAMESPACE = "fanfare"
OVERLAY = REPO / "tests" / "k8s" / "overlay"
ADMIN = {"fanfare-edge": 9100, "fanfare-worker": 9101}


def with_component(directory, name):
    """The overlay with one of k8s/components on top, as a kustomization in this directory."""
    overlay, component = (os.path.relpath(p, directory) for p in (OVERLAY, REPO / "k8s/components" / name))
    made = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    made |= {"namespace": NAMESPACE, "resources": [overlay], "components": [component]}
    (directory / "kustomization.yaml").write_text(yaml.dump(made))
    return directory


def release_build():
    """The programs as they would be deployed; FANFARE_BUILD is the tests' own, with debug code."""
    build = REPO / "build" / "release"
    assert (build / "edge-node" / "fanfare-edge").exists(), "./dev build release makes what the pods run"
    return build


class Region:
    """The Deployments of one namespace, and what their pods say."""

    def __init__(self, cluster):
        self.cluster = cluster

    def kubectl(self, *args, **options):
        return self.cluster.kubectl("-n", NAMESPACE, *args, **options)

    def pods(self, name):
        selector = f"app.kubernetes.io/name={name}"
        return self.cluster.get("-n", NAMESPACE, "pods", "-l", selector)["items"]

    def running(self, name):
        """The pods that serve: ready, and not on their way out."""
        found = []
        for pod in self.pods(name):
            conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
            if conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]:
                found.append(pod)
        return found

    def wait_rolled_out(self, name, timeout=180):
        self.kubectl("rollout", "status", f"deployment/{name}", f"--timeout={timeout}s", timeout=timeout + 10)

    def wait_gone(self, names, timeout=90):
        """Until none of these pods is there any more."""

        def probe():
            there = {p["metadata"]["name"] for p in self.cluster.get("-n", NAMESPACE, "pods")["items"]}
            return not there & set(names)

        wait_until(probe, f"the end of {', '.join(names)}", timeout, every=0.3)

    def ask(self, pod, path):
        """What the pod's admin listener says, through the API server."""
        name, app = pod["metadata"]["name"], pod["metadata"]["labels"]["app.kubernetes.io/name"]
        proxy = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}:{ADMIN[app]}/proxy"
        return self.cluster.kubectl("get", "--raw", f"{proxy}{path}")[1]

    def metrics(self, pod):
        return Metrics.parse(self.ask(pod, "/metrics"))

    def total(self, metric, app="fanfare-edge", **labels):
        return sum(self.metrics(p).total(metric, **labels) for p in self.running(app))

    def explain(self):
        """What is there, for a failure's message."""
        pods = self.kubectl("get", "pods", "-o", "wide", check=False)[1]
        events = self.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)[1]
        logs = ""
        for app in (*ADMIN, "kafka"):
            selector = f"app.kubernetes.io/name={app}"
            logs += self.kubectl("logs", "-l", selector, "--tail=8", "--prefix", check=False)[1]
        return f"{pods}\n{events[-6000:]}\n{logs}"


class Outside:
    """Kafka as it is seen from the node."""

    bootstrap = "localhost:9094"


class NodeRunner(Runner):
    """The load generator on the node, where the published ports are."""

    def __init__(self, cluster, directory):
        super().__init__(Outside, "quakes", directory)
        self.enter = ["nsenter", "-t", str(cluster.inner), "-n", "--"]

    def argv(self, urls, args=(), **settings):
        _, *rest = super().argv(urls, args, **settings)
        return [*self.enter, str(release_build() / "loadgen" / "fanfare-loadgen"), *rest]


def delivered(region, more):
    """Waits until the edges that run have delivered that much more."""
    name = "fanfare_edge_deliveries_total"
    base = region.total(name)
    wait_until(lambda: region.total(name) >= base + more, f"{more} deliveries more", 60, every=0.5)
