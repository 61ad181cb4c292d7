# SPDX-License-Identifier: Apache-2.0
"""bench instructions: user instructions a delivery, of all threads, counted by callgrind.

500 clients on one channel, 128 B of payload; one record or ten in a turn, which is one round of a server's
loop. The server runs under valgrind. All that its threads do while records are delivered counts: reading
from Redis, timers, encoding. What they do before doesn't. The bare server is counted in the same way, and
has a reach too: with more it would be no reference. The kernel's part of a delivery, most of it, is not in
these figures: they say what is ours, and hardly move from run to run.
"""

import re
import subprocess

from figure import Figure
from servers import Bare, Fed

CLIENTS, SIZE = 500, 128
EDGE_REACH, BARE_REACH = 450, 40


def control(pid, *what):
    subprocess.run(["callgrind_control", *what, str(pid)], check=True, capture_output=True, timeout=60)


def callgrind(directory):
    """The command that runs a server under callgrind, dumping into a directory."""
    directory.mkdir(parents=True)
    out = directory / "callgrind.out"
    return "valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}"


def dumped(directory):
    """The instructions in the newest dump: callgrind.out.1, .2, …"""
    path = max(directory.glob("callgrind.out.*"), key=lambda p: int(p.suffix[1:]))
    return int(re.search(r"^(?:totals|summary): (\d+)", path.read_text(), re.M)[1])


def count(server, directory, rounds, records):
    """Instructions a delivery."""
    with server.sink(CLIENTS) as sink:

        def go(n):
            for _ in range(n):
                server.publish(records)
                sink.expect(records)

        go(3)
        control(server.pid, "--zero")
        go(rounds)
        control(server.pid, "--dump")
        return dumped(directory) / (rounds * records * CLIENTS)


def run(options, directory):
    runs, rounds = (1, 40) if options.quick else (3, 100)
    figures = []
    for name, make, reach in (
        ("edge", lambda own, under: Fed(own, SIZE, under=under), EDGE_REACH),
        ("bare", lambda own, under: Bare(SIZE, under=under), BARE_REACH),
    ):
        own = directory / name
        server = make(own, callgrind(own / "callgrind"))
        try:
            for records, text in ((1, "one record"), (10, "ten records")):
                seen = [count(server, own / "callgrind", rounds, records) for _ in range(runs)]
                title = f"{name}, {text} in a turn"
                figures.append(Figure("instructions", f"{name}-{records}", title, seen, "instr", reach))
        finally:
            server.close()
    return figures
