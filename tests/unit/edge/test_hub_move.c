/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hub_move.c: clients that are told to reconnect elsewhere: as many as asked, nobody twice,
 * those first who are at home elsewhere.
 */
#include "tests/unit/edge/hub_case.h"

static struct fake_conn many[40];

static void test_move(void **state)
{
    (void)state;
    begin(100);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        fake_open(&x, &many[i]);
    assert_int_equal(hub_move(&x.hub, 11, DISCONNECT_SHUTDOWN), 11);
    assert_int_equal(x.hub.leaving_count, 11);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        assert_int_equal(many[i].close_code, i < 10 ? DISCONNECT_SHUTDOWN : 0);
    assert_int_equal(c.close_code, DISCONNECT_SHUTDOWN);
    fake_close(&many[0]);  /* one that was told … */
    fake_close(&many[20]); /* … and one that wasn't */
    fake_turn(&x);
    assert_int_equal(x.hub.session_count, 39);
    assert_int_equal(x.hub.leaving_count, 10);
    assert_int_equal(hub_move(&x.hub, 100, DISCONNECT_SHUTDOWN), 29);
    assert_int_equal(x.hub.leaving_count, 39);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        fake_close(&many[i]);
    end();
}

/* Every fourth connection. */
static bool is_fourth(const struct session *s, void *arg)
{
    (*(size_t *)arg)++;
    return ((uintptr_t)s->conn - (uintptr_t)many) / sizeof(many[0]) % 4 == 0;
}

/* Strays first, as long as not too many have to be looked at for one. */
static void test_shed(void **state)
{
    size_t asked = 0, strays = 0, others = 0;

    (void)state;
    begin(100);
    fake_close(&c);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        fake_open(&x, &many[i]);
    assert_int_equal(hub_shed(&x.hub, 8, DISCONNECT_RECONNECT, is_fourth, &asked), 8);
    assert_true(asked <= ARRAY_LEN(many));
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        strays += many[i].close_code && i % 4 == 0;
    assert_int_equal(strays, 8);
    assert_int_equal(hub_shed(&x.hub, 5, DISCONNECT_RECONNECT, is_fourth, &asked), 5);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        others += many[i].close_code && i % 4 != 0;
    assert_int_equal(others, 3); /* there were ten strays */
    assert_int_equal(hub_shed(&x.hub, 100, DISCONNECT_RECONNECT, is_fourth, &asked), 27);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        fake_close(&many[i]);
    fake_turn(&x);
    fake_done(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_move),
        cmocka_unit_test(test_shed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
