# SPDX-License-Identifier: Apache-2.0
"""What the images are: small, without rights, told about, quick to start, and gone when asked."""

import gzip
import json
import re
import tarfile
import time
from datetime import datetime

import pytest
from dockerd import BASE
from stack import ONE

from harness.telling import say
from harness.util import REPO, wait_until

PROGRAMS = {"edge": "fanfare-edge", "worker": "fanfare-worker", "loadgen": "fanfare-loadgen"}
COMPRESSED_MAX = 30e6  # above the base
READY_MAX = 0.3  # seconds from the container's start
SPACES = '{"quakes": {"topic": "quakes"}}'


@pytest.fixture(scope="module")
def images(docker, stack):
    """Target to image; `edge` without the demo's page."""
    made = {target: f"fanfare-test/{target}" for target in PROGRAMS}
    for target, name in made.items():
        argv = ["build", "-q", "--network", "host", "-f", REPO / "docker/Dockerfile"]
        docker.docker(*argv, "--target", target, "--build-arg", "REVISION=abc", "-t", name, REPO)
    return made


@pytest.fixture(scope="module")
def region(stack):
    """The stack, one region of it: up, whatever the tests before did."""
    stack.files = ONE
    stack.up("--no-build", "--remove-orphans")
    return stack


def test_unit_tests_on_debian_13(docker):
    """Where a test fails, the build does, and its output is the error's."""
    file = REPO / "tests/deploy/unit.Dockerfile"
    docker.docker("build", "--network", "host", "-f", file, "-t", "fanfare-test/unit", REPO)


def layers(docker, image, directory, without=()):
    """{name: compressed bytes} of an image's layers but those."""
    path = directory / "image.tar"
    docker.docker("save", "-o", path, image)
    with tarfile.open(path) as tar:
        (manifest,) = json.load(tar.extractfile("manifest.json"))
        names = [name for name in manifest["Layers"] if name not in without]
        return {name: len(gzip.compress(tar.extractfile(name).read(), 6)) for name in names}


@pytest.fixture(scope="module")
def base_layers(docker, tmp_path_factory):
    return layers(docker, BASE, tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("target", PROGRAMS)
def test_size_above_the_base(docker, images, base_layers, tmp_path, target):
    total = sum(layers(docker, images[target], tmp_path, base_layers).values())
    say(f"{target} is {total / 1e6:.1f} MB compressed above its base")
    assert 1e6 < total < COMPRESSED_MAX


@pytest.mark.parametrize("target", PROGRAMS)
def test_labels_user_and_health(docker, images, target):
    (about,) = json.loads(docker.docker("image", "inspect", images[target]))
    config = about["Config"]
    (version,) = re.findall(r"project\(fanfare VERSION (\S+)", (REPO / "CMakeLists.txt").read_text())
    labels = {k.removeprefix("org.opencontainers.image."): v for k, v in config["Labels"].items()}
    assert labels["title"] == PROGRAMS[target] and labels["licenses"] == "Apache-2.0"
    assert labels["version"] == version and labels["revision"] == "abc"
    assert config["User"] == "10001:10001" and config["Entrypoint"] == [PROGRAMS[target]]
    health = config.get("Healthcheck", {}).get("Test")
    assert health == (None if target == "loadgen" else ["CMD", PROGRAMS[target], "health", "live"])
    said = docker.docker("run", "--rm", "--read-only", "--cap-drop", "ALL", images[target], "--version")
    assert said.strip() == f"{PROGRAMS[target]} {version}"


@pytest.mark.parametrize(
    ("target", "library", "version"),
    [
        ("edge", "libwebsockets19t64", "4.3.5"),
        ("edge", "libhiredis1.1.0", "1.2.0"),
        ("worker", "librdkafka1", "2.8.0"),
    ],
)
def test_bill_of_materials(docker, images, target, library, version):
    argv = ["run", "--rm", "--entrypoint", "cat", images[target]]
    sbom = json.loads(docker.docker(*argv, "/usr/share/doc/fanfare/sbom.cdx.json"))
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["name"]) == ("CycloneDX", PROGRAMS[target])
    parts = {c["name"]: c for c in sbom["components"]}
    assert parts[library]["version"].startswith(version)
    assert f"pkg:deb/debian/{library}@" in parts[library]["purl"]
    argv = ["run", "--rm", "--entrypoint", "dpkg-query", images[target], "-W", "-f", "${Package}\\n"]
    assert set(parts) == set(docker.docker(*argv).split())
    assert not {n for n in parts if n.endswith("-dev") or n in ("gcc", "make", "binutils", "cmake")}


class OneEdge:
    """An edge of its own on the stack's network."""

    def __init__(self, docker, stack, image):
        self.docker, self.stack = docker, stack
        argv = ["run", "-d", "--network", "fanfare_default", "--read-only", "--cap-drop", "ALL"]
        argv += ["-e", "FANFARE_REDIS_URL=redis://redis:6379", "-e", f"FANFARE_NAMESPACES={SPACES}"]
        self.id = docker.docker(*argv, image).strip()

    def log(self):
        """(seconds since the container's start, line) of each."""
        started = parse_time(self.stack.inspect(self.id)["State"]["StartedAt"])
        text = self.docker.docker("logs", "-t", self.id, err=True)
        for line in text.splitlines():
            at, _, rest = line.partition(" ")
            yield parse_time(at) - started, rest

    def after(self, event):
        return next((at for at, line in self.log() if f"event={event}" in line), None)

    def remove(self):
        self.docker.docker("rm", "-f", self.id)


def parse_time(text):
    """RFC 3339 with nanoseconds, as seconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction or 0}")


def test_an_edge_is_ready_soon(docker, region, images):
    took = []
    for _ in range(5):
        edge = OneEdge(docker, region, images["edge"])
        try:
            wait_until(lambda edge=edge: edge.after("topic"), "it knows its topic", 10)
            took.append(max(edge.after("ready"), edge.after("topic")))
            wait_until(lambda edge=edge: health(region, edge) == "healthy", "Docker says healthy", 10)
        finally:
            edge.remove()
    say(f"an edge is ready {', '.join(f'{t * 1000:.0f}' for t in sorted(took))} ms after its start")
    assert sorted(took)[2] < READY_MAX


def health(stack, edge):
    return stack.inspect(edge.id)["State"]["Health"]["Status"]


def test_sigterm_reaches_the_program(docker, region, images):
    edge = OneEdge(docker, region, images["edge"])
    try:
        wait_until(lambda: edge.after("ready"), "it is ready", 10)
        began = time.monotonic()
        docker.docker("stop", "-t", "20", edge.id)
        assert time.monotonic() - began < 10
        state = region.inspect(edge.id)["State"]
        assert state["ExitCode"] == 0 and not state["OOMKilled"]
        assert edge.after("draining") and edge.after("stopped")
    finally:
        edge.remove()


def test_what_is_wrong_is_said(docker, images):
    """Without namespaces: exit 2 and a line that says so, not a restart loop without a word."""
    with pytest.raises(RuntimeError, match="namespaces: none is configured"):
        docker.docker("run", "--rm", images["edge"])
