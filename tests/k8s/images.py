# SPDX-License-Identifier: Apache-2.0
"""Images without a registry: a program, the libraries that it is linked to here, and nothing else.

An archive as `docker save` writes it, one layer, for containerd to import. They stand in for images that
cannot be pulled on a machine without a registry.
"""

import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import tarfile

from harness import kafka
from harness.util import need_program

PAUSE = "fanfare.test/pause:1"
PAUSE_C = """\
#include <signal.h>
#include <unistd.h>
static void stop(int n) { (void)n; _exit(0); }
int main(void) { signal(SIGTERM, stop); signal(SIGINT, stop); for (;;) pause(); }
"""


class Layer:
    """Files by the path they have in the image: {path: the file here, or bytes}."""

    def __init__(self):
        self.files = {}

    def add(self, path, source):
        self.files[str(path)] = source

    def program(self, path, source):
        """An executable or a library, and all that it is linked to."""
        self.add(path, pathlib.Path(source).resolve())
        done = subprocess.run(["ldd", str(source)], capture_output=True, text=True)
        for library in re.findall(r"(/\S+) \(0x", done.stdout):
            self.add(library, pathlib.Path(library).resolve())

    def tree(self, top):
        """A directory as it is here, links followed."""
        for folder, _, names in os.walk(top, followlinks=True):
            for name in names:
                path = pathlib.Path(folder) / name
                if path.is_file():
                    self.add(path, path.resolve())

    def tar(self):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for path, source in sorted(self.files.items()):
                data = source if isinstance(source, bytes) else source.read_bytes()
                row = tarfile.TarInfo(path.lstrip("/"))
                row.size = len(data)
                row.mode = 0o755 if isinstance(source, bytes) or os.access(source, os.X_OK) else 0o644
                tar.addfile(row, io.BytesIO(data))
        return out.getvalue()


def write(path, name, layer, config):
    """`docker save`'s archive of one image."""
    data = layer.tar()
    digest = hashlib.sha256(data).hexdigest()
    image = {"architecture": "amd64", "os": "linux", "config": config}
    image["rootfs"] = {"type": "layers", "diff_ids": [f"sha256:{digest}"]}
    text = json.dumps(image).encode()
    files = {"layer.tar": data, "config.json": text}
    row = {"Config": "config.json", "RepoTags": [full_name(name)], "Layers": ["layer.tar"]}
    files["manifest.json"] = json.dumps([row]).encode()
    with tarfile.open(path, "w") as tar:
        for member, content in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def full_name(name):
    """fanfare-edge:0.1.0 → docker.io/library/fanfare-edge:0.1.0, as the runtime calls it."""
    first, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    return name if "." in first else f"docker.io/{name}"


def pause(directory):
    source, program = directory / "pause.c", directory / "pause"
    source.write_text(PAUSE_C)
    subprocess.run(["gcc", "-Os", "-static", "-s", "-o", program, source], check=True)
    layer = Layer()
    layer.program("/pause", program)
    return write(directory / "pause.tar", PAUSE, layer, {"Entrypoint": ["/pause"]})


def fanfare(directory, build, name, tag):
    """An image of ours as docker/Dockerfile has it: the program as process 1, no root."""
    part = {"fanfare-edge": "edge-node", "fanfare-worker": "fanout-worker"}[name]
    layer = Layer()
    layer.program(f"/usr/local/bin/{name}", build / part / name)
    for plugin in pathlib.Path("/usr/lib").glob("*/libwebsockets-evlib_ev.so"):
        layer.program(plugin, plugin)
    config = {"Entrypoint": [f"/usr/local/bin/{name}"], "User": "10001:10001"}
    return write(directory / f"{name}.tar", f"{name}:{tag}", layer, config)


def redis(directory, name):
    layer = Layer()
    layer.program("/usr/bin/redis-server", need_program("redis-server"))
    config = {"Env": ["PATH=/usr/bin"], "User": "999:999"}
    return write(directory / "redis.tar", name, layer, config)


def kafka_broker(directory, name):
    """Java and the broker's jars at /kafka/libs; what it runs is up to the pod."""
    layer = Layer()
    java = pathlib.Path(need_program("java")).resolve()
    home = java.parents[1]
    layer.tree(home)
    for library in [java, *home.rglob("*.so")]:
        layer.program(library, library)
    for jar in (kafka.fetch() / "libs").glob("*.jar"):
        layer.add(f"/kafka/libs/{jar.name}", jar)
    config = {"Env": [f"PATH={java.parent}", "CLASSPATH=/kafka/libs/*"], "User": "1000:1000"}
    return write(directory / "kafka.tar", name, layer, config)
