# SPDX-License-Identifier: Apache-2.0
"""How each fault of soak_plan.KINDS is made, ended, and seen to have happened.

KIND_begin(region, fault) and KIND_end(region, fault); the name's `.` and `-` are `_`. Each returns whether
it really happened, or None if the other one says that. None waits longer than a server needs to start.
"""

import signal
import socket

import redis as redis_py

from harness.util import wait_until

HUNG = "T"


def params(fault):
    return dict(fault.params)


# ---- workers and edges ----


def _state(node):
    with open(f"/proc/{node.pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0]


def _kill(node):
    return node.is_running() and node.kill() == -signal.SIGKILL


def _stop(node):
    node.sigstop()
    wait_until(lambda: _state(node) == HUNG, f"{node.name} stands still", 5)
    return True


def _term(node):
    node.signal(signal.SIGTERM)


def _start_after_term(node):
    code = node.wait(20)
    node.launch()
    return code == 0


def _node(region, fault):
    """The worker or the edge that it is made to."""
    return getattr(region, fault.kind.partition(".")[0] + "s")[fault.target]


def worker_kill_begin(region, fault):
    return _kill(_node(region, fault))


def worker_kill_end(region, fault):
    _node(region, fault).launch()


def worker_stop_begin(region, fault):
    return _stop(_node(region, fault))


def worker_stop_end(region, fault):
    _node(region, fault).sigcont()


def worker_restart_begin(region, fault):
    _term(_node(region, fault))


def worker_restart_end(region, fault):
    return _start_after_term(_node(region, fault))


def worker_second_owner_begin(region, fault):
    region.make_second()


def worker_second_owner_end(region, fault):
    """On a slow machine it owns nothing yet when its time is over."""
    try:
        region.second.wait_event("attached", 8)  # other faults wait meanwhile
    finally:
        code = region.second.stop()
    return code == 0


edge_kill_begin, edge_kill_end = worker_kill_begin, worker_kill_end
edge_stop_begin, edge_stop_end = worker_stop_begin, worker_stop_end
edge_restart_begin, edge_restart_end = worker_restart_begin, worker_restart_end


def edge_kill_all_begin(region, fault):
    killed = [_kill(edge) for edge in region.edges]
    return all(killed)


def edge_kill_all_end(region, fault):
    for edge in region.edges:
        edge.launch()


# ---- Redis ----


def redis_kill_kept_begin(region, fault):
    return region.primary.kill() == -signal.SIGKILL


def redis_kill_kept_end(region, fault):
    region.primary.start()


redis_kill_empty_begin = redis_kill_kept_begin


def redis_kill_empty_end(region, fault):
    region.forget(region.primary)
    region.primary.start()


def redis_failover_begin(region, fault):
    region.link.silence()


def redis_failover_end(region, fault):
    killed = region.fail_over() == -signal.SIGKILL
    return killed and region.r.role()[0] == b"master"


def redis_flushall_begin(region, fault):
    with region.r.pipeline(transaction=True) as pipe:
        return pipe.flushall().dbsize().execute()[1] == 0


def _delete(region, key):
    return region.r.delete(key) == 1


def redis_del_stream_begin(region, fault):
    return _delete(region, region.here.key(params(fault)["partition"]))


def redis_del_side_begin(region, fault):
    return _delete(region, region.here.key(params(fault)["partition"]) + ":side")


def redis_del_topic_begin(region, fault):
    return region.r.delete(f"ff:topic:{region.storm.topic}", "ff:beacon") == 2


def redis_script_flush_begin(region, fault):
    with region.r.pipeline(transaction=True) as pipe:
        memory = pipe.script_flush().info("memory").execute()[1]
    return memory["number_of_cached_scripts"] == 0


def redis_goes_back_begin(region, fault):
    key = region.here.key(params(fault)["partition"])
    keys = [key, key + ":side"]
    region.kept[fault.number] = [(k, region.r.dump(k)) for k in keys]


def redis_goes_back_end(region, fault):
    pipe = region.r.pipeline(transaction=True)
    kept = region.kept.pop(fault.number)
    if not all(value for _, value in kept):
        return False
    pipe.xlen(kept[0][0]).hget(kept[1][0], "last")
    for key, value in kept:
        pipe.restore(key, 0, value, replace=True)
    pipe.hget(kept[1][0], "last")
    answers = pipe.execute()
    return int(answers[-1]) < int(answers[1] or 0)


def redis_pause_begin(region, fault):
    region.r.execute_command("CLIENT", "PAUSE", int(fault.lasts * 1000), "ALL")
    with socket.create_connection(("127.0.0.1", region.primary.port)) as s:
        s.settimeout(0.3)
        s.sendall(b"PING\r\n")
        try:
            return not s.recv(100)
        except TimeoutError:
            return True


def redis_pause_end(region, fault):
    pass


def redis_read_only_begin(region, fault):
    region.r.replicaof("127.0.0.1", 1)
    return region.r.role()[0] == b"slave"


def redis_read_only_end(region, fault):
    region.r.replicaof("no", "one")


def redis_full_begin(region, fault):
    memory = region.r.info("memory")  # what replica and log hold back doesn't count
    counted = memory["used_memory"] - memory["mem_not_counted_for_evict"]
    region.r.config_set("maxmemory", max(500_000, counted - 100_000))
    try:
        region.r.set("soak:full", "x")
    except redis_py.OutOfMemoryError:
        return True
    return False


def redis_full_end(region, fault):
    region.r.config_set("maxmemory", 0)
    region.r.delete("soak:full")


# ---- ways, brokers, clients ----


def way_cut_begin(region, fault):
    way = region.paths[fault.target]
    way.cut(stay_open=False)
    return not way.gate.open


def way_cut_end(region, fault):
    region.paths[fault.target].cut(stay_open=True)


def way_silence_begin(region, fault):
    region.paths[fault.target].silence()
    return region.paths[fault.target].taken > 0


def way_silence_end(region, fault):
    region.paths[fault.target].silence(False)


def way_slow_begin(region, fault):
    p = params(fault)
    region.paths[fault.target].shape(p["delay_ms"] / 1000, p["kbytes_s"] * 1000)
    return region.paths[fault.target].taken > 0


def way_slow_end(region, fault):
    region.paths[fault.target].shape()


def clients_away_begin(region, fault):
    return region.send_away()


def clients_away_end(region, fault):
    region.call_back()


def kafka_kill_begin(region, fault):
    return region.cluster.members[fault.target].kill() == -signal.SIGKILL


def kafka_kill_end(region, fault):
    region.cluster.members[fault.target].spawn()


def make(region, when, fault):
    """Begins or ends a fault: whether it happened, or None."""
    function = globals()[f"{fault.kind.replace('.', '_').replace('-', '_')}_{when}"]
    return function(region, fault)
