/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_coord_consul.c: the pure half of the Consul backend: what is said, what is understood of an
 * answer, and when to ask again.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/io/coord_consul.h"
#include "common/runtime/json.h"

static char plain[] = "http://c:8500", nested[] = "https://c/consul//", none[] = "",
            team[] = "team a";
static struct coord_conf conf;

static struct coord_member edge(void)
{
    return (struct coord_member){.node = "e 1",
                                 .region = "eu",
                                 .url = "wss://e1.example:8443",
                                 .admin = "e1:9100",
                                 .redis = "redis:6379",
                                 .version = "1.2.3",
                                 .role = COORD_EDGE};
}

/* ---- what is said ---- */

static void expect_url(const struct consul_ask *ask, const char *want)
{
    struct buf b = BUF_INIT;

    consul_url(&b, &conf, ask);
    assert_string_equal(b.p, want);
    buf_done(&b);
}

static void urls_have_datacenter_and_namespace(void **state)
{
    struct consul_ask watch = {.path = "/v1/health/service/", .name = SLICE("fanfare-edge")};
    struct consul_ask beat = {.path = "/v1/agent/check/update/", .name = SLICE("a:b c/d")};

    (void)state;
    conf = (struct coord_conf){.consul_url = plain, .consul_namespace = none};
    expect_url(&watch, "http://c:8500/v1/health/service/fanfare-edge");
    expect_url(&beat, "http://c:8500/v1/agent/check/update/a%3Ab%20c%2Fd");
    watch.index = 7;
    expect_url(&watch, "http://c:8500/v1/health/service/fanfare-edge?index=7&wait=30s");
    conf.consul_url = nested;
    conf.consul_namespace = team;
    watch.datacenter = "eu&1";
    expect_url(&watch, "https://c/consul/v1/health/service/fanfare-edge?index=7&wait=30s&dc=eu%261"
                       "&ns=team%20a");
    expect_url(&beat, "https://c/consul/v1/agent/check/update/a%3Ab%20c%2Fd?ns=team%20a");
    watch.index = 0;
    watch.query = "?cas=3";
    expect_url(&watch,
               "https://c/consul/v1/health/service/fanfare-edge?cas=3&dc=eu%261&ns=team%20a");
}

static const char *text_at(const struct json *j, const char *a, const char *b)
{
    struct slice s;
    const struct json *inner = json_get(j, a);

    assert_true(json_text(b ? json_get(inner, b) : inner, &s));
    return s.p;
}

static struct json *registration(const struct coord_member *m, const struct coord_load *load)
{
    struct buf b = BUF_INIT;
    struct json_error err;
    struct json *j;

    consul_registration(&b, m, load, "abc");
    j = json_parse(buf_as_slice(&b), &err);
    if (!j)
        fail_msg("%s: %.*s", err.text, (int)b.n, b.p);
    buf_done(&b);
    return j;
}

static void a_registration_has_everything(void **state)
{
    struct coord_load load = {.clients = 12, .room = 100, .lag_ms = -1, .ready = true};
    struct coord_member m = edge();
    struct json *j = registration(&m, &load);
    int64_t port = 0;

    (void)state;
    assert_string_equal(text_at(j, "ID", NULL), "fanfare-edge:e%201");
    assert_string_equal(text_at(j, "Name", NULL), "fanfare-edge");
    assert_string_equal(text_at(j, "Address", NULL), "e1.example");
    assert_true(json_i64(json_get(j, "Port"), &port) && port == 8443);
    assert_string_equal(text_at(j, "Meta", "url"), "wss://e1.example:8443");
    assert_string_equal(text_at(j, "Meta", "clients"), "12");
    assert_string_equal(text_at(j, "Meta", "ready"), "true");
    assert_string_equal(text_at(j, "Meta", "instance"), "abc");
    assert_string_equal(text_at(j, "Check", "Status"), "passing");
    assert_string_equal(text_at(j, "Check", "TTL"), "2500ms");
    assert_true(json_size(json_get(j, "Meta")) <= 64); /* Consul's bound */
    json_free(j);
    load.draining = true;
    j = registration(&m, &load);
    assert_string_equal(text_at(j, "Check", "Status"), "warning");
    json_free(j);
    m.role = COORD_WORKER;
    m.url = "";
    j = registration(&m, &load);
    assert_string_equal(text_at(j, "ID", NULL), "fanfare-worker:e%201");
    assert_null(json_get(j, "Address"));
    json_free(j);
}

static void address_is(const char *url, const char *host, int64_t port)
{
    struct coord_load load = {.ready = true};
    struct coord_member m = edge();
    struct json *j;
    int64_t got = 0;

    m.url = url;
    j = registration(&m, &load);
    assert_string_equal(text_at(j, "Address", NULL), host);
    assert_true(json_i64(json_get(j, "Port"), &got));
    assert_int_equal(got, port);
    json_free(j);
}

