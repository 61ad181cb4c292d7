/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_coord.c: views and addresses: a node alone, lists of members, what others can reach.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/io/coord_impl.h"

static void a_node_without_coordination_is_alone(void **state)
{
    struct coord_metrics metrics = {0};
    struct coord_conf conf = {.coordination = COORDINATION_NONE};
    struct coord_opts opts = {
        .conf = &conf,
        .metrics = &metrics,
        .self = {.role = COORD_EDGE, .node = "n", .region = "eu", .url = "ws://n:1"}};
    struct coord *c = coord_start(&opts);
    const struct coord_view *first = coord_view_ref(c), *second;

    (void)state;
    assert_int_equal(first->count, 1);
    assert_true(first->members[0].is_self);
    assert_string_equal(first->members[0].node, "n");
    assert_string_equal(first->members[0].admin, "");
    assert_string_equal(first->members[0].version, FANFARE_VERSION);
    assert_int_equal(first->lost_ms, 0);
    assert_int_equal(first->version, coord_version(c));
    coord_tell(c, &(struct coord_load){0}); /* as it was */
    assert_int_equal(first->version, coord_version(c));
    coord_tell(c, &(struct coord_load){.clients = 7, .ready = true});
    assert_true(coord_version(c) > first->version);
    assert_int_equal(first->members[0].load.clients, 0); /* a view never changes */
    second = coord_view_ref(c);
    assert_int_equal(second->members[0].load.clients, 7);
    assert_int_equal(metric_read(&metrics.edges), 1);
    assert_int_equal(metric_read(&metrics.workers), 0);
    coord_view_unref(first);
    coord_stop(c);
    assert_string_equal(second->members[0].region, "eu"); /* held: good after the end */
    coord_view_unref(second);
    coord_view_unref(NULL);
    coord_stop(NULL);
}

static void others_are_told_what_they_can_use_and_no_password(void **state)
{
    struct coord_metrics metrics = {0};
    struct coord_conf conf = {.coordination = COORDINATION_NONE};
    struct coord_opts opts = {.conf = &conf,
                              .metrics = &metrics,
                              .self = {.role = COORD_EDGE,
                                       .node = "n",
                                       .admin = "0.0.0.0:9100",
                                       .redis = "redis://edge:secret@r:6379/1"}};
    struct coord *c = coord_start(&opts);
    const struct coord_view *v = coord_view_ref(c);
    char name[256] = "", want[300];

    (void)state;
    gethostname(name, sizeof(name) - 1);
    snprintf(want, sizeof(want), "%s:9100", name);
    assert_string_equal(v->members[0].admin, want);
    assert_string_equal(v->members[0].redis, "redis://edge@r:6379/1");
    coord_view_unref(v);
    coord_stop(c);
}

static void lost(struct coord *c, struct coord_lane *l, int kind)
{
    l->kind = kind;
    coord_lost(c, l, "");
}

static void each_kind_of_reason_is_told_once_for_a_loss(void **state)
{
    struct coord_lane one = {0}, other = {0};
    struct coord_metrics metrics = {0};
    struct coord_conf conf = {.coordination = COORDINATION_NONE};
    struct coord_opts opts = {.conf = &conf, .metrics = &metrics, .self = {.node = "n"}};
    struct coord *c = coord_start(&opts);

    (void)state;
    for (int i = 0; i < 3; i++) {
        lost(c, &one, -ETIMEDOUT);
        lost(c, &one, 403);
        lost(c, &other, 403); /* another right is missing there */
    }
    assert_int_equal(c->told_count, 3);
    for (int i = 0; i < 100; i++) /* whatever answers there, the log isn't flooded */
        lost(c, &one, 500 + i);
    assert_int_equal(c->told_count, COORD_TOLD_MAX);
    coord_back(c);
    lost(c, &one, 403); /* a new loss is told at once */
    assert_int_equal(c->told_count, 1);
    assert_int_equal(metric_read(&metrics.losses), 2);
    coord_stop(c);
}

