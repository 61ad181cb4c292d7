# SPDX-License-Identifier: Apache-2.0
"""A real Apache Kafka broker (KRaft, one combined node), for tests, demo and bench.

The jars come from the Maven repository by ../kafka/pom.xml into the cache; a class-data archive
beside them halves the start. Data is throw-away. Standard library only; also a command:

    python3 kafka.py fetch                    fill the cache, then exit
    python3 kafka.py run --dir D [--port P]   run a broker; prints `bootstrap=127.0.0.1:P` when it
                                              answers, ends with SIGTERM or SIGINT
"""

import argparse
import base64
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

if __package__:
    from .util import HERE, Process, cache_dir, free_port, locked, need_program, port_open
else:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    from harness.util import HERE, Process, cache_dir, free_port, locked, need_program, port_open

POM = pathlib.Path(__file__).resolve().parents[1] / "kafka" / "pom.xml"
JVM_QUICK = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]

LOG4J = """\
appenders=out
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1}: %m%n
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=OUT
"""

# The cleaner's default buffer (128 MB) is taken from the heap at start, and would not fit.
SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{ctl}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://127.0.0.1:{ctl}{bound}
advertised.listeners=PLAINTEXT://{host}:{port},CONTROLLER://127.0.0.1:{ctl}{told}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{names}
log.dirs={dir}/data
num.partitions=3
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.backoff.ms=200
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


def fetch():
    """The directory of the jars, filled from Maven once per version of pom.xml."""
    key = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    home = cache_dir() / f"kafka-{key}"
    with locked(cache_dir() / "kafka.lock"):
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            (home / "libs").mkdir(parents=True)
            argv = [need_program("mvn"), "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
            argv += [f"-DoutputDirectory={home}/libs", "-DincludeScope=runtime"]
            subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
            (home / "complete").touch()
    return home


def class_path(home):
    # An explicit list: the archive of classes is refused when the path has a wildcard.
    return ":".join(sorted(str(p) for p in (home / "libs").glob("*.jar")))


def java(home, main, *args, opts=()):
    argv = [need_program("java"), "-cp", class_path(home), *JVM_QUICK, *opts, main, *args]
    return [str(a) for a in argv]


def archive(home):
    """The class-data archive for this Java and these jars, made once by running a broker."""
    version = subprocess.run([need_program("java"), "-version"], capture_output=True, check=True)
    path = home / f"classes-{hashlib.sha256(version.stderr).hexdigest()[:12]}.jsa"
    with locked(home / "archive.lock"):
        if not path.exists():
            work = home / f"archive-{os.getpid()}"
            made = work / "made.jsa"
            broker = Broker(work, opts=[f"-XX:ArchiveClassesAtExit={made}"])
            try:
                broker.start()
                broker.stop(30)
                if made.exists():
                    made.rename(path)
            finally:
                broker.kill()
                shutil.rmtree(work, ignore_errors=True)
    return path


def cluster_id():
    return base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")


class Broker:
    """One broker; start() returns when it answers. Ports are fixed for its life, so it can restart."""

    def __init__(self, directory, port=0, opts=None, host=HERE):
        self.dir = pathlib.Path(directory).absolute()
        self.port, self.host = port or free_port(), host
        self.ways = {}  # name: (port of one more listener, the "host:port" that its clients are told)
        self.home = fetch()
        if opts is None:
            opts = [f"-XX:SharedArchiveFile={archive(self.home)}"]
        self.opts = opts
        self.bootstrap = f"{host.address}:{self.port}"
        self.process = None

    def settings(self):
        bound = [f",{name}://{self.host.address}:{port}" for name, (port, _) in self.ways.items()]
        more = {
            "bound": "".join(bound),
            "told": "".join(f",{name}://{told}" for name, (_, told) in self.ways.items()),
            "names": "".join(f",{name}:PLAINTEXT" for name in self.ways),
        }
        known = {"host": self.host.address, "port": self.port, "ctl": free_port(), "dir": self.dir}
        return SETTINGS.format(**known, **more)

    def format_args(self):
        return ["--standalone", f"--cluster-id={cluster_id()}"]

    def _format(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        (self.dir / "log4j2.properties").write_text(LOG4J)
        conf = self.dir / "server.properties"
        conf.write_text(self.settings())
        args = ["format", *self.format_args(), "-c", conf]
        argv = java(self.home, "kafka.tools.StorageTool", *args, opts=["-Xmx64m"])
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")

    def start(self, timeout=60):
        self.spawn()
        return self.wait_open(timeout)

    def spawn(self):
        if not (self.dir / "server.properties").exists():
            self._format()
        opts = ["-Xms64m", "-Xmx256m", f"-Dlog4j2.configurationFile={self.dir}/log4j2.properties"]
        argv = java(
            self.home, "kafka.Kafka", self.dir / "server.properties", opts=[*opts, *self.opts]
        )
        self.process = Process("kafka", argv, self.dir / "kafka.log", cwd=self.dir, host=self.host)
        self.process.spawn()

    def wait_open(self, timeout=60):
        there = self.host.address
        self.process.wait_for(lambda: port_open(self.port, there), "the client port opens", timeout)
        return self

    def stop(self, timeout=10):
        return self.process.stop(timeout) if self.process else 0

    def kill(self):
        return self.process.kill() if self.process else None


def main():
    parser = argparse.ArgumentParser(description="a real Kafka broker on loopback")
    parser.add_argument("action", choices=["fetch", "run"])
    parser.add_argument("--dir", help="its data, configuration and log (run)")
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    if args.action == "fetch":
        archive(fetch())
        return 0
    if not args.dir:
        parser.error("run needs --dir")
    asked = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _: asked.append(n))
    broker = Broker(args.dir, args.port)
    try:
        broker.start()
        print(f"bootstrap={broker.bootstrap}", flush=True)
        while not asked and broker.process.is_running():
            time.sleep(0.2)
        return 0 if asked else 1
    finally:
        broker.stop()


if __name__ == "__main__":
    sys.exit(main())
