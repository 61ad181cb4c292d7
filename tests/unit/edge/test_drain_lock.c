/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_drain_lock.c: how the lock stands by what it is told, and when; locks are told of by hand.
 */
#include <errno.h>

#include "common/io/coord.h"

#include "tests/unit/edge/edge_test.h"

#define coord_lock_new  by_hand_new
#define coord_lock_free by_hand_free
#include "edge-node/drain_lock.c" // NOLINT(bugprone-suspicious-include): with these

static coord_lock_fn *tell;
static int refusal; /* of new ones */

int by_hand_new(struct coord *c, const char *key, coord_lock_fn *fn, void *arg,
                struct coord_lock **ret)
{
    (void)c;
    assert_string_equal(key, "fanfare/eu/drain");
    tell = fn;
    if (!refusal)
        *ret = arg; /* it isn't looked into */
    return refusal;
}

void by_hand_free(struct coord_lock *l)
{
    assert_non_null(l);
}

static struct coord *coord;
static struct drain_lock *d;

static int setup(void **state)
{
    static struct coord_metrics metrics;
    static struct coord_conf conf;

    (void)state;
    refusal = 0;
    coord = coord_start(&(struct coord_opts){
        .conf = &conf, .metrics = &metrics, .self = {.role = COORD_EDGE, .node = "a"}});
    d = drain_lock_new(coord, "eu");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    coord_stop(coord);
    drain_lock_free(d);
    return 0;
}

static void it_stands_as_it_was_told(void **state)
{
    (void)state;
    assert_int_equal(drain_lock_look(d), DRAIN_LOCK_NONE);
    drain_lock_ask(d);
    assert_int_equal(drain_lock_look(d), DRAIN_LOCK_ASKED);
    tell(-EBUSY, "b", d);
    assert_int_equal(drain_lock_look(d), DRAIN_LOCK_BUSY);
    drain_lock_ask(d); /* once more is no more */
    assert_int_equal(drain_lock_look(d), DRAIN_LOCK_BUSY);
    tell(0, "", d);
    assert_int_equal(drain_lock_look(d), DRAIN_LOCK_OURS);
    tell(-ESTALE, "its session has ended", d);
    assert_int_equal(drain_lock_look(d), DRAIN_LOCK_ASKED);
    drain_lock_give(d);
    drain_lock_give(d);
    assert_int_equal(drain_lock_look(d), DRAIN_LOCK_NONE);
}

static void with_nobody_to_agree_with_there_is_none(void **state)
{
    (void)state;
    refusal = -ENOTSUP;
    drain_lock_ask(d);
    assert_int_equal(drain_lock_look(d), DRAIN_LOCK_NONE);
}

/* Coord's thread had the answer in hand when main gave it up, and asked again. */
static void a_late_gain_is_not_the_next_one_s(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        drain_lock_ask(d);
        drain_lock_give(d);
        drain_lock_ask(d);
        tell(0, "", d);
        assert_int_equal(drain_lock_look(d), DRAIN_LOCK_ASKED);
        tell(-ECANCELED, "", d);
        assert_int_equal(drain_lock_look(d), DRAIN_LOCK_ASKED);
        tell(0, "", d);
        assert_int_equal(drain_lock_look(d), DRAIN_LOCK_OURS);
        drain_lock_give(d);
        tell(-ECANCELED, "", d);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_stands_as_it_was_told),
        TEST(with_nobody_to_agree_with_there_is_none),
        TEST(a_late_gain_is_not_the_next_one_s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
