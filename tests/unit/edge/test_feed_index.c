/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_feed_index.c: the real feed looks up channels in indexes that stand in a real Redis.
 */
#include "edge-node/index.h"
#include "tests/unit/edge/edge_test.h"
#include "tests/unit/edge/feed_rig.h"

#define INDEX "ff:{LogAAAA1:0}:last"

static struct rig r;
static struct plog *p;

static void begin(void)
{
    p = rig_begin_in(&r, "LogAAAA1")->plogs[0];
    rig_entry(&r, "LogAAAA1", 1000, "a");
    feed_tail(r.feed, 0, p, true);
    for (uint64_t end = clock_mono_ms() + WAIT_MS; atomic_load(&p->state) != PLOG_READY;) {
        assert_true(clock_mono_ms() < end);
        ev_run(r.loop, EVRUN_ONCE);
    }
    atomic_store(&r.shards[0].grown[0], 0);
}

static void end(void)
{
    feed_tail(r.feed, 0, p, false);
    rig_end(&r);
}

static void range(const char *key_of, const char *text)
{
    assert_non_null(redis_sync_cmd(
        r.redis, 4, (struct slice[]){SLICE("HSET"), slice_of(key_of), SLICE(""), slice_of(text)}));
}

static int try_proof(const char *channel, uint64_t pos, uint64_t *upto)
{
    struct channel_key k = key_of_name(channel);

    int rc = feed_index(r.feed, p, &k, pos, upto);

    if (rc)
        feed_look_up(r.feed, p);
    return rc;
}

/* Asks, and waits for the answer. */
static uint64_t proof(const char *channel, uint64_t pos)
{
    uint64_t upto;

    for (uint64_t end_ms = clock_mono_ms() + WAIT_MS; try_proof(channel, pos, &upto) != 0;) {
        assert_true(clock_mono_ms() < end_ms);
        ev_run(r.loop, EVRUN_ONCE);
    }
    return upto;
}

static void forget_answers(void)
{
    turns_begin(r.turns, 0);
    while (index_evict(p->index, clock_mono_ms() + 2UL * INDEX_KEEP_MS, r.turns))
        ;
    turns_end(r.turns, 0);
    p->bytes = p->bytes_counted; /* what was evicted is of no interest here */
}

static void what_stands_there(void **state)
{
    (void)state;
    begin();
    range(INDEX, "100 900 50");
    rig_cmd(&r, "HSET " INDEX " moved 500 odd x");
    assert_int_equal(proof("quiet", 100), 900);
    assert_true(atomic_load(&r.shards[0].grown[0]) & (1ull << p->id)); /* who waits is woken */
    assert_int_equal(proof("moved", 499), 499);
    assert_int_equal(proof("moved", 500), 900);
    assert_int_equal(proof("odd", 500), 500);
    assert_int_equal(proof("since", 99), 99);
    end();
}

static void the_old_index_is_asked_where_it_matters(void **state)
{
    int64_t lookups = edge_metrics.index_lookups;

    (void)state;
    begin();
    range(INDEX, "500 900 50");
    range(INDEX ":old", "100 500 50");
    rig_cmd(&r, "HSET " INDEX ":old moved 300");
    assert_int_equal(proof("young", 500), 900);
    assert_int_equal(edge_metrics.index_lookups - lookups, 1);
    assert_int_equal(proof("quiet", 100), 900);
    assert_int_equal(edge_metrics.index_lookups - lookups, 3);
    assert_int_equal(proof("moved", 299), 299);
    assert_int_equal(proof("moved", 300), 900);
    assert_int_equal(proof("ancient", 99), 99);
    end();
}

static void what_is_no_index_proves_nothing(void **state)
{
    static const char *const ways[] = {
        "DEL " INDEX, "SET " INDEX " text", "RPUSH " INDEX " a", "HSET " INDEX " quiet 7",
        NULL, /* an unreadable range */
    };

    (void)state;
    begin();
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        rig_cmd(&r, "DEL " INDEX);
        if (ways[i])
            rig_cmd(&r, ways[i]);
        else
            range(INDEX, "100 900");
        assert_int_equal(proof("quiet", 200), 200);
        forget_answers();
    }
    end();
}

/* However many ask: a lookup goes out with what was asked by then, the next one when it is back. */
static void a_storm_takes_few_commands(void **state)
{
    int64_t lookups = edge_metrics.index_lookups, channels = edge_metrics.index_channels;
    enum {
        CLIENTS = 10000
    };
    uint64_t upto, end_ms = clock_mono_ms() + WAIT_MS;
    static bool done[CLIENTS];
    size_t left = CLIENTS;
    char name[24];

    (void)state;
    begin();
    range(INDEX, "100 900 50");
    while (left) {
        assert_true(clock_mono_ms() < end_ms);
        for (size_t i = 0; i < CLIENTS; i++) { /* a turn of each of two shards */
            (void)snprintf(name, sizeof(name), "quiet%zu", i);
            if (done[i] || try_proof(name, 100 + i % 700, &upto) != 0)
                continue;
            assert_int_equal(upto, 900);
            done[i] = true;
            left--;
        }
        ev_run(r.loop, EVRUN_ONCE);
    }
    lookups = edge_metrics.index_lookups - lookups;
    print_message("%lld lookups\n", (long long)lookups);
    assert_in_range(lookups, CLIENTS / INDEX_CHANNELS, 15);
    assert_in_range(edge_metrics.index_channels - channels, CLIENTS, CLIENTS + CLIENTS / 10);
    end();
}

/* The connection breaks under a lookup: it is asked again on the next one. */
static void an_answer_that_never_came(void **state)
{
    uint64_t upto;

    (void)state;
    begin();
    range(INDEX, "100 900 50");
    assert_int_equal(try_proof("quiet", 100, &upto), -EAGAIN);
    feed_index_serve(r.feed, p);
    assert_int_equal(p->lookups, 1);
    feed_link_restart(&p->store->history);
    assert_int_equal(p->lookups, 0);
    assert_int_equal(proof("quiet", 100), 900);
    end();
}

/* Answers count as the plog's bytes, and go in time. */
static void answers_go_in_time(void **state)
{
    size_t before;

    (void)state;
    begin();
    before = p->bytes;
    range(INDEX, "100 900 50");
    assert_int_equal(proof("quiet", 100), 900);
    assert_true(p->bytes > before && p->bytes == p->bytes_counted);
    for (uint64_t end_ms = clock_mono_ms() + WAIT_MS; p->bytes != before;) {
        assert_true(clock_mono_ms() < end_ms);
        ev_run(r.loop, EVRUN_ONCE);
    }
    end();
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(what_stands_there),
        TEST(the_old_index_is_asked_where_it_matters),
        TEST(what_is_no_index_proves_nothing),
        TEST(a_storm_takes_few_commands),
        TEST(an_answer_that_never_came),
        TEST(answers_go_in_time),
    };

    return RUN_WITH_SERVER(list);
}
