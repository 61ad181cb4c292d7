# SPDX-License-Identifier: Apache-2.0
"""Documents don't drift: docs/gen/ is what the programs print, and links between documents lead somewhere."""

import os
import re
import subprocess

import pytest

from harness.node import SANITIZER_ENV
from harness.util import REPO, build_dir, scaled

PROGRAMS = {"fanfare-edge": "edge-node", "fanfare-worker": "fanout-worker", "fanfare-loadgen": "loadgen"}
FOLDERS = [".", "common", "docs", "docs/decisions", "docs/gen", "schemas"]
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
