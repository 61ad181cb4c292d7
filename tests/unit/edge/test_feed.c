/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_feed.c: what feed and shards owe each other over a log's end, at feed's own end, and in the
 * moment in which a shard begins to listen: with a real Redis, and the shards' turns done by hand.
 *
 * length: each test is one story between the two, told with the same few steps.
 */
#include <sched.h>

#include "tests/unit/edge/feed_rig.h"

static struct rig r;

/* A shard that had looked the topic up just before its log was superseded begins to tail a plog
 * that nobody else does: it must stay until the shard lets go. */
static void a_log_ends_while_a_shard_begins_to_tail_it(void **state)
{
    struct plog *p;
    uint32_t id;

    (void)state;
    rig_begin(&r, true);
    rig_topic(&r, 1, "LogAAAA1");
    turns_begin(r.turns, 0);
    p = rig_view(&r, "LogAAAA1")->plogs[0];
    id = p->id;
    rig_topic(&r, 2, "LogAAAA2");
    rig_view(&r, "LogAAAA2");
    rig_run(&r, 250); /* ticks: nobody tails it */
    feed_tail(r.feed, 0, p, true);
    turns_end(r.turns, 0);
    rig_run(&r, 250);
    assert_ptr_equal(feed_plog(r.feed, id), p);
    assert_int_equal(atomic_load(&p->state), PLOG_GONE);
    feed_tail(r.feed, 0, p, false);
    rig_wait(&r, !feed_plog(r.feed, id));
    rig_end(&r);
}

/* What a client says of a log that this edge doesn't know is judged by what Redis says after that;
 * and sooner than the topic would be read anyway. */
static void an_unknown_log_is_asked_about(void **state)
{
    const struct topic *t;
    uint64_t since, ticks;

    (void)state;
    rig_begin_in(&r, "LogAAAA1");
    t = &r.feed->topics[0];
    rig_wait(&r, r.feed->ticks % 10 == 1); /* every tenth asks anyway */
    ticks = r.feed->ticks;
    since = clock_mono_ms();
    assert_false(feed_is_old_log(r.feed, 0, "LogAAAA2", since));
    rig_topic(&r, 2, "LogAAAA2"); /* it is a newer one */
    rig_view(&r, "LogAAAA2");
    assert_true(r.feed->ticks - ticks < 9);
    assert_false(feed_is_old_log(r.feed, 0, "LogAAAA2", since)); /* it came meanwhile */
    since = clock_mono_ms();
    assert_true(feed_is_old_log(r.feed, 0, "LogAAAA1", since)); /* what it followed */
    assert_false(feed_is_old_log(r.feed, 0, "LogAAAA0", since));
    rig_wait(&r, atomic_load(&t->known_ms) > since);
    assert_true(feed_is_old_log(r.feed, 0, "LogAAAA0", since));
    since = clock_mono_ms();
    assert_false(feed_is_old_log(r.feed, 0, "LogAAAA0", since));
    rig_cmd(&r, "HSET ff:topic:t n 1 log LogAAAA1"); /* Redis went back: not the newest */
    rig_wait(&r, t->asked_ms > since && !t->asked);
    assert_false(feed_is_old_log(r.feed, 0, "LogAAAA0", since));
    rig_end(&r);
}

/* Nor is a newer one old for which there is no room yet. */
static void a_log_without_room_is_not_old(void **state)
{
    uint64_t since;

    (void)state;
    rig_begin_in(&r, "LogAAAA1");
    since = clock_mono_ms();
    rig_cmd(&r, "HSET ff:topic:t n 2 log LogAAAA2 partitions 4096"); /* FEED_PLOGS_MAX */
    assert_false(feed_is_old_log(r.feed, 0, "LogAAAA2", since));
    rig_wait(&r, !feed_topic(r.feed, 0));
    assert_false(feed_is_old_log(r.feed, 0, "LogAAAA2", since));
    rig_end(&r);
}

