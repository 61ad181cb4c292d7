# SPDX-License-Identifier: Apache-2.0
"""Locks that a cluster shares, on a real Consul: nodes that are nothing but that (coord_probe)."""

import signal
import time

from harness.util import wait_until

# As in coord_consul*.c: seconds.
CHECK, DELAY, TTL = 2.5, 4, 10


def gains(*nodes):
    return sum(len(node.said("gained", "leader")) for node in nodes)


def holder(probes, *others):
    probes.ask("lock", "leader")
    probes.wait_said("gained", "leader")
    for other in others:
        other.ask("lock", "leader")


def test_a_lock_that_is_had_again_is_kept(probes):
    """Between the two nobody has locks, and the session isn't renewed: it has to be again, at once."""
    p = probes("a")
    holder(p)
    p.ask("unlock", "leader")
    p.wait_said("ended", "leader")
    time.sleep(2)  # what is tested: that long without a lock, less than its session is sure for
    p.ask("lock", "leader")
    gained, _ = p.wait_said("gained", "leader", count=2)
    wait_until(lambda: time.time() * 1000 > gained + (DELAY + 1) * 1000, "it was renewed, or not", DELAY + 5)
    assert not p.said("lost", "leader")


def test_a_holder_that_dies_is_followed(probes):
    p, q = probes("a"), probes("b")
    holder(p, q)
    key = probes.agent.call("GET", "/v1/kv/leader")[0]
    assert key["Session"]
    p.kill()
    q.wait_said("gained", "leader", timeout=CHECK + DELAY + 2)
    assert q.said("busy", "leader") == [(q.said("busy", "leader")[0][0], "a")]  # told once, by whom
    assert probes.agent.call("GET", "/v1/kv/leader")[0]["Session"] != key["Session"]


def test_a_lock_that_is_given_up_is_had_at_once(probes):
    p, q = probes("a"), probes("b")
    holder(p, q)
    p.ask("unlock", "leader")
    ended, _ = p.wait_said("ended", "leader")
    gained, _ = q.wait_said("gained", "leader")
    assert ended <= gained < ended + 1500
    assert not p.said("lost", "leader")


def test_a_holder_that_ends_is_followed(probes):
    p, q = probes("a"), probes("b")
    holder(p, q)
    assert p.end() == 0
    q.wait_said("gained", "leader", timeout=DELAY / 2)  # released, not left to its delay


def test_a_holder_is_told_when_its_session_is_taken(probes):
    p = probes("a")
    holder(p)
    session = probes.agent.call("GET", "/v1/kv/leader")[0]["Session"]
    probes.agent.call("PUT", f"/v1/session/destroy/{session}")
    p.wait_said("lost", "leader", timeout=2)
    p.wait_said("gained", "leader", count=2, timeout=DELAY + 4)


def test_a_holder_without_consul_lets_go_before_another_can_gain(probes):
    p, q = probes("a"), probes("b")
    holder(p, q)
    probes.agent.signal(signal.SIGSTOP)
    p.wait_said("lost", "leader", timeout=DELAY + 1)
    assert not q.said("gained", "leader")
    probes.agent.signal(signal.SIGCONT)
    wait_until(lambda: q.said("gained", "leader") or len(p.said("gained", "leader")) > 1, "one has it", 15)


def test_a_consul_without_its_data_makes_no_second_holder(probes):
    """Who noticed first has nothing before the holder has noticed, too."""
    p, q = probes("a"), probes("b")
    holder(p, q)
    q.wait_said("busy", "leader")
    probes.agent.kill()
    probes.agent.start()
    assert not q.said("gained", "leader")
    lost, _ = p.wait_said("lost", "leader")
    wait_until(lambda: gains(p, q) > 1, "one has it", 20)
    again = [ms for node in (p, q) for ms, _ in node.said("gained", "leader")]
    assert sorted(again)[1] >= lost


def test_who_is_new_waits(probes):
    """It may be Consul that is new, and others may count themselves holders for so long."""
    began, p = time.time() * 1000, probes("a")
    p.ask("lock", "leader")
    gained, _ = p.wait_said("gained", "leader")
    assert gained - began >= DELAY * 1000


def test_a_holder_that_stood_still_is_told(probes):
    p, q = probes("a"), probes("b")
    holder(p, q)
    p.signal(signal.SIGSTOP)
    q.wait_said("gained", "leader", timeout=CHECK + DELAY + 2)
    p.signal(signal.SIGCONT)
    p.wait_said("lost", "leader", timeout=1)
    p.wait_said("busy", "leader")
    assert gains(p, q) == 2 and not q.said("lost", "leader")


def test_a_lock_outlives_its_holder_by_no_namesake(probes):
    """A node that came back under its name renews the check that its dead self's session is bound to."""
    p, q = probes("a"), probes("b")
    holder(p, q)
    p.kill()
    probes("a")
    q.wait_said("gained", "leader", timeout=2 * TTL + DELAY + 4)


def test_never_two_holders(probes):
    """Changes of holder of each kind; by what they were told, no two of them had it at once."""
    nodes, killed = [probes(name) for name in "abcd"], {}
    for node in nodes:
        node.ask("lock", "leader")

    def spans(node):
        """[(gained, until)] in ms; until is None while it has it."""
        starts = [ms for ms, _ in node.said("gained", "leader")]
        ends = sorted(ms for word in ("lost", "ended") for ms, _ in node.said(word, "leader"))
        ends += [killed[node]] if node in killed and len(ends) < len(starts) else []
        return list(zip(starts, [*ends, None], strict=False))

    def holder_now():
        return next((n for n in nodes for _, until in spans(n) if until is None), None)

    def gained():
        return sum(len(spans(node)) for node in nodes)

    for turn in range(8):
        one, before = wait_until(holder_now, "somebody has it", 15), gained()
        if turn == 5:
            one.kill()
            killed[one] = time.time() * 1000
        elif turn % 2:
            key = probes.agent.call("GET", "/v1/kv/leader")[0]
            probes.agent.call("PUT", f"/v1/session/destroy/{key['Session']}")
        else:
            one.ask("unlock", "leader")
            one.ask("lock", "leader")
        wait_until(lambda before=before: gained() > before, "somebody gains it", 15)
    wait_until(holder_now, "somebody has it", 15)
    held = sorted(span for node in nodes for span in spans(node))
    assert len(held) > 8
    for (_, until), (start, _) in zip(held, held[1:], strict=False):
        assert until is not None and until <= start
