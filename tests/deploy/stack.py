# SPDX-License-Identifier: Apache-2.0
"""The compose file, really up: built, started, scaled and taken down on the tests' own Docker."""

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

from harness import consul, kafka
from harness.node import Metrics
from harness.util import REPO, free_port, wait_until

HERE = REPO / "tests" / "deploy"
NAMESPACES = {"quakes": {"topic": "quakes"}, "try": {"topic": "try"}}
PORTS = ["FANFARE_PORT", "KAFKA_PORT", "CONSUL_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT", "REGION2_PORT"]
ONE = [REPO / "docker" / "compose.yaml", HERE / "compose.test.yaml"]
TWO = [*ONE, REPO / "docker" / "compose.region2.yaml", HERE / "compose.region2.test.yaml"]
SECONDS = "240"  # for what isn't up by then


def build_standins(docker, names):
    for name in names:
        more = []
        if name == "kafka":
            more = ["--build-context", f"jars={kafka.fetch()}"]
        elif name == "consul":
            folder = docker.dir / "consul"
            folder.mkdir(exist_ok=True)
            shutil.copy(consul.fetch(), folder / "consul")
            more = ["--build-context", f"consul-program={folder}"]
        argv = ["build", "-q", "--network", "host", "-t", f"fanfare-test/{name}", "--target", name, *more]
        docker.docker(*argv, HERE / "standins")


def make_demo_files(directory):
    argv = [sys.executable, REPO / "docker" / "demo" / "files.py", directory]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return directory


def get(url, timeout=5):
    """(status, body); (0, why) while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


class Stack:
    def __init__(self, docker, demo_files):
        self.docker = docker
        self.files = ONE
        self.ports = {name: free_port() for name in PORTS}
        self.env = {name: str(port) for name, port in self.ports.items()}
        self.env |= {"FANFARE_NAMESPACES": json.dumps(NAMESPACES), "TOPICS": "quakes:4 try:4"}
        self.env |= {"TEST_DEMO_FILES": str(demo_files), "FANFARE_DRAIN_TIME": "2s"}
        self.bootstrap = f"127.0.0.1:{self.ports['KAFKA_PORT']}"

    def compose(self, *args, timeout=900):
        files = [x for f in self.files for x in ("-f", str(f))]
        return self.docker.docker("compose", *files, *args, timeout=timeout, **self.env)

    def up(self, *args):
        return self.compose("up", "-d", "--wait", "--wait-timeout", SECONDS, *args)

    def down(self):
        self.compose("--profile", "*", "down", "-v", "--remove-orphans", "-t", "10")

    def url(self, port="FANFARE_PORT"):
        return f"ws://127.0.0.1:{self.ports[port]}/connection/websocket"

    def get(self, path, port="FANFARE_PORT"):
        return get(f"http://127.0.0.1:{self.ports[port]}{path}")

    def containers(self, service=None):
        """What `compose ps` says of each, stopped ones too."""
        lines = self.compose("ps", "-a", "--format", "json", *([service] if service else [])).splitlines()
        return [json.loads(line) for line in lines]

    def inspect(self, container):
        return json.loads(self.docker.docker("inspect", container))[0]

    def address(self, container):
        """Its own address, which only this machine reaches."""
        (network,) = self.inspect(container)["NetworkSettings"]["Networks"].values()
        return network["IPAddress"]

    def metrics(self, container, port):
        status, body = get(f"http://{self.address(container)}:{port}/metrics")
        return Metrics.parse(body) if status == 200 else Metrics()

    def clients(self):
        """How many clients each edge has, by container."""
        names = [c["Name"] for c in self.containers("edge") if c["State"] == "running"]
        return {n: int(self.metrics(n, 9100).total("fanfare_edge_connections")) for n in names}

    def wait_balancer(self, edges):
        """Until the balancer sends clients to that many edges."""
        (balancer,) = self.containers("balancer")

        def active():
            found = self.metrics(balancer["Name"], 8404)
            return found.total("haproxy_backend_active_servers", proxy="edges") == edges

        wait_until(active, f"the balancer has {edges} edges", 30, 0.2)
