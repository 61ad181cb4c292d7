/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_place.c: who names a channel in its URL is told that channel's place with the connect reply,
 * or just connected.
 */
#include "edge-node/edge_metric.h"
#include "edge-node/place.h"
#include "tests/unit/edge/hub_case.h"

/* The connect reply of a client whose URL names this channel. */
static const char *reply_to(const char *channel)
{
    fake_open(&x, &c);
    place_ask(c.s, slice_of(channel));
    fake_say(&x, &c, "{\"id\":1,\"connect\":{}}");
    fake_turn(&x);
    return take_text(&c);
}

static void assert_told(const char *channel, const char *topic)
{
    const char *colon = strchr(channel, ':');
    const char *key = topic[1] == '0' ? channel : colon + 1;
    int32_t partition = partitioner_of(PARTITIONER_MURMUR2, slice_of(key), FAKE_PARTS);
    char expect[80];

    (void)snprintf(expect, sizeof(expect), ",\"data\":{\"place\":\"%s-%d\",\"partitions\":%d},",
                   topic, (int)partition, FAKE_PARTS);
    assert_non_null(strstr(reply_to(channel), expect));
    fake_close(&c);
}

static void assert_untold(const char *channel)
{
    const char *reply = reply_to(channel);

    assert_non_null(strstr(reply, "{\"id\":1,\"connect\":{\"client\":\""));
    assert_null(strstr(reply, "\"data\""));
    fake_close(&c);
}

static void test_told(void **state)
{
    (void)state;
    fake_init(&x, 10);
    assert_told("a", "t0");
    assert_told("b:c", "t0"); /* no namespace of that name: a key of the default one */
    assert_told("ahead:a", "t4");
    assert_told("priv:\xc3\xa9", "t5");
    fake_new_log(&x, 10);
    assert_told("a", "t0");
    fake_done(&x);
}

static void test_with_the_prefix_in_the_key(void **state)
{
    char expect[40];

    (void)state;
    fake_init(&x, 10);
    x.ns_conf[FAKE_AHEAD].key = NS_KEY_FULL;
    (void)snprintf(expect, sizeof(expect), "\"t4-%d\"",
                   (int)partitioner_of(PARTITIONER_MURMUR2, SLICE("ahead:a"), FAKE_PARTS));
    assert_non_null(strstr(reply_to("ahead:a"), expect));
    fake_close(&c);
    fake_done(&x);
}

/* Not placed, and served all the same. */
static void test_untold(void **state)
{
    int64_t unknown = edge_metrics.places_unknown, bad = edge_metrics.places_bad;

    (void)state;
    fake_init(&x, 10);
    assert_untold("");
    assert_int_equal(edge_metrics.places_unknown + edge_metrics.places_bad, unknown + bad);
    assert_untold("none:a"); /* its topic isn't known */
    assert_untold("any:a");
    assert_untold("um:a");
    assert_int_equal(edge_metrics.places_unknown, unknown + 3);
    assert_untold("ahead:");
    assert_untold("\xff");
    assert_untold("a\nb");
    assert_int_equal(edge_metrics.places_bad, bad + 3);
    fake_done(&x);
}

/* A client that is gone before its connect leaves nothing. */
static void test_gone(void **state)
{
    (void)state;
    fake_init(&x, 10);
    fake_open(&x, &c);
    place_ask(c.s, SLICE("a"));
    fake_close(&c);
    fake_turn(&x);
    fake_done(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_with_the_prefix_in_the_key),
        cmocka_unit_test(test_untold),
        cmocka_unit_test(test_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
