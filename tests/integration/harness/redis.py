# SPDX-License-Identifier: Apache-2.0
"""A real redis-server on a free port, in memory only.

start() again after stop() or kill() comes back empty on the same port: the loss that a worker must
heal. Invariant: one instance belongs to one RedisServer and dies with it.
"""

import pathlib
import shutil

import redis

from .util import HERE, Process, free_port, need_program


class RedisServer:
    def __init__(self, directory, port=0, password=None, env=None, host=HERE, **settings):
        """settings: any option of redis.conf, with _ for - (maxmemory="64mb")."""
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.password, self.env, self.host = password, env, host
        self.settings = {"save": "", "appendonly": "no", "maxmemory_policy": "noeviction"}
        self.settings["protected_mode"] = "no"  # else it serves loopback only
        self.settings |= settings
        self.url = f"redis://{host.address}:{self.port}"
        self.process = None
        self.was_loading = False  # it has answered LOADING since it was started
        self._client = None

    def start(self):
        self.was_loading = False
        argv = [need_program("redis-server"), "--port", self.port, "--bind", self.host.address]
        argv += ["--dir", self.dir]
        for name, value in self.settings.items():
            argv += ["--" + name.replace("_", "-"), value]
        if self.password:
            argv += ["--requirepass", self.password]
        name, log = f"redis:{self.port}", self.dir / "redis.log"
        self.process = Process(name, argv, log, self.env, host=self.host)
        self.process.spawn()
        self.process.wait_for(self._answers, "it answers PING", 20)
        return self

    def _answers(self):
        try:
            return self.client().ping()
        except redis.BusyLoadingError:
            self.was_loading = True
        except redis.ConnectionError:
            pass
        return False

    def client(self):
        """redis-py, bytes in and out."""
        if self._client is None:
            where = {"host": self.host.address, "port": self.port}
            self._client = redis.Redis(**where, password=self.password, protocol=2)
        return self._client

    def flush(self):
        self.client().flushall()

    def stop(self):
        return self.process.stop() if self.process else 0

    def kill(self):
        return self.process.kill() if self.process else None

    def remove(self):
        if self._client is not None:
            self._client.close()
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
