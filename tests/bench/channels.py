# SPDX-License-Identifier: Apache-2.0
"""bench channels: what it costs an edge that there are many channels, and records that nobody here wants.

An edge of one shard, fed through Redis by bench_feeder, 128 B of payload, its CPU time by the
scheduler's own count. No pings in that time. Every publication is counted; a run in which one is missing
doesn't count.

*Growth*: the same 10,000 clients, each of which gets one publication a round, over 1, 100, 10,000 and
100,000 channels: the rate of deliveries is one and the same, and each is a write of its own. One channel's
record goes to all 10,000 clients, 100 channels' to 100 each, from 10,000 channels on to 10 each (a client
then has 10 or 100 subscriptions). So in a round of many channels a thousand records are read, decoded and
encoded where it was one: that is in the figure. Records come in batches of up to 100, and each batch has
arrived before the next one leaves. Four edges run side by side and take turns; the ratio is 100,000
channels' cost a delivery to one channel's, turn by turn.

*Unwanted*: batches of 100 records of other channels in a partition that the edge reads because one client
has one channel there, the next one when the last was read: all of the edge's CPU time, by record; and the
same where 100,000 other channels have subscribers.

*Sparse*: one record at a time to 10 of 18,000 clients (a process has 20,000 descriptors here), each time to
others, beside the same on an edge whose only clients are those 10. What grows with all clients or all
channels, and not with those a record is for, would show here; so does that clients and their sockets which
rested are no longer in the processor's caches.

*A million*: 10,000 clients with 100 subscriptions each to a channel of their own, over 64 partitions.
Memory is the edge's RSS above what it had with the same clients connected, by channel and subscription
together; a subscribe and an unsubscribe were read, done and answered; a delivery is a record to one
client, 100 in a batch.
"""

import contextlib
import statistics
import time

from figure import Figure, Series
from measure import cpu_seconds, rss_bytes
from memory import settled
from servers import CHANNEL, WAIT_MS, Fed, Sink

CLIENTS, SPARSE_CLIENTS = 10_000, 18_000
BATCH, SIZE = 100, 128
CHURN_MS = 60_000
FOREIGN = 2_000_000  # channels from here on have no subscriber
NAMES = 4_000_000
GROWTH = {1: 1, 100: 1, 10_000: 10, 100_000: 100}  # channels: subscriptions of a client


class Crowd(Fed):
    """An edge, its feeder, and clients with `each` subscriptions of `channels` channels."""

    config = {"ping_interval": "600s"}

    def __init__(self, directory, clients, channels, each=1, partitions=1):
        super().__init__(directory, SIZE, NAMES, partitions=partitions)
        self.clients, self.channels, self.per_round = clients, channels, channels // each
        self._named = f"{CHANNEL}*{channels}*{each}"
        self._next = 0
        self._sink = None

    def __enter__(self):
        return self

    def __exit__(self, *what):
        if self._sink:
            self._sink.__exit__(*what)
        self.close()

    def subscribe(self):
        self._sink = Sink("fanfare", self.address, self.clients, self._named)
        return self

    def cpu(self):
        return cpu_seconds(self.pid)

    def publish(self, records):
        """The next so many channels get a record each, and their clients have them."""
        self._sink.total += records * self.clients // self.per_round
        self.feeder.ask(f"append {records} {self._next}")
        self._next = (self._next + records) % self.channels
        self._sink.wait(self._sink.total)

    def churn(self):
        """µs of the edge's CPU a subscription that is ended and begun anew."""
        before = self.cpu()
        self._sink.ask(f"churn {CHURN_MS}")
        return (self.cpu() - before) * 1e6 / self.channels

    def cost(self, deliveries, records):
        """µs of the edge's CPU a delivery, over so many, with so many records at a time."""
        steps = deliveries * self.per_round // (self.clients * records)
        before = self.cpu()
        for _ in range(steps):
            self.publish(records)
        return (self.cpu() - before) * 1e6 / deliveries

    def unwanted(self, batches):
        """µs of the edge's CPU a record that it reads for nobody."""
        before = self.cpu()
        for i in range(batches):
            self.feeder.ask(f"append {BATCH} {FOREIGN + i * BATCH}")
            self._await_reader()
        self.publish(1)  # is read after all of them
        return (self.cpu() - before) * 1e6 / (batches * BATCH)

    def _await_reader(self):
        """It has read all there is: its XREAD is blocked again."""
        redis, end = self.redis.client(), time.monotonic() + WAIT_MS / 1000
        while not redis.info("clients")["blocked_clients"]:
            if time.monotonic() > end:
                raise RuntimeError("the edge doesn't read")


