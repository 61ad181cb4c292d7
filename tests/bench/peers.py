# SPDX-License-Identifier: Apache-2.0
"""bench peers: CPU a delivery of an edge beside that of other servers, all with the same clients.

Each server has one worker or thread on the same CPU, and takes its turns among the others; counted is
what its process uses while it takes records in and delivers them to clients of bench_sink. Two shapes:
5,000 clients on one channel, 128 B, each record delivered before the next; and 10,000 clients, 100
channels, 512 B, flat out: a round is one record for each channel, and the next one is published as soon
as no more than two are still on their way. A server's first rounds in a turn don't count, as it was
idle before and costs more then. One that leaves out a delivery is left out itself. To take a record in
costs each peer less than 0.1 µs a delivery where it has 100 subscribers (nchan: 7 µs a POST). Only of
nchan, in the second shape, something is asked: there the other peers take part in every third turn, and
the first shape has a third of the turns.

What they do for it differs, and only Fanfare does all of it:

- bare epoll: frames once, one send() for each client. Nothing is kept, checked or resumed.
- Fanfare: one shard. Reads from a Redis on the other CPU, whose own CPU isn't in its bar; numbers every
  record, resumes from its memory, Redis and Kafka, tells of every gap.
- nchan: nginx with one worker; a POST a record, pipelined. Keeps ten messages of a channel (its default;
  none costs the same), and can resume from those by time and tag, in the memory of this one machine.
- NATS: nats-server, GOMAXPROCS=1, its own protocol in WebSocket frames. At most once: no positions, no
  resume, and a slow client is cut off.
- mosquitto: MQTT 3.1.1, QoS 0: at most once, no positions, no resume. By strace it calls poll() as often
  as send().
- uWebSockets: a library, here by way of socketify, whose Python runs once for each connection and each
  round published. It gathers what a client gets in a turn into one send(); no history, positions, resume.

Debian's packages are unpacked into the cache, nothing is installed; a server that can't be had is left out.
With --quick nchan is the only one of the others.
"""

import contextlib
import statistics

from figure import Figure, Series
from peer_packages import Unavailable
from peer_servers import PEERS, Nchan
from servers import Bare, Fed, cost, cost_ahead

OURS, BARE = "Fanfare", "bare epoll"
REACH = {"many": 1.3}  # by shape: nchan / edge, where a record has 100 subscribers
TURNS, SELDOM = 15, 3  # what nothing is asked of: a peer comes every third turn, a shape has a third
AHEAD = 2  # rounds on their way
WARM, ROUNDS = 3, 6  # of a turn, of 10,000 deliveries; who was idle costs more at first

# key → what is said of it, clients, channels (0: one), bytes
SHAPES = {
    "one": ("5,000 clients, one channel, 128 B", 5000, 0, 128),
    "many": ("10,000 clients, 100 channels, 512 B, flat out", 10_000, 100, 512),
}


class Field:
    """The servers of one shape, each with its clients; those that fail are left out."""

    def __init__(self, options, key, stack):
        self.options, self.key, self.stack = options, key, stack
        self.seldom = SELDOM if key in REACH else 1
        self.servers = {}
        self.costs = {}

    def leave_out(self, name, why):
        if name in (OURS, BARE):
            raise why
        self.options.leave_out(f"peers/{self.key}/{name}", why)
        self.servers.pop(name, None)
        self.costs.pop(name, None)

    def add(self, name, make, clients):
        try:
            server = make()
            self.stack.callback(server.close)
            self.servers[name] = server, self.stack.enter_context(server.sink(clients))
            self.costs[name] = {}
        except (Unavailable, RuntimeError, AssertionError, OSError) as e:
            self.leave_out(name, e)

    def turn(self, turn, measure):
        """Each once, but for those that come seldom; another one begins each time."""
        always, full = (OURS, BARE, Nchan.name), not turn % self.seldom
        names = [name for name in self.servers if full or name in always]
        first = (turn // self.seldom if full else turn) % len(names)
        for name in names[first:] + names[:first]:
            try:
                self.costs[name][turn] = measure(*self.servers[name])
            except (RuntimeError, OSError) as e:
                self.leave_out(name, e)


def measured(options, directory, key):
    """({name: {turn: µs a delivery}} of one shape, the peers' versions)"""
    _, clients, channels, size = SHAPES[key]
    turns = TURNS if key in REACH and not options.quick else TURNS // SELDOM

    def some(server, sink, rounds):
        if channels:
            return cost_ahead(server, sink, rounds, channels, AHEAD)
        return cost(server, sink, 2 * rounds, 1)

    def measure(server, sink):
        some(server, sink, WARM)
        return some(server, sink, ROUNDS)

    with contextlib.ExitStack() as stack:
        field = Field(options, key, stack)
        field.add(BARE, lambda: Bare(size, channels), clients)
        field.add(OURS, lambda: Fed(directory, size, channels), clients)
        for peer in (Nchan,) if options.quick else PEERS:
            field.add(peer.name, lambda peer=peer: peer(directory, size, channels), clients)
        for i in range(turns):
            field.turn(i, measure)
        return field.costs, versions(field)


def versions(field):
    found = [getattr(server, "version", "") for server, _ in field.servers.values()]
    return ", ".join(v for v in found if v)


def middle(costs):
    return statistics.median(costs.values())


def figures_of(key, costs):
    """One for each peer: how many times an edge's CPU it needs, turn by turn."""
    title = SHAPES[key][0]
    ours = costs[OURS]
    for name, theirs in costs.items():
        if name in (OURS, BARE):
            continue
        reach = REACH.get(key) if name == Nchan.name else None
        ratios = [each / ours[turn] for turn, each in theirs.items()]
        beside = middle({turn: ours[turn] for turn in theirs})
        note = f"µs a delivery: {middle(theirs):.2f}, Fanfare {beside:.2f}"
        what = f"{key}-{name.lower()}"
        yield Figure("peers", what, f"{name} / edge, {title}", ratios, "×", reach, True, note)


def run(options, directory):
    found = []
    for key, (title, *_) in SHAPES.items():
        costs, seen = measured(options, directory / key, key)
        if seen:
            print(f"peers: {seen}", flush=True)
        bars = {name: middle(values) for name, values in costs.items()}
        found += figures_of(key, costs)
        found.append(Series("peers", key, title, "µs of CPU a delivery", bars))
    return found
