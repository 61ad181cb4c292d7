# SPDX-License-Identifier: Apache-2.0
"""The manifests on a real API server and kubelet: accepted, running, rolled, drained, scaled without a loss.

A load of 300 clients runs during each change; its oracle compares what each got with what Kafka holds.
"""

import json
import subprocess

import pytest
import yaml
from live import NAMESPACE, with_component

from harness import consul
from harness.util import REPO, scaled, wait_until

OVERLAYS = ["local", "production", "multi-region"]
PLAIN = """\
apiVersion: v1
kind: Pod
metadata: {name: plain}
spec:
  containers:
    - {name: edge, image: "fanfare-edge:0.1.0"}
"""


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_server_accepts(cluster, name):
    _, text, _ = cluster.kubectl("kustomize", REPO / "k8s" / "overlays" / name)
    objects = [o for o in yaml.safe_load_all(text) if "monitoring.coreos.com" not in o["apiVersion"]]
    spaces = [o for o in objects if o["kind"] == "Namespace"]
    cluster.kubectl("apply", "-f", "-", stdin=yaml.dump_all(spaces))
    dry = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
    _, _, said = cluster.kubectl(*dry, stdin=yaml.dump_all(objects))
    assert "Warning" not in said, said


def test_the_server_refuses_what_is_wrong(cluster):
    """Or the test before says nothing."""
    bad = yaml.safe_load((REPO / "k8s/base/edge/pdb.yaml").read_text())
    bad["spec"]["maxUnavailable"] = -1
    dry = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
    code, _, said = cluster.kubectl(*dry, stdin=yaml.dump(bad), check=False)
    assert code != 0 and "maxUnavailable" in said


def test_pods_are_ready_and_stay(region):
    for name in ("fanfare-edge", "fanfare-worker"):
        pods = region.running(name)
        assert len(pods) == 2
        for pod in pods:
            (status,) = pod["status"]["containerStatuses"]
            # Without Redis, or its topics, a program ends with 1 and is started again: that is how it waits.
            ended = status.get("lastState", {}).get("terminated", {"exitCode": 1})
            assert ended["exitCode"] == 1, ended
    for pod in region.running("fanfare-edge"):
        assert region.metrics(pod).total("fanfare_edge_redis_up") == 1


def test_restricted_pod_security_is_enforced(cluster, region):
    code, _, said = region.kubectl("apply", "-f", "-", stdin=PLAIN, check=False)
    assert code != 0 and 'violates PodSecurity "restricted' in said
    labels = cluster.get("namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_edges_run_without_rights(region):
    """What the kernel was told: no root, no capability, nothing to be had by a setuid program, seccomp on."""
    (pod, *_) = region.running("fanfare-edge")
    (container,) = pod["status"]["containerStatuses"]
    name = container["containerID"].partition("://")[2]
    task = region.cluster.ctr("task", "ls").stdout
    pid = next(line.split()[1] for line in task.splitlines() if line.startswith(name))
    status = subprocess.run(
        region.cluster.inside("cat", f"/proc/{pid}/status"), capture_output=True, text=True
    )
    fields = dict(line.split(":\t", 1) for line in status.stdout.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["10001"] * 4
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"


def names(pods):
    return [p["metadata"]["name"] for p in pods]


def test_edges_know_each_other(region):
    """By the component without-consul, with the token that the pods get of it."""
    running = region.running("fanfare-edge")
    addresses = {p["metadata"]["name"]: "ws://localhost:8000" for p in running}  # FANFARE_ADVERTISE of local

    def seen_by(pod):
        members = json.loads(region.ask(pod, "/cluster"))["members"]
        return {m["node"]: m["url"] for m in members if m["state"] == "ready"}

    for pod in running:
        wait_until(lambda pod=pod: seen_by(pod) == addresses, f"all know {addresses}", 30, every=0.5)
        assert region.metrics(pod).total("fanfare_coordination_lost") == 0


def restart(region, name):
    old = names(region.running(name))
    region.kubectl("rollout", "restart", f"deployment/{name}")
    region.wait_rolled_out(name)
    region.wait_gone(old)
    assert not set(old) & set(names(region.running(name)))


def test_a_rolling_update_of_the_edges_loses_nothing(region, load):
    with load():
        restart(region, "fanfare-edge")
        assert region.total("fanfare_edge_recoveries_total", result="recovered") > 0


def test_a_rolling_update_of_the_workers_loses_nothing(region, load):
    with load():
        restart(region, "fanfare-worker")


def scale(region, name, to):
    region.kubectl("scale", f"deployment/{name}", f"--replicas={to}")
    region.wait_rolled_out(name)
    wait_until(lambda: len(region.pods(name)) == to, f"{to} of {name}", 90, every=0.5)


def test_edges_are_scaled_under_load(region, load):
    with load():
        # Those that came last go first, and have no clients yet: only with one left somebody must move.
        for to in (4, 1, 2):
            scale(region, "fanfare-edge", to)
        assert region.total("fanfare_edge_recoveries_total", result="recovered") > 0
        all_back = lambda: region.total("fanfare_edge_sessions") == 300  # noqa: E731
        wait_until(all_back, "all clients are at the edges that are left", 30, every=0.5)


def test_workers_are_scaled_under_load(region, load):
    with load():
        for to in (4, 1, 2):
            scale(region, "fanfare-worker", to)


def evict(region, pod):
    """As a node's drain does; the answer's code and text."""
    name = pod["metadata"]["name"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction"}
    body["metadata"] = {"name": name, "namespace": NAMESPACE}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    return region.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body), check=False)


def test_an_evicted_edge_drains_and_the_budget_holds_the_next(region, load):
    first, second = region.running("fanfare-edge")
    name = first["metadata"]["name"]
    with load():
        argv = region.cluster.kubectl_argv("-n", NAMESPACE, "logs", "-f", name)
        follow = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert evict(region, first)[0] == 0
        code, _, said = evict(region, second)
        assert code != 0 and "disruption budget" in said
        region.wait_gone([name])
        region.wait_rolled_out("fanfare-edge")
        text, _ = follow.communicate(timeout=scaled(30))
    assert "event=draining" in text and "event=stopped" in text, text[-2000:]
    assert "event=drain_cut" not in text


def seen_by(region, pod):
    """Whom an edge knows, as who asks inside its pod is told."""
    argv = ("exec", pod, "--", "fanfare-edge", "cluster", "--json")
    return {m["node"] for m in json.loads(region.kubectl(*argv)[1])["members"]}


def test_edges_and_workers_find_each_other_by_consul(region, tmp_path):
    """The component `consul` in place of the other: the last test, for it stays so."""
    region.cluster.start_consul(consul.fetch())
    region.kubectl("apply", "-k", with_component(tmp_path, "consul"))
    for name in ("fanfare-worker", "fanfare-edge"):
        region.wait_rolled_out(name)
        wait_until(lambda name=name: len(region.pods(name)) == 2, f"two of {name}", 90, every=0.5)
    everybody = {n for name in ("fanfare-worker", "fanfare-edge") for n in names(region.running(name))}
    assert len(everybody) == 4
    for pod in names(region.running("fanfare-edge")):
        known = lambda pod=pod: seen_by(region, pod) == everybody  # noqa: E731
        wait_until(known, f"{pod} knows {everybody}", 20, every=0.5)
