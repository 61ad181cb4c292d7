# SPDX-License-Identifier: Apache-2.0
"""k8s/ and the rest of the project say the same: the programs accept the configuration (--check-config),
images are of this version, and the alarms of the operations manual are all there.
"""

import os
import re
import subprocess

import manifests
import pytest
from manifests import K8S, OVERLAYS, kind, overlay, pod

from harness.node import SANITIZER_ENV
from harness.util import REPO, build_dir, scaled

pytestmark = pytest.mark.short
PROGRAM_DIRS = {"fanfare-edge": "edge-node", "fanfare-worker": "fanout-worker"}

# Rows of "What to watch" without an alert, and why.
NO_ALERT = {
    "fanfare_edge_index_answers_total": "it says what came back, not that something is wrong",
    "fanfare_edge_reads_replica": "it is 0 too where none is configured, as in these overlays",
}


def secrets(directory, env):
    """Files in the place of the Secrets' ones; the environment that names those."""
    text = "\n".join(env.values())
    for name in set(re.findall(r"/etc/fanfare/secrets/([\w-]+)", text)):
        (directory / name).write_text("0123456789abcdef0123456789abcdef\n")
    return {k: v.replace("/etc/fanfare/secrets", str(directory)) for k, v in env.items()}


def check_config(name, env):
    argv = [build_dir() / PROGRAM_DIRS[name] / name, "--check-config"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FANFARE_")}
    return subprocess.run(
        argv, env={**clean, **SANITIZER_ENV, **env}, capture_output=True, text=True, timeout=scaled(30)
    )


@pytest.mark.parametrize("name", OVERLAYS)
def test_programs_accept_the_configuration(name, tmp_path):
    objects = overlay(name)
    for workload, container, program in manifests.ours(objects):
        env = secrets(tmp_path, manifests.environment(objects, workload, container))
        done = check_config(program, env)
        assert done.returncode == 0, f"{manifests.title(workload)}:\n{done.stderr}"


def test_an_edge_without_consul_accepts_it(tmp_path):
    """With the Service and the directory that the manifests have."""
    objects = manifests.with_component("without-consul", tmp_path)
    workload, container, program = next(w for w in manifests.ours(objects) if w[2] == "fanfare-edge")
    env = secrets(tmp_path, manifests.environment(objects, workload, container))
    (mount,) = (m for m in container["volumeMounts"] if m["name"] == "account")
    assert env["FANFARE_COORDINATION"] == "kubernetes"
    assert mount["mountPath"] == manifests.default_of(program, "kubernetes_account").strip("`\"")
    service = manifests.default_of(program, "kubernetes_service").strip("`\"")
    assert manifests.named(objects, "Service", service)["spec"]["clusterIP"] == "None"
    (volume,) = (v for v in pod(workload)["spec"]["volumes"] if v["name"] == "account")
    files = re.findall(r"'path': '([\w.]+)'", str(volume))
    assert sorted(files) == ["ca.crt", "namespace", "token"]
    for name in files:
        (tmp_path / name).write_text("x")
    pods = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    done = check_config(program, env | pods | {"FANFARE_KUBERNETES_ACCOUNT": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    done = check_config(program, env | pods | {"FANFARE_KUBERNETES_ACCOUNT": str(tmp_path / "none")})
    assert done.returncode == 2 and "kubernetes_account: can't read" in done.stderr


def test_a_wrong_value_is_refused():
    objects = overlay("local")
    workload, container, program = next(w for w in manifests.ours(objects) if w[2] == "fanfare-edge")
    env = manifests.environment(objects, workload, container)
    done = check_config(program, env | {"FANFARE_DRAIN_TIME": "soon"})
    assert done.returncode == 2 and "drain_time" in done.stderr.lower()


# ---- in step with the rest of the repository ----


def test_images_are_of_this_version():
    version = re.search(r"project\(fanfare VERSION (\S+)", (REPO / "CMakeLists.txt").read_text())[1]
    images = {c["image"] for n in OVERLAYS for _, c, _ in manifests.ours(overlay(n))}
    assert {i.rpartition(":")[2] for i in images} == {version}


def test_the_local_servers_are_those_of_compose():
    images = {c["image"] for o in manifests.workloads(overlay("local")) for c in manifests.containers(o)}
    others = {i for i in images if not i.startswith("fanfare-")}
    compose = set(re.findall(r"^ +image: (\S+)$", (REPO / "docker" / "compose.yaml").read_text(), re.M))
    assert others and others <= compose


def test_local_edges_are_named_as_the_readme_says():
    objects = overlay("local")
    edges = [(o, c) for o, c, program in manifests.ours(objects) if program == "fanfare-edge"]
    (env,) = (manifests.environment(objects, *edge) for edge in edges)
    assert f"`{env['FANFARE_ADVERTISE']}/connection/websocket`" in (K8S / "README.md").read_text()


def watched():
    """Our metrics in the table "What to watch". (Redis' own are for its operator's exporter.)"""
    text = (REPO / "docs" / "operations.md").read_text()
    table = text.partition("## What to watch\n")[2].partition("\n## ")[0]
    found = set()
    for row in re.findall(r"^\| (`.*?) \| (.*?) \|", table, re.M):
        first = "fanfare"
        for name in re.findall(r"`(?:rate\()?([…\w]+)", row[0]):
            if name.startswith("…_"):
                name = f"{first}_{name[2:]}"
            first = "_".join(name.split("_")[:2])
            found.add(name)
    return {name for name in found if name.startswith(("fanfare_", "process_"))}


def test_every_alarm_of_the_manual_is_there():
    names = watched()
    assert len(names) > 25, sorted(names)
    rules = manifests.named(overlay("production"), "PrometheusRule", "fanfare")["spec"]["groups"]
    used = {m for g in rules for r in g["rules"] for m in re.findall(r"\w+", r["expr"])}
    assert names - used == NO_ALERT.keys(), "an alert for each, or a reason in NO_ALERT"


def test_the_adapter_makes_what_the_autoscaler_asks_for():
    (rule,) = manifests.parse((K8S / "components/autoscaling/adapter-rule.yaml").read_text())
    made = {r["name"]["as"] for r in rule["rules"]["custom"]}
    asked = set()
    for o in kind(overlay("production"), "HorizontalPodAutoscaler"):
        asked |= {m["pods"]["metric"]["name"] for m in o["spec"]["metrics"] if m["type"] == "Pods"}
    assert made == asked
