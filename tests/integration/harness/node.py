# SPDX-License-Identifier: Apache-2.0
"""fanfare-worker and fanfare-edge as processes: configuration, readiness, metrics, signals, accidents.

A node counts as started when its log says `event=ready`; ports configured as 0 are read from that
line. accidents() is what every test ends with: a sanitizer's report, a failed assertion or must(), or
an exit nobody asked for fails the test that ran the node, even if all it asserted was fine.
"""

import http.client
import itertools
import json
import pathlib
import re
import signal
import time
import urllib.error
import urllib.request

from .util import HERE, REPO, Process, build_dir, scaled, tail

ACCIDENT = re.compile(
    r"Assertion .* failed|\bmust\b.*\bfail|\bevent=must|ERROR: (Address|Leak|Thread|Memory)Sanitizer"
    r"|WARNING: ThreadSanitizer|SUMMARY: \w+Sanitizer|runtime error: |stack smashing detected"
    r"|buffer overflow detected|free\(\): invalid|double free|corrupted"
)
SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(\{.*\})?\s+(\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:detect_stack_use_after_return=1",
    "LSAN_OPTIONS": f"suppressions={REPO}/tests/tools/lsan.supp:print_suppressions=0",
    "TSAN_OPTIONS": f"suppressions={REPO}/tests/tools/tsan.supp:exitcode=99:second_deadlock_stack=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}

_serial = itertools.count(1)


def log_fields(line):
    """`event=ready listen=… ` → {"event": "ready", …}; quoted values are unquoted."""
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line)
    return {k: v[1:-1] if v.startswith('"') else v for k, v in pairs}


class Metrics(dict):
    """{'name{label="x"}': value}; total() sums the samples of one name whose labels match."""

    @classmethod
    def parse(cls, text):
        out = cls()
        for line in text.splitlines():
            m = None if line.startswith("#") else SAMPLE.match(line)
            if m:
                out[m[1] + (m[2] or "")] = float(m[3])
        return out

    def total(self, name, **labels):
        want, total = {k: str(v) for k, v in labels.items()}.items(), 0.0
        for key, value in self.items():
            base, _, rest = key.partition("{")
            if base == name and want <= dict(LABEL.findall(rest)).items():
                total += value
        return total


