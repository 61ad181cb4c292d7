/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_append.c: batches clock themselves, over a transport that only writes down what it is given.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fanout-worker/append.h"

#define SENT_MAX 64

struct wire {
    struct append a;
    struct append_limits lim;
    int64_t total;
    struct append_batch *sent[SENT_MAX];
    uint64_t expected[SENT_MAX];
    uint64_t first_prev[SENT_MAX];
    size_t n;
    int waits;
};

static void on_send(void *arg, struct append_batch *take_b, const struct append_load *load)
{
    struct wire *w = arg;
    struct entry e;
    struct slice field = {load->data->p + load->items[0].at, load->items[0].n};

    assert_int_equal(entry_decode(field, load->items[0].pos, &e), 0);
    assert_true(w->a.inflight_entries >= load->count); /* the batch that leaves is counted */
    w->expected[w->n] = load->expected;
    w->first_prev[w->n] = e.prev;
    w->sent[w->n++] = take_b;
}

static void on_wait(void *arg)
{
    ((struct wire *)arg)->waits++;
}

static const struct append_io io = {.send = on_send, .wait = on_wait};

static void begin(struct wire *w, uint32_t records, uint32_t batches, uint64_t last)
{
    *w = (struct wire){.n = 0};
    w->lim = (struct append_limits){records, KIB(64), batches, MIB(4), &w->total};
    append_init(&w->a, &w->lim, &io, w);
    append_begin(&w->a, last, last);
}

static void end(struct wire *w)
{
    append_assert(&w->a);
    append_done(&w->a);
    assert_int_equal(w->total, 0);
}

static void add(struct wire *w, uint64_t pos)
{
    struct entry e = {.pos = pos, .kind = ENTRY_TEXT, .fingerprint = (uint32_t)pos};

    e.channel = SLICE("c");
    e.tags = SLICE("");
    e.payload = SLICE("0123456789");
    append_add(&w->a, &e);
    append_assert(&w->a);
}

static void test_idle_leaves_at_once(void **state)
{
    struct wire w;

    (void)state;
    begin(&w, 100, 8, 41);
    add(&w, 42);
    assert_int_equal(w.n, 0); /* until the turn ends, more may come */
    append_turn(&w.a);
    assert_int_equal(w.n, 1);
    assert_int_equal(w.sent[0]->count, 1);
    assert_int_equal(w.expected[0], 41);
    assert_int_equal(w.first_prev[0], 41);
    assert_true(append_answered(&w.a, w.sent[0]));
    assert_int_equal(w.a.acked, 42);
    assert_int_equal(w.a.acked_fp, 42);
    assert_int_equal(w.waits, 0); /* nobody needed the answer */
    assert_int_equal(w.a.inflight + w.a.count, 0);
    append_turn(&w.a); /* nothing there: nothing leaves */
    assert_int_equal(w.n, 1);
    end(&w);
}

static void test_gathers_while_one_is_under_way(void **state)
{
    struct wire w;

    (void)state;
    begin(&w, 100, 8, 0);
    add(&w, 1);
    append_turn(&w.a);
    for (uint64_t pos = 2; pos < 50; pos++) {
        add(&w, pos);
        append_turn(&w.a);
        assert_int_equal(w.waits, pos - 1);
    }
    assert_int_equal(w.n, 1);
    append_answered(&w.a, w.sent[0]);
    assert_int_equal(w.n, 2);
    assert_int_equal(w.sent[1]->count, 48);
    assert_int_equal(w.a.inflight_entries, 48);
    assert_int_equal(w.expected[1], 1);
    assert_int_equal(w.first_prev[1], 1);
    append_answered(&w.a, w.sent[1]);
    assert_int_equal(w.a.acked, 49);
    end(&w);
}

static void test_full_batches_follow(void **state)
{
    struct wire w;
    uint64_t pos = 1;

    (void)state;
    begin(&w, 10, 3, 0);
    while (append_has_room(&w.a))
        add(&w, pos++);
    /* three full ones under way, the fourth full one waits here */
    assert_int_equal(w.n, 3);
    assert_int_equal(pos, 41);
    assert_int_equal(w.expected[2], 20);
    assert_int_equal(w.a.inflight_entries, 30);
    append_turn(&w.a);
    assert_int_equal(w.n, 3);
    assert_int_equal(w.waits, 1);
    append_answered(&w.a, w.sent[0]);
    assert_int_equal(w.n, 4);
    assert_true(append_has_room(&w.a));
    add(&w, pos++);
    append_turn(&w.a);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(w.n, 4); /* a partial one waits until nothing is under way */
        append_answered(&w.a, w.sent[i]);
    }
    assert_int_equal(w.n, 5);
    append_answered(&w.a, w.sent[4]);
    assert_int_equal(w.a.acked, 41);
    end(&w);
}

static void test_bytes_bound_the_worker(void **state)
{
    struct wire w;
    uint64_t pos = 1;

    (void)state;
    begin(&w, 10, 8, 0);
    w.lim.inflight_bytes = 100;
    while (append_has_room(&w.a))
        add(&w, pos++);
    assert_int_equal(w.n, 1); /* the first is always allowed, the next must wait */
    append_answered(&w.a, w.sent[0]);
    assert_int_equal(w.n, 2);
    append_answered(&w.a, w.sent[1]);
    end(&w);
}

static void test_reset_forgets(void **state)
{
    struct wire w;
    uint64_t pos = 1;

    (void)state;
    begin(&w, 10, 2, 0);
    while (append_has_room(&w.a))
        add(&w, pos++);
    append_reset(&w.a);
    assert_int_equal(w.total, 0);
    append_begin(&w.a, 5, 7);
    add(&w, 9);
    append_turn(&w.a);
    assert_int_equal(w.expected[2], 5);             /* what stands in Redis */
    assert_int_equal(w.first_prev[2], 7);           /* what the entry continues from: a told gap */
    assert_false(append_answered(&w.a, w.sent[0])); /* late answers change nothing */
    assert_false(append_failed(&w.a, w.sent[1]));
    assert_int_equal(w.a.acked, 5);
    assert_int_equal(w.a.inflight, 1);
    assert_true(append_answered(&w.a, w.sent[2]));
    assert_int_equal(w.a.acked, 9);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle_leaves_at_once),
        cmocka_unit_test(test_gathers_while_one_is_under_way),
        cmocka_unit_test(test_full_batches_follow),
        cmocka_unit_test(test_bytes_bound_the_worker),
        cmocka_unit_test(test_reset_forgets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
