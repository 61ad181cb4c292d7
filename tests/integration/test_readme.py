# SPDX-License-Identifier: Apache-2.0
"""README.md's "Use it", step by step as it stands there: topic, worker, edge, the JavaScript, kcat.

Only addresses, ports and the topic's name are replaced; Redis and the admin ports, which the page
leaves at their defaults, stand in the programs' files.
"""

import os
import re
import shlex
import shutil
import subprocess

import pytest

from harness.kafka import fetch, java
from harness.node import Edge, Worker
from harness.sdk import node_modules
from harness.util import REPO, Process, free_port, scaled

TOPICS = "org.apache.kafka.tools.TopicCommand"  # what kafka-topics.sh runs
PAGE = (REPO / "README.md").read_text()


def block(pattern):
    """The one block (indented, or fenced as js) that has this in it, as text."""
    fenced = re.findall(r"^```js\n(.*?)^```$", PAGE, re.M | re.S)
    indented = [m[0] for m in re.finditer(r"(?:^ {4}.*\n)+", PAGE, re.M)]
    (found,) = [b for b in fenced + indented if pattern in b]
    return found


class Steps:
    """The page's commands, with this test's addresses in them."""

    def __init__(self, kafka, topic, directory):
        self.port = free_port()
        self.replace = {
            "localhost:9092": kafka.bootstrap,
            "--topic quakes": f"--topic {topic}",
            "topic=quakes": f"topic={topic}",
            "-t quakes": f"-t {topic}",
            "listen=:8000": f"listen=:{self.port}",
            "localhost:8000": f"localhost:{self.port}",
        }
        self.dir = directory
        script = directory / "kafka-topics.sh"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(java(fetch(), TOPICS))} "$@"\n')
        script.chmod(0o755)

    def text(self, block):
        for before, after in self.replace.items():
            block = block.replace(before, after)
        return block

    def line(self, program):
        """The line of the page that begins so."""
        (found,) = re.findall(rf"^ +({program} .*)$", block(program), re.M)
        return self.text(found)

    def args(self, program):
        words = shlex.split(self.line(program))
        assert words[0] == program and words[-1] == "&"
        return words[1:-1]

    def run(self, command):
        env = os.environ | {"PATH": f"{self.dir}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["sh", "-c", command],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=scaled(60),
        )
        return done.returncode, done.stdout, done.stderr

    def do(self, command):
        code, out, err = self.run(command)
        assert code == 0, f"{command}\n{out}{err}"
        return out


@pytest.fixture
def subscriber(tmp_path):
    """Starts the page's JavaScript; its output is in .log."""
    started = []

    def make(code):
        script = tmp_path / "quakes.mjs"
        script.write_text(code)
        (tmp_path / "node_modules").symlink_to(node_modules() / "node_modules")
        started.append(Process("node", ["node", script], tmp_path / "quakes.log", cwd=tmp_path))
        started[-1].spawn()
        return started[-1]

    yield make
    for process in started:
        process.stop()


def test_use_it(nodes, topics, kafka, redis, tmp_path, subscriber):
    for program in ("kcat", "node", "npm", "curl"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not on this machine")
    steps = Steps(kafka, f"quakes-{os.getpid()}", tmp_path)
    steps.do(steps.line("kafka-topics.sh"))
    _, edge = (
        nodes.add(node({"redis_url": redis.url}, tmp_path / "nodes", args=steps.args(name)))
        for node, name in ((Worker, "fanfare-worker"), (Edge, "fanfare-edge"))
    )
    health = steps.line("curl")
    edge.wait_for(lambda: steps.run(health)[1] == "ok\n", "the page's curl says ok", 30)
    client = subscriber(steps.text(block("from 'centrifuge'")))

    def said(text):
        client.wait_for(lambda: text in client.log.read_text(), f"it says {text}", 20)

    said("subscribed")
    kcat = steps.text(block("kcat -P"))
    steps.do(kcat)
    said("{ mag: 5.1, place: 'near the coast' }")
    edge.kill()
    steps.do(kcat.replace("near the coast", "while the edge was away"))
    edge.start()
    said("subscribed and caught up")
    said("{ mag: 5.1, place: 'while the edge was away' }")