class Node(Process):
    """binary: path below the build directory. config: a dict, written as the node's JSON file; `host` in it
    is where the node runs (here)."""

    binary = ""
    listens = ()  # its addresses: a free port of its host each

    def __init__(self, config, directory, name=None, args=(), env=None, build=None):
        name = name or f"{pathlib.Path(self.binary).name}-{next(_serial)}"
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        config = {"host": HERE} | config
        host = config.pop("host")
        self.config = dict.fromkeys(self.listens, f"{host.address}:0") | config
        self.config_path = self.dir / f"{name}.json"
        self.args = list(args)
        self.ready = {}
        self.expected = {0}
        self._log_at = 0
        program = pathlib.Path(build or build_dir()) / self.binary
        argv = [program, "--config", self.config_path, *self.args]
        log = self.dir / f"{name}.log"
        super().__init__(name, argv, log, {**SANITIZER_ENV, **(env or {})}, host=host)

    def launch(self):
        """Starts without waiting for readiness; start() is what most want."""
        self.config_path.write_text(json.dumps(self.config, indent=1))
        self._log_at = self.log.stat().st_size if self.log.exists() else 0
        self.expected = {0}
        self.ready = {}
        self.spawn()
        return self

    def start(self, timeout=20):
        self.launch()
        return self.wait_ready(timeout)

    def wait_ready(self, timeout=20):
        self.ready = self.wait_for(lambda: self.event("ready"), "event=ready", timeout)
        return self

    def lines(self):
        """The log's lines since the last launch."""
        with open(self.log, "rb") as f:
            f.seek(self._log_at)
            return f.read().decode(errors="replace").splitlines()

    def events(self, name):
        found = (log_fields(line) for line in self.lines() if f"event={name}" in line)
        return [e for e in found if e.get("event") == name]

    def event(self, name):
        found = self.events(name)
        return found[-1] if found else None

    def wait_event(self, name, timeout=10):
        return self.wait_for(lambda: self.event(name), f"event={name}", timeout)

    @property
    def admin(self):
        return self.ready.get("admin", "")

    def get(self, path, port=None, timeout=5, method="GET", headers=()):
        """(status, body) of a request; port: None = the admin listener, or "host:port"."""
        url = f"http://{port or self.admin}{path}"
        request = urllib.request.Request(url, method=method, headers=dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=scaled(timeout)) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def metrics(self):
        status, body = self.get("/metrics")
        assert status == 200, f"{self.name}: /metrics answers {status}"
        return Metrics.parse(body)

    def wait_metric(self, name, least, timeout=10, **labels):
        """Waits until the metric is at least that; returns it."""

        def probe():
            value = self.metrics().total(name, **labels)
            return (value,) if value >= least else None

        return self.wait_for(probe, f"{name} >= {least}", timeout)[0]

    def rss(self):
        """Resident bytes now."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def stop(self, timeout=15):
        """SIGTERM; the exit code. One that needs longer than the bound is an accident."""
        began = time.monotonic()
        code = super().stop(timeout)
        if code is None:
            self.expected = set()
            with open(self.log, "a") as f:
                f.write(f"harness: still there {time.monotonic() - began:.1f} s after SIGTERM\n")
        return code

    def kill(self):
        """SIGKILL: a crash made on purpose."""
        if self.is_running():
            self.expected = {-signal.SIGKILL}
        return super().kill()

    def sigstop(self):
        self.signal(signal.SIGSTOP)

    def sigcont(self):
        self.signal(signal.SIGCONT)

    def expect_exit(self, *codes):
        """The test knows that this run ends by itself with one of these codes."""
        self.expected = set(codes)

    def accidents(self):
        """Lines that say what went wrong, empty if nothing did. Call after stop()."""
        found = []
        if self.log.exists():
            text = self.log.read_text(errors="replace").splitlines()
            found = [line for line in text if ACCIDENT.search(line)]
        code = self.popen.poll() if self.popen else 0
        if code is not None and code not in self.expected:
            found.append(f"unexpected exit {code}; the log ends:\n{tail(self.log, 15)}")
        return [f"{self.name}: {line}" for line in found]


class Worker(Node):
    binary = "fanout-worker/fanfare-worker"
    listens = ("admin_listen",)


class Edge(Node):
    binary = "edge-node/fanfare-edge"
    listens = ("listen", "admin_listen")

    @property
    def address(self):
        return self.ready.get("listen") or self.config["listen"]

    @property
    def port(self):
        return int(self.address.rpartition(":")[2])

    def upgrade(self, path="/connection/websocket", headers=()):
        """The status of a request to upgrade that is refused."""
        head = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        head |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} | dict(headers)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=scaled(5))
        connection.request("GET", path, headers=head)
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    @property
    def url(self):
        scheme = "wss" if self.config.get("tls_certificate") else "ws"
        return f"{scheme}://{self.address}/connection/websocket"


class Nodes:
    """Starts nodes for one test (or session) and answers for them at its end."""

    def __init__(self, directory, kafka=None, redis=None):
        self.dir = pathlib.Path(directory)
        self.kafka = kafka
        self.redis = redis
        self.all = []

    def _redis(self, config):
        server = config.pop("redis", None) or self.redis
        base = {} if "redis_url" in config or server is None else {"redis_url": server.url}
        if server is not None and getattr(server, "password", None):
            base.setdefault("redis_password", server.password)
        return base

    def worker(self, start=True, env=None, args=(), **config):
        """A worker on this session's Kafka and Redis; config: its keys, kafka={…} is merged."""
        base = self._redis(config)
        kafka = {"bootstrap.servers": self.kafka.bootstrap} if self.kafka else {}
        base["kafka"] = {**kafka, **config.pop("kafka", {})}
        return self.add(Worker({**base, **config}, self.dir, env=env, args=args), start)

    def edge(self, start=True, env=None, args=(), **config):
        base = self._redis(config)
        return self.add(Edge({**base, **config}, self.dir, env=env, args=args), start)

    def add(self, node, start=True):
        self.all.append(node)
        return node.start() if start else node

    def finish(self):
        """Stops what still runs; the accidents of all. Raises nothing: the fixture decides."""
        for node in self.all:
            if node.is_running():
                node.stop()
        return [line for node in self.all for line in node.accidents()]