static void members_are_in_order_and_once(void **state)
{
    static const struct {
        const char *region, *node;
        enum coord_role role;
    } in[] = {{"us", "a", COORD_EDGE},   {"eu", "b", COORD_WORKER}, {"eu", "z", COORD_EDGE},
              {"eu", "b", COORD_WORKER}, {"eu", "a", COORD_WORKER}, {"ap", "z", COORD_WORKER}};
    static const char *const want[] = {"ap z 1", "eu z 0", "eu a 1", "eu b 1", "us a 0"};
    struct coord_list l = {NULL, 0, 0};
    char got[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(in); i++)
        coord_list_add(&l, &(struct coord_member){
                               .region = in[i].region, .node = in[i].node, .role = in[i].role});
    coord_list_sort(&l);
    assert_int_equal(l.n, ARRAY_LEN(want));
    for (size_t i = 0; i < l.n; i++) {
        snprintf(got, sizeof(got), "%s %s %d", l.v[i].region, l.v[i].node, (int)l.v[i].role);
        assert_string_equal(got, want[i]);
    }
    coord_list_done(&l);
    coord_list_sort(&l);
    assert_int_equal(l.n, 0);
}

static void expect_url(const char *advertise, const char *host, bool tls, const char *want)
{
    char got[COORD_ADDRESS_MAX];

    coord_url(got, advertise, host, 8000, tls);
    assert_string_equal(got, want);
}

static void addresses_are_such_that_others_reach_them(void **state)
{
    char name[256] = "", want[300], got[COORD_ADDRESS_MAX];

    (void)state;
    gethostname(name, sizeof(name) - 1);
    expect_url("", "127.0.0.1", false, "ws://127.0.0.1:8000");
    expect_url("", "[::1]", true, "wss://[::1]:8000");
    snprintf(want, sizeof(want), "ws://%s:8000", name);
    expect_url("", "", false, want);
    expect_url("", "0.0.0.0", false, want);
    expect_url("", "[::]", false, want);
    expect_url("edge.example", "", true, "wss://edge.example:8000");
    expect_url("edge.example:443", "", true, "wss://edge.example:443");
    expect_url("[2001:db8::1]", "", false, "ws://[2001:db8::1]:8000");
    expect_url("wss://edge.example", "127.0.0.1", false, "wss://edge.example");
    coord_reachable(got, "127.0.0.1:9100");
    assert_string_equal(got, "127.0.0.1:9100");
    snprintf(want, sizeof(want), "%s:9100", name);
    coord_reachable(got, "0.0.0.0:9100");
    assert_string_equal(got, want);
    coord_reachable(got, "[::]:9100");
    assert_string_equal(got, want);
    coord_reachable(got, "none");
    assert_string_equal(got, "");
}

static void advertised_addresses_are_checked(void **state)
{
    static const char *const good[] = {"",         "host",        "host:8000", "10.0.0.1:80",
                                       "[::1]:80", "ws://host:1", "wss://h",   "wss://[::1]"};
    static const char *const bad[] = {"http://host", "host:",  "host:port",  ":8000",
                                      "ws://",       "a b",    "h/x",        "::1",
                                      "ws://h:1/x",  "h\"x\"", "ws://h:1 ",  "host:123456",
                                      "u@h",         "h\n",    "ws://:8000", "h:80:90"};
    char why[128], big[400];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (coord_url_check(good[i], why, sizeof(why)))
            fail_msg("%s: %s", good[i], why);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (coord_url_check(bad[i], why, sizeof(why)) != -EINVAL)
            fail_msg("\"%s\" is good", bad[i]);
    memset(big, 'h', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    assert_int_equal(coord_url_check(big, why, sizeof(why)), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(a_node_without_coordination_is_alone),
        cmocka_unit_test(others_are_told_what_they_can_use_and_no_password),
        cmocka_unit_test(each_kind_of_reason_is_told_once_for_a_loss),
        cmocka_unit_test(members_are_in_order_and_once),
        cmocka_unit_test(addresses_are_such_that_others_reach_them),
        cmocka_unit_test(advertised_addresses_are_checked),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
