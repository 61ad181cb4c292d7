# SPDX-License-Identifier: Apache-2.0
"""What joins two regions: TCP proxies at their gateways that share two wires, one for each direction.

The kernel's own delay (netem) isn't everywhere; proxies are, and they count what they carry. Each leads to
one server, so a server that tells its clients where it is (Kafka) must tell them the proxy.
"""

from harness.gate import Ways, Wire


class Link:
    def __init__(self, delay):
        """delay: seconds that everything is under way, in each direction."""
        self.ways, self.delay = Ways(), delay
        self.outward, self.homeward = Wire(), Wire()
        self.opened = []
        self.mend()

    def open(self, target, host, homeward):
        """A port at that gateway which leads to a server of the other region. homeward: it is at home."""
        wires = (self.homeward, self.outward) if homeward else (self.outward, self.homeward)
        self.opened.append(self.ways.open(target, host, wires))
        return self.opened[-1]

    def shape(self, delay=None, rate=0):
        """rate: bytes a second of all connections together, in each direction; 0: any number."""
        for wire in (self.outward, self.homeward):
            wire.delay, wire.rate = self.delay if delay is None else delay, rate

    def cut(self):
        for way in self.opened:
            way.cut(stay_open=False)

    def silence(self):
        for way in self.opened:
            way.silence()

    def mend(self):
        self.shape()
        for way in self.opened:
            way.silence(False)
            way.cut(stay_open=True)  # as after any cut, connections begin anew

    def carried(self):
        """Bytes so far: (from home, to home)."""
        return self.outward.carried, self.homeward.carried

    def close(self):
        self.ways.close()
