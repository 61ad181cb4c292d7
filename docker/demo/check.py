# SPDX-License-Identifier: Apache-2.0
"""`demo --check`: the load generator's clients on the demo's channels, one edge killed in the middle.

The verdict is its oracle's, which reads Kafka itself; here it is only printed and compared with what
the demo promises. Standard library only.
"""

import json
import time

from about import NAMESPACE, TOPIC
from assets import CHANNELS

from harness.util import Process, tail, wait_until

CLIENTS = 1000
SUBSCRIPTIONS = 4
SECONDS = 16
SPEED = 36000  # the week in 17 seconds: about 100 records a second
RECORDS_MIN = 1000
KILLED_MIN = 100


def start_loadgen(stack, report):
    settings = {
        "edges": [f"ws://127.0.0.1:{p}/connection/websocket" for p in stack.ports.values()],
        "kafka": stack.kafka_properties(),
        "topic": TOPIC,
        "namespace": NAMESPACE,
        "channel_names": CHANNELS,
        "clients": CLIENTS,
        "subscriptions": SUBSCRIPTIONS,
        "rate": 0,
        "warm_up": "1s",
        "duration": f"{SECONDS}s",
        "json": str(report),
    }
    argv = [stack.program("fanfare-loadgen"), "--config", stack.config("loadgen", settings)]
    loadgen = Process("loadgen", argv, stack.dir / "loadgen.log", cwd=stack.dir)
    loadgen.spawn()
    return loadgen


def all_connected(stack, loadgen):
    if not loadgen.is_running():
        raise RuntimeError(f"fanfare-loadgen ended early:\n{tail(loadgen.log)}")
    return sum(stack.connections(n) or 0 for n in stack.ports) >= CLIENTS


def judge(report, killed):
    """(the line, what is wrong)."""
    v = report["verdict"]
    latency = report["latency_ms"]
    p50, p99 = latency.get("p50", 0.0), latency.get("p99", 0.0)
    line = (
        f"demo: {v['records']} records, {v['delivered']} deliveries to {CLIENTS} clients, "
        f"{v['missing']} missing, {v['duplicate']} duplicate, {v['disorder']} out of order, "
        f"{report['clients']['resumed']} resumed, {v['told']} told, p50 {p50:.1f} p99 {p99:.1f}"
    )
    edge = next(e for e in report["edges"] if f":{killed}/" in e["url"])
    faults = {
        "records are missing, doubled, out of order or wrong, or a gap was told": not report["clean"]
        or any(v[k] for k in ("missing", "duplicate", "disorder", "wrong", "told")),
        f"fewer than {RECORDS_MIN} records": v["records"] < RECORDS_MIN,
        "not every client got its channels' exact number": v["delivered"] != v["expected"],
        "not all clients connected": report["clients"]["connected"] < CLIENTS,
        f"the killed edge had {edge['lost']} clients, fewer than {KILLED_MIN}": edge["lost"] < KILLED_MIN,
        f"{edge['lost']} clients lost their edge, {edge['resumed']} resumed": edge["lost"]
        != edge["resumed"],
    }
    return line, [text for text, wrong in faults.items() if wrong]


def run(stack, say):
    report = stack.dir / "report.json"
    loadgen = start_loadgen(stack, report)
    try:
        wait_until(lambda: all_connected(stack, loadgen), f"{CLIENTS} clients connected", 60, 0.1)
        say(f"{CLIENTS} clients are connected; killing edge-b in the middle of {SECONDS} s")
        time.sleep(SECONDS / 2)  # the scenario, not a wait for something
        clients = stack.connections("edge-b")
        pid = stack.kill_edge("edge-b")
        say(f"edge-b killed (pid {pid}) with {clients} clients")
        code = loadgen.popen.wait(120)
    finally:
        loadgen.stop(10)
    if not report.exists():
        raise RuntimeError(f"fanfare-loadgen gave no report ({code}):\n{tail(loadgen.log)}")
    dead = stack.casualties()
    line, faults = judge(json.loads(report.read_text()), stack.ports["edge-b"])
    print(line, flush=True)
    for text in faults + dead:
        say(f"not fulfilled: {text}")
    return 1 if faults or dead else 0
