/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_balance.c: a surplus that lasts is shed at the others' pace, in rounds; where clients come
 * back, it is tried ever more seldom.
 */
#include "edge-node/balance.h"
#include "tests/unit/edge/edge_test.h"

static struct balance b;
static uint64_t now;
static double clients, fair, all;
static unsigned begun, futile;

static void begin(void)
{
    b = (struct balance){0};
    now = 1000;
    clients = 1000;
    fair = 800;
    all = 2000;
    begun = futile = 0;
}

/* Clients above `fair` are a surplus; those who are shed leave, but for `back` of them. */
static uint32_t pass(uint64_t ms, double rate, double back)
{
    uint32_t shed = 0;

    for (uint64_t end = now + ms; now < end; now += 100) {
        struct balance_facts f = {.clients = clients,
                                  .surplus = clients > fair ? clients - fair : 0,
                                  .rate = rate,
                                  .all = all,
                                  .share = fair,
                                  .now_ms = now,
                                  .passed_ms = 100};
        enum balance_say say;
        uint32_t n = balance_wave(&b, &f, &say);
        assert_true(n <= rate / 10 + 1);
        begun += say == BALANCE_BEGINS;
        futile += say == BALANCE_FUTILE;
        clients -= n * (1 - back);
        shed += n;
    }
    return shed;
}

static void test_sheds(void **state)
{
    (void)state;
    begin();
    assert_int_equal(pass(3000, 100, 0), 0); /* will it last? */
    assert_in_range(pass(1000, 100, 0), 90, 110);
    assert_in_range(pass(5000, 100, 0), 90, 110);
    assert_true(clients == 800);
    assert_int_equal(begun, 1);
    assert_int_equal(pass(60000, 100, 0), 0);
}

static void test_a_moment(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 10; i++) {
        clients = 1000;
        assert_int_equal(pass(2900, 100, 0), 0);
        clients = 700;
        assert_int_equal(pass(100, 100, 0), 0);
    }
}

/* Who was to take them is gone, or has more himself by now. */
static void test_a_surplus_that_ends(void **state)
{
    (void)state;
    begin();
    (void)pass(4000, 100, 0);
    fair = clients - 10;
    assert_int_equal(pass(1000, 100, 0), 10);
    fair = clients - 100;
    assert_int_equal(pass(3900, 100, 0), 0); /* the pause is kept */
    fair = clients;
    assert_int_equal(pass(60000, 100, 0), 0);
    assert_int_equal(begun, 1);
}

/* Half of them come back: the rest goes in further rounds. */
static void test_rounds(void **state)
{
    (void)state;
    begin();
    (void)pass(60000, 1000, 0.4);
    assert_true(begun >= 3 && clients < 805);
    assert_int_equal(futile, 0);
}

static void test_futile(void **state)
{
    uint32_t shed;

    (void)state;
    begin();
    shed = pass(3600000, 1000, 1);
    assert_true(clients == 1000);
    assert_int_equal(begun, 1);
    assert_in_range(futile, 8, 14); /* in an hour */
    assert_in_range(shed, 200 * 9, 200 * 15);
}

/* Those who were told stayed away, and others came: with twice the clients, for one edge less, and
 * while there are more edges, too. */
static void test_growth(void **state)
{
    static const struct {
        double clients, fair, all;
    } later[] = {{1700, 1600, 4000}, {1500, 1400, 2000}, {1400, 700, 4000}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(later); i++) {
        begin();
        (void)pass(60000, 100, 0);
        assert_true(clients == 800);
        clients = later[i].clients;
        fair = later[i].fair;
        all = later[i].all;
        (void)pass(4000, 100, 0);
        assert_int_equal(begun, 2);
        assert_int_equal(futile, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sheds),
        cmocka_unit_test(test_a_moment),
        cmocka_unit_test(test_a_surplus_that_ends),
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_futile),
        cmocka_unit_test(test_growth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
