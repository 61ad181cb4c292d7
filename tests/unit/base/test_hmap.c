/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hmap.c: the map against a plain array: growth, equal hashes, removing, walking.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "common/base/hmap.h"

#define MANY 5000

struct item {
    struct hmap_node node;
    uint64_t key;
    bool seen;
};

static struct item *find(const struct hmap *m, uint64_t key, uint64_t hash)
{
    struct hmap_node *n = hmap_first(m, hash);

    while (n && container_of(n, struct item, node)->key != key)
        n = hmap_next(n);
    return n ? container_of(n, struct item, node) : NULL;
}

static size_t walk(const struct hmap *m)
{
    struct hmap_node *n = NULL;
    size_t count = 0;

    for (size_t i = 0; (n = hmap_walk(m, &i, n)); count++) {
        struct item *it = container_of(n, struct item, node);

        assert_false(it->seen);
        it->seen = true;
    }
    return count;
}

static void test_empty(void **state)
{
    (void)state;
    struct hmap m;

    hmap_init(&m);
    assert_null(hmap_first(&m, 5));
    assert_int_equal(walk(&m), 0);
    hmap_done(&m);
}

static void test_many(void **state)
{
    (void)state;
    struct item *items = mem_zalloc(MANY * sizeof(*items));
    struct hmap m;

    hmap_init(&m);
    for (uint64_t i = 0; i < MANY; i++) {
        size_t had = m.mask + m.split;
        items[i].key = i;
        hmap_insert(&m, &items[i].node, hash_u64(i));
        assert_true(m.mask + m.split + 1 >= m.count);       /* a node a bucket … */
        assert_true(i == 0 || m.mask + m.split <= had + 1); /* … and one more at a time */
        assert_ptr_equal(find(&m, i / 2, hash_u64(i / 2)), &items[i / 2]);
    }
    assert_int_equal(m.count, MANY);
    assert_int_equal(walk(&m), MANY);
    for (uint64_t i = 0; i < MANY; i += 2)
        hmap_remove(&m, &items[i].node);
    for (uint64_t i = 0; i < MANY; i++) {
        items[i].seen = false;
        assert_ptr_equal(find(&m, i, hash_u64(i)), i % 2 ? &items[i] : NULL);
    }
    assert_int_equal(walk(&m), MANY / 2);
    hmap_done(&m);
    free(items);
}

static void test_equal_hashes(void **state)
{
    (void)state;
    struct item items[40] = {{.key = 0}};
    struct hmap m;

    hmap_init(&m);
    for (uint64_t i = 0; i < ARRAY_LEN(items); i++) {
        items[i].key = i;
        hmap_insert(&m, &items[i].node, 77 + i % 2 * 1024);
    }
    hmap_remove(&m, &items[20].node);
    for (uint64_t i = 0; i < ARRAY_LEN(items); i++)
        assert_ptr_equal(find(&m, i, 77 + i % 2 * 1024), i == 20 ? NULL : &items[i]);
    assert_null(find(&m, 1, 77));
    hmap_done(&m);
}

static void free_taken(struct hmap *m, struct hmap_node *n)
{
    hmap_remove(m, n);
    free(container_of(n, struct item, node));
}

/* As the header says: the current node may go once the next one was taken. */
static void test_removing_while_walking(void **state)
{
    (void)state;
    struct hmap_node *n = NULL, *last = NULL;
    struct hmap m;

    hmap_init(&m);
    for (uint64_t i = 0; i < 100; i++) {
        struct item *it = mem_zalloc(sizeof(*it));

        hmap_insert(&m, &it->node, hash_u64(i / 3));
    }
    for (size_t i = 0; (n = hmap_walk(&m, &i, n)); last = n) {
        if (last)
            free_taken(&m, last);
    }
    free_taken(&m, last);
    assert_int_equal(m.count, 0);
    hmap_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_equal_hashes),
        cmocka_unit_test(test_removing_while_walking),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
