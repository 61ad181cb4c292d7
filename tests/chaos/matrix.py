# SPDX-License-Identifier: Apache-2.0
"""The faults that Fanfare is tried against: what dies or lies, what a client may see, and which rows show it.

A row of the table in docs/guarantees.md is written for each (table.py). Storm holds a row to what is said
here: nobody may be told where it doesn't say so, and "nothing" is no pause that one could notice.
tests/tools/test_matrix.py sees to it that every row named here exists.
"""

NOTHING = "nothing"
PAUSE = "a pause"
RECONNECT = "reconnect, recovered"
NEW_LOG = "told: a new log"
LOST = "told: the lost range"
OWN = "its own client only"

# (what dies or lies, what a client sees, tests)
MATRIX = [
    ("worker: SIGKILL", PAUSE, ["test_worker_sigkill"]),
    ("worker: SIGTERM", PAUSE, ["test_worker_sigterm"]),
    ("worker: another one joins", PAUSE, ["test_worker_joins"]),
    (
        "worker: SIGSTOP for longer than its session, CONT while another owns its partitions",
        PAUSE,
        ["test_worker_sigstop_longer_than_its_session"],
    ),
    (
        "worker: restart in the middle of a pipelined batch",
        PAUSE,
        ["test_worker_restarts_in_the_middle_of_batches"],
    ),
    ("worker: SIGKILL in a deep read", PAUSE, ["test_worker_killed_in_a_deep_read"]),
    ("worker: cut from Redis", PAUSE, ["test_worker_cut_from_redis"]),
    (
        "two workers that both believe they own a partition",
        NOTHING,
        ["test_two_workers_both_believe_they_own"],
    ),
    ("edge: SIGKILL", RECONNECT, ["test_edge_sigkill"]),
    ("edge: SIGSTOP, then CONT", RECONNECT, ["test_edge_sigstop"]),
    ("edge: restart", RECONNECT, ["test_edge_drains_and_comes_back"]),
    (
        "edge: all at once",
        RECONNECT,
        ["test_all_edges_at_once", "test_all_edges_away_for_seconds"],
    ),
    ("edge cut from Redis for less than its plog", PAUSE, ["test_edge_cut_from_redis[less]"]),
    ("edge cut from Redis for more than its plog", PAUSE, ["test_edge_cut_from_redis[more]"]),
    (
        "edge cut from Redis for more than the stream keeps",
        PAUSE,
        [
            "test_edge_cut_from_redis_for_more_than_the_stream",
            "test_edges_cut_for_longer_than_the_stream",
        ],
    ),
    ("edge: its way to Redis swallows everything", PAUSE, ["test_edge_hears_nothing_of_redis"]),
    ("Redis: SIGKILL and restart, nothing kept", PAUSE, ["test_redis_restarts_empty"]),
    ("Redis: SIGKILL and restart with its data", PAUSE, ["test_redis_restarts_with_its_data"]),
    ("Redis: FLUSHALL at 10,000 records/s", PAUSE, ["test_redis_flushall"]),
    ("Redis: FLUSHALL in a deep read", PAUSE, ["test_redis_emptied_in_a_deep_read"]),
    ("Redis: DEL of one stream", PAUSE, ["test_redis_loses_one_stream"]),
    (
        "Redis: DEL of what stands beside the streams",
        PAUSE,
        ["test_redis_loses_a_side_hash", "test_redis_loses_the_topic_hash"],
    ),
    ("Redis: eviction", PAUSE, ["test_redis_evicts"]),
    ("Redis: out of memory", PAUSE, ["test_redis_is_full"]),
    ("Redis: READONLY", PAUSE, ["test_redis_is_read_only"]),
    ("Redis: LOADING", PAUSE, ["test_redis_is_loading"]),
    ("Redis: script cache flushed", PAUSE, ["test_redis_forgets_the_scripts"]),
    ("Redis: stands still", PAUSE, ["test_redis_stands_still"]),
    (
        "Redis: failover by Sentinel, the new primary lacks a tail",
        PAUSE,
        ["test_failover_by_sentinel_loses_a_tail"],
    ),
    ("Redis by Sentinels: SIGKILL of the master", PAUSE, ["test_master_killed"]),
    ("Redis by Sentinels: failover asked for, there and back", PAUSE, ["test_failover_asked_for"]),
    (
        "Redis by Sentinels: master deposed while it stands still, connections stay",
        PAUSE,
        ["test_master_deposed_while_it_stands_still"],
    ),
    (
        "Redis by Sentinels: master demoted by hand under the worker",
        PAUSE,
        ["test_master_demoted_under_a_worker"],
    ),
    ("Redis by Sentinels: all Sentinels gone", NOTHING, ["test_all_sentinels_gone"]),
    ("Redis: a replica that an edge reads lags for a second", PAUSE, ["test_replica_lags"]),
    (
        "Redis: a replica that an edge reads is cut from its master",
        PAUSE,
        ["test_replica_is_cut_from_its_master"],
    ),
    ("Redis: SIGKILL of a replica that an edge reads", PAUSE, ["test_replica_killed"]),
    ("Redis: a replica that edges read is promoted", PAUSE, ["test_replica_promoted"]),
    ("Redis: a shard is added by rolling the workers", PAUSE, ["test_a_shard_is_added"]),
    ("Redis: shards come and go", PAUSE, ["test_shards_come_and_go"]),
    ("Redis: SIGKILL of a shard, nothing kept", PAUSE, ["test_a_shard_is_lost"]),
    ("Redis: SIGKILL of home, streams at a shard", PAUSE, ["test_home_is_lost"]),
    ("Redis: old primary isolated, still serves its edges", PAUSE, ["test_old_primary_isolated"]),
    ("Redis: two-sided split and heal", PAUSE, ["test_primary_cut_off_serves_its_edges"]),
    (
        "Redis: goes back in time while the topic is idle",
        NOTHING,
        [
            "test_redis_goes_back_in_time_while_idle",
            "test_redis_goes_back_unseen_while_idle",
        ],
    ),
    ("Redis: goes back in time under load", PAUSE, ["test_redis_goes_back_unseen"]),
    (
        "Redis: accepts connections and never answers",
        PAUSE,
        [
            "test_redis_accepts_and_never_answers[start]",
            "test_redis_accepts_and_never_answers[middle]",
        ],
    ),
    ("Kafka: one of three brokers killed", PAUSE, ["test_broker_killed"]),
    ("Kafka: controller killed", PAUSE, ["test_controller_killed"]),
    (
        "Kafka: all brokers down for a minute; clients resume meanwhile",
        PAUSE,
        ["test_all_brokers_away"],
    ),
    (
        "Kafka: accepts connections and never answers",
        PAUSE,
        ["test_kafka_never_answers_at_the_start", "test_kafka_never_answers_in_the_middle"],
    ),
    (
        "Kafka: topic deleted and created anew",
        NEW_LOG,
        ["test_topic_created_anew_shorter", "test_topic_created_anew_longer"],
    ),
    (
        "Kafka: topic deleted and created anew under a worker that sleeps, or doesn't notice",
        NEW_LOG,
        ["test_topic_created_anew_longer_under_a_worker", "test_topic_created_anew_unnoticed"],
    ),
    ("Kafka: partitions added", NEW_LOG, ["test_partitions_added"]),
    ("Kafka: log truncated by an unclean leader election", NEW_LOG, ["test_log_is_truncated"]),
    ("Kafka: retention passes the worker", LOST, ["test_retention_passes_a_worker"]),
    (
        "Kafka: compacts the topic (`history: latest`)",
        "the latest record of each key, in order",
        ["test_compacted_topic"],
    ),
    ("Kafka: records deleted under the worker", LOST, ["test_records_deleted_under_a_worker"]),
    (
        "Kafka: records deleted under a deep read",
        "told: the lost range, unless they were read already",
        ["test_records_deleted_under_a_deep_read"],
    ),
    ("Kafka: transactions aborted, control records", NOTHING, ["test_transactions_aborted"]),
    ("registry topic: missing", NOTHING, ["test_registry_is_deleted_under_running_workers"]),
    ("registry topic: unwritable", "nothing: the worker refuses", ["test_registry_cannot_be_written"]),
    ("registry topic: written by two workers at once", NOTHING, ["test_two_workers_register_at_once"]),
    ("record over the limit", "a marker", ["test_record_has_its_documented_fate[too_large]"]),
    (
        "record without a key, or with a broken one",
        "nothing: counted",
        ["test_record_has_its_documented_fate[no_key]", "test_record_has_its_documented_fate[bad_key]"],
    ),
    ("record: wrong partitioner", "error 108, for that topic", ["test_wrong_partitioner"]),
    ("record: broken UTF-8", "base64", ["test_record_has_its_documented_fate[utf8]"]),
    ("record: broken JSON", "a string", ["test_record_has_its_documented_fate[json]"]),
    ("record without a value", "null", ["test_record_has_its_documented_fate[tombstone]"]),
    ("network: latency 200 ms", OWN, ["test_network_is_bad[latency]"]),
    ("network: every tenth packet lost", OWN, ["test_network_is_bad[loss]"]),
    ("network: half-open TCP peers", OWN, ["test_half_open_peers"]),
    ("network: peers that never say a word", OWN, ["test_peers_that_never_answer"]),
    ("network: bandwidth 8 KB/s", OWN, ["test_network_is_bad[bandwidth]"]),
    (
        "client resumes ahead of its region",
        "it waits, then all of it",
        ["test_client_is_ahead_of_its_region"],
    ),
    ("client resumes at the trimmed edge", "all of it", ["test_resume_at_the_trimmed_edge"]),
    ("client resumes from before the stream", "all of it", ["test_resume_from_before_the_stream"]),
    ("client resumes with an epoch of another log", "told", ["test_bad_cursors[foreign]"]),
    ("client resumes with a forged or absurd cursor", "told, or refused", ["test_bad_cursors[forged]"]),
    ("client resumes during a rebuild", PAUSE, ["test_resume_during_a_rebuild"]),
    (
        "clock jumps by an hour either way",
        NOTHING,
        ["test_clock_of_a_worker", "test_clock_of_an_edge", "test_clock_of_redis"],
    ),
    (
        "disk full for Redis",
        PAUSE,
        ["test_redis_disk_is_full_snapshots", "test_redis_disk_is_full_append_only_file"],
    ),
    ("disk full for logs", NOTHING, ["test_the_disk_of_the_logs_is_full"]),
    (
        "limit of open files reached",
        "new clients refused",
        [
            "test_edge_has_no_descriptors_left",
            "test_worker_has_no_descriptors_left",
            "test_redis_refuses_connections",
        ],
    ),
    ("memory limit reached", "new clients refused", ["test_edge_reaches_its_memory_limit"]),
]


def sees_of(test):
    """What a client may see in that row; None: the matrix doesn't name it."""
    return next((sees for _, sees, tests in MATRIX if test in tests), None)
