/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_region_plan.c: which regions are fed, as edges come and go, processes end, and the view is
 * lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/io/coord.h"

#include "fanout-worker/region_plan.h"

#define KEEP UINT64_C(300000)
#define EDGE(name, url)                                  \
    {                                                    \
        .role = COORD_EDGE, .region = name, .redis = url \
    }

static struct region_plan plan;
static uint64_t now;

static int set_up(void **state)
{
    (void)state;
    region_plan_init(&plan, KEEP);
    now = 1000;
    return 0;
}

static void see(const struct coord_member *members, size_t n, bool lost)
{
    struct coord_view v = {.members = members, .count = n, .lost_ms = lost ? now : 0};

    region_plan_see(&plan, &v, now);
}

static enum region_act act(size_t i)
{
    return region_plan_act(&plan, &plan.rows[i], now);
}

static void test_follows_edges(void **state)
{
    struct coord_member two[] = {EDGE("eu", "redis://a:1"),
                                 EDGE("us", "redis://b:1"),
                                 EDGE("eu", "redis://a:1"),
                                 {.role = COORD_WORKER, .region = "asia", .redis = "redis://c:1"}};

    (void)state;
    see(two, ARRAY_LEN(two), false);
    assert_int_equal(plan.count, 2);
    assert_string_equal(plan.rows[0].name, "eu");
    assert_string_equal(plan.rows[1].redis, "redis://b:1");
    assert_int_equal(act(0), REGION_START);
    region_plan_started(&plan.rows[0], 10, now);
    region_plan_started(&plan.rows[1], 11, now);
    assert_int_equal(act(0), REGION_REST);
    assert_ptr_equal(region_plan_of_pid(&plan, 11), &plan.rows[1]);
    see(two, 1, false); /* us has no edge now: kept for a while */
    assert_int_equal(act(1), REGION_REST);
    now += KEEP - 1;
    assert_int_equal(act(1), REGION_REST);
    now++;
    assert_int_equal(act(1), REGION_END);
    plan.rows[1].is_ending = true;
    assert_int_equal(act(1), REGION_REST);
    region_plan_ended(&plan.rows[1], now);
    assert_int_equal(act(1), REGION_FORGET);
    region_plan_forget(&plan, &plan.rows[1]);
    assert_int_equal(plan.count, 1);
}

static void test_edge_comes_back_in_time(void **state)
{
    struct coord_member one[] = {EDGE("eu", "redis://a:1")};

    (void)state;
    see(one, 1, false);
    region_plan_started(&plan.rows[0], 10, now);
    see(one, 0, false);
    now += KEEP - 1;
    see(one, 1, false);
    now += KEEP;
    assert_int_equal(act(0), REGION_REST);
}

static void test_lost_view_ends_nothing(void **state)
{
    struct coord_member one[] = {EDGE("eu", "redis://a:1")};

    (void)state;
    see(one, 1, false);
    region_plan_started(&plan.rows[0], 10, now);
    see(one, 0, true); /* whatever the last view was */
    now += 10 * KEEP;
    assert_int_equal(act(0), REGION_REST);
    see(one, 0, false); /* known again: it has its time from now */
    assert_int_equal(act(0), REGION_REST);
    now += KEEP;
    assert_int_equal(act(0), REGION_END);
}

static void test_failing_process_pauses(void **state)
{
    struct coord_member one[] = {EDGE("eu", "redis://a:1")};
    uint64_t pauses[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};

    (void)state;
    see(one, 1, false);
    for (size_t i = 0; i < ARRAY_LEN(pauses); i++) {
        assert_int_equal(act(0), REGION_START);
        region_plan_started(&plan.rows[0], 10, now);
        now += 50;
        region_plan_ended(&plan.rows[0], now);
        assert_int_equal(act(0), REGION_REST);
        now += pauses[i] - 1;
        assert_int_equal(act(0), REGION_REST);
        now++;
    }
    region_plan_started(&plan.rows[0], 10, now);
    now += REGION_WELL_MS; /* it was well for a minute */
    region_plan_ended(&plan.rows[0], now);
    now += REGION_PAUSE_MIN;
    assert_int_equal(act(0), REGION_START);
}

static void test_redis_moves(void **state)
{
    struct coord_member one[] = {EDGE("eu", "redis://a:1"), EDGE("eu", "redis://b:1")};

    (void)state;
    see(one, 1, false);
    region_plan_started(&plan.rows[0], 10, now);
    see(one, 2, false); /* on the way from one to the other: the first one's counts */
    assert_true(plan.rows[0].is_split);
    assert_int_equal(act(0), REGION_REST);
    see(one + 1, 1, false);
    assert_false(plan.rows[0].is_split);
    assert_int_equal(act(0), REGION_END);
    plan.rows[0].is_ending = true;
    region_plan_ended(&plan.rows[0], now);
    assert_int_equal(act(0), REGION_START); /* at once: it was asked to end */
    region_plan_started(&plan.rows[0], 11, now);
    assert_string_equal(plan.rows[0].started, "redis://b:1");
}

static void test_bad_members(void **state)
{
    static char names[REGIONS_MAX + 1][8], longer[REGION_NAME_MAX + 2], far[REGION_REDIS_MAX + 1];
    static struct coord_member many[REGIONS_MAX + 1];
    struct coord_member bad[] = {EDGE("", "redis://a:1"), EDGE("a b", "redis://a:1"),
                                 EDGE("--set", ""), EDGE(longer, "redis://a:1"), EDGE("eu", far)};

    (void)state;
    memset(longer, 'x', sizeof(longer) - 1);
    memset(far, 'x', sizeof(far) - 1);
    see(bad, ARRAY_LEN(bad), false);
    assert_int_equal(plan.count, 0);
    assert_int_equal(plan.refused, ARRAY_LEN(bad));
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        snprintf(names[i], sizeof(names[i]), "r%zu", i);
        many[i] = (struct coord_member)EDGE(names[i], "redis://a:1");
    }
    see(many, ARRAY_LEN(many), false);
    assert_int_equal(plan.count, REGIONS_MAX);
    assert_true(plan.is_full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_follows_edges, set_up),
        cmocka_unit_test_setup(test_edge_comes_back_in_time, set_up),
        cmocka_unit_test_setup(test_lost_view_ends_nothing, set_up),
        cmocka_unit_test_setup(test_failing_process_pauses, set_up),
        cmocka_unit_test_setup(test_redis_moves, set_up),
        cmocka_unit_test_setup(test_bad_members, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
