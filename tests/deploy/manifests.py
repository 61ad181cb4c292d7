# SPDX-License-Identifier: Apache-2.0
"""The manifests of k8s/ as kustomize renders them, and what the documents say about knobs and metrics.

An overlay is rendered by kubectl (1.27 or newer has the kustomize that knows components), or by a kustomize
that is on PATH, or by one built with Go into the cache (with two cores, in half a minute).
"""

import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
from functools import cache

import yaml

from harness.consul import find_go
from harness.util import REPO, cache_dir, locked

K8S = REPO / "k8s"
KUSTOMIZE_PACKAGE = "sigs.k8s.io/kustomize/kustomize/v5"
KUSTOMIZE = "v5.6.0"
OVERLAYS = ["local", "production", "multi-region/eu", "multi-region/us", "multi-region"]
OPTIONS = ["keda", "gateway", "consul", "without-consul"]  # components that no overlay has: on top of one
PROGRAMS = {"edge": "fanfare-edge", "worker": "fanfare-worker"}  # container: program
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "": 0.001}
SIZES = {"": 1, "k": 1000, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def kubectl_is_new():
    if not shutil.which("kubectl"):
        return False
    done = subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True)
    if done.returncode:
        return False
    version = json.loads(done.stdout)["clientVersion"]
    return (int(version["major"]), int(version["minor"].rstrip("+"))) >= (1, 27)


@cache
def kustomize_argv():
    if kubectl_is_new():
        return ["kubectl", "kustomize"]
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    home = cache_dir() / f"kustomize-{KUSTOMIZE}"
    with locked(cache_dir() / "kustomize.lock"):
        if not (home / "kustomize").exists():
            with tempfile.TemporaryDirectory() as work:
                argv = [find_go(pathlib.Path(work)), "install", f"{KUSTOMIZE_PACKAGE}@{KUSTOMIZE}"]
                caches = {"GOMODCACHE": f"{work}/mod", "GOCACHE": f"{work}/build", "GOFLAGS": "-modcacherw"}
                env = {**os.environ, **caches, "GOBIN": str(home), "CGO_ENABLED": "0"}
                subprocess.run(argv, check=True, env=env, stdin=subprocess.DEVNULL)
    return [str(home / "kustomize"), "build"]


def build(directory):
    """What kustomize makes of a directory, as text."""
    argv = [*kustomize_argv(), str(directory)]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{' '.join(argv)}:\n{done.stderr}"
    assert "deprecated" not in done.stderr, done.stderr
    return done.stdout


def parse(text):
    return [o for o in yaml.safe_load_all(text) if o]


@cache
def overlay_text(name):
    return build(K8S / "overlays" / name)


def overlay(name):
    """Fresh objects each time: a test may change them."""
    return parse(overlay_text(name))


def with_component(name, directory, namespace="fanfare"):
    """The production overlay with one more component, in a namespace."""
    relative = os.path.relpath(K8S, directory)
    (directory / "kustomization.yaml").write_text(
        f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: {namespace}\n"
        f"resources: [{relative}/overlays/production]\ncomponents: [{relative}/components/{name}]\n"
    )
    return parse(build(directory))


# ---- objects ----


def kind(objects, *kinds):
    return [o for o in objects if o["kind"] in kinds]


def title(o):
    return f"{o['kind']} {o['metadata'].get('namespace', '')}/{o['metadata']['name']}"


def workloads(objects):
    return kind(objects, "Deployment", "StatefulSet", "DaemonSet", "Job")


def pod(o):
    return o["spec"]["template"]


def containers(o):
    spec = pod(o)["spec"]
    return spec.get("initContainers", []) + spec["containers"]


def program(container):
    """Which of ours this container runs, or None: by its image's name, whatever the registry."""
    name = container["image"].rpartition("/")[2].partition(":")[0].partition("@")[0]
    return name if name in PROGRAMS.values() else None


def ours(objects):
    """(workload, container, program) for each container of ours."""
    for o in workloads(objects):
        for c in containers(o):
            if program(c):
                yield o, c, program(c)


def same_namespace(a, b):
    return a["metadata"].get("namespace") == b["metadata"].get("namespace")


def selects(selector, labels):
    """Does a LabelSelector's matchLabels, or a plain map, match?"""
    wanted = selector.get("matchLabels", {}) if "matchLabels" in selector else selector
    return wanted.items() <= labels.items()


def environment(objects, workload, container):
    """{name: value} as the container gets it; limits by the downward API are resolved, other fields are
    "field"."""
    out = {}
    for source in container.get("envFrom", []):
        name = source["configMapRef"]["name"]
        (config,) = (
            o
            for o in kind(objects, "ConfigMap")
            if o["metadata"]["name"] == name and same_namespace(o, workload)
        )
        out |= config["data"]
    for var in container.get("env", []):
        source = var.get("valueFrom", {})
        if "resourceFieldRef" in source:
            what = source["resourceFieldRef"]["resource"].partition("limits.")[2]
            out[var["name"]] = str(math.ceil(quantity(container["resources"]["limits"][what])))
        else:
            out[var["name"]] = var.get("value", "field")
    return out


def quantity(text):
    """Kubernetes' quantities: "500m", "2", "1Gi"."""
    number, unit = re.fullmatch(r"([\d.]+)(\w*)", str(text)).groups()
    return float(number) / 1000 if unit == "m" else float(number) * SIZES[unit]


def size(text):
    """Fanfare's sizes: "64KiB", "1536MiB"."""
    return quantity(text.removesuffix("B"))


def seconds(text):
    """Fanfare's durations, and those of balancers: "30s", "250ms", "1h"; a bare number is ms."""
    number, unit = re.fullmatch(r"([\d.]+)(\w*)", text).groups()
    return float(number) * UNITS[unit]


# ---- what the programs know, by the generated documents ----


def document(name):
    return (REPO / "docs" / "gen" / f"{name}.md").read_text()


def knobs(name):
    """{knob: "type, default …"} of a program; not those within objects."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*(?:\\\|[^|]*)*) \|", document(name), re.M)
    return {k: facts for k, facts in rows if not k.startswith("fanfare_")}


def default_of(name, knob):
    return re.search(r"default (\S+)", knobs(name)[knob])[1]


def variables(name):
    """The environment variables that a program reads."""
    out = {"FANFARE_CONFIG"}
    for knob, facts in knobs(name).items():
        out.add(f"FANFARE_{knob.upper()}")
        if facts.startswith(("string", "secret")):
            out.add(f"FANFARE_{knob.upper()}_FILE")
    return out


@cache
def metrics():
    """{name: ({label="value"} texts, type)} of all programs, the process' own included."""
    out = {}
    for name in PROGRAMS.values():
        text = document(name)
        for metric, labels, kind_ in re.findall(r"^\| `(fanfare_\w+)(\{.*?\})?` \| (\w+) \|", text, re.M):
            out.setdefault(metric, (set(), kind_))[0].add(labels)
        for metric in re.findall(r"`(process_\w+)`", text):
            out.setdefault(metric, (set(), "process"))
    return out


def named(objects, kind_, name):
    (found,) = (o for o in kind(objects, kind_) if o["metadata"]["name"] == name)
    return found
