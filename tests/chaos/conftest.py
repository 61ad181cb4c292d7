# SPDX-License-Identifier: Apache-2.0
"""The chaos suite's fixtures: those of tests/integration, and the storm that each row runs in.

storm    a Storm: a region on servers of the row's choice, and a load with an oracle (storm.py)
ways     opens TCP proxies that a row cuts, silences, slows and turns elsewhere; runs FanClients (storm.py)
trio     three brokers, one cluster, for the rows that kill some of them

A row marked `short` is in the selection that a plain `./dev test` runs.
"""

import os
import pathlib
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "tests/integration"), str(REPO / "tests/chaos")]

import reporting  # noqa: E402
from storm import storm, ways  # noqa: E402, F401

from harness.cluster import Cluster  # noqa: E402
from harness.fixtures import *  # noqa: E402, F403


def pytest_configure(config):
    config.addinivalue_line("markers", "short: in the selection that CI runs")
    logs = os.environ.get("FANFARE_CHAOS_LOGS", REPO / "build" / "log")  # a mutant's (mutants.py)
    config.pluginmanager.register(reporting.Rows(pathlib.Path(logs)), "chaos-rows")


@pytest.fixture(scope="module")
def trio(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("trio"), 3)
    try:
        yield cluster.start()
    finally:
        cluster.kill()
