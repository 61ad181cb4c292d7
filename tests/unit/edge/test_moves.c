/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_moves.c: the pace at which clients are told to go, and the states of a drain, with shards
 * that only count, and a clock that only the test moves on.
 */
#include <ev.h>
#include <math.h>

#include "common/base/clock.h"
#include "common/io/coord.h"

#include "edge-node/cluster.h"
#include "edge-node/edge_conf.h"
#include "edge-node/edge_metric.h"
#include "edge-node/shard.h"
#include "tests/unit/edge/edge_test.h"

static uint64_t clock_ms = 1000000;

static uint64_t by_hand_ms(void)
{
    return clock_ms;
}

#define clock_mono_ms by_hand_ms
#include "edge-node/moves.c" // NOLINT(bugprone-suspicious-include): with that clock

static struct ev_loop *loop;
static struct edge_conf conf;
static struct shard shards[2];
static struct moves m;
static struct cluster *cluster;
static uint32_t told, waves, greatest;
static bool ended;

/* What shard.c does, without clients. Told ones are gone at once. */
static void on_order(struct ev_loop *l, struct ev_async *w, int events)
{
    struct shard *sh = container_of(w, struct shard, order);
    uint32_t n = atomic_exchange(&sh->to_move, 0);

    (void)l, (void)events;
    assert_true(n <= sh->untold);
    sh->untold -= n;
    sh->left = shard_ordered(sh) >= SHARD_REFUSES || sh->untold ? sh->untold : 1;
    told += n;
    waves += n > 0;
    greatest = n > greatest ? n : greatest;
}

static void on_end(void *arg)
{
    (void)arg;
    ended = true;
}

static void begin(uint32_t first, uint32_t second)
{
    static char no_key[] = "";

    loop = ev_loop_new(EVFLAG_AUTO);
    conf = (struct edge_conf){.drain_time = 2000, .connect_rate = 100, .tls_key = no_key};
    memset(shards, 0, sizeof(shards));
    for (int i = 0; i < 2; i++) {
        shards[i].loop = loop;
        shards[i].untold = i ? second : first;
        shards[i].left = shards[i].untold ? shards[i].untold : 1;
        ev_async_init(&shards[i].order, on_order);
        ev_async_start(loop, &shards[i].order);
    }
    told = waves = greatest = 0;
    ended = false;
    cluster = cluster_new();
    m = (struct moves){
        .conf = &conf, .cluster = cluster, .shards = shards, .shard_count = 2, .on_end = on_end};
    moves_start(&m, loop);
    assert_true(ev_is_active(&m.tick) && m.tick.repeat == WAVE_MS / 1000.0);
    ev_timer_stop(loop, &m.tick); /* pass() does what it does */
}

static void end(void)
{
    ev_loop_destroy(loop);
    cluster_free(cluster);
}

/* Until then, or until it ends: tick by tick, and the shards do at once what they are told. */
static void pass(uint64_t ms)
{
    ev_run(loop, EVRUN_NOWAIT);
    for (uint64_t until = clock_ms + ms; clock_ms < until && !ended;) {
        clock_ms += WAVE_MS;
        on_tick(loop, &m.tick, EV_TIMER);
        ev_run(loop, EVRUN_NOWAIT);
    }
}

static double pace(uint32_t untold, uint64_t left_ms, double rate, double room)
{
    struct moves_facts f = {untold, left_ms, rate, room};

    return moves_pace(&f);
}

static void test_pace(void **state)
{
    (void)state;
    assert_true(pace(5000, 20000, 1000, 1e9) == 1000); /* as fast as the others take them */
    assert_true(pace(5000, 20000, 100, 1e9) == 250);   /* and in time */
    assert_true(pace(5000, 20000, 1000, 0) == 250);    /* no room: slowly, but they have to go */
    assert_true(pace(5000, 20000, 1000, 30) == 300);   /* no more than that in a wave */
    assert_true(pace(500, 50, 100, 1e9) == 5000);      /* all with the next wave */
    assert_true(pace(500, 0, 100, 1e9) == 5000);
    assert_true(pace(0, 20000, 100, 1e9) == 100);
}

