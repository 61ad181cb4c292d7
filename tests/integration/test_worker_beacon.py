# SPDX-License-Identifier: Apache-2.0
"""What a worker says of Kafka in the beacon, and when it doesn't."""

import asyncio

from harness.region import Region, start
from harness.util import wait_until

UNKNOWN = 2**63 - 1


async def test_an_age_is_told_when_the_row_before_is_there(gates, redis_server, nodes, topic):
    """A row may wait on its way, and its age with it. So none is told while Redis hasn't confirmed the one
    before: here it hears the worker, whose rows go on, and isn't heard."""
    server = redis_server()
    gate = await gates(server)
    url = f"redis://127.0.0.1:{gate.port}"
    worker = await asyncio.to_thread(start, nodes, topic, redis_url=url)
    await asyncio.to_thread(worker.wait_metric, "fanfare_worker_running_partitions", 4, 30)
    region = Region(server, topic)

    def rows():
        return [(int(row[0]), int(row[6])) for row in map(region.beacon, range(4)) if row]

    def are_told():
        return sum(age < 5000 for _, age in rows()) == 4

    await asyncio.to_thread(wait_until, are_told, "ages are told", 10)
    gate.silence(answers_only=True)
    before = rows()[0][0]
    await asyncio.to_thread(wait_until, lambda: rows()[0][0] >= before + 4, "rows go on", 3)
    assert [age for _, age in rows()] == [UNKNOWN] * 4
    gate.silence(False)
    await asyncio.to_thread(wait_until, are_told, "ages are told again", 10)