static void an_address_is_one_for_consul(void **state)
{
    (void)state;
    address_is("ws://e1.example:8000", "e1.example", 8000);
    address_is("ws://e1.example", "e1.example", 80);
    address_is("wss://[2001:db8::1]:8443", "2001:db8::1", 8443);
    address_is("wss://[2001:db8::1]", "2001:db8::1", 443);
}

/* ---- what is understood ---- */

#define ENTRY(meta, status)                                                                      \
    "{\"Node\":{\"Node\":\"n\"},\"Service\":{\"ID\":\"x\",\"Meta\":{" meta "}},\"Checks\":[{"    \
    "\"CheckID\":\"serfHealth\",\"Status\":\"passing\"},{\"CheckID\":\"x\",\"Status\":\"" status \
    "\"}]}"

static struct consul_seen seen_in(struct slice body, enum coord_role role)
{
    struct coord_member self = {.node = "me", .role = role};
    struct consul_seen seen;

    assert_int_equal(consul_members(body, role, &self, &seen), 0);
    return seen;
}

/* A tree takes far more than its text: an answer of as many bytes as are allowed would fill the
 * memory. So an entry is bounded, too. */
static void an_entry_is_bounded(void **state)
{
    struct coord_member self = {.node = "me"};
    struct consul_seen seen;
    struct buf b = BUF_INIT;

    (void)state;
    for (size_t most = 1000; most <= 100000; most *= 100) {
        buf_clear(&b);
        buf_lit(&b, "[" ENTRY("\"node\":\"a\"", "passing") " , {\"x\":[0");
        while (b.n < most)
            buf_lit(&b, ",0");
        buf_lit(&b, "]}, " ENTRY("\"node\":\"b\"", "passing") "]");
        if (most > 1000) {
            assert_int_equal(consul_members(buf_as_slice(&b), COORD_EDGE, &self, &seen), -EINVAL);
            continue;
        }
        assert_int_equal(consul_members(buf_as_slice(&b), COORD_EDGE, &self, &seen), 0);
        assert_int_equal(seen.live.n, 2);
        coord_list_done(&seen.live);
    }
    buf_clear(&b);
    buf_lit(&b, "[{}");
    for (int i = 0; i < COORD_MEMBERS_MAX; i++)
        buf_lit(&b, ",{}");
    buf_lit(&b, "]");
    assert_int_equal(consul_members(buf_as_slice(&b), COORD_EDGE, &self, &seen), -EINVAL);
    buf_done(&b);
}

static void members_are_those_that_live(void **state)
{
    struct coord_list l;

    (void)state;
    l = seen_in(SLICE("[" ENTRY("\"node\":\"a\",\"region\":\"eu\",\"url\":\"ws://a:1\",\"ready\":"
                                "\"true\",\"clients\":\"12\",\"room\":\"-4\",\"lag_ms\":\"1x\","
                                "\"unknown\":\"y\"",
                                "passing") "," ENTRY("\"node\":\"b\",\"draining\":\"true\"",
                                                     "warning") "," ENTRY("\"node\":\"c\"",
                                                                          "critical") "]"),
                COORD_WORKER)
            .live;
    assert_int_equal(l.n, 2);
    assert_string_equal(l.v[0].node, "a");
    assert_string_equal(l.v[0].region, "eu");
    assert_string_equal(l.v[0].url, "ws://a:1");
    assert_string_equal(l.v[0].admin, "");
    assert_int_equal(l.v[0].role, COORD_WORKER);
    assert_true(l.v[0].load.ready && !l.v[0].load.draining);
    assert_int_equal(l.v[0].load.clients, 12);
    assert_int_equal(l.v[0].load.room, 0);
    assert_int_equal(l.v[0].load.lag_ms, 0);
    assert_string_equal(l.v[1].node, "b");
    assert_true(l.v[1].load.draining);
    coord_list_done(&l);
}

static void a_node_sees_whether_it_is_there(void **state)
{
    static const char *const statuses[] = {"[" ENTRY("\"node\":\"me\"", "passing") "]",
                                           "[" ENTRY("\"node\":\"me\"", "critical") "]"};
    struct consul_seen seen;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        seen = seen_in(slice_of(statuses[i]), COORD_EDGE);
        assert_true(seen.has_self);
        assert_int_equal(seen.live.n, 0);
        coord_list_done(&seen.live);
    }
    seen = seen_in(SLICE("[" ENTRY("\"node\":\"other\"", "passing") "]"), COORD_EDGE);
    assert_false(seen.has_self);
    assert_int_equal(seen.live.n, 1);
    coord_list_done(&seen.live);
}

