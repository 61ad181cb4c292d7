/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_turns.c: what was retired is freed only when no shard can still be reading it, in the
 * order of retirement; with threads too, where the sanitizers are the judges.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/edge/edge_test.h"

static int freed[16];
static size_t freed_n;

static void note(void *p)
{
    freed[freed_n++] = *(int *)p;
}

static void test_order(void **state)
{
    struct turns *t = turns_new(2);
    int things[] = {0, 1, 2, 3};

    (void)state;
    freed_n = 0;
    turns_retire(t, &things[0], note); /* all sleep */
    assert_int_equal(turns_reclaim(t), 0);
    assert_int_equal(freed_n, 1);

    turns_begin(t, 0);
    turns_retire(t, &things[1], note);
    assert_int_equal(turns_reclaim(t), 1);
    turns_begin(t, 1);
    turns_retire(t, &things[2], note);
    turns_end(t, 0); /* 1 may go; 2 waits for the other shard */
    assert_int_equal(turns_reclaim(t), 1);
    assert_int_equal(freed_n, 2);
    assert_int_equal(freed[1], 1);
    turns_begin(t, 0);
    turns_retire(t, &things[3], note); /* waits for shard 0's new turn, and shard 1's */
    turns_end(t, 1);
    turns_begin(t, 1); /* a later turn of shard 1 can't see 2 */
    assert_int_equal(turns_reclaim(t), 1);
    assert_int_equal(freed[2], 2);
    turns_end(t, 0);
    assert_int_equal(turns_reclaim(t), 0);
    assert_int_equal(freed[3], 3);
    turns_end(t, 1);
    turns_free(t);
}

static void test_free_releases_all(void **state)
{
    struct turns *t = turns_new(1);

    (void)state;
    turns_begin(t, 0);
    for (size_t i = 0; i < 5; i++)
        turns_retire(t, mem_alloc(16), free); /* leaked if it didn't */
    assert_int_equal(turns_reclaim(t), 5);
    turns_end(t, 0);
    turns_free(t);
}

struct shared {
    struct turns *t;
    _Atomic(int *) now;
    atomic_bool stop;
};

static void *reader(void *arg)
{
    struct shared *x = arg;
    uintptr_t sum = 0;

    while (!atomic_load(&x->stop)) {
        turns_begin(x->t, 0);
        for (int i = 0; i < 4; i++)
            sum += (uintptr_t)*atomic_load(&x->now);
        turns_end(x->t, 0);
    }
    return (void *)sum;
}

static int *fresh(int v)
{
    int *p = mem_alloc(sizeof(*p));

    *p = v;
    return p;
}

static void test_threads(void **state)
{
    struct shared x = {.t = turns_new(1)};
    pthread_t thread;
    void *sum;

    (void)state;
    atomic_init(&x.now, fresh(1));
    atomic_init(&x.stop, false);
    assert_int_equal(pthread_create(&thread, NULL, reader, &x), 0);
    for (int i = 0; i < 20000; i++) {
        turns_retire(x.t, atomic_exchange(&x.now, fresh(i)), free);
        turns_reclaim(x.t);
    }
    atomic_store(&x.stop, true);
    pthread_join(thread, &sum);
    assert_int_equal(turns_reclaim(x.t), 0);
    free(atomic_load(&x.now));
    turns_free(x.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_free_releases_all),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