/* The beacon of a log that has just begun hasn't moved yet: that is no reason to reconnect. */
static void a_new_logs_beacon_is_not_stale(void **state)
{
    struct plog *p;

    (void)state;
    rig_begin(&r, true);
    rig_topic(&r, 1, "LogAAAA1");
    rig_entry(&r, "LogAAAA1", 1, "a");
    rig_entry(&r, "LogAAAA2", 1, "a");
    p = rig_view(&r, "LogAAAA1")->plogs[0];
    feed_tail(r.feed, 0, p, true);
    rig_expect_upto(&r, p, 1);
    rig_wait(&r, r.feed->relinked_ms); /* nobody writes a beacon */
    r.feed->relinked_ms = 0;
    rig_topic(&r, 2, "LogAAAA2");
    feed_tail(r.feed, 0, p, false);
    p = rig_view(&r, "LogAAAA2")->plogs[0];
    feed_tail(r.feed, 0, p, true);
    rig_expect_upto(&r, p, 1);
    rig_run(&r, 500);
    assert_int_equal(r.feed->relinked_ms, 0);
    feed_tail(r.feed, 0, p, false);
    rig_end(&r);
}

/* At the end the shards close their clients when feed has ended already. */
static void shards_let_go_after_feeds_end(void **state)
{
    struct plog *p;

    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        rig_begin(&r, shared);
        rig_topic(&r, 1, "LogAAAA1");
        p = rig_view(&r, "LogAAAA1")->plogs[0];
        feed_tail(r.feed, 0, p, true);
        rig_run(&r, 250);
        feed_stop(r.feed);
        assert_null(r.feed->loop); /* it may be freed: nobody may ring there */
        feed_tail(r.feed, 0, p, false);
        rig_end(&r);
    }
}

/* Nobody tailed it for a while, and Redis went back meanwhile: who holds a cursor above the
 * stream's end (a shard that came in this very moment) must not take the new start for a sight of
 * more. */
static void a_plogs_end_never_goes_back(void **state)
{
    struct plog *p;

    (void)state;
    p = rig_begin_in(&r, "LogAAAA1")->plogs[0];
    for (uint64_t pos = 1; pos <= 10; pos++)
        rig_entry(&r, "LogAAAA1", pos, "a");
    feed_tail(r.feed, 0, p, true);
    rig_expect_upto(&r, p, 10);
    feed_tail(r.feed, 0, p, false);
    rig_run(&r, 50);
    p->idle_ms = 1; /* as if IDLE_KEEP_MS had passed */
    while (atomic_load(&p->state) != PLOG_COLD)
        ev_run(r.loop, EVRUN_ONCE);
    rig_cmd(&r, "DEL ff:{LogAAAA1:0}");
    for (uint64_t pos = 1; pos <= 5; pos++)
        rig_entry(&r, "LogAAAA1", pos, "a");
    feed_tail(r.feed, 0, p, true);
    rig_run(&r, 250);
    rig_expect_upto(&r, p, 10);
    for (uint64_t pos = 6; pos <= 12; pos++)
        rig_entry(&r, "LogAAAA1", pos, "a");
    rig_expect_upto(&r, p, 12);
    feed_tail(r.feed, 0, p, false);
    rig_end(&r);
}

static void beat(const char *value)
{
    struct slice argv[] = {SLICE("HSET"), SLICE("ff:beacon"), SLICE("p:LogAAAA1:0"),
                           slice_of(value)};
    assert_non_null(redis_sync_cmd(r.redis, ARRAY_LEN(argv), argv));
    rig_read_beacon(&r, 700);
}

/* A failover: the new primary has a beacon from before, which is another one than was read last. It
 * must not pass for news of Kafka's end: a client that is ahead of it would be told and rewound. */
static void an_older_beacon_is_no_sign_of_life(void **state)
{
    struct plog *p;
    uint64_t seen;

    (void)state;
    p = rig_begin_in(&r, "LogAAAA1")->plogs[0];
    beat("100 w1 live 1 50 50 0");
    assert_int_equal(atomic_load(&p->beacon_ms), 0); /* it may be left from whenever */
    assert_int_equal(atomic_load(&p->kafka_end), 50);
    beat("101 w1 live 1 60 60 0");
    seen = atomic_load(&p->beacon_ms);
    assert_true(seen);
    beat("90 w1 rebuild 1 40 40 0"); /* the tail that was not replicated */
    beat("700 w0 live 1 30 30 0");   /* of a worker before that */
    assert_int_equal(atomic_load(&p->beacon_ms), seen);
    assert_int_equal(atomic_load(&p->kafka_end), 60);
    beat("102 w1 live 1 70 70 0");
    assert_true(atomic_load(&p->beacon_ms) > seen);
    seen = atomic_load(&p->beacon_ms);
    beat("3 w2 live 1 80 80 0");
    beat("4 w2 live 1 80 80 0");
    assert_true(atomic_load(&p->beacon_ms) > seen);
    rig_end(&r);
}

