# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the page's tests: the demo, whole and real, once; a headless Chromium; a page per test."""

import pathlib
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
for directory in ("docker/demo", "tests/integration", "tests/page"):
    sys.path.insert(0, str(REPO / directory))

import chrome  # noqa: E402
import demo as demo_program  # noqa: E402

from harness.util import wait_until  # noqa: E402

SPEED = 7200  # twice as fast as the demo: about 20 records a second


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """(stack, control, url) of a running demo."""
    with demo_program.demo(tmp_path_factory.mktemp("demo"), speed=SPEED) as running:
        yield running


@pytest.fixture(scope="session")
def chromium():
    if not chrome.find_program():
        pytest.skip("no Chromium on this machine (Debian's package chromium)")
    with chrome.browser() as new_page:
        yield new_page


@pytest.fixture
def page(demo, chromium):
    """A tab that is live, on a wide screen, with light colours."""
    stack = demo[0]
    for name in stack.ports:  # an earlier test may have killed it
        wait_until(lambda name=name: stack.connections(name) is not None, f"{name} is up", 20)
    page = chromium()
    page.view(1440, 900)
    page.open(demo[2])
    page.wait("document.querySelector('#pill').dataset.state === 'connected'")
    yield page
    exceptions = [line for line in page.log if line.startswith("exception")]
    page.close()
    assert not exceptions
