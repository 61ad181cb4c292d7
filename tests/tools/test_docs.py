# SPDX-License-Identifier: Apache-2.0
"""Documents don't drift: docs/gen/ is what the programs print, and links between documents lead somewhere."""

import os
import re
import subprocess
import sys

import pytest

from harness.node import SANITIZER_ENV
from harness.util import REPO, build_dir, scaled

PROGRAMS = {"fanfare-edge": "edge-node", "fanfare-worker": "fanout-worker", "fanfare-loadgen": "loadgen"}
FOLDERS = [".", "common", "docs", "docs/decisions", "docs/gen", "k8s", "schemas"]
DOCUMENTS = sorted(p for folder in FOLDERS for p in (REPO / folder).glob("*.md"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_generated_documents_are_current(program):
    done = subprocess.run(
        [build_dir() / PROGRAMS[program] / program, "--print-docs"],
        capture_output=True,
        text=True,
        env={**os.environ, **SANITIZER_ENV},
        timeout=scaled(60),
    )
    assert done.returncode == 0, done.stderr
    document = REPO / "docs" / "gen" / f"{program}.md"
    committed = document.read_text() if document.exists() else ""
    assert committed == done.stdout, f"docs/gen/{program}.md is old: `./dev build debug docs` writes it anew"


def headings(text):
    """The anchors of a document, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", t.lower()).strip().replace(" ", "-") for t in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(REPO)))
def test_links_lead_somewhere(document):
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.S | re.M)
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or anchor and anchor not in headings(target.read_text()):
            lost.append(link)
    assert not lost, f"{document.relative_to(REPO)} links to what isn't there"


def test_decisions_have_numbers_of_their_own():
    files = sorted((REPO / "docs" / "decisions").glob("*.md"))
    named = [int(p.name.partition("-")[0]) for p in files]
    assert named == list(range(1, len(files) + 1))
    for number, path in zip(named, files, strict=True):
        assert path.read_text().startswith(f"# {number}. "), f"{path.name} calls itself otherwise"


OPERATIONS = (REPO / "docs" / "operations.md").read_text()


def logged(levels):
    """The events that worker and edge log at these levels, as the code has them."""
    files = [p for folder in ("common", "edge-node", "fanout-worker") for p in (REPO / folder).rglob("*.c")]
    return set(re.findall(rf'log_(?:{levels})\("([a-z_]+)"', "".join(p.read_text() for p in files)))


def test_events_mean_something_to_an_operator():
    told = set(re.findall(r"`(?:event=)?([a-z_]+)(?: [^`]*)?`", OPERATIONS))
    assert logged("warn|error") - told == set(), "docs/operations.md doesn't say what to do about these"


def test_events_of_the_tables_exist():
    tables = OPERATIONS.partition("## What the logs say later")[2].partition("\n## ")[0]
    firsts = "".join(re.findall(r"^\| (`.*?) \|", tables, re.M))
    told = set(re.findall(r"`([a-z_]+)(?: …[^`]*)?`", firsts))
    assert len(told) > 30 and told - logged("warn|error|info|debug") == set()


def test_metrics_that_are_watched_exist():
    lists = "".join((REPO / "docs" / "gen" / f"{p}.md").read_text() for p in PROGRAMS)
    told = set(re.findall(r"`((?:fanfare|process)_\w+)", OPERATIONS))
    assert len(told) > 20 and {m for m in told if f"`{m}" not in lists} == set()


def test_the_demo_begins_alone():
    """As README's reader runs it: with no path that a suite has set for it."""
    done = subprocess.run(
        [sys.executable, REPO / "docker" / "demo" / "demo.py", "--help"],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        timeout=scaled(60),
    )
    assert done.returncode == 0, done.stderr
    assert "--check" in done.stdout
