/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rendezvous.c: keys stay where they are when other nodes come and go, weights count, no node
 * is sent more than its bound, and what was sent is counted until the node tells it.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "common/base/rendezvous.h"

#define KEYS 20000

static struct rendezvous_node nodes[8];

static void name_nodes(size_t n, double weight)
{
    char name[16];

    for (size_t i = 0; i < n; i++) {
        int len = snprintf(name, sizeof(name), "edge-%zu", i);
        nodes[i] = (struct rendezvous_node){
            .hash = rendezvous_hash((struct slice){name, (size_t)len}), .weight = weight};
    }
}

static uint64_t key_of(size_t i)
{
    return rendezvous_hash((struct slice){(const char *)&i, sizeof(i)});
}

/* Edges of different versions and machines must agree. */
static void test_the_same_everywhere(void **state)
{
    (void)state;
    assert_true(rendezvous_hash(SLICE("edge-1")) == 0xce886ca7af681933ull);
    assert_true(rendezvous_hash(SLICE("")) == 0xd9b20a91b4407646ull);
}

static void test_a_node_more_takes_its_share_only(void **state)
{
    size_t moved = 0, of[8] = {0};

    (void)state;
    name_nodes(5, 1);
    for (size_t i = 0; i < KEYS; i++) {
        size_t four = rendezvous_home(key_of(i), nodes, 4);
        size_t five = rendezvous_home(key_of(i), nodes, 5);
        of[four]++;
        if (four != five)
            assert_int_equal(five, 4);
        moved += four != five;
    }
    for (size_t i = 0; i < 4; i++)
        assert_in_range(of[i], KEYS * 0.95 / 4, KEYS * 1.05 / 4);
    assert_in_range(moved, KEYS * 0.95 / 5, KEYS * 1.05 / 5);
}

static void test_weights(void **state)
{
    size_t heavy = 0;

    (void)state;
    name_nodes(3, 1);
    nodes[1].weight = 2;
    for (size_t i = 0; i < KEYS; i++)
        heavy += rendezvous_home(key_of(i), nodes, 3) == 1;
    assert_in_range(heavy, KEYS * 0.95 / 2, KEYS * 1.05 / 2);
}

static void test_order(void **state)
{
    size_t order[3], home;

    (void)state;
    name_nodes(3, 1);
    for (size_t i = 0; i < 200; i++) {
        for (size_t j = 0; j < 3; j++)
            nodes[j].load = 10000;
        home = rendezvous_home(key_of(i), nodes, 3);
        rendezvous_order(key_of(i), nodes, 3, 1.2, order);
        assert_int_equal(order[0], home);
        assert_int_equal(order[0] + order[1] + order[2], 3);
        nodes[home].load = 15000; /* of a share of 11667 */
        rendezvous_order(key_of(i), nodes, 3, 1.2, order);
        assert_int_equal(order[2], home);
        rendezvous_order(key_of(i), nodes, 3, 1.3, order);
        assert_int_equal(order[0], home);
    }
}

/* One key that all want: no node has more than the bound, from the first client on. */
static void test_one_key(void **state)
{
    size_t order[4];

    (void)state;
    name_nodes(4, 1);
    for (size_t i = 1; i <= 4000; i++) {
        rendezvous_order(7, nodes, 4, 1.25, order);
        nodes[order[0]].load++;
        assert_true(nodes[order[0]].load <= ceil((double)i / 4 * 1.25) + RENDEZVOUS_FEW);
    }
}

static void test_emptiest(void **state)
{
    size_t order[3], first[3] = {0};

    (void)state;
    name_nodes(3, 1);
    nodes[0].load = 50;
    nodes[1].load = 90;
    nodes[1].weight = 2; /* less full than the first */
    nodes[2].load = 60;
    rendezvous_emptiest(1, nodes, 3, order);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[1], 0);
    assert_int_equal(order[2], 2);
    name_nodes(3, 1);
    for (size_t i = 0; i < 3000; i++) {
        rendezvous_emptiest(key_of(i), nodes, 3, order);
        first[order[0]]++;
    }
    for (size_t i = 0; i < 3; i++)
        assert_in_range(first[i], 900, 1100);
}

static void test_surplus(void **state)
{
    (void)state;
    name_nodes(4, 1);
    for (size_t i = 0; i < 4; i++)
        nodes[i].load = 1000;
    assert_true(rendezvous_surplus(nodes, 4, 0, 1.25, 1.1) == 0);
    nodes[0].load = 1370; /* of a share of 1092 */
    assert_true(rendezvous_surplus(nodes, 4, 0, 1.25, 1.1) == 0);
    nodes[0].load = 1400; /* of 1100: a few over 1375 */
    assert_in_range(rendezvous_surplus(nodes, 4, 0, 1.25, 1.1), 173, 175);
    nodes[0].weight = 2; /* of 1760 */
    assert_true(rendezvous_surplus(nodes, 4, 0, 1.25, 1.1) == 0);
    assert_true(rendezvous_surplus(nodes, 1, 0, 1.25, 1.1) == 0);
}

static void test_guess(void **state)
{
    struct rendezvous_guess g = {0};

    (void)state;
    rendezvous_told(&g, 100, 1000);
    for (int i = 0; i < 30; i++)
        rendezvous_sent(&g, 1, 1000);
    assert_true(rendezvous_guessed(&g, 1000) == 130);
    rendezvous_told(&g, 120, 1000); /* 20 of them have come */
    assert_true(rendezvous_guessed(&g, 1000) == 130);
    rendezvous_told(&g, 90, 1000); /* others left */
    assert_true(rendezvous_guessed(&g, 1000) == 100);
    assert_true(rendezvous_guessed(&g, 9000) == 95); /* it seems that they don't come */
    rendezvous_told(&g, 200, 9000);
    assert_true(rendezvous_guessed(&g, 60000) == 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_everywhere),
        cmocka_unit_test(test_a_node_more_takes_its_share_only),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_one_key),
        cmocka_unit_test(test_emptiest),
        cmocka_unit_test(test_surplus),
        cmocka_unit_test(test_guess),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
