# SPDX-License-Identifier: Apache-2.0
"""A Docker of the tests' own: dockerd, its client, compose and buildx, from Debian's packages.

It asks no image registry (the base image is made by debootstrap), touches neither the machine's packet
filter nor its forwarding, and leaves no link behind. What it built stays in the cache, so that a second run
is quick. Ended by its own pid. Standard library only; also a command:

    python3 dockerd.py run        runs it, prints what to export for its `docker`, ends with SIGTERM or SIGINT
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from harness.util import Process, cache_dir, locked, tail, wait_until  # noqa: E402

SUITE = "trixie"  # its dockerd needs glibc 2.34: Debian 12 has that, too
MIRROR = os.environ.get("FANFARE_DEBIAN_MIRROR", "http://deb.debian.org/debian")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGES = ["docker.io", "containerd", "docker-cli", "docker-compose", "docker-buildx"]
# iptables: within the containers, for their DNS
NEEDED = ["apt-get", "dpkg-deb", "debootstrap", "runc", "iptables"]
BASE = "debian:trixie-slim"
SETTINGS = {
    "iptables": False,
    "ip6tables": False,
    "ip-forward": False,
    "ip-masq": False,
    "bridge": "none",
    "default-address-pools": [{"base": "10.213.0.0/16", "size": 24}],
    "builder": {"gc": {"enabled": True, "defaultKeepStorage": "6GB"}},
}


class NoDocker(Exception):
    """No dockerd can run here; the text says why."""


def check_machine():
    if os.geteuid() != 0:
        raise NoDocker("a dockerd needs root")
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        raise NoDocker(f"not on PATH: {', '.join(missing)} (./dev install deploy)")
    if not os.path.exists(KEYRING):
        raise NoDocker(f"no {KEYRING} (./dev install deploy)")


def run(argv, err=False, **more):
    """What it prints (err: on standard error, too); all of that in the exception, if it fails."""
    argv = [str(a) for a in argv]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
    if done.returncode:
        text = f"{done.stdout[-3000:]}{done.stderr[-6000:]}"
        raise RuntimeError(f"{' '.join(argv[:6])} … failed ({done.returncode}):\n{text}")
    return done.stdout + (done.stderr if err else "")


def apt(home):
    """An apt of that suite alone, whatever this machine's sources are."""
    for folder in ("lists/partial", "cache/archives/partial", "deb"):
        (home / "apt" / folder).mkdir(parents=True, exist_ok=True)
    (home / "apt" / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {SUITE} main\n")
    conf = home / "apt" / "apt.conf"
    conf.write_text(
        f'Dir::Etc::sourcelist "{home}/apt/sources.list";\nDir::Etc::sourceparts "-";\n'
        f'Dir::State::lists "{home}/apt/lists";\nDir::Cache "{home}/apt/cache";\nAPT::Sandbox::User "root";\n'
    )
    return {**os.environ, "APT_CONFIG": str(conf)}


def fetch():
    """The folder with the programs below usr/, filled once."""
    home = cache_dir() / f"docker-{SUITE}"
    with locked(cache_dir() / "docker-fetch.lock"):
        if (home / "complete").exists():
            return home
        shutil.rmtree(home, ignore_errors=True)
        env = apt(home)
        run(["apt-get", "update", "-qq"], env=env)
        run(["apt-get", "download", "-qq", *PACKAGES], env=env, cwd=home / "apt" / "deb")
        for deb in (home / "apt" / "deb").glob("*.deb"):
            run(["dpkg-deb", "-x", deb, home])
        shutil.rmtree(home / "apt")
        for name in ("bin", "sbin"):
            (home / "usr" / name / "runc").unlink(missing_ok=True)  # the machine's own, made for its glibc
        (home / "complete").touch()
    return home


class Docker:
    """start() … stop(); between, docker(…) is its client. One at a time: they share what was built."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="fanfare-docker-"))  # short: sockets are in it
        self.home = None
        self.pid_file = cache_dir() / "docker-data.pid"
        self.process = None
        self.lock = None

    def env(self):
        path = [self.home / "usr/bin", self.home / "usr/sbin", os.environ["PATH"]]
        return {
            **os.environ,
            "PATH": ":".join(map(str, path)),
            "DOCKER_HOST": f"unix://{self.dir}/d.sock",
            "DOCKER_CONFIG": str(self.dir / "config"),
            "BUILDKIT_PROGRESS": "plain",
        }

    def _client_config(self):
        plugins = self.dir / "config" / "cli-plugins"
        plugins.mkdir(parents=True)
        for plugin in (self.home / "usr/libexec/docker/cli-plugins").iterdir():
            (plugins / plugin.name).symlink_to(plugin)

    def _answers(self):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.dir / "d.sock"))
            s.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200 OK" in s.recv(200)
        return False

    def _end_left_over(self):
        """One whose tests were killed is still there, and holds the data."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self.pid_file.read_text())
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"/dockerd\0" in command and b"fanfare-docker-" in command:
                os.kill(pid, signal.SIGTERM)
                wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "an old dockerd ends", 30)

    def start(self):
        check_machine()
        self.home = fetch()
        self._client_config()
        data = cache_dir() / "docker-data"
        data.mkdir(exist_ok=True)
        self.lock = open(cache_dir() / "docker-data.lock", "w")  # held until stop()
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        settings = SETTINGS | {"data-root": str(data), "exec-root": f"{self.dir}/exec"}
        (self.dir / "daemon.json").write_text(json.dumps(settings))
        argv = [self.home / "usr/sbin/dockerd", "--config-file", self.dir / "daemon.json"]
        argv += ["-p", self.pid_file, "-H", f"unix://{self.dir}/d.sock"]
        self._end_left_over()
        self.process = Process("dockerd", argv, self.dir / "d.log", self.env())
        self.process.spawn()
        try:
            self.process.wait_for(self._answers, "it answers", 30)
        except AssertionError as error:
            raise NoDocker(f"dockerd doesn't run here: {tail(self.dir / 'd.log', 1)}") from error
        self.clean()
        self.make_base()
        return self

    def docker(self, *args, timeout=900, err=False, **env):
        """`docker …`; what it prints."""
        return run(["docker", *args], err, env=self.env() | env, timeout=timeout)

    def make_base(self):
        """Debian 13 of its packages, under the name that the Dockerfile begins with."""
        if self.docker("image", "ls", "-q", BASE).strip():
            return
        root = self.dir / "root"
        run(["debootstrap", "--variant=minbase", f"--keyring={KEYRING}", SUITE, root, MIRROR])
        tar = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
        argv = ["docker", "import", "-c", 'CMD ["bash"]', "-", BASE]
        subprocess.run(argv, stdin=tar.stdout, stdout=subprocess.DEVNULL, env=self.env(), check=True)
        if tar.wait():
            raise RuntimeError("tar failed")
        shutil.rmtree(root)

    def clean(self):
        """No container and no network of an earlier run."""
        left = self.docker("ps", "-aq").split()
        if left:
            self.docker("rm", "-f", *left)
        self.docker("network", "prune", "-f")
        self.docker("volume", "prune", "-af")

    def stop(self):
        if self.process:
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                self.clean()
            self.process.stop(30)
        if self.lock:
            self.lock.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    asked = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _: asked.append(n))
    docker = Docker()
    try:
        docker.start()
        for name in ("DOCKER_HOST", "DOCKER_CONFIG", "PATH"):
            print(f"export {name}={docker.env()[name]}", flush=True)
        while not asked and docker.process.is_running():
            signal.pause()
        return 0
    except NoDocker as error:
        print(f"dockerd.py: {error}", file=sys.stderr)
        return 1
    finally:
        docker.stop()


if __name__ == "__main__":
    sys.exit(main())