def text(costs):
    return "µs a delivery: " + ", ".join(f"{n:,} {statistics.median(v):.2f}" for n, v in costs.items())


def growth(directory, figures):
    """Returns the series; the edge of 100,000 channels also reads what nobody wants."""
    costs = {n: [] for n in GROWTH}
    with contextlib.ExitStack() as stack:
        crowds = {}
        for n, each in GROWTH.items():
            crowd = Crowd(directory / f"of-{n}", CLIENTS, n, each)
            crowds[n] = stack.enter_context(crowd).subscribe()
            crowd.cost(2 * CLIENTS, min(BATCH, crowd.per_round))
        for i in range(15):
            for n in sorted(crowds, reverse=i % 2 == 0):
                crowd = crowds[n]
                costs[n].append(crowd.cost(5 * CLIENTS, min(BATCH, crowd.per_round)))
        skipped = [crowds[100_000].unwanted(200) for _ in range(7)]
    ratios = [many / one for many, one in zip(costs[100_000], costs[1], strict=True)]
    title = "CPU a delivery, 100,000 channels / 1"
    figures.append(Figure("channels", "growth", title, ratios, "×", 1.5, note=text(costs)))
    title = "an unwanted record, 100,000 channels here"
    figures.append(Figure("channels", "unwanted-many", title, skipped, "µs"))
    data = {"edge": [(n, statistics.median(v)) for n, v in costs.items()]}
    title = f"CPU a delivery to {CLIENTS} clients, by number of channels"
    return Series("channels", "growth", title, "µs", data, x="channels", log_x=True)


def unwanted(directory, quick):
    with Crowd(directory, 1, 1) as crowd:
        crowd.subscribe().unwanted(100)
        values = [crowd.unwanted(200 if quick else 500) for _ in range(5 if quick else 15)]
    return Figure("channels", "unwanted", "a record that nobody here wants, in 100s", values, "µs", 1.0)


def sparse(directory):
    costs = {10: [], SPARSE_CLIENTS: []}
    with (
        Crowd(directory / "few", 10, 1) as few,
        Crowd(directory / "all", SPARSE_CLIENTS, SPARSE_CLIENTS // 10) as many,
    ):
        for crowd in few, many:
            crowd.subscribe().cost(1000, 1)
        for i in range(15):
            for crowd in (few, many) if i % 2 else (many, few):
                costs[crowd.clients].append(crowd.cost(4000, 1))
    ratios = [m / f for m, f in zip(costs[SPARSE_CLIENTS], costs[10], strict=True)]
    title = f"a record to 10 of {SPARSE_CLIENTS:,} clients / 10 of 10"
    return Figure("channels", "sparse", title, ratios, "×", note=text(costs))


def million(directory):
    channels, each = 1_000_000, 100
    with Crowd(directory, CLIENTS, channels, each, partitions=64) as crowd:
        with Sink("fanfare", crowd.address, CLIENTS):
            connected = settled(crowd.pid)
        before = crowd.cpu()
        crowd.subscribe()
        subscribed = crowd.cpu() - before
        memory = (settled(crowd.pid) - connected) / channels
        churns = [crowd.churn() for _ in range(3)]
        kept = (rss_bytes(crowd.pid) - connected) / channels
        costs = [crowd.cost(2 * CLIENTS, BATCH) for _ in range(7)]
    note = f"{kept:.0f} B after all were ended and begun anew three times"
    first = f"with its share of connecting, the first time {subscribed * 1e6 / channels:.2f} µs"
    return [
        Figure("channels", "million-memory", "a channel with a subscription", [memory], "B", note=note),
        Figure("channels", "million-churn", "an unsubscribe and a subscribe", churns, "µs", note=first),
        Figure("channels", "million-delivery", "a record to one client, of a million channels", costs, "µs"),
    ]


def run(options, directory):
    figures = [unwanted(directory / "unwanted", options.quick)]
    if options.quick:
        return figures
    series = growth(directory, figures)
    figures.append(sparse(directory))
    return [*figures, *million(directory / "million"), series]
