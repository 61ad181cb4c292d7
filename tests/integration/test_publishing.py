# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/publishing.md, run as they stand, each to a client of an edge.

Only the broker's address and the topic's name are replaced. A key in the wrong partition would make
the topic unmapped, and the last subscribe fail.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import zlib

import pytest

from harness.kafka import class_path, fetch
from harness.util import REPO, cache_dir, locked, scaled

KAFKAJS = "kafkajs@2.2.4"
PAGE = (REPO / "docs" / "publishing.md").read_text()


def example(language, kafka, topic):
    code = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)[1]
    assert "localhost:9092" in code
    assert "events" in code
    return code.replace("localhost:9092", kafka.bootstrap).replace("events", topic)


def need(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not on this machine")


def node_modules():
    """A directory with kafkajs in it, filled once."""
    home = cache_dir() / KAFKAJS.replace("@", "-")
    with locked(cache_dir() / "kafkajs.lock"):
        if not (home / "complete").exists():
            home.mkdir(exist_ok=True)
            argv = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", home, KAFKAJS]
            subprocess.run([str(a) for a in argv], check=True, stdin=subprocess.DEVNULL)
            (home / "complete").touch()
    return home / "node_modules"


def kcat(code, tmp_path):
    need("kcat")
    return ["sh", "-c", code], {}


def python(code, tmp_path):
    return [sys.executable, "-c", code], {}


def node(code, tmp_path):
    need("node")
    need("npm")
    return ["node", "-e", code], {"NODE_PATH": str(node_modules())}


def java(code, tmp_path):
    need("javac")  # `java FILE.java` compiles it first
    source = tmp_path / "Publish.java"
    source.write_text(code)
    return ["java", "-cp", class_path(fetch()), str(source)], {}


def run(argv, env):
    env = {"PATH": os.environ["PATH"], **env}
    done = subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=scaled(60)
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("language", "prepare", "said"),
    [
        ("sh", kcat, "hello from kcat"),
        ("python", python, "hello from Python"),
        ("js", node, "hello from Node"),
        ("java", java, "hello from Java"),
    ],
    ids=["kcat", "python", "node", "java"],
)
async def test_example_reaches_a_client(nodes, topics, topic, kafka, fan, tmp_path, language, prepare, said):
    spaces = {"": {"topic": topic}}
    worker = nodes.worker(namespaces=spaces)
    edge = nodes.edge(namespaces=spaces)
    client = await fan(edge)
    await client.subscribe("news")
    await asyncio.to_thread(run, *prepare(example(language, kafka, topic), tmp_path))
    await client.wait_pubs("news", 1, timeout=15)
    assert client.pubs["news"][0]["data"] == {"text": said}
    late = await fan(edge)
    reply = await late.subscribe("news")
    assert reply["recoverable"] is True, worker.lines()


def test_the_key_of_the_examples_can_tell_the_partitioners_apart():
    assert zlib.crc32(b"news") % 4 != murmur2(b"news") % 4


def murmur2(data):
    """The Java client's: 32 bits, made positive."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ len(data)) & mask
    for i in range(0, len(data) & ~3, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    rest = data[len(data) & ~3 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF
