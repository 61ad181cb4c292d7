/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hub_any.c: channels whose keys may be in any partition: live only, so what a subscriber can
 * be promised is everything from its reply on, or to be told. Over a feed made by the test.
 */
#include "common/io/token.h"

#include "tests/unit/edge/edge_tokens.h"
#include "tests/unit/edge/hub_case.h"

static void subscribe_any(void)
{
    begin(100);
    say_expect("{\"id\":2,\"subscribe\":{\"channel\":\"any:a\"}}", "{\"id\":2,\"subscribe\":{}}\n");
}

#define PUSHED "{\"push\":{\"channel\":\"any:a\",\"pub\":{"
#define TOLD                                                           \
    "{\"push\":{\"channel\":\"any:a\",\"unsubscribe\":{\"code\":2500," \
    "\"reason\":\"insufficient state\"}}}\n"

/* What comes right behind the connect reply belongs to it. */
static void test_server_side_from_its_reply_on(void **state)
{
    static char text[2000];
    char why[128];
    struct token_keys *keys = token_keys_new(TOKEN_SECRET, NULL, why, sizeof(why));

    (void)state;
    fake_init(&x, 100);
    x.hub.keys = keys;
    fake_open(&x, &c);
    (void)snprintf(text, sizeof(text), "{\"id\":1,\"connect\":{\"token\":\"%s\"}}", TOKEN_SUBS);
    fake_say(&x, &c, text);
    fake_turn(&x);
    assert_non_null(strstr(take_text(&c), "\"any:a\":{}"));
    fake_write(&x, "any:a", 1, true);
    fake_turn(&x);
    assert_non_null(strstr(take_text(&c), PUSHED));
    fake_settle(&x);
    assert_string_equal(take_text(&c), "");
    end();
    token_keys_free(keys);
}

static void test_a_hole_anywhere_is_told(void **state)
{
    (void)state;
    subscribe_any();
    fake_lose(&x, neighbour("any:a"));
    fake_write(&x, neighbour("any:a"), 1, true);
    fake_settle(&x);
    assert_string_equal(take_text(&c), TOLD);
    end();
}

static void test_a_slow_client_is_told(void **state)
{
    const char *text;

    (void)state;
    subscribe_any();
    c.room = 1;
    fake_write(&x, "any:a", 1, true);
    fake_turn(&x);
    fake_write(&x, "any:a", 1, true); /* it can't take this one */
    fake_turn(&x);
    fake_drain(&c, SIZE_MAX);
    fake_settle(&x);
    text = take_text(&c);
    assert_int_equal(strncmp(text, PUSHED, strlen(PUSHED)), 0);
    assert_non_null(strstr(text, "}\n" TOLD));
    end();
}

/* Another topic's log isn't a partition of this one, whatever its records call themselves. */
static void test_a_foreign_log_has_no_part_in_it(void **state)
{
    const char *names[] = {"any:a", "any:b", "any:c", "any:d", "any:e", "any:f"};
    char text[100], other[16];
    size_t i = 0;

    (void)state;
    begin(100);
    x.feed.views[FAKE_ANY]->partitions = FAKE_PARTS - 1;
    while (fake_stream_of(&x, names[i])->p->partition != FAKE_PARTS - 1)
        i++;
    (void)snprintf(other, sizeof(other), "%s", neighbour(names[i]));
    (void)snprintf(text, sizeof(text), "{\"id\":2,\"subscribe\":{\"channel\":\"%s\"}}", other);
    fake_say(&x, &c, text);
    (void)snprintf(text, sizeof(text), "{\"id\":3,\"subscribe\":{\"channel\":\"%s\"}}", names[i]);
    fake_say(&x, &c, text);
    fake_settle(&x);
    take_text(&c);
    fake_write(&x, names[i], 1, true);
    fake_settle(&x);
    assert_string_equal(take_text(&c), "");
    fake_write(&x, other, 1, true);
    fake_settle(&x);
    assert_non_null(strstr(take_text(&c), "\"push\""));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_side_from_its_reply_on),
        cmocka_unit_test(test_a_hole_anywhere_is_told),
        cmocka_unit_test(test_a_slow_client_is_told),
        cmocka_unit_test(test_a_foreign_log_has_no_part_in_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
