# SPDX-License-Identifier: Apache-2.0
"""docker/ as text: Dockerfiles and compose files by their linters, and beside what the tree says."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from harness.util import REPO, build_dir

DOCKER = REPO / "docker"
DOCKERFILES = [
    DOCKER / "Dockerfile",
    REPO / "tests/deploy/standins/Dockerfile",
    REPO / "tests/deploy/unit.Dockerfile",
]
UNIT_IGNORE = REPO / "tests/deploy/unit.Dockerfile.dockerignore"
COMPOSE = sorted(DOCKER.glob("compose*.yaml")) + sorted((REPO / "tests/deploy").glob("compose*.yaml"))
YAML = [*COMPOSE, DOCKER / "prometheus.yaml", *sorted((DOCKER / "grafana").glob("*.yaml"))]
# DL3008: packages without a version: a Debian release's are what they are, plus its security updates.
# DL3022: COPY from a named context. DL3066: stand-ins run as their packages' users. SC2046, SC2086: lists of
# packages and programs, split on purpose.
IGNORED = ["DL3008", "DL3022", "DL3066", "SC2046", "SC2086"]
pytestmark = pytest.mark.short


def tool(name, *args):
    folder = os.environ.get("FANFARE_DEPLOY_TOOLS", "")
    program = os.path.join(folder, name)
    if not os.access(program, os.X_OK):
        pytest.skip(f"no {name} (./dev install test)")
    argv = [program, *map(str, args)]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_dockerfile(path):
    tool("hadolint", *(f"--ignore={rule}" for rule in IGNORED), path)


@pytest.mark.parametrize("path", COMPOSE, ids=lambda p: p.name)
def test_compose_schema(path, tmp_path):
    plain = tmp_path / path.name
    plain.write_text(path.read_text().replace("!override ", ""))  # compose's own tag: the checker has no idea
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", plain)


def test_yaml():
    rules = "{extends: default, rules: {line-length: {max: 160}, document-start: disable, braces: disable, "
    rules += "brackets: disable, comments: {min-spaces-from-content: 1}, truthy: {check-keys: false}}}"
    tool("yamllint", "-s", "-d", rules, *YAML)


def test_images_of_others_have_versions():
    images = re.findall(r"^ +image: (\S+)$", (DOCKER / "compose.yaml").read_text(), re.M)
    others = [i for i in images if not i.startswith("fanfare-")]
    assert len(others) >= 7
    for image in others:
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", image), f"{image}: expected name:x.y.z"


def variables():
    lines = (DOCKER / ".env").read_text().splitlines()
    return {line.partition("=")[0] for line in lines if line and not line.startswith("#")}


def test_every_variable_is_in_env_and_used():
    used = set()
    for path in DOCKER.glob("compose*.yaml"):
        used |= set(re.findall(r"(?<!\$)\$\{(\w+)\}", path.read_text()))
    assert used == variables()


def knobs():
    names = {"namespaces"}
    for path in [*REPO.glob("common/*/*_conf.def"), *REPO.glob("*/*_conf.def")]:
        names |= set(re.findall(r"^KNOB\((\w+)", path.read_text(), re.M))
    return {f"FANFARE_{n.upper()}" for n in names}


def test_every_setting_is_a_key_of_a_program():
    not_ours = {"FANFARE_PORT", "FANFARE_BIND", "FANFARE_TAG", "FANFARE_CONFIG", "FANFARE_CACHE"}
    for path in [*DOCKER.glob("compose*.yaml"), DOCKER / "Dockerfile"]:
        named = set(re.findall(r"\bFANFARE_[A-Z_]*[A-Z]\b", path.read_text())) - not_ours
        unknown = named - knobs()
        assert not unknown, f"{path.name}: {unknown} set nothing"


def metrics():
    names = set()
    for part in ("edge-node/edge_metric.def", "fanout-worker/worker_metric.def"):
        names |= set(re.findall(r'"(fanfare_\w+)', (REPO / part).read_text()))
    return names


def test_the_dashboard_asks_for_metrics_that_exist():
    board = json.loads((DOCKER / "grafana/dashboard.json").read_text())
    asked = " ".join(t["expr"] for p in board["panels"] for t in p.get("targets", []))
    named = set(re.findall(r"\bfanfare_\w+", asked))
    assert len(named) > 10 and not named - metrics()
    places = [tuple(p["gridPos"].values()) for p in board["panels"]]
    assert len(set(places)) == len(places) and len({p["id"] for p in board["panels"]}) == len(places)


@pytest.mark.parametrize(
    ("engine", "compose", "has"),
    [
        ("25.0.0", "2.24.4", 0),
        ("26.1.5+dfsg1", "v5.0.1", 0),
        ("24.0.7", "2.40.3", 1),  # it refuses start_interval
        ("28.5.2", "2.24.0", 1),  # it has no !override
        ("28.5.2", "2.9.0", 1),
        ("", "2.40.3", 1),  # no daemon answers
        ("28.5.2", "", 1),
    ],
)
def test_where_dev_up_takes_docker(tmp_path, engine, compose, has):
    docker = tmp_path / "docker"
    says = {"version": engine, "compose": compose}
    cases = "".join(f"{word}) {f'echo {v}' if v else 'exit 1'} ;;\n" for word, v in says.items())
    docker.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}esac\n')
    docker.chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", ". .ci/lib.sh; has_compose"], cwd=REPO, env=env)
    assert done.returncode == has


def test_the_kafka_is_the_tests_own():
    (tested,) = re.findall(r"<kafka.version>(\S+)</", (REPO / "tests/integration/kafka/pom.xml").read_text())
    assert f"apache/kafka:{tested}" in (DOCKER / "compose.yaml").read_text()


def test_versions_agree():
    (version,) = re.findall(r"project\(fanfare VERSION (\S+)", (REPO / "CMakeLists.txt").read_text())
    named = set(re.findall(r"^ARG VERSION=(\S+)$", (DOCKER / "Dockerfile").read_text(), re.M))
    assert named == {version}


def test_bill_of_materials_names_packages_as_others_do():
    sys.path.insert(0, str(DOCKER))
    import sbom

    rows = [
        ("libev4t64", "1:4.33-2.1+b1", "amd64", "libev", "1:4.33-2.1"),
        ("bash", "5.2.37-2", "amd64", "bash", "5.2.37-2"),
    ]
    made = sbom.sbom("fanfare-edge", "0.1.0", rows, "debian-13")
    assert [c["purl"] for c in made["components"]] == [
        "pkg:deb/debian/libev4t64@1%3A4.33-2.1%2Bb1?arch=amd64&distro=debian-13&upstream=libev%401%3A4.33-2.1",
        "pkg:deb/debian/bash@5.2.37-2?arch=amd64&distro=debian-13",
    ]
    assert len({c["bom-ref"] for c in made["components"]}) == 2


def test_the_units_image_has_all_that_is_built():
    """The unit tests' image of Debian 13 gets what its ignore file lets in, and no short run builds it."""
    let_in = [line[1:] for line in UNIT_IGNORE.read_text().split() if line.startswith("!")]
    build = build_dir()
    units = json.loads((build / "compile_commands.json").read_text())
    sources = [pathlib.Path(unit["file"]) for unit in units]
    sources = [path.relative_to(REPO) for path in sources if build not in path.parents]
    assert len(sources) > 200

    def is_let_in(path):
        return any((REPO / p).match(str(REPO / i)) for p in (path, *path.parents) for i in let_in)

    missing = [str(s) for s in sources if not is_let_in(s)]
    assert not missing, f"{UNIT_IGNORE.name} keeps out {missing}"
