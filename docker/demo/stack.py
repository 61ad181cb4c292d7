# SPDX-License-Identifier: Apache-2.0
"""All the demo's processes, from Kafka to the edges, on loopback: start in order, stop in order.

Also a context for the page's tests. Each process has its configuration and log in one directory; it
is ended by its own pid, within a bound. Standard library only.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import threading
import time
import urllib.request

from about import NAMESPACE, TOPIC

from harness import util
from harness.util import Process, WaitError, free_port, need_program, port_open

PARTITIONS = 4


def port_free(port):
    return not port_open(port)


class Stack:
    """start() … stop(). say: a function that gets a line for each thing that is up."""

    def __init__(self, directory, site, say, real_kafka=False, port=0):
        self.dir = pathlib.Path(directory)
        self.site = site
        self.say = say
        self.real_kafka = real_kafka
        self.build = util.build_dir()
        self.running = []  # in the order of their start
        self.broker = None
        self.bootstrap = None
        self.lock = threading.Lock()
        self.stopping = False
        self.redis_port = free_port()
        self.ports = {"edge-a": port or free_port(), "edge-b": free_port()}
        self.admin = {}
        self.edges = {}

    # ---- pieces

    def program(self, name):
        path = next(self.build.glob(f"*/{name}"), None) or next(self.build.glob(f"*/*/{name}"), None)
        if not path:
            raise FileNotFoundError(f"{name} is not in {self.build}; `./dev build` makes it")
        return path

    def spawn(self, name, argv, ready, what, timeout=20):
        started = time.monotonic()
        process = Process(name, argv, self.dir / f"{name}.log", cwd=self.dir)
        process.log.write_text("")
        process.spawn()
        self.running.append(process)
        process.wait_for(lambda: ready(process), what, timeout)
        self.say(f"{name} is up ({time.monotonic() - started:.1f} s)")
        return process

    def config(self, name, settings):
        path = self.dir / f"{name}.json"
        path.write_text(json.dumps(settings, indent=2) + "\n")
        return path

    def start_redis(self):
        argv = [need_program("redis-server"), "--port", self.redis_port, "--bind", "127.0.0.1"]
        argv += ["--dir", self.dir, "--save", "", "--appendonly", "no"]
        argv += ["--maxmemory", "256mb", "--maxmemory-policy", "noeviction"]
        self.spawn("redis", argv, lambda p: port_open(self.redis_port), "its port opens")

    def start_mock_kafka(self):
        argv = [self.program("fanfare-demo-kafka"), f"{TOPIC}:{PARTITIONS}", "fanfare.logs:1"]
        pattern = re.compile(r"^bootstrap=(\S+)$", re.M)
        process = self.spawn(
            "kafka", argv, lambda p: pattern.search(p.log.read_text()), "it tells its address"
        )
        self.bootstrap = pattern.search(process.log.read_text())[1]

    def start_real_kafka(self):
        from harness import kafka

        started = time.monotonic()
        self.broker = kafka.Broker(self.dir / "kafka")
        self.broker.start()
        self.bootstrap = self.broker.bootstrap
        argv = kafka.java(
            kafka.fetch(),
            "org.apache.kafka.tools.TopicCommand",
            *("--bootstrap-server", self.bootstrap, "--create", "--topic", TOPIC),
            *("--partitions", PARTITIONS, "--replication-factor", 1),
            opts=["-Xmx128m"],
        )
        creating = Process("topic", argv, self.dir / "topic.log", cwd=self.dir)
        creating.spawn()
        if creating.popen.wait(60):
            raise WaitError(f"the topic could not be created:\n{util.tail(creating.log)}")
        self.say(f"Apache Kafka is up ({time.monotonic() - started:.1f} s)")

    def kafka_properties(self):
        # The mock cluster answers a waiting fetch only when its time is over.
        return {"bootstrap.servers": self.bootstrap} | (
            {} if self.real_kafka else {"fetch.wait.max.ms": "10"}
        )

    def start_worker(self):
        settings = {
            "redis_url": f"redis://127.0.0.1:{self.redis_port}",
            "kafka": self.kafka_properties(),
            "namespaces": {NAMESPACE: {"topic": TOPIC}},
            "admin_listen": "",
        }
        argv = [self.program("fanfare-worker"), "--config", self.config("worker", settings)]
        self.spawn("worker", argv, is_ready, "event=ready", 40)

    def start_edge(self, name):
        settings = {
            "node": name,
            "listen": f"127.0.0.1:{self.ports[name]}",
            "redis_url": f"redis://127.0.0.1:{self.redis_port}",
            "namespaces": {NAMESPACE: {"topic": TOPIC}},
            "page_dir": str(self.site),
            "admin_listen": "127.0.0.1:0",
            "drain_time": "1s",
        }
        argv = [self.program("fanfare-edge"), "--config", self.config(name, settings)]
        edge = self.spawn(name, argv, is_ready, "event=ready")
        self.edges[name] = edge
        self.admin[name] = re.search(r"event=ready.* admin=(\S+)", edge.log.read_text())[1]

    def start_replay(self, events, speed):
        argv = [self.program("fanfare-demo-replay"), events, TOPIC, speed]
        argv += [f"bootstrap.servers={self.bootstrap}"]
        self.spawn("replay", argv, lambda p: True, "it runs")

    # ---- whole

    def start(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        self.start_redis()
        if self.real_kafka:
            self.start_real_kafka()
        else:
            self.start_mock_kafka()
        self.start_worker()
        for name in self.ports:
            self.start_edge(name)

    def origins(self):
        return {f"http://{h}:{p}" for h in ("127.0.0.1", "localhost") for p in self.ports.values()}

    def kill_edge(self, name):
        """SIGKILL, without a goodbye. Returns its pid."""
        with self.lock:
            edge = self.edges.get(name)
            if self.stopping or not edge or not edge.is_running():
                raise KeyError(f"{name} is not running")
            pid = edge.pid
            os.kill(pid, signal.SIGKILL)
            edge.popen.wait(10)
            self.running.remove(edge)
            return pid

    def restart_edge(self, name):
        with self.lock:
            if not self.stopping:
                self.start_edge(name)

    def connections(self, name):
        """How many clients an edge has; None if it doesn't answer."""
        url = f"http://{self.admin[name]}/metrics"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as reply:
            found = re.search(r"^fanfare_edge_connections (\d+)", reply.read().decode(), re.M)
            return int(found[1]) if found else None
        return None

    def casualties(self):
        """What ended without being asked: lines for the user."""
        with self.lock:
            dead = [p for p in self.running if not p.is_running()]
        return [f"{p.name} ended ({p.popen.returncode}):\n{util.tail(p.log, 12)}" for p in dead]

    def stop(self):
        """In the order data flows: the replay first, Kafka and Redis last."""
        self.stopping = True
        order = ["replay", "edge-a", "edge-b", "worker", "kafka", "redis"]
        with self.lock:
            for process in sorted(self.running, key=lambda p: order.index(p.name)):
                if process.name == "kafka" and self.broker:
                    continue
                process.stop(10)
            if self.broker:
                self.broker.stop()
            self.running.clear()


def is_ready(process):
    return "event=ready" in process.log.read_text(errors="replace")
