# SPDX-License-Identifier: Apache-2.0
"""The peers as processes: nchan, NATS, mosquitto and uWebSockets, by the interface of servers.py.

One worker or thread each, on the servers' CPU, no logs, no compression, no pings while a bench runs.
Constructors raise Unavailable where a peer can't be had. Where a peer's own frames name the channel
(NATS, MQTT) it carries the record's data, else the text that an edge's client would get.
"""

import importlib.metadata
import os
import pathlib
import pwd
import socket
import sys

from measure import SERVER_CPU
from peer_packages import Package, Unavailable
from servers import CHANNEL, Sink, data_text, push_text

from harness.util import Process, free_port, port_open

HERE = pathlib.Path(__file__).resolve().parent
FILES = 16000  # a process' descriptors; not all of them raise a limit of 1,024 by themselves


class Peer:
    """What all share: a configuration in a directory of its own, a process, one kept connection.

    size and count are those of Bare. name: for people. dialect: bench_sink's.
    """

    name = dialect = ""

    def __init__(self, directory, size, count=0):
        self.dir = pathlib.Path(directory) / self.name
        self.dir.mkdir(parents=True)
        self.size, self.count = size, count
        self.offset = 0
        self.port, self.publish_port = free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.version, argv, env = self.command()
        if os.cpu_count() > 1:  # from the start: a runtime counts its CPUs then
            argv = ["taskset", "-c", SERVER_CPU, *argv]
        argv = ["prlimit", f"--nofile={FILES}:", *argv]
        self.link = None
        self.process = Process(self.name, argv, self.dir / "log", env)
        self.process.spawn()
        try:
            self.process.wait_for(lambda: port_open(self.port), "its port opens", 20)
            self.link = self.connect()
        except BaseException:
            self.close()
            raise

    def command(self):
        """(version, argv, environment); configurations are written here."""
        raise NotImplementedError

    def send(self, records):
        """Publishes [(channel, offset)] and returns when the server has taken them all."""
        raise NotImplementedError

    def connect(self):
        """The publisher's connection."""
        link = socket.create_connection(("127.0.0.1", self.publish_port), 20)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return link

    @property
    def pid(self):
        """The process whose CPU counts."""
        return self.process.pid

    def sink(self, clients):
        return Sink(self.dialect, self.address, clients, CHANNEL, self.count)

    def publish(self, records):
        batch = []
        for _ in range(records):
            self.offset += 1
            number = self.offset % self.count if self.count else ""
            batch.append((f"{CHANNEL}{number}", self.offset))
        self.send(batch)

    def write(self, name, text):
        path = self.dir / name
        path.write_text(text)
        return path

    def read_some(self):
        piece = self.link.recv(65536)
        if not piece:
            raise RuntimeError(f"{self.name} closed the publisher's connection")
        return piece

    def close(self):
        if self.link:
            self.link.close()
        self.process.stop()


def _me():
    return pwd.getpwuid(os.getuid()).pw_name


NGINX = """\
load_module {dir}/nchan.so;
{user}daemon off;
pid {dir}/pid;
error_log stderr crit;
worker_processes 1;
worker_rlimit_nofile {files};
events {{ worker_connections {files}; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    nchan_shared_memory_size 256m;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location ~ ^/sub/(.+)$ {{ nchan_subscriber websocket; nchan_channel_id $1; }}
        location ~ ^/pub/(.+)$ {{
            nchan_publisher http;
            nchan_channel_id $1;
            nchan_message_buffer_length {kept};
        }}
    }}
}}
"""


class HttpAnswers:
    """Reads the answers to requests that were written at once."""

    def __init__(self, peer):
        self.peer, self.data = peer, b""

    def take(self, n):
        for _ in range(n):
            while b"\r\n\r\n" not in self.data:
                self.data += self.peer.read_some()
            head, _, rest = self.data.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 20"):
                raise RuntimeError(f"{self.peer.name} answers {head.splitlines()[0].decode()}")
            length = 0
            for line in head.lower().splitlines():
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            while len(rest) < length:
                rest += self.peer.read_some()
            self.data = rest[length:]


def post(path, body):
    return f"POST {path} HTTP/1.1\r\nHost: b\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


class Nchan(Peer):
    """nginx with nchan: one worker process; a POST a record, all of a call's written at once."""

    name, dialect = "nchan", "plain"
    kept = 10  # messages of a channel; nchan's own default

    def command(self):
        package = Package("nchan")
        self.copy_module(package.root / "usr/lib/nginx/modules/ngx_nchan_module.so")
        user = f"user {_me()};\n" if os.getuid() == 0 else ""
        conf = NGINX.format(
            user=user,
            dir=self.dir,
            files=FILES,
            port=self.port,
            kept=self.kept,
        )
        self.publish_port = self.port
        argv = [package.program, "-p", self.dir, "-e", "stderr", "-c", self.write("nginx.conf", conf)]
        return package.version, argv, package.env

    def copy_module(self, path):
        """Its directory for temporary files is compiled in (the option for it is always "duplicate"),
        so a copy gets one of ours: a path of the same length, below nginx's prefix."""
        module = path.read_bytes().replace(b"/var/lib/nginx/", b".//////////////")
        (self.dir / "nchan.so").write_bytes(module)

    def connect(self):
        self.answers = HttpAnswers(self)
        return super().connect()

    @property
    def pid(self):
        """The worker's; the master only waits."""
        master = self.process.pid
        children = pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()
        if len(children) != 1:
            raise RuntimeError(f"nginx has {len(children)} workers")
        return int(children[0])

    def send(self, records):
        posts = [post(f"/pub/{c}", push_text(c, offset, self.size)) for c, offset in records]
        self.link.sendall(b"".join(posts))
        self.answers.take(len(records))


