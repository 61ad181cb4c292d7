/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_segment_script.c: segment.lua's bound, against a Redis of the test's own. @thread main
 */
#include "common/base/keys.h"

#include "fanout-worker/script.h"
#include "tests/unit/io/redis_server.h"

#define BOUND "1500"

static struct redis_sync *redis;

static const struct redis_reply *cmd(const char *name, const char *which)
{
    const struct redis_reply *r =
        redis_sync_cmd(redis, 2, (struct slice[]){slice_of(name), slice_of(which)});

    assert_non_null(r);
    return r;
}

static int64_t publish(const char *which, size_t bytes, const char *ttl, const char *grace)
{
    static const char zeros[2000];
    const struct redis_reply *r = redis_sync_cmd(
        redis, 11,
        (struct slice[]){SLICE("EVAL"), script_text(SCRIPT_SEGMENT), SLICE("3"), slice_of(which),
                         SLICE(KEY_SEGS), SLICE(KEY_SEGS_SUM), (struct slice){zeros, bytes},
                         slice_of(ttl), SLICE(BOUND), SLICE("full"), slice_of(grace)});

    assert_non_null(r);
    assert_int_equal(redis_type(r), REDIS_T_INT);
    return redis_int(r);
}

static void begin(void)
{
    redis = open_sync(server.url);
    assert_non_null(redis_sync_cmd(redis, 1, (struct slice[]){SLICE("FLUSHALL")}));
}

static void what_touches_the_end_takes_an_older_ones_place(void **state)
{
    (void)state;
    begin();
    assert_int_equal(publish("a", 900, "60000", "20"), 1);
    assert_int_equal(publish("b", 900, "1000", "60000"), 0); /* a is too young */
    poll(NULL, 0, 30);
    assert_int_equal(publish("b", 900, "1000", "20"), 1);
    assert_int_equal(redis_type(cmd("GET", "a")), REDIS_T_NIL);
    redis_sync_close(redis);
}

static void one_that_touches_the_end_has_its_grace(void **state)
{
    (void)state;
    begin();
    assert_int_equal(publish("a", 900, "10000", "5000"), 1);
    assert_int_equal(publish("b", 900, "60000", "5000"), 0);
    assert_int_equal(redis_len(cmd("KEYS", "a")), 1);
    assert_int_equal(redis_str(cmd("GET", "b")).n, 4);
    redis_sync_close(redis);
}

static void a_later_one_outlives_an_earlier_ones_time(void **state)
{
    (void)state;
    begin();
    assert_int_equal(publish("a", 100, "400", "500"), 1);
    assert_int_equal(publish("a", 200, "60000", "500"), 1);
    assert_int_equal(redis_int(cmd("GET", KEY_SEGS_SUM)), 301 + 401);
    poll(NULL, 0, 420);
    assert_int_equal(publish("b", 100, "60000", "500"), 1);
    assert_int_equal(redis_str(cmd("GET", "a")).n, 200);
    assert_int_equal(redis_int(cmd("GET", KEY_SEGS_SUM)), 401 + 301);
    redis_sync_close(redis);
}

static void no_room_is_not_said_over_a_segment(void **state)
{
    (void)state;
    begin();
    assert_int_equal(publish("a", 900, "60000", "60000"), 1);
    assert_int_equal(publish("b", 300, "60000", "60000"), 0);
    assert_int_equal(redis_str(cmd("GET", "b")).n, 4);
    assert_int_equal(publish("a", 950, "60000", "60000"), 0); /* a second worker's */
    assert_int_equal(redis_str(cmd("GET", "a")).n, 900);
    redis_sync_close(redis);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(what_touches_the_end_takes_an_older_ones_place),
        TEST(one_that_touches_the_end_has_its_grace),
        TEST(a_later_one_outlives_an_earlier_ones_time),
        TEST(no_room_is_not_said_over_a_segment),
    };

    return RUN_WITH_SERVER(list);
}
