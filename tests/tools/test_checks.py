# SPDX-License-Identifier: Apache-2.0
"""The checks of lint find what they are for: each rule is broken once in a tree of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parent
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
GOOD = SPDX + "/*\n * x.h: an example.\n */\n#pragma once\n"


def run(tool, root, *args):
    argv = [sys.executable, str(TOOLS / tool), "--root", str(root), *args]
    done = subprocess.run(argv, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def tree(tmp_path):
    def add(name, text=GOOD):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name

    for name in ("common/base/buf.h", "common/runtime/log.h", "common/io/redis.h", "edge-node/hub.h"):
        add(name)
    add("loadgen/plan.h")
    add.root = tmp_path
    return add


@pytest.mark.parametrize(
    ("name", "include"),
    [
        ("common/base/x.c", '"common/runtime/log.h"'),
        ("common/runtime/x.c", '"common/io/redis.h"'),
        ("common/io/x.c", '"edge-node/hub.h"'),
        ("edge-node/x.c", '"loadgen/plan.h"'),
        ("fanout-worker/x.c", '"edge-node/hub.h"'),
        ("edge-node/x.c", '"hub.h"'),
        ("edge-node/hub.c", "<libwebsockets.h>"),
        ("edge-node/hub.c", "<hiredis/hiredis.h>"),
        ("common/runtime/conf.c", "<jansson.h>"),
        ("common/base/x.c", "<ev.h>"),
        ("edge-node/x.c", "<librdkafka/rdkafka.h>"),
        ("edge-node/x.c", "<unheard-of.h>"),
        ("tests/unit/base/x.c", '"common/io/redis.h"'),
        ("tests/unit/worker/x.c", '"edge-node/hub.h"'),
    ],
)
def test_layers_refuse(tree, name, include):
    tree(name, f"{SPDX}\n#include {include}\n")
    code, said = run("check_layers.py", tree.root, name)
    assert code == 1 and f"{name}:" in said


@pytest.mark.parametrize(
    ("name", "include"),
    [
        ("common/base/x.c", '"common/base/buf.h"'),
        ("common/io/x.c", '"common/base/buf.h"'),
        ("edge-node/x.c", '"common/io/redis.h"'),
        ("edge-node/x.c", '"edge-node/hub.h"'),
        ("edge-node/transport_ws.c", "<libwebsockets.h>"),
        ("common/io/redis.c", "<hiredis/hiredis.h>"),
        ("edge-node/x.c", "<sys/socket.h>"),
        ("edge-node/x.c", "<ev.h>"),
        ("tests/unit/edge/x.c", '"edge-node/hub.h"'),
        ("tests/unit/base/x.c", "<jansson.h>"),
    ],
)
def test_layers_allow(tree, name, include):
    tree(name, f"{SPDX}\n#include {include}\n")
    assert run("check_layers.py", tree.root, name)[0] == 0


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.c", "/*\n * a.c: no licence.\n */\n", "SPDX"),
        ("a.py", "print(1)\n", "SPDX"),
        ("a.c", SPDX + "int x;\n", "header comment"),
        ("a.c", GOOD + "\tint x;\n", "a tab"),
        ("a.c", GOOD + "int x;  \n", "trailing blanks"),
        ("a.c", GOOD + "/* " + "x" * 99 + " */\n", "columns"),
        ("a.c", GOOD + "int x;\n" * 400, "405 lines"),
        ("a.c", GOOD + "int x;", "line break"),
        ("a.md", "see /wor" + "k/main\n", "one machine"),
        ("a.md", "see ../shar" + "ed/DESIGN.md\n", "outside"),
        ("a.c", GOOD + "/* TO" + "DO */\n", "left open"),
        ("a.md", "<<<<<<< HEAD\n", "conflict"),
    ],
)
def test_files_refuse(tree, name, text, what):
    tree(name, text)
    code, said = run("check_files.py", tree.root, name)
    assert code == 1 and what in said


def test_files_allow_length_with_a_reason(tree):
    text = SPDX + "/*\n * a.c: a table.\n * length: it is read as a whole.\n */\n"
    tree("a.c", text + "int x;\n" * 500)
    assert run("check_files.py", tree.root, "a.c")[0] == 0
    tree("a.c", text + "int x;\n" * 600)
    assert run("check_files.py", tree.root, "a.c")[0] == 1


def test_files_allow_a_good_one(tree):
    assert run("check_files.py", tree.root, "edge-node/hub.h")[0] == 0
