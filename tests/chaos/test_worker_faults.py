# SPDX-License-Identifier: Apache-2.0
"""Workers die, sleep, are started again in the middle of batches, or two believe they own a partition."""

import contextlib
import os
import signal

import pytest

from harness.util import scaled

RUNNING, ASSIGNED = "fanfare_worker_running_partitions", "fanfare_worker_assigned_partitions"
ADOPTED, ADOPTIONS = "fanfare_worker_adopted_partitions", "fanfare_worker_adoptions_total"


def workers_of(storm, n):
    """n workers that share the partitions, each of which knows the others."""
    *workers, _ = storm.usual(workers=n)
    for worker in workers:
        worker.wait_metric(RUNNING, 4 // n, 30)
    return workers


def all_owned(workers):
    """The group has given every partition to one of them, and nobody carries another's."""
    totals = [w.metrics() for w in workers]
    return sum(t.total(ASSIGNED) for t in totals) == 4 and not any(t.total(ADOPTED) for t in totals)


def test_worker_sigkill(storm):
    one, two = workers_of(storm, 2)
    with storm.load("worker: SIGKILL, two workers"):
        assert one.kill() == -signal.SIGKILL
        two.wait_metric(ADOPTIONS, 2, 20)
        two.wait_for(lambda: all_owned([two]), "the group has noticed", 40)
    assert storm.row["pause_s"] <= scaled(1)


def test_worker_sigterm(storm):
    one, two = workers_of(storm, 2)
    with storm.load("worker: SIGTERM, two workers"):
        assert one.stop() == 0
        two.wait_metric(ADOPTIONS, 2, 20)
        two.wait_for(lambda: all_owned([two]), "the group has noticed", 40)
    assert storm.row["pause_s"] <= scaled(1)


def test_worker_joins(storm):
    one, _ = storm.usual()
    with storm.load("worker: another one joins"):
        two = storm.worker()
        two.wait_metric(RUNNING, 2, 30)
        two.wait_for(lambda: all_owned([one, two]), "each has its own", 40)
    assert one.metrics().total(ADOPTIONS) == 2
    assert storm.row["pause_s"] <= scaled(2)  # 0.2 to 0.5 s; a process starts at the same time


def test_worker_sigstop_longer_than_its_session(storm):
    one, two, three = workers_of(storm, 3)
    fault = "worker: SIGSTOP for longer than its session, CONT while another owns its partitions"
    with storm.load(fault):
        one.sigstop()
        storm.wait_more(1, "fanfare_worker_adoptions_total", 20, nodes=[two, three])
        two.wait_for(lambda: all_owned([two, three]), "others own all", 40)
        storm.wait_more(3000)
        one.sigcont()
        storm.wait_more(3000)
        one.wait_metric("fanfare_worker_group_joined", 1, 30)
        one.wait_for(lambda: all_owned([one, two, three]), "each has its own", 40)
    assert storm.row["pause_s"] <= scaled(2)  # adopted as after a SIGKILL, and two rebalances


@contextlib.contextmanager
def redis_asleep(storm):
    """It reads and answers nothing; what is sent to it meanwhile, it does afterwards."""
    pid = storm.redis.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_worker_restarts_in_the_middle_of_batches(storm):
    # A member with a name takes its partitions again at once, without waiting for its session's end.
    worker = storm.worker(kafka={"group.instance.id": "one"}, batch_records=5, inflight_batches=16)
    storm.edges(2)
    with storm.load("worker: SIGKILL and restart in the middle of pipelined batches, four times", rate=500):
        for _ in range(4):
            with redis_asleep(storm):
                worker.wait_metric("fanfare_worker_inflight_bytes", 1, 20)
                assert worker.kill() == -signal.SIGKILL
            worker.start(40)
            worker.wait_metric(RUNNING, 4, 40)


@pytest.mark.short
def test_two_workers_both_believe_they_own(storm):
    one, _ = storm.usual()
    with storm.load("two workers in two groups on one Redis: both believe they own every partition"):
        two = storm.worker(group=f"{storm.topic}-second")
        two.wait_metric(RUNNING, 4, 40)
        one.wait_metric(RUNNING, 4, 40)
        storm.wait_more(6000)
    refused = sum(w.metrics().total("fanfare_worker_cas_refusals_total") for w in (one, two))
    assert refused >= 1
