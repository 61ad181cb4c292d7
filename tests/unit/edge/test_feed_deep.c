/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_feed_deep.c: when feed asks Kafka for what the region no longer has, how partitions share
 * the room for it, and what it makes of segments: with a real Redis, and the shards' turns by hand.
 */
#include "common/base/segment.h"

#include "tests/unit/edge/feed_rig.h"

static struct rig r;

/* ---- the region's stream is gone; Kafka's low has passed where it began ---- */

static struct plog *deep_one(const struct topic_view *v, int i)
{
    struct plog *p = v->plogs[i];

    feed_tail(r.feed, 0, p, true);
    atomic_store(&p->kafka_low, 1);
    atomic_store(&p->kafka_end, 4096UL * 1000);
    atomic_store(&p->beacon_ms, clock_mono_ms());
    return p;
}

static void what_a_lost_stream_had_is_asked_of_kafka(void **state)
{
    struct plog *p;

    (void)state;
    p = deep_one(rig_begin_in(&r, "LogAAAA1"), 0);
    p->region_from = 5;
    atomic_store(&p->kafka_low, 8);
    atomic_store(&p->kafka_end, 20);
    feed_want(r.feed, 0, p, 9, 0);
    rig_wait(&r, p->deeps);
    assert_int_equal(p->deeps, 1);
    feed_tail(r.feed, 0, p, false);
    rig_end(&r); /* while it is looked for */
}

/* ---- the room for searches is shared ---- */

#define SEARCHES 64 /* DEEP_MAX */

static void search(struct plog *p, int row)
{
    feed_deep_start(r.feed, p, (uint64_t)row * 4096);
}

static void a_partition_gets_its_share_of_the_searches(void **state)
{
    const struct topic_view *v;
    struct plog *p, *q;

    (void)state;
    v = rig_begin_in(&r, "LogAAAA1");
    rig_wait(&r, feed_link_is_up(&r.feed->home->history));
    p = deep_one(v, 0);
    q = deep_one(v, 1);
    for (int i = 0; i < SEARCHES + 5; i++)
        search(p, i);
    assert_int_equal(p->deeps, SEARCHES);
    for (int i = 0; i < SEARCHES; i++)
        search(q, i);
    assert_int_equal(q->deeps, SEARCHES / 2);
    assert_int_equal(p->deeps, SEARCHES / 2);
    feed_tail(r.feed, 0, p, false);
    feed_tail(r.feed, 0, q, false);
    rig_end(&r);
}

/* ---- a segment that nobody can read ---- */

static void put_segment(const char *bytes)
{
    char text[100];

    (void)snprintf(text, sizeof(text), "SET ff:{LogAAAA1:0}:seg:0 %s", bytes);
    rig_cmd(&r, text);
}

static bool is_segment_there(void)
{
    const struct redis_reply *reply = redis_sync_cmd(
        r.redis, 2, (struct slice[]){SLICE("EXISTS"), SLICE("ff:{LogAAAA1:0}:seg:0")});

    return redis_int(reply) == 1;
}

static void an_unreadable_segment_is_wanted_anew_and_then_told(void **state)
{
    int64_t errors = atomic_load(&edge_metrics.record_errors);
    struct plog *p;

    (void)state;
    p = deep_one(rig_begin_in(&r, "LogAAAA1"), 0);
    rig_wait(&r, atomic_load(&p->state) == PLOG_READY);
    put_segment("garbage");
    search(p, 0);
    rig_wait(&r, !is_segment_there());
    assert_int_equal(p->deeps, 1); /* goes on looking */
    assert_int_equal(atomic_load(&p->refused_ms), 0);
    assert_int_equal(atomic_load(&edge_metrics.record_errors), errors + 1);
    put_segment("garbage");
    rig_wait(&r, !p->deeps);
    assert_int_not_equal(atomic_load(&p->refused_ms), 0);
    feed_tail(r.feed, 0, p, false);
    rig_end(&r);
}

/* ---- the next segments are looked for before they are asked for, some of them ---- */

#define AHEAD 8UL /* AHEAD_MAX */

static void put_row(uint64_t from)
{
    struct buf value = BUF_INIT;
    char name[KEY_MAX];

    segment_head(&value, 0, from, from + SEGMENT_POSITIONS, 1);
    assert_non_null(redis_sync_cmd(r.redis, 3,
                                   (struct slice[]){SLICE("SET"),
                                                    {name, key_segment(name, "LogAAAA1", 0, from)},
                                                    buf_as_slice(&value)}));
    buf_done(&value);
}

static void an_edge_looks_ahead(void **state)
{
    struct plog *p;

    (void)state;
    p = deep_one(rig_begin_in(&r, "LogAAAA1"), 0);
    rig_wait(&r, atomic_load(&p->state) == PLOG_READY);
    for (uint64_t i = 0; i < 2 * AHEAD; i++)
        put_row(i * SEGMENT_POSITIONS);
    p->region_from = 3 * SEGMENT_POSITIONS;
    search(p, 0);
    rig_wait(&r, !p->deeps);
    assert_non_null(plog_page_at(p, 2 * SEGMENT_POSITIONS, false));
    assert_null(plog_page_at(p, 3 * SEGMENT_POSITIONS, false)); /* the region has it */
    p->region_from = 2 * AHEAD * SEGMENT_POSITIONS;
    search(p, 3);
    rig_wait(&r, !p->deeps);
    assert_non_null(plog_page_at(p, (3 + AHEAD) * SEGMENT_POSITIONS, false));
    assert_null(plog_page_at(p, (4 + AHEAD) * SEGMENT_POSITIONS, false));
    feed_tail(r.feed, 0, p, false);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(what_a_lost_stream_had_is_asked_of_kafka),
        TEST(a_partition_gets_its_share_of_the_searches),
        TEST(an_unreadable_segment_is_wanted_anew_and_then_told),
        TEST(an_edge_looks_ahead),
    };

    return RUN_WITH_SERVER(list);
}
