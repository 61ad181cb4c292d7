/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_rig.h: the real feed over a Redis of the test's own, on a loop that the test runs itself,
 * and shards that are only indices: the test does their turns. Include it once in a program.
 * @thread main
 */
#pragma once

#include "common/base/entry.h"

#include "edge-node/feed_impl.h"
#include "tests/unit/io/redis_server.h"

#define RIG_SHARDS 2

struct rig {
    struct edge_conf conf;
    struct namespace_conf ns_conf;
    struct conf_item item;
    struct namespaces nss;
    struct turns *turns;
    struct feed_shard shards[RIG_SHARDS];
    struct feed *feed;
    struct ev_loop *loop;
    struct ev_timer beat; /* the loop has something to wake for, also if feed is elsewhere */
    struct redis_sync *redis;
};

static inline void rig_beat(struct ev_loop *loop, struct ev_timer *w, int events)
{
    (void)loop, (void)w, (void)events;
}

static inline void rig_wake(void *arg)
{
    (void)arg;
}

static inline void rig_cmd(struct rig *r, const char *text)
{
    struct slice argv[16];
    char copy[512], *word, *rest = copy;
    int argc = 0;

    (void)snprintf(copy, sizeof(copy), "%s", text);
    while ((word = strsep(&rest, " ")))
        argv[argc++] = slice_of(word);
    assert_non_null(redis_sync_cmd(r->redis, argc, argv));
}

static inline void rig_topic(struct rig *r, int n, const char *log)
{
    char text[200];

    (void)snprintf(text, sizeof(text), "HSET ff:topic:t n %d log %s partitions 2 state live", n,
                   log);
    rig_cmd(r, text);
}

static inline void rig_record(struct rig *r, const char *log, uint64_t pos, const char *channel,
                              struct slice payload)
{
    struct entry e = {.pos = pos,
                      .prev = pos - 1,
                      .kind = ENTRY_JSON,
                      .channel = slice_of(channel),
                      .payload = payload};
    char id[ENTRY_ID_MAX], stream[KEY_MAX];
    struct slice name = {stream, key_stream(stream, log, 0)};
    struct slice at = {id, entry_id_print(id, pos)};
    struct buf field = BUF_INIT;

    entry_encode(&field, &e);
    assert_non_null(redis_sync_cmd(
        r->redis, 5, (struct slice[]){SLICE("XADD"), name, at, SLICE("d"), buf_as_slice(&field)}));
    buf_done(&field);
}

static inline void rig_entry(struct rig *r, const char *log, uint64_t pos, const char *channel)
{
    rig_record(r, log, pos, channel, SLICE("1"));
}

/* shared: on a loop that only rig_run() runs; else with its own thread. */
static inline void rig_begin(struct rig *r, bool shared)
{
    struct conf_table table = {&r->item, 1};
    struct buf errors = BUF_INIT;

    memset(r, 0, sizeof(*r));
    r->conf.redis_url = server.url;
    r->conf.redis_password = (char *)(uintptr_t) "";
    r->conf.redis_replica_url = (char *)(uintptr_t) "";
    r->conf.plog_bytes = (int64_t)MIB(8);
    r->ns_conf.topic = (char *)(uintptr_t) "t";
    r->ns_conf.log_id = (char *)(uintptr_t) "";
    r->item = (struct conf_item){(char *)(uintptr_t) "", &r->ns_conf};
    assert_int_equal(namespaces_init(&r->nss, &table, &errors), 0);
    r->redis = open_sync(server.url);
    rig_cmd(r, "FLUSHALL");
    r->turns = turns_new(RIG_SHARDS);
    for (int i = 0; i < RIG_SHARDS; i++)
        r->shards[i].wake = rig_wake;
    r->feed = feed_new(&r->conf, &r->nss, r->turns, r->shards, RIG_SHARDS);
    r->loop = ev_loop_new(EVFLAG_AUTO);
    ev_timer_init(&r->beat, rig_beat, 0.01, 0.01);
    ev_timer_start(r->loop, &r->beat);
    feed_start(r->feed, shared ? r->loop : NULL);
}

static inline void rig_end(struct rig *r)
{
    feed_stop(r->feed);
    feed_free(r->feed);
    turns_free(r->turns);
    redis_sync_close(r->redis);
    ev_loop_destroy(r->loop);
    namespaces_done(&r->nss);
}

/* Runs feed's loop for so long. */
static inline void rig_run(struct rig *r, uint64_t ms)
{
    uint64_t end = clock_mono_ms() + ms;

    while (clock_mono_ms() < end)
        ev_run(r->loop, EVRUN_ONCE);
}

/* Runs feed's loop until it is so. */
#define rig_wait(r, is_so)                                              \
    do {                                                                \
        for (uint64_t till_ms = clock_mono_ms() + WAIT_MS; !(is_so);) { \
            if (clock_mono_ms() > till_ms)                              \
                fail_msg("waited %d ms for it: %s", WAIT_MS, #is_so);   \
            ev_run((r)->loop, EVRUN_ONCE);                              \
        }                                                               \
    } while (0)

/* So long, and until what stands in the beacon now was read: that is every 300 ms, if the machine
 * doesn't stand still. */
static inline void rig_read_beacon(struct rig *r, uint64_t ms)
{
    uint64_t since = clock_mono_ms();

    rig_run(r, ms);
    rig_wait(r, r->feed->beacon_before_ms > since);
}

static inline const struct topic_view *rig_view(struct rig *r, const char *log)
{
    const struct topic_view *v;

    rig_wait(r, (v = feed_topic(r->feed, 0)) && strcmp(v->log, log) == 0);
    return v;
}

/* On the test's own loop, with a topic whose first log this is; returns what feed knows of it. */
static inline const struct topic_view *rig_begin_in(struct rig *r, const char *log)
{
    rig_begin(r, true);
    rig_topic(r, 1, log);
    return rig_view(r, log);
}

/* Until the plog has all up to there, and no more. */
static inline void rig_expect_upto(struct rig *r, const struct plog *p, uint64_t upto)
{
    for (uint64_t end = clock_mono_ms() + WAIT_MS; clock_mono_ms() < end;) {
        if (atomic_load(&p->state) == PLOG_READY && plog_view(p).upto == upto)
            return;
        ev_run(r->loop, EVRUN_ONCE);
    }
    fail_msg("upto is %llu, not %llu", (unsigned long long)plog_view(p).upto,
             (unsigned long long)upto);
}