static void what_others_write_there_does_no_harm(void **state)
{
    static const char *const nobody[] = {
        "[]",
        "[1,null,\"x\",[],{}]",
        "[{\"Service\":null,\"Checks\":null}]",
        "[{\"Service\":{\"Meta\":[]}}]",
        "[" ENTRY("", "passing") "]",
        "[" ENTRY("\"node\":\"\"", "passing") "]",
        "[" ENTRY("\"node\":7", "passing") "]",
        "[" ENTRY("\"node\":\"a\\nb\"", "passing") "]",
    };
    static const char *const no_answer[] = {"", "{}", "null", "7", "[", "[{]", "rpc error"};
    struct coord_member self = {.node = "me"};
    struct consul_seen seen;
    struct buf b = BUF_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(nobody); i++) {
        seen = seen_in(slice_of(nobody[i]), COORD_EDGE);
        if (seen.live.n || seen.has_self)
            fail_msg("%s has members", nobody[i]);
        coord_list_done(&seen.live);
    }
    for (size_t i = 0; i < ARRAY_LEN(no_answer); i++)
        assert_int_equal(consul_members(slice_of(no_answer[i]), COORD_EDGE, &self, &seen), -EINVAL);
    buf_str(&b, "[1");
    for (size_t i = 0; i < COORD_MEMBERS_MAX; i++)
        buf_str(&b, ",1");
    buf_str(&b, "]");
    assert_int_equal(consul_members(buf_as_slice(&b), COORD_EDGE, &self, &seen), -EINVAL);
    buf_done(&b);
}

static void a_value_longer_than_consul_has_them_is_none(void **state)
{
    struct coord_list l;
    struct buf b = BUF_INIT;

    (void)state;
    buf_lit(&b, "[{\"Service\":{\"Meta\":{\"node\":\"a\",\"url\":\"");
    for (int i = 0; i <= CONSUL_VALUE_MAX; i++)
        buf_byte(&b, 'u');
    buf_lit(&b, "\"}}}]");
    l = seen_in(buf_as_slice(&b), COORD_EDGE).live;
    assert_int_equal(l.n, 1);
    assert_string_equal(l.v[0].url, "");
    coord_list_done(&l);
    buf_done(&b);
}

/* ---- when to ask again ---- */

static void the_index_goes_forward_or_begins_anew(void **state)
{
    (void)state;
    assert_int_equal(consul_next_index(0, "17"), 17);
    assert_int_equal(consul_next_index(17, "17"), 17);
    assert_int_equal(consul_next_index(17, "18"), 18);
    assert_int_equal(consul_next_index(17, "16"), 0); /* it went back */
    assert_int_equal(consul_next_index(17, "0"), 0);
    assert_int_equal(consul_next_index(0, "0"), 0);
    assert_int_equal(consul_next_index(0, NULL), 0);
    assert_int_equal(consul_next_index(0, ""), 0);
    assert_int_equal(consul_next_index(0, "-1"), 0);
    assert_int_equal(consul_next_index(0, "12x"), 0);
    assert_int_equal(consul_next_index(0, "18446744073709551616"), 0);
    assert_true(consul_next_index(0, "18446744073709551615") == UINT64_MAX);
}

static void who_watches_many_asks_less_often(void **state)
{
    (void)state;
    assert_in_range(consul_pause_ms(0, 5), 1, 50);
    assert_in_range(consul_pause_ms(40, 5), 150, 250);
    assert_in_range(consul_pause_ms(10000, 5), 300, 3000 - CONSUL_TTL_MS);
    assert_int_equal(consul_pause_ms(3, 0), 1000); /* nothing to wait behind: polled */
}

static void loads_are_told_when_they_moved(void **state)
{
    struct coord_load told = {.clients = 1000, .cpu_permille = 500, .ready = true}, now = told;

    (void)state;
    assert_false(consul_load_due(&told, &now, 1000000, 3));
    now.clients = 1050;
    assert_false(consul_load_due(&told, &now, 1000000, 3)); /* 5 % and no more */
    now.clients = 1060;
    assert_true(consul_load_due(&told, &now, 2000, 3));
    assert_false(consul_load_due(&told, &now, 1999, 3));
    assert_false(consul_load_due(&told, &now, 3900, 100)); /* many nodes: less often */
    assert_true(consul_load_due(&told, &now, 4000, 100));
    now.clients = 940;
    assert_true(consul_load_due(&told, &now, 2000, 3));
    now = told;
    now.partitions = 1;
    assert_true(consul_load_due(&told, &now, 2000, 3));
    now = told;
    told.cpu_permille = 3;
    now.cpu_permille = 15; /* an idle machine's noise */
    assert_false(consul_load_due(&told, &now, 2000, 3));
    now = told;
    now.draining = true;
    assert_true(consul_load_due(&told, &now, 0, 3));
    now = told;
    now.ready = false;
    assert_true(consul_load_due(&told, &now, 0, 3));
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(urls_have_datacenter_and_namespace),
        cmocka_unit_test(a_registration_has_everything),
        cmocka_unit_test(an_address_is_one_for_consul),
        cmocka_unit_test(members_are_those_that_live),
        cmocka_unit_test(an_entry_is_bounded),
        cmocka_unit_test(a_node_sees_whether_it_is_there),
        cmocka_unit_test(what_others_write_there_does_no_harm),
        cmocka_unit_test(a_value_longer_than_consul_has_them_is_none),
        cmocka_unit_test(the_index_goes_forward_or_begins_anew),
        cmocka_unit_test(who_watches_many_asks_less_often),
        cmocka_unit_test(loads_are_told_when_they_moved),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
