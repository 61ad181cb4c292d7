# SPDX-License-Identifier: Apache-2.0
"""A Redis as production has it: a master, replicas, and Sentinels that agree on who is which.

RedisSet has what a node is given as its Redis: .url (sentinel://…), .password, .client() of who is the master
now. Sentinels may also watch a master that a test made itself.
"""

import contextlib
import pathlib
import shutil

import redis as redis_py

from .redis import RedisServer
from .util import Process, free_port, need_program, wait_until

NAME = "region"


class Sentinels:
    """Three by default, of which two must agree; a master is missed after a second."""

    def __init__(self, directory, master, count=3, password=None, master_password=None):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.master, self.password = master, password
        self.quorum = count // 2 + 1
        self.ports = [free_port() for _ in range(count)]
        self.url = f"sentinel://{','.join(f'127.0.0.1:{p}' for p in self.ports)}/{NAME}"
        self.processes, self._clients = {}, {}
        for port in self.ports:
            self._conf(port).write_text(self._settings(port, master_password))

    def _conf(self, port):
        return self.dir / f"sentinel-{port}.conf"

    def _settings(self, port, master_password):
        lines = [f"port {port}", "bind 127.0.0.1", f"dir {self.dir}"]
        lines += [f"sentinel monitor {NAME} 127.0.0.1 {self.master.port} {self.quorum}"]
        lines += [f"sentinel down-after-milliseconds {NAME} 1000"]
        lines += [f"sentinel failover-timeout {NAME} 3000"]
        if self.password:
            lines += [f"requirepass {self.password}", f"sentinel sentinel-pass {self.password}"]
        if master_password:
            lines += [f"sentinel auth-pass {NAME} {master_password}"]
        return "\n".join(lines) + "\n"

    def start(self, replicas=1):
        """All of them; returns when each knows the others and the master's replicas. Again after kill()."""
        for port in self.ports:
            argv = [need_program("redis-server"), self._conf(port), "--sentinel"]
            self.processes[port] = Process(f"sentinel:{port}", argv, self.dir / f"sentinel-{port}.log")
            self.processes[port].spawn()

        def know():
            facts = [self.ask(port, "MASTER") for port in self.ports]
            return all(
                f and f["num-other-sentinels"] == len(self.ports) - 1 and f["num-slaves"] >= replicas
                for f in facts
            )

        wait_until(know, "the Sentinels know each other and the replicas", 40, every=0.1)
        return self

    def client(self, port):
        if port not in self._clients:
            self._clients[port] = redis_py.Redis("127.0.0.1", port, password=self.password, protocol=2)
        return self._clients[port]

    def ask(self, port, what):
        """The reply to SENTINEL <what> <name>; None while it doesn't answer."""
        with contextlib.suppress(redis_py.RedisError):
            return self.client(port).execute_command(f"SENTINEL {what}", NAME)
        return None

    def master_port(self, port=None):
        """Where the master is, says that Sentinel or the first one."""
        found = self.ask(port or self.ports[0], "GET-MASTER-ADDR-BY-NAME")
        return int(found[1]) if found else None

    def agree_on(self, server):
        return all(self.master_port(port) == server.port for port in self.ports)

    def kill(self):
        for process in self.processes.values():
            process.kill()

    def remove(self):
        for client in self._clients.values():
            client.close()
        self.kill()


class RedisSet:
    """servers[0] begins as the master. The passwords are those of Redis and of the Sentinels."""

    def __init__(self, directory, replicas=1, password=None, sentinel_password=None, **settings):
        self.dir = pathlib.Path(directory)
        self.password = password
        auth = {"masterauth": password} if password else {}
        self.servers = [
            RedisServer(self.dir / f"redis-{i}", password=password, **auth, **settings)
            for i in range(replicas + 1)
        ]
        self.sentinels = Sentinels(
            self.dir / "sentinels", self.servers[0], password=sentinel_password, master_password=password
        )
        self.url = self.sentinels.url

    def start(self):
        for server in self.servers:
            server.settings["repl-diskless-sync-delay"] = 0
            server.start()
        for server in self.servers[1:]:
            server.client().replicaof("127.0.0.1", self.servers[0].port)
        wait_until(self.in_step, "the replicas are in step", 20)
        self.sentinels.start(len(self.servers) - 1)
        return self

    def in_step(self):
        facts = [s.client().info("replication") for s in self.servers]
        return all(f["role"] == "master" or f.get("master_link_status") == "up" for f in facts)

    def master(self):
        port = self.sentinels.master_port()
        return next(s for s in self.servers if s.port == port)

    def replicas(self):
        return [s for s in self.servers if s is not self.master()]

    def client(self):
        return self.master().client()

    def elected(self, old):
        """Another one than `old` is the master, and all Sentinels say so."""
        new = self.master()
        return new is not old and self.sentinels.agree_on(new) and new.client().role()[0] == b"master"

    def remove(self):
        self.sentinels.remove()
        for server in self.servers:
            server.remove()
        shutil.rmtree(self.dir, ignore_errors=True)