/* Kafka's end was so before the row was made, which was when the writer's row before was there: a
 * client that came later than that may have been further already. */
static void an_end_is_as_old_as_its_row_says(void **state)
{
    uint64_t asked, before, seen; /* asked: the last question that was answered then */
    struct plog *p;

    (void)state;
    p = rig_begin_in(&r, "LogAAAA1")->plogs[0];
    beat("1 w1 live 1 40 40 0"); /* whoever wrote it may be dead */
    asked = r.feed->beacon_before_ms;
    before = clock_mono_ms();
    beat("2 w1 live 1 40 40 0");
    assert_int_equal(atomic_load(&p->end_ms), 0); /* it may have waited from whenever */
    beat("3 w1 live 1 40 40 0");
    seen = atomic_load(&p->end_ms);
    assert_in_range(seen, asked, before + 300);
    asked = r.feed->beacon_before_ms;
    beat("4 w1 live 1 40 40 20000"); /* older than what is known */
    assert_int_equal(atomic_load(&p->end_ms), seen);
    before = clock_mono_ms(); /* 4 is there for 700 ms */
    beat("5 w1 stalled 1 40 40 200");
    assert_in_range(atomic_load(&p->end_ms), asked - 200, before - 600);
    seen = atomic_load(&p->end_ms);
    beat("6 w1 live 1 40 40 9223372036854775807");
    assert_int_equal(atomic_load(&p->end_ms), seen);
    before = clock_mono_ms();
    rig_run(&r, 1000);
    beat("7 w1 live 1 40 40 0"); /* since when did it wait? */
    assert_in_range(atomic_load(&p->end_ms), seen, before - 1000);
    rig_end(&r);
}

/* A replica that lags, a stream that is being written anew elsewhere: who comes before the beacon
 * is read again must not be pushed as news what the region had already. */
static void what_the_beacon_knew_is_no_news(void **state)
{
    struct plog *p;

    (void)state;
    p = rig_begin_in(&r, "LogAAAA1")->plogs[0];
    rig_entry(&r, "LogAAAA1", 5, "a");
    beat("1 w1 live 1 40 40 0");
    assert_int_equal(atomic_load(&p->beacon_state), BEACON_LIVE);
    r.feed->beacon_asked = true; /* it isn't read any more */
    feed_tail(r.feed, 0, p, true);
    rig_expect_upto(&r, p, 5);
    assert_int_equal(atomic_load(&p->beacon_state), BEACON_REBUILD);
    assert_int_equal(atomic_load(&p->loose), 0); /* an entry stands there */
    feed_tail(r.feed, 0, p, false);
    rig_end(&r);
    p = rig_begin_in(&r, "LogAAAA1")->plogs[0];
    beat("1 w1 live 1 40 0 0");
    beat("2 w1 live 1 40 0 0");
    feed_tail(r.feed, 0, p, true);
    rig_expect_upto(&r, p, 40); /* there is no stream yet */
    assert_int_equal(atomic_load(&p->loose), 40);
    feed_tail(r.feed, 0, p, false);
    rig_end(&r);
}

/* The beacon moves, its records don't come: another server may have taken that one's place. */
static void a_tail_that_stands_is_connected_anew(void **state)
{
    struct plog *p;
    int64_t before;
    char text[80];

    (void)state;
    p = rig_begin_in(&r, "LogAAAA1")->plogs[0];
    rig_entry(&r, "LogAAAA1", 5, "a");
    feed_tail(r.feed, 0, p, true);
    rig_expect_upto(&r, p, 5);
    for (int i = 1; i <= 7; i++) { /* it has all: for as long as one likes */
        (void)snprintf(text, sizeof(text), "%d w1 live 1 5 5 0", i);
        beat(text);
    }
    assert_int_equal(r.feed->home->relinked_ms, 0);
    before = redis_client_id(p->group->link.conn);
    for (int i = 8; i <= 15 && !r.feed->home->relinked_ms; i++) {
        (void)snprintf(text, sizeof(text), "%d w1 live 1 40 40 0", i);
        beat(text);
    }
    assert_true(r.feed->home->relinked_ms);
    rig_entry(&r, "LogAAAA1", 6, "a");
    rig_expect_upto(&r, p, 6);
    assert_true(redis_client_id(p->group->link.conn) > before);
    feed_tail(r.feed, 0, p, false);
    rig_end(&r);
}

