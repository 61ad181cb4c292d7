/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_list.c: membership of intrusive lists: order, moving, splicing, removing while walking.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/list.h"

struct item {
    int value;
    struct list link;
};

static void fill(struct list *head, struct item *items, int n, int from)
{
    list_init(head);
    for (int i = 0; i < n; i++) {
        items[i].value = from + i;
        list_add_tail(head, &items[i].link);
    }
}

static void expect(struct list *head, const int *values, size_t n)
{
    struct item *it;
    size_t i = 0;

    list_for_each(it, head, link) {
        assert_true(i < n);
        assert_int_equal(it->value, values[i]);
        i++;
    }
    assert_int_equal(i, n);
}

static void test_order(void **state)
{
    (void)state;
    struct list head;
    struct item items[3];

    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_null(list_first(&head, struct item, link));
    fill(&head, items, 3, 1);
    expect(&head, (int[]){1, 2, 3}, 3);
    assert_int_equal(list_first(&head, struct item, link)->value, 1);
    list_move_tail(&head, &items[0].link);
    expect(&head, (int[]){2, 3, 1}, 3);
}

static void test_removing_twice(void **state)
{
    (void)state;
    struct list head;
    struct item items[2];

    fill(&head, items, 2, 1);
    list_del(&items[0].link);
    list_del(&items[0].link);
    expect(&head, (int[]){2}, 1);
}

static void test_removing_while_walking(void **state)
{
    (void)state;
    struct list head;
    struct item items[5], *it, *next;

    fill(&head, items, 5, 1);
    list_for_each_safe(it, next, &head, link) {
        if (it->value % 2)
            list_del(&it->link);
    }
    expect(&head, (int[]){2, 4}, 2);
}

static void test_splice(void **state)
{
    (void)state;
    struct list a, b;
    struct item some[2], more[2];

    fill(&a, some, 2, 1);
    fill(&b, more, 2, 3);
    list_splice_tail(&a, &b);
    expect(&a, (int[]){1, 2, 3, 4}, 4);
    assert_true(list_is_empty(&b));
    list_splice_tail(&a, &b);
    expect(&a, (int[]){1, 2, 3, 4}, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_removing_twice),
        cmocka_unit_test(test_removing_while_walking),
        cmocka_unit_test(test_splice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
