# SPDX-License-Identifier: Apache-2.0
"""Hosts of a region: network namespaces, each with one address on the region's bridge.

A host reaches the others of its region and the region's gateway, nothing else: there is no route. What leads
to another region is a proxy at the gateway (link.py). The test itself stands where all bridges are, and
reaches all.

Invariant: all of it is in the network namespace of apart.py, and is gone with it.
"""

import os
import subprocess

from harness.util import Place, wait_until


def ip(*commands, enter=()):
    """Commands of ip(8), all or none of which should work."""
    argv = [*enter, "ip", "-batch", "-"]
    done = subprocess.run(argv, input="\n".join(commands), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{' ; '.join(commands)}: {done.stderr}"


class Host(Place):
    """One address. A command that is entered there keeps its pid."""

    def __init__(self, site, number, name):
        self._keeper = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        enter = ("nsenter", f"--net=/proc/{self._keeper.pid}/ns/net", "--")
        super().__init__(f"{site.net}.{number}", enter)
        mine, its = (f"/proc/{pid}/ns/net" for pid in ("self", self._keeper.pid))
        wait_until(lambda: os.readlink(its) != os.readlink(mine), f"{name} has a network", 10)
        self.wire = f"{site.bridge}-{number}"
        ip(f"link add {self.wire} type veth peer name eth0 netns {self._keeper.pid}",
           f"link set {self.wire} master {site.bridge} up")  # fmt: skip
        inside = f"address add {self.address}/24 dev eth0", "link set eth0 up", "link set lo up"
        ip(*inside, enter=self.enter)

    def plug(self, plugged=True):
        """Unplugged: what it sends and is sent is lost, and nobody is told."""
        ip(f"link set {self.wire} {'up' if plugged else 'down'}")

    def remove(self):
        self._keeper.kill()
        self._keeper.wait()


class Site:
    """A region's network. Hosts are made when they are first asked for."""

    def __init__(self, number):
        self.net, self.bridge = f"10.{number}.0", f"site{number}"
        self.gateway = Place(f"{self.net}.1")
        self.hosts = {}
        ip(f"link add {self.bridge} type bridge",
           f"address add {self.gateway.address}/24 dev {self.bridge}",
           f"link set {self.bridge} up")  # fmt: skip

    def host(self, name):
        if name not in self.hosts:
            self.hosts[name] = Host(self, len(self.hosts) + 10, name)
        return self.hosts[name]

    def remove(self):
        for host in self.hosts.values():
            host.remove()
        ip(f"link delete {self.bridge}")