/* A shard that wants page after page doesn't keep another one from its first. */
static void shards_take_turns_with_pages(void **state)
{
    uint64_t next = 0;
    struct plog *p;

    (void)state;
    p = rig_begin_in(&r, "LogAAAA1")->plogs[0];
    rig_entry(&r, "LogAAAA1", 1000, "a");
    feed_tail(r.feed, 0, p, true);
    feed_tail(r.feed, 1, p, true);
    rig_expect_upto(&r, p, 1000);
    for (uint32_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < PLOG_WANTS; k++) /* its places are always full */
            if (!atomic_load(&p->wants[k]))
                feed_want(r.feed, 0, p, next++, PLOG_WANT_REGION);
        if (i == 0)
            feed_want(r.feed, 1, p, 900, PLOG_WANT_REGION);
        p->fetches = PLOG_FETCHES - 1; /* room for one */
        feed_serve_wants(r.feed, p);
    }
    for (size_t k = PLOG_WANTS; k < 2UL * PLOG_WANTS; k++)
        assert_int_equal(atomic_load(&p->wants[k]), 0);
    p->fetches = 2;
    while (p->fetches)
        ev_run(r.loop, EVRUN_ONCE);
    feed_tail(r.feed, 0, p, false);
    feed_tail(r.feed, 1, p, false);
    rig_end(&r);
}

/* ---- a shard begins to tail in the moment in which a record is published ---- */

#define MOMENTS 100000

struct moments {
    struct plog *p;
    _Atomic int ready[2]; /* rounds each side has begun */
    uint64_t upto;        /* as the shard saw it */
};

static void meet(struct moments *m, int who, int round)
{
    atomic_store(&m->ready[who], round);
    for (unsigned spins = 1; atomic_load(&m->ready[!who]) < round; spins++)
        if (spins % 1024 == 0)
            sched_yield(); /* the other one may wait for this very CPU */
}

static void *be_the_shard(void *arg)
{
    struct moments *m = arg;

    for (int i = 1; i <= MOMENTS; i++) {
        meet(m, 1, 2 * i - 1);
        feed_tail(r.feed, 1, m->p, true);
        m->upto = plog_view(m->p).upto;
        meet(m, 1, 2 * i);
    }
    return NULL;
}

/* It sees the record, or it is told of it: else the record would wait for the next one's signal. */
static void a_record_is_seen_or_signalled(void **state)
{
    struct moments m = {.p = plog_new("LogAAAA1", 0, 0, RIG_SHARDS)};
    _Atomic uint64_t *grown = &r.shards[1].grown[0];
    pthread_t shard;
    int missed = 0;

    (void)state;
    rig_begin(&r, true);
    plog_start(m.p, 0, r.turns);
    assert_int_equal(pthread_create(&shard, NULL, be_the_shard, &m), 0);
    for (int i = 1; i <= MOMENTS; i++) {
        struct entry e = {.pos = (uint64_t)i, .prev = (uint64_t)i - 1, .channel = SLICE("a")};
        plog_append(m.p, &e, 1, 0);
        plog_evict(m.p, r.turns);
        feed_tail(r.feed, 1, m.p, false);
        atomic_store(grown, 0);
        meet(&m, 0, 2 * i - 1);
        plog_publish(m.p);
        feed_signal(r.feed, m.p);
        meet(&m, 0, 2 * i);
        missed += m.upto != (uint64_t)i && !atomic_load(grown);
    }
    pthread_join(shard, NULL);
    assert_int_equal(missed, 0);
    feed_tail(r.feed, 1, m.p, false);
    plog_free(m.p);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(a_log_ends_while_a_shard_begins_to_tail_it),
        TEST(shards_let_go_after_feeds_end),
        TEST(an_unknown_log_is_asked_about),
        TEST(a_log_without_room_is_not_old),
        TEST(a_new_logs_beacon_is_not_stale),
        TEST(a_plogs_end_never_goes_back),
        TEST(an_older_beacon_is_no_sign_of_life),
        TEST(an_end_is_as_old_as_its_row_says),
        TEST(what_the_beacon_knew_is_no_news),
        TEST(a_tail_that_stands_is_connected_anew),
        TEST(shards_take_turns_with_pages),
        TEST(a_record_is_seen_or_signalled),
    };

    return RUN_WITH_SERVER(list);
}
