# SPDX-License-Identifier: Apache-2.0
"""Everybody comes back at once, with seconds to catch up: more than a turn can give, under load."""

import signal


def test_all_edges_away_for_seconds(storm):
    worker, edges = storm.usual()
    with storm.load("edge: all killed and away for seconds; everybody resumes at once", rate=500):
        for edge in edges:
            assert edge.kill() == -signal.SIGKILL
        entries = worker.metrics().total("fanfare_worker_entries_total")
        worker.wait_metric("fanfare_worker_entries_total", entries + 2500, 30)
        for edge in edges:
            edge.launch()
        for edge in edges:
            edge.wait_ready(30)
        storm.wait_more(60000)
