#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Servers that Debian packages, unpacked into the cache: nothing is installed, no daemon is started.

    peer_packages.py      fetch what is not there yet; says what came, or why it can't be had

A package and those of its libraries that the machine lacks are downloaded by apt-get, which checks
their signatures, and unpacked by dpkg-deb. Versions are those that apt offers when it is first asked;
they stay until the cache is emptied. Standard library only, as it runs before the benches' virtual
environment exists.
"""

import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

from harness.util import cache_dir, locked  # noqa: E402 (needs the path above)

# What is looked for, and the packages that bring it; the first one's version is shown.
PEERS = {
    "nchan": ("usr/sbin/nginx", ["libnginx-mod-nchan", "nginx"]),
    "nats": ("usr/sbin/nats-server", ["nats-server"]),
    "mosquitto": ("usr/sbin/mosquitto", ["mosquitto"]),
}
NO = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]


class Unavailable(Exception):
    """A peer that can't be had here, and why."""


def _run(*argv, cwd=None):
    argv = [str(a) for a in argv]
    try:
        done = subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError as e:
        raise Unavailable(f"{argv[0]}: {e.strerror}") from e
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"{argv[0]}: {said[-1] if said else done.returncode}")
    return done.stdout


class Apt:
    """apt with the system's package lists or, where they are missing or stale, with lists of our own."""

    def __init__(self, home):
        self.home = home
        self.options = []

    def own_lists(self):
        for name in ("lists/partial", "archives/partial"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        self.options = [f"-oDir::State::lists={self.home}/lists", f"-oDir::Cache={self.home}"]
        self.options += ["-oAPT::Sandbox::User=", "-oAPT::Update::Post-Invoke::="]
        _run("apt-get", "-q", *self.options, "update")

    def download(self, package, into):
        """The path of the .deb."""
        _run("apt-get", "-q", "-oAPT::Sandbox::User=", *self.options, "download", package, cwd=into)
        return max(into.glob(f"{package}_*.deb"), key=lambda p: p.stat().st_mtime)

    def libraries(self, package):
        """Packages of libraries that it needs and the system doesn't have."""
        out = _run("apt-cache", *self.options, "depends", *NO, package)
        names = [line.split()[-1] for line in out.splitlines() if line.startswith("  Depends: lib")]
        return [n for n in names if not _installed(n)]


def _installed(package):
    argv = ["dpkg-query", "-W", "-f=${db:Status-Abbrev}", package]
    return subprocess.run(argv, capture_output=True, text=True).stdout[1:2] == "i"


def _unpack(apt, names, home):
    """Packages, and the libraries they lack, below home/root. Returns the first one's version."""
    debs = home / "debs"
    debs.mkdir(parents=True)
    versions, wanted, program = [], list(names), set(names)
    for package in wanted:  # grows while we walk it
        deb = apt.download(package, debs)
        _run("dpkg-deb", "-x", deb, home / "root")
        versions.append(_run("dpkg-deb", "-f", deb, "Version").strip())
        wanted += [n for n in apt.libraries(package) if n not in wanted]
    shutil.rmtree(debs)
    names = [f"{n} {v}" for n, v in zip(wanted, versions, strict=True) if n in program]
    return ", ".join(names)


def _make(apt, peer, home):
    program, names = PEERS[peer]
    shutil.rmtree(home, ignore_errors=True)
    try:
        try:
            version = _unpack(apt, names, home)
        except Unavailable:
            if apt.options:
                raise
            apt.own_lists()
            shutil.rmtree(home, ignore_errors=True)
            version = _unpack(apt, names, home)
        if not (home / "root" / program).exists():
            raise Unavailable(f"{names[0]}: there is no {program} in it")
        (home / "complete").write_text(json.dumps({"version": version}))
    except Unavailable:
        shutil.rmtree(home, ignore_errors=True)
        raise


def _home():
    """One for each release of the system: packages of another one would not run."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return cache_dir() / f"peers-{release.get('ID', 'linux')}-{release.get('VERSION_ID', '0')}"


_failed = {}  # in this process; another one tries again


class Package:
    """A peer's files: fetched the first time, then from the cache. Raises Unavailable."""

    def __init__(self, peer):
        home = _home() / peer
        home.parent.mkdir(exist_ok=True)
        with locked(home.parent / "lock"):
            self.is_new = not (home / "complete").exists()
            if self.is_new:
                self._fetch(peer, home)
        self.root = home / "root"
        self.program = self.root / PEERS[peer][0]
        self.version = json.loads((home / "complete").read_text())["version"]
        dirs = {str(p.parent) for p in self.root.glob("**/lib*.so.*")}
        self.env = {"LD_LIBRARY_PATH": os.pathsep.join(sorted(dirs))} if dirs else {}

    @staticmethod
    def _fetch(peer, home):
        if peer in _failed:
            raise _failed[peer]
        try:
            _make(Apt(home.parent / "apt"), peer, home)
        except Unavailable as e:
            _failed[peer] = e
            raise


def main():
    for peer in PEERS:
        try:
            package = Package(peer)
            if package.is_new:
                print(f"{peer}: fetched {package.version}")
        except Unavailable as e:
            print(f"{peer}: can't be had here: {e}")


if __name__ == "__main__":
    main()
