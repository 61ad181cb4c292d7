# SPDX-License-Identifier: Apache-2.0
"""The Kafka broker of the benches: the tests' one, set up to work rather than to start quickly.

The tests' broker has Java's first compiler only and a heap of 256 MiB: it starts in half the time, and takes
twice the CPU time under load (seen at 5,000 records/s with the producer's default linger: 2.9 and 1.5 s for
4 s of load). It shares two cores here with all that is measured, so its threads are as few as they may be.
"""

from harness.kafka import Broker

JVM = "-XX:TieredStopAtLevel=4", "-Xms1g", "-Xmx1g"  # the last one of each kind counts
THREADS = "num.network.threads=1\nnum.io.threads=2\n"


class HardBroker(Broker):
    def __init__(self, directory):
        super().__init__(directory, opts=JVM)

    def settings(self):
        return super().settings() + THREADS
