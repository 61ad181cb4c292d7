# SPDX-License-Identifier: Apache-2.0
"""Runs the Autobahn|Testsuite's cases against an echo endpoint and judges them: drive.py URL REPORT [CASE…]

The cases are Python 2 code turned by lib2to3 (prepare.sh): where they mean bytes they hold str of code points
0-255, translated here: `raw` on the way out, `soft` on the way in. Runs in the environment that
prepare.sh makes, with its `ab` on PYTHONPATH.

A case passes when behaviour and close are OK, INFORMATIONAL or NON-STRICT; an exception in a case or here is
a failure. Cases 9.* (up to 16 MiB), 12.* and 13.* (compression) are outside an edge's limits.
"""

import collections
import json
import sys

import border  # noqa: F401 first: it mends what the cases use while they load
import case as cases
from autobahn.twisted import websocket as ab_twisted
from autobahn.websocket import protocol as ab_protocol
from border import raw, soft
from caseset import CaseSet
from twisted.internet import reactor
from twisted.python import log as twisted_log

OUTSIDE = ["9.*", "12.*", "13.*"]
BAD_CLOSE = {"FAILED", "WRONG CODE", "UNCLEAN"}
PARALLEL = 4
BOUND = 300  # seconds for all
SLICES = 10  # of a case's delay
# The edge cuts who doesn't answer its close frame after 5 s: that must not pass for an end of its own.
WAITS = {"openHandshakeTimeout": 30, "closeHandshakeTimeout": 10, "serverConnectionDropTimeout": 4}


class Spec(dict):
    """CaseSet asks its specification the Python 2 way."""

    def has_key(self, name):
        return name in self


class CaseProtocol(ab_twisted.WebSocketClientProtocol):
    """A client connection run by one case: the verbs that cases call on `self.p`."""

    def __init__(self, number, make_case):
        super().__init__()
        self.number = number
        self.txFrameStats = collections.Counter()
        self.rxFrameStats = collections.Counter()
        self.connectionWasOpen = False
        self.createWirelog = False
        self.runCase = make_case(self)

    # Verbs.

    def enableWirelog(self, on):
        self.createWirelog = on

    def _while_open(self, delay, action, left=SLICES):
        """In slices, between which the reactor reads: when the machine has stood still for longer than the
        whole delay, what came meanwhile is heard before the case acts."""

        def act():
            if self.state == ab_protocol.WebSocketProtocol.STATE_CLOSED:
                return
            if left > 1:
                self._while_open(delay, action, left - 1)
            else:
                action()

        reactor.callLater(delay / SLICES, act)

    def continueLater(self, delay, action, tag=None):
        self._while_open(delay, action)

    def killAfter(self, delay):
        self._while_open(delay, self.failConnection)

    def closeAfter(self, delay):
        self._while_open(delay, self.sendClose)

    # Out: the cases' strings become bytes.

    def sendFrame(self, opcode, payload=b"", **more):
        super().sendFrame(opcode, raw(payload), **more)

    def sendMessage(self, payload, *args, **more):
        super().sendMessage(raw(payload), *args, **more)

    def sendMessageFrameData(self, payload, *args, **more):
        return super().sendMessageFrameData(raw(payload), *args, **more)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        super().sendCloseFrame(code, raw(reasonUtf8), isReply)

    # In: bytes become the cases' strings.

    def onOpen(self):
        self.connectionWasOpen = True
        self.runCase.onOpen()

    def onMessage(self, payload, isBinary):
        self.runCase.onMessage(soft(payload), isBinary)

    def onPong(self, payload):
        self.runCase.onPong(soft(payload))

    def onClose(self, wasClean, code, reason):
        self.runCase.onClose(wasClean, code, reason)

    def logTxFrame(self, header, *_):
        self.txFrameStats[header.opcode] += 1

    def logRxFrame(self, header, *_):
        self.rxFrameStats[header.opcode] += 1

    def connectionLost(self, reason):
        super().connectionLost(reason)
        case = self.runCase
        try:
            case.onConnectionLost(self.failedByMe)
        except Exception as e:  # a case that trips over what it did not get has failed
            case.behavior, case.result = cases.Case.FAILED, repr(e)
        self.factory.run.judge(self.number, case)


class CaseFactory(ab_twisted.WebSocketClientFactory):
    def __init__(self, run, number):
        super().__init__(run.url)
        self.run, self.number, self.logFrames = run, number, True
        self.setProtocolOptions(failByDrop=False, **WAITS)  # its own waits are of a second

    def buildProtocol(self, addr):
        p = CaseProtocol(self.number, self.run.cases.CasesById[self.number])
        p.factory = self
        return p

    def clientConnectionLost(self, connector, reason):
        self.run.ended()

    def clientConnectionFailed(self, connector, reason):
        self.run.results[self.number] = ("FAILED", "FAILED", reason.getErrorMessage(), "")
        self.run.ended()


class Run:
    """All chosen cases, PARALLEL at a time."""

    def __init__(self, url, patterns):
        self.url = url
        self.cases = CaseSet(
            cases.CaseSetname, cases.CaseBasename, cases.Cases, cases.CaseCategories, cases.CaseSubCategories
        )
        spec = Spec({"cases": patterns, "exclude-cases": OUTSIDE})
        self.numbers = self.cases.parseSpecCases(spec)
        self.todo = collections.deque(self.numbers)
        self.results, self.broken, self.busy = {}, [], 0
        twisted_log.addObserver(self._observe)

    def _observe(self, event):
        if event.get("isError"):
            self.broken.append(twisted_log.textFromEventDict(event).strip().splitlines()[-1])

    def start_next(self):
        if self.todo:
            self.busy += 1
            ab_twisted.connectWS(CaseFactory(self, self.todo.popleft()))

    def ended(self):
        self.busy -= 1
        self.start_next()
        if not self.busy:
            reactor.stop()

    def judge(self, number, case):
        self.results[number] = (case.behavior, case.behaviorClose, case.result, case.resultClose)

    def all(self):
        for _ in range(PARALLEL):
            self.start_next()
        reactor.callLater(BOUND, reactor.stop)
        if self.busy:
            reactor.run()


def main(url, report, patterns):
    cases.Case.compare = lambda self, one, other: one == other
    run = Run(url, patterns or ["*"])
    run.all()
    failed = 0
    for number in run.numbers:
        behaviour, close, why, why_close = run.results.get(number, ("FAILED", "", "did not end", ""))
        if behaviour == "FAILED" or close in BAD_CLOSE:
            failed += 1
            print(f"FAILED {number}: {behaviour}: {why}; close {close}: {why_close}")
    for line in run.broken:
        print(f"FAILED driver: {line}")
    with open(report, "w") as f:
        json.dump(run.results, f, indent=1)
    kinds = collections.Counter(r[0] for r in run.results.values())
    print("behaviour: " + ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())))
    print(f"{len(run.numbers) - failed} passed, {failed + len(run.broken)} failed")
    return 1 if failed or run.broken or not run.numbers else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
