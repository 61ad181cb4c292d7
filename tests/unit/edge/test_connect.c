/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_connect.c: what /connect answers, without HTTP.
 */
#include "common/io/coord.h"

#include "edge-node/cluster.h"
#include "edge-node/connect.h"
#include "edge-node/edge_metric.h"
#include "tests/unit/edge/hub_case.h"

static struct cluster *cluster;
static struct buf body, location;

static void begin_with(const char *url, bool draining)
{
    struct coord_member m = {.node = "n\"1",
                             .region = "eu",
                             .url = url,
                             .is_self = true,
                             .load = {.ready = true, .draining = draining}};
    struct coord_view v = {.version = 1, .count = 1, .members = &m};

    fake_init(&x, 10);
    cluster = cluster_new();
    cluster_see(cluster, &v, 1);
}

static void finish(void)
{
    buf_done(&body);
    buf_done(&location);
    cluster_free(cluster);
    fake_done(&x);
}

static int ask(const char *channel, const char *transport)
{
    struct connect_by by = {cluster, &x.nss, &x.feed, "/path"};
    struct connect_ask what = {slice_of(channel), slice_of(transport)};
    int status;

    buf_clear(&body);
    buf_clear(&location);
    status = connect_answer(&by, &what, &body, &location);
    buf_byte(&body, '\0');
    buf_byte(&location, '\0');
    return status;
}

#define ONE                                                                         \
    "{\"endpoints\":[{\"transport\":\"websocket\",\"endpoint\":\"wss://h:1/path\"," \
    "\"node\":\"n\\\"1\",\"region\":\"eu\"}]"

static void test_answers(void **state)
{
    char expect[400];

    (void)state;
    begin_with("wss://h:1", false);
    assert_int_equal(ask("", ""), 200);
    assert_string_equal(body.p, ONE "}\n");
    assert_string_equal(location.p, "wss://h:1/path");
    assert_int_equal(ask("a", "websocket"), 200);
    snprintf(expect, sizeof(expect), ONE ",\"place\":\"t0-%d\"}\n",
             (int)partitioner_of(PARTITIONER_MURMUR2, SLICE("a"), FAKE_PARTS));
    assert_string_equal(body.p, expect);
    assert_int_equal(ask("none:a", ""), 200); /* has no place */
    assert_string_equal(body.p, ONE "}\n");
    assert_int_equal(ask("\xff", ""), 200);
    assert_string_equal(body.p, ONE "}\n");
    finish();
}

static void test_refuses(void **state)
{
    (void)state;
    begin_with("wss://h:1", true);
    assert_int_equal(ask("", "sse"), 400);
    assert_non_null(strstr(body.p, "{\"endpoints\":[],\"error\":\"transport: "));
    assert_int_equal(ask("a", ""), 503);
    assert_non_null(strstr(body.p, "{\"endpoints\":[],\"error\":\"no edge takes clients"));
    assert_string_equal(location.p, "");
    finish();
}

/* What another node says of itself goes into JSON and a header. */
static void test_bad_addresses(void **state)
{
    static const char *const bad[] = {"", "ws://h\r\nX: y", "ws://h h", "ws://\xc3\xa9"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        begin_with(bad[i], false);
        assert_int_equal(ask("", ""), 503);
        finish();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_bad_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
