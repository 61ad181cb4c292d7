/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_deep_look.c: a row of deep history whose look fails is gone, and nothing touches it then.
 *
 * The rest of deep history is faked here: a row that ends is filled instead of freed, so that the
 * ordinary build sees a write to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout-worker/deep_impl.h"

#define GONE 0xa5

static enum attach_check answer;
static size_t ended;

void history_look(struct history *h, struct list *jobs, uint64_t ms)
{
    struct history_job *j;

    (void)h, (void)ms;
    list_for_each(j, jobs, link)
        j->check = answer;
}

void deep_row_end(struct deep_row *row, const char *why)
{
    assert_non_null(why);
    list_del(&row->node);
    memset(row, GONE, sizeof(*row));
    ended++;
}

bool deep_row_answered(struct deep_row *row, const struct redis_reply *reply)
{
    (void)row;
    return reply != NULL;
}

void deep_row_go(struct deep_row *row, enum deep_state state)
{
    row->state = state;
}

bool deep_find_topic(struct deep_row *row)
{
    (void)row;
    return true;
}

void deep_call(struct deep_row *row, enum script which, redis_reply_fn *fn, int argc,
               const struct slice *argv)
{
    (void)row, (void)which, (void)fn, (void)argc, (void)argv;
}

void deep_work(struct deep *d)
{
    (void)d;
}

void deep_load(struct redis_conn *c)
{
    (void)c;
}

void deep_see_readonly(struct redis_conn *c, const struct redis_reply *reply)
{
    (void)c, (void)reply;
}

void deep_row_drop(struct deep_row *row)
{
    (void)row;
}

static void begin(struct deep *d, struct deep_row rows[2])
{
    *d = (struct deep){.h = NULL};
    list_init(&d->rows);
    for (int i = 0; i < 2; i++) {
        rows[i] = (struct deep_row){.d = d, .state = DEEP_LOOK, .want.partition = i};
        list_add_tail(&d->rows, &rows[i].node);
    }
    ended = 0;
}

static void test_a_row_that_ends_is_left_alone(void **state)
{
    struct deep_row rows[2];
    struct deep d;

    (void)state;
    begin(&d, rows);
    answer = CHECK_DIFFERENT;
    deep_look(&d);
    assert_int_equal(ended, 2);
    for (size_t i = 0; i < sizeof(rows); i++)
        assert_int_equal(((const unsigned char *)rows)[i], GONE);
}

static void test_a_row_that_goes_on_has_no_job_any_more(void **state)
{
    struct deep_row rows[2];
    struct deep d;

    (void)state;
    begin(&d, rows);
    answer = CHECK_SAME;
    deep_look(&d);
    assert_int_equal(ended, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rows[i].state, DEEP_WAIT);
        assert_null(rows[i].job);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_that_ends_is_left_alone),
        cmocka_unit_test(test_a_row_that_goes_on_has_no_job_any_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