NATS = """\
host: 127.0.0.1
port: {publish_port}
max_connections: {files}
ping_interval: "1h"
websocket {{ host: 127.0.0.1, port: {port}, no_tls: true, compression: false }}
"""


class Nats(Peer):
    """nats-server, GOMAXPROCS=1; published over its own protocol on TCP."""

    name, dialect = "NATS", "nats"

    def command(self):
        package = Package("nats")
        text = NATS.format(publish_port=self.publish_port, port=self.port, files=FILES)
        conf = self.write("nats.conf", text)
        return package.version, [package.program, "-c", conf], package.env | {"GOMAXPROCS": "1"}

    def connect(self):
        link = super().connect()
        link.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
        return link

    def send(self, records):
        lines = []
        for channel, offset in records:
            payload = data_text(offset, self.size)
            lines.append(f"PUB {channel} {len(payload)}\r\n{payload}\r\n")
        self.link.sendall("".join(lines).encode() + b"PING\r\n")
        data = b""
        while b"PONG\r\n" not in data:
            data += self.read_some()
        if b"-ERR" in data:
            raise RuntimeError(f"NATS says {data!r}")


MOSQUITTO = """\
allow_anonymous true
persistence false
log_dest none
connection_messages false
set_tcp_nodelay true
user {user}
listener {publish_port} 127.0.0.1
listener {port} 127.0.0.1
protocol websockets
"""


def mqtt_string(text):
    return len(text).to_bytes(2, "big") + text.encode()


def mqtt_packet(kind, body):
    n, head = len(body), bytes([kind])
    while True:
        n, low = divmod(n, 128)
        head += bytes([low | (128 if n else 0)])
        if not n:
            return head + body


class Mosquitto(Peer):
    """mosquitto: one thread, QoS 0; published over MQTT 3.1.1 on TCP."""

    name, dialect = "mosquitto", "mqtt"

    def command(self):
        package = Package("mosquitto")
        text = MOSQUITTO.format(user=_me(), publish_port=self.publish_port, port=self.port)
        conf = self.write("mosquitto.conf", text)
        return package.version, [package.program, "-c", conf], package.env

    def connect(self):
        link = super().connect()
        hello = mqtt_string("MQTT") + bytes([4, 2, 0, 0]) + mqtt_string("bench-publisher")
        link.sendall(mqtt_packet(0x10, hello))
        if link.recv(4) != b"\x20\x02\x00\x00":
            raise RuntimeError("mosquitto refused the publisher")
        return link

    def send(self, records):
        packets = []
        for channel, offset in records:
            payload = data_text(offset, self.size).encode()
            packets.append(mqtt_packet(0x30, mqtt_string(channel) + payload))
        self.link.sendall(b"".join(packets) + b"\xc0\x00")  # PINGREQ
        answer = b""
        while len(answer) < 2:
            answer += self.read_some()


class Uws(Peer):
    """uWebSockets in a Python process that only names channels; all of a call's records in one message."""

    name, dialect = "uWebSockets", "plain"

    def command(self):
        try:
            import socketify  # noqa: F401, PLC0415 (only where there is a wheel, and libuv)
        except (ImportError, OSError) as e:
            raise Unavailable(f"socketify: {e}") from e
        self.publish_port = self.port
        argv = [sys.executable, HERE / "uws_server.py", self.port]
        return f"socketify {importlib.metadata.version('socketify')}", argv, {}

    def connect(self):
        """By WebSocket: it would close a connection that sends no request for ten seconds."""
        link = super().connect()
        link.sendall(
            b"GET /pub HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            piece = link.recv(4096)
            if not piece:
                raise RuntimeError("uWebSockets refused the publisher")
            answer += piece
        return link

    def send(self, records):
        lines = [f"{c} {push_text(c, offset, self.size)}" for c, offset in records]
        body = "\n".join(lines).encode()
        # One binary frame, 8 bytes of length, masked by zeros.
        self.link.sendall(b"\x82\xff" + len(body).to_bytes(8, "big") + bytes(4) + body)
        answer = b""
        while len(answer) < len(b"\x81\x02ok"):
            answer += self.read_some()


PEERS = (Nchan, Nats, Mosquitto, Uws)