/* Twice what may go each second, in shards of different size. */
static void test_waves(void **state)
{
    uint64_t began = clock_ms, took;

    (void)state;
    begin(150, 50);
    conf.drain_time = 4000;
    moves_drain(&m, true);
    pass(500);
    assert_in_range(told, 40, 60);
    assert_int_equal(edge_metrics.drain_rate, 100);
    assert_int_equal(edge_metrics.draining, 1);
    assert_true(shards[0].untold > 2 * shards[1].untold);
    pass(20000);
    took = clock_ms - began;
    assert_true(ended);
    assert_int_equal(told, 200);
    assert_in_range(took, 1900, 2500);
    assert_true(greatest <= 20 && waves >= 10);
    assert_in_range((uint64_t)m.fastest, 100, 200);
    assert_int_equal(shard_ordered(&shards[0]), SHARD_CLOSES);
    end();
}

/* This edge and another one of its region, which takes so many a second, and so many in all. */
static void see_another(int64_t rate, int64_t room)
{
    struct coord_member both[2] = {
        {.node = "a", .region = "r", .url = "ws://a", .is_self = true, .load = {.ready = true}},
        {.node = "b",
         .region = "r",
         .url = "ws://b",
         .load = {.ready = true, .connect_rate = rate, .room = room}},
    };
    struct coord_view v = {.version = 1, .count = 2, .members = both};

    cluster_see(cluster, &v, clock_ms);
}

static void test_at_the_pace_of_others(void **state)
{
    (void)state;
    begin(500, 0);
    conf.drain_time = 60000;
    see_another(300, 0);
    moves_drain(&m, true);
    pass(1000);
    assert_int_equal(edge_metrics.drain_rate, 300);
    assert_in_range(told, 200, 330);
    end();
}

/* The other one is full after a hundred: the rest goes as slowly as the time allows. */
static void test_room_of_others(void **state)
{
    (void)state;
    begin(500, 0);
    conf.drain_time = 60000;
    see_another(1000, 100);
    moves_drain(&m, true);
    pass(1000);
    assert_in_range(told, 30, 150);
    end();
}

/* The rate is too low for the time: it isn't kept, the time is. */
static void test_in_time(void **state)
{
    (void)state;
    begin(1000, 1000);
    moves_drain(&m, true);
    pass(1000);
    assert_in_range(told, 800, 1200);
    assert_in_range(edge_metrics.drain_rate, 950, 1900);
    pass(20000);
    assert_int_equal(told, 2000);
    end();
}

static void test_few_end_at_once(void **state)
{
    uint64_t began = clock_ms;

    (void)state;
    begin(3, 0);
    moves_drain(&m, true);
    pass(20000);
    assert_int_equal(told, 3);
    assert_true(clock_ms - began < 2000);
    end();
}

static void test_delay(void **state)
{
    (void)state;
    begin(10, 0);
    conf.drain_delay = 1000;
    moves_drain(&m, true);
    pass(200);
    assert_int_equal(m.state, MOVES_LEAVING);
    assert_int_equal(shard_ordered(&shards[1]), SHARD_LEAVES);
    assert_int_equal(told, 0);
    pass(20000);
    assert_int_equal(told, 10);
    end();
}

static void test_taken_back(void **state)
{
    uint32_t before;

    (void)state;
    begin(100, 100);
    moves_drain(&m, false);
    pass(500);
    assert_int_equal(shard_ordered(&shards[0]), SHARD_REFUSES);
    assert_true(moves_undrain(&m));
    before = told;
    assert_in_range(before, 1, 100);
    assert_int_equal(edge_metrics.draining, 0);
    pass(300);
    assert_int_equal(told, before);
    assert_int_equal(shard_ordered(&shards[0]), SHARD_TAKES);
    moves_drain(&m, false);
    for (int i = 0; i < 100 && m.state != MOVES_EMPTY; i++)
        pass(100);
    assert_int_equal(told, 200);
    assert_int_equal(m.state, MOVES_EMPTY);
    assert_false(ended);
    moves_drain(&m, true); /* SIGTERM to an empty one */
    assert_false(moves_undrain(&m));
    pass(20000);
    assert_true(ended);
    end();
}

/* Those who don't go are cut two seconds after the time. */
static void test_cut(void **state)
{
    uint64_t began = clock_ms;

    (void)state;
    begin(0, 0);
    shards[0].left = 1;
    ev_async_stop(loop, &shards[0].order);
    conf.drain_time = 0;
    moves_drain(&m, true);
    pass(20000);
    assert_true(ended);
    assert_in_range(clock_ms - began, 1900, 2500);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pace),
        cmocka_unit_test(test_waves),
        cmocka_unit_test(test_in_time),
        cmocka_unit_test(test_few_end_at_once),
        cmocka_unit_test(test_delay),
        cmocka_unit_test(test_taken_back),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_at_the_pace_of_others),
        cmocka_unit_test(test_room_of_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
