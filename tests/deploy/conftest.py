# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a Docker of the tests' own, once; the stand-ins and our images on it; the compose file, up.

docker    dockerd.Docker, running; what can't run one skips its tests and says why
stack     stack.Stack of docker/compose.yaml, built and up
"""

import pathlib
import sys
import time

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
for directory in ("tests/integration", "tests/deploy"):
    sys.path.insert(0, str(REPO / directory))

from dockerd import Docker, NoDocker  # noqa: E402
from stack import Stack, build_standins, make_demo_files  # noqa: E402

from harness.telling import say  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "short: in ./dev test, too, without naming the suite")


def said(what, began):
    say(f"{what} ({time.monotonic() - began:.1f} s)")


@pytest.fixture(scope="session")
def docker():
    private, began = Docker(), time.monotonic()
    try:
        private.start()
        said("a dockerd with a base image", began)
        yield private
    except NoDocker as why:
        pytest.skip(str(why))
    finally:
        private.stop()


@pytest.fixture(scope="session")
def stack(docker, tmp_path_factory):
    began = time.monotonic()
    build_standins(docker, ["redis", "haproxy", "kafka", "consul"])
    said("stand-ins", began)
    stack, began = Stack(docker, make_demo_files(tmp_path_factory.mktemp("demo"))), time.monotonic()
    stack.compose("build")
    said("our images", began)
    began = time.monotonic()
    try:
        stack.up()
        said("up", began)
        yield stack
    except BaseException:
        print(stack.compose("logs", "--no-color", "--tail", "40"))
        raise
    finally:
        stack.down()
