/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_wheel.c: a timer fires once, never early, at most one step late, near or far; and a timer
 * may be stopped or set anew from inside another one's firing.
 */
#include "edge-node/wheel.h"
#include "tests/unit/edge/edge_test.h"

#define TIMERS 300

struct probe {
    struct wheel_timer t;
    uint64_t fired_ms;
    int count;
    struct probe *victim; /* stopped when this one fires */
    uint64_t again_ms;    /* set anew to this */
};

static struct wheel wheel;

static void fire(struct wheel_timer *t, uint64_t now_ms)
{
    struct probe *p = container_of(t, struct probe, t);

    p->fired_ms = now_ms;
    p->count++;
    if (p->victim)
        wheel_stop(&p->victim->t);
    if (p->again_ms) {
        wheel_set(&wheel, &p->t, p->again_ms);
        p->again_ms = 0;
    }
}

static void run(uint64_t from_ms, uint64_t to_ms, uint64_t step_ms)
{
    for (uint64_t now = from_ms; now <= to_ms; now += step_ms)
        wheel_run(&wheel, now, fire);
}

static void test_each_in_time(void **state)
{
    struct probe p[TIMERS] = {0};
    uint64_t t0 = 1000003;

    (void)state;
    wheel_init(&wheel, t0);
    for (size_t i = 0; i < TIMERS; i++) {
        wheel_timer_init(&p[i].t);
        wheel_set(&wheel, &p[i].t, t0 + i * 731); /* to 219 s: three times around */
    }
    run(t0, t0 + 230000, 100);
    for (size_t i = 0; i < TIMERS; i++) {
        assert_int_equal(p[i].count, 1);
        assert_in_range(p[i].fired_ms, t0 + i * 731, t0 + i * 731 + WHEEL_STEP_MS + 100);
    }
}

static void test_after_a_long_sleep(void **state)
{
    struct probe near = {0}, far = {0};

    (void)state;
    wheel_init(&wheel, 0);
    wheel_timer_init(&near.t);
    wheel_timer_init(&far.t);
    wheel_set(&wheel, &near.t, 5000);
    wheel_set(&wheel, &far.t, 700000);
    wheel_run(&wheel, 600000, fire); /* the loop was stopped for ten minutes */
    assert_int_equal(near.count, 1);
    assert_int_equal(far.count, 0);
    run(600000, 701000, 100);
    assert_int_equal(near.count, 1);
    assert_int_equal(far.count, 1);
}

static void test_past_due(void **state)
{
    struct probe p = {0};

    (void)state;
    wheel_init(&wheel, 100000);
    wheel_timer_init(&p.t);
    wheel_set(&wheel, &p.t, 5);
    run(100000, 100000 + WHEEL_STEP_MS, 64);
    assert_int_equal(p.count, 1);
}

static void test_change_while_firing(void **state)
{
    struct probe first = {0}, second = {0};

    (void)state;
    wheel_init(&wheel, 0);
    wheel_timer_init(&first.t);
    wheel_timer_init(&second.t);
    wheel_set(&wheel, &first.t, 1000);
    wheel_set(&wheel, &second.t, 1001); /* the same slot */
    first.victim = &second;
    first.again_ms = 3000;
    run(0, 2900, 100);
    assert_int_equal(first.count, 1);
    run(2900, 10000, 100);
    assert_int_equal(first.count, 2);
    assert_int_equal(second.count, 0);
    wheel_stop(&first.t); /* twice is harmless */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_in_time),
        cmocka_unit_test(test_after_a_long_sleep),
        cmocka_unit_test(test_past_due),
        cmocka_unit_test(test_change_while_firing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
