# SPDX-License-Identifier: Apache-2.0
"""Workers die, sleep, are started again in the middle of batches, or two believe they own a partition."""

import signal

import pytest

RUNNING = "fanfare_worker_running_partitions"


def test_worker_sigkill(storm):
    one, two, _ = storm.usual(workers=2)
    for worker in (one, two):
        worker.wait_metric(RUNNING, 2, 30)
    with storm.load("worker: SIGKILL, two workers"):
        assert one.kill() == -signal.SIGKILL
        two.wait_metric(RUNNING, 4, 40)


def test_worker_sigstop_longer_than_its_session(storm):
    one, two, _ = storm.usual(workers=2)
    for worker in (one, two):
        worker.wait_metric(RUNNING, 2, 30)
    with storm.load("worker: SIGSTOP for longer than its session, CONT while another owns its partitions"):
        one.sigstop()
        two.wait_metric(RUNNING, 4, 40)
        storm.wait_more(3000)
        one.sigcont()
        storm.wait_more(3000)
        one.wait_metric("fanfare_worker_group_joined", 1, 30)


def test_worker_restarts_in_the_middle_of_batches(storm):
    # A member with a name takes its partitions again at once, without waiting for its session's end.
    worker = storm.worker(kafka={"group.instance.id": "one"}, batch_records=5, inflight_batches=16)
    storm.edges(2)
    with storm.load("worker: SIGKILL and restart in the middle of pipelined batches, four times", rate=500):
        for _ in range(4):
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
