# SPDX-License-Identifier: Apache-2.0
"""bench connect: what a new client costs an edge, and how long it waits, in a storm and at 1,000 a second.

A storm is 2,000 clients, 64 at a time, as fast as they come in. The bare server accepts, reads a request and
answers it with a constant: it parses no headers and computes no Sec-WebSocket-Accept. An edge of one shard
is measured beside it twice: until the upgrade is answered, as on the bare server, and until the reply to
the connect command that follows, which is when a client can use its connection. Closing is not in it.

At 1,000 clients a second (a fixed schedule, whatever the answers) a client's time counts from when it was
due until its connect reply is there.

Over TLS 1.3 (ECDSA P-256, X25519) the same is shown for full handshakes and for those resumed by ticket.
The bare server does full ones only, and sends no tickets. Servers run on one CPU, clients on the other.
"""

import dataclasses
import statistics
import time

from figure import Figure, Series
from measure import LOAD_CPU, Talker, cpu_seconds, tool
from servers import Bare, Fed

from harness.certificate import make_certificate

STORM, TLS_STORM, RATE = 2000, 500, 1000
REACH, P99_REACH_MS = 2.5, 10


@dataclasses.dataclass
class Came:
    """One run: CPU of the server in µs a client; waits in ms until the client was done."""

    cpu: float
    p50: float
    p99: float


class Connector(Talker):
    """Clients of one server. resumed: they bring a ticket that an earlier one was given."""

    def __init__(self, server, tls=False, resumed=False):
        super().__init__(tool("connector"), server.address, *(["tls"] if tls else []), cpu=LOAD_CPU)
        self.hear()
        self.server, self.resumed = server, resumed
        if resumed:
            self.ask("burst 1 connect")
            self.leave()
            self.ask("resume")

    def leave(self):
        """All are closed, and the server has done with them."""
        self.ask("close")
        last, now = 0, cpu_seconds(self.server.pid)
        while now - last > 0.004:
            time.sleep(0.05)
            last, now = now, cpu_seconds(self.server.pid)

    def _come(self, order, n):
        before = cpu_seconds(self.server.pid)
        said = self.ask(order).split()
        cpu = (cpu_seconds(self.server.pid) - before) * 1e6 / n
        came, resumed, times = int(said[1]), int(said[3]), [float(x) / 1000 for x in said[4:]]
        if came != n or resumed != (n if self.resumed else 0):
            raise RuntimeError(f"{order}: {' '.join(said)}")
        self.leave()
        return Came(cpu, times[2], times[3])

    def storm(self, n, how):
        return self._come(f"burst {n} {how}", n)

    def paced(self, seconds):
        n = round(RATE * seconds)
        return self._come(f"paced {n} connect {RATE}", n)


def in_turn(runs, times):
    """{name: [a Came for each time]}; which goes first alternates. runs: {name: function}."""
    found = {name: [] for name in runs}
    for run in runs.values():
        run()  # the first one grows the server's memory
    for i in range(times):
        for name in runs if i % 2 else reversed(runs):
            found[name].append(runs[name]())
    return found


def cpu_of(came):
    return statistics.median(c.cpu for c in came)


def ratio(key, name, ours, bare, reach):
    values = [o.cpu / b.cpu for o, b in zip(ours, bare, strict=True)]
    note = f"µs a client: edge {cpu_of(ours):.1f}, bare {cpu_of(bare):.1f}"
    return Figure("connect", key, name, values, "×", reach, note=note)


def wait(key, name, came, reach=None):
    note = f"p50 {statistics.median(c.p50 for c in came):.2f} ms"
    return Figure("connect", key, name, [c.p99 for c in came], "ms", reach, note=note)


def plain(directory, pairs, seconds):
    """(figures, bars)"""
    bare, fed = Bare(128), Fed(directory, 128)
    try:
        with Connector(bare) as one, Connector(fed) as other:
            came = in_turn(
                {
                    "bare": lambda: one.storm(STORM, "upgrade"),
                    "upgraded": lambda: other.storm(STORM, "upgrade"),
                    "ready": lambda: other.storm(STORM, "connect"),
                },
                pairs,
            )
            paced = [other.paced(seconds) for _ in range(5)]
    finally:
        fed.close()
        bare.close()
    ready_cpu = [c.cpu for c in came["ready"]]
    return [
        ratio("upgraded", "storm: edge / bare, until the upgrade", came["upgraded"], came["bare"], REACH),
        ratio("ready", "storm: edge until the connect reply / bare", came["ready"], came["bare"], REACH),
        Figure("connect", "ready-cpu", "storm: CPU a client, until the connect reply", ready_cpu, "µs"),
        wait("p99", f"p99 until the connect reply, {RATE} clients/s", paced, P99_REACH_MS),
    ], {
        "bare, upgrade": cpu_of(came["bare"]),
        "Fanfare, upgrade": cpu_of(came["upgraded"]),
        "Fanfare, connect reply": cpu_of(came["ready"]),
    }


def over_tls(directory, tls, pairs, seconds):
    """(figures, bars)"""
    bare, fed = Bare(128, tls=tls), Fed(directory, 128, tls=tls)
    try:
        with (
            Connector(bare, tls=True) as one,
            Connector(fed, tls=True) as full,
            Connector(fed, tls=True, resumed=True) as again,
        ):
            came = in_turn(
                {
                    "bare": lambda: one.storm(TLS_STORM, "upgrade"),
                    "full": lambda: full.storm(TLS_STORM, "connect"),
                    "resumed": lambda: again.storm(TLS_STORM, "connect"),
                },
                pairs,
            )
            paced = {k: [c.paced(seconds) for _ in range(5)] for k, c in (("full", full), ("resumed", again))}
    finally:
        fed.close()
        bare.close()
    title = "TLS storm: edge until the connect reply / bare"
    figures = [ratio("tls", title, came["full"], came["bare"], None)]
    for name, how in (("full", "full handshake"), ("resumed", "resumed")):
        cpu = [c.cpu for c in came[name]]
        title = f"TLS: p99 until the connect reply, {RATE} clients/s, {how}"
        figures.append(Figure("connect", f"tls-{name}-cpu", f"TLS storm: CPU a client, {how}", cpu, "µs"))
        figures.append(wait(f"tls-{name}-p99", title, paced[name]))
    return figures, {
        "bare, TLS full": cpu_of(came["bare"]),
        "Fanfare, TLS full": cpu_of(came["full"]),
        "Fanfare, TLS resumed": cpu_of(came["resumed"]),
    }


def run(options, directory):
    pairs, seconds = (5, 0.5) if options.quick else (15, 2)
    figures, bars = plain(directory / "plain", pairs, seconds)
    tls_figures, tls_bars = over_tls(directory / "tls", make_certificate(directory), pairs, seconds)
    return [
        *figures,
        *tls_figures,
        Series("connect", "cpu", "A new client", "µs of the server's CPU", bars | tls_bars),
    ]
