/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_coord_kube.c: the pure half of the Kubernetes backend: what is asked of the API server, and
 * what is understood of its lists and events. Their texts have the server's own shapes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/io/coord_kube.h"

static const struct coord_member self = {.node = "edge-a",
                                         .region = "eu",
                                         .url = "ws://10.0.0.1:8000",
                                         .role = COORD_EDGE};
static char said[KUBE_SAID_MAX];

/* ---- what is asked ---- */

static void expect_url(const struct kube_ask *ask, const char *want)
{
    struct buf b = BUF_INIT;

    kube_url(&b, ask);
    assert_string_equal(b.p, want);
    buf_done(&b);
}

static void urls_list_and_watch(void **state)
{
    struct kube_ask ask = {.base = "https://10.96.0.1:443", .space = "team/a", .service = "edges"};

    (void)state;
    expect_url(&ask, "https://10.96.0.1:443/apis/discovery.k8s.io/v1/namespaces/team%2Fa/"
                     "endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dedges");
    ask.base = "http://127.0.0.1:8001/";
    ask.space = "s";
    ask.version = "12 3";
    expect_url(&ask, "http://127.0.0.1:8001/apis/discovery.k8s.io/v1/namespaces/s/endpointslices?"
                     "labelSelector=kubernetes.io%2Fservice-name%3Dedges&watch=true&"
                     "allowWatchBookmarks=true&timeoutSeconds=30&resourceVersion=12%203");
}

static void the_server_is_in_the_environment(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    assert_true(kube_server_url(&b, "10.96.0.1", "443"));
    assert_string_equal(b.p, "https://10.96.0.1:443");
    buf_clear(&b);
    assert_true(kube_server_url(&b, "fd00::1", "443"));
    assert_string_equal(b.p, "https://[fd00::1]:443");
    buf_clear(&b);
    assert_false(kube_server_url(&b, NULL, "443"));
    assert_false(kube_server_url(&b, "10.96.0.1", NULL));
    assert_false(kube_server_url(&b, "", ""));
    buf_done(&b);
}

/* ---- lists ---- */

#define META(name, version)                                                           \
    "\"metadata\":{\"name\":\"" name "\",\"generateName\":\"fanfare-edge-pods-\","    \
    "\"namespace\":\"fanfare\",\"uid\":\"4f\",\"resourceVersion\":\"" version "\","   \
    "\"generation\":3,\"creationTimestamp\":\"2026-01-01T00:00:00Z\",\"labels\":{"    \
    "\"endpointslice.kubernetes.io/managed-by\":\"endpointslice-controller.k8s.io\"," \
    "\"kubernetes.io/service-name\":\"fanfare-edge-pods\"}}"
#define POD(name, address, conditions)                                                 \
    "{\"addresses\":[\"" address "\"],\"conditions\":" conditions ",\"targetRef\":{"   \
    "\"kind\":\"Pod\",\"namespace\":\"fanfare\",\"name\":\"" name "\",\"uid\":\"9\"}," \
    "\"nodeName\":\"node-1\",\"zone\":\"z\"}"
#define READY  "{\"ready\":true,\"serving\":true,\"terminating\":false}"
#define ENDING "{\"ready\":false,\"serving\":true,\"terminating\":true}"
#define PORTS                                                              \
    "\"ports\":[{\"name\":\"client\",\"port\":8000,\"protocol\":\"TCP\"}," \
    "{\"name\":\"admin\",\"port\":9100,\"protocol\":\"TCP\"}]"
#define V4(name, version, endpoints) \
    "{" META(name, version) ",\"addressType\":\"IPv4\",\"endpoints\":" endpoints "," PORTS "}"
#define LIST(items)                                                                         \
    "{\"kind\":\"EndpointSliceList\",\"apiVersion\":\"discovery.k8s.io/v1\",\"metadata\":{" \
    "\"resourceVersion\":\"700\"},\"items\":[" items "]}\n"

static struct kube_slices list(const char *text)
{
    struct kube_slices s;

    if (kube_list(slice_of(text), &self, &s))
        fail_msg("can't read %s", text);
    return s;
}

static const struct coord_member *member(const struct coord_list *l, const char *node)
{
    return coord_list_find(l, &(struct coord_member){.node = node, .role = COORD_EDGE});
}

static void a_list_has_everybody_but_us(void **state)
{
    struct kube_slices s = list(
        LIST(V4("s-1", "12",
                "[" POD("edge-a", "10.0.0.1", READY) "," POD(
                    "edge-b", "10.0.0.2",
                    READY) "]") "," V4("s-2", "13", "[" POD("edge-c", "10.0.0.3", ENDING) "]")));
    struct coord_list all = {NULL, 0, 0};
    const struct coord_member *b, *c;

    (void)state;
    kube_slices_all(&s, &all);
    assert_int_equal(all.n, 2);
    assert_string_equal(s.version, "700");
    b = member(&all, "edge-b");
    c = member(&all, "edge-c");
    assert_string_equal(b->url, "ws://10.0.0.2:8000");
    assert_string_equal(b->admin, "10.0.0.2:9100");
    assert_string_equal(b->region, "eu");
    assert_true(b->is_untold && b->load.ready && !b->load.draining);
    assert_true(c->is_untold && !c->load.ready && c->load.draining);
    coord_list_done(&all);
    kube_slices_done(&s);
    s = list(LIST(""));
    assert_int_equal(s.n, 0);
    kube_slices_done(&s);
}

static struct coord_load load_of(const char *conditions)
{
    char text[2048];
    struct kube_slices s;
    struct coord_load load;

    snprintf(text, sizeof(text), LIST(V4("s", "1", "[" POD("edge-b", "10.0.0.2", "%s") "]")),
             conditions);
    s = list(text);
    assert_int_equal(s.edges, 1);
    load = s.v[0].edges.v[0].load;
    kube_slices_done(&s);
    return load;
}

/* As the API says: absent is ready, and not terminating. */
static void conditions_are_what_they_say(void **state)
{
    struct coord_load l = load_of("{}");

    (void)state;
    assert_true(l.ready && !l.draining);
    l = load_of("null");
    assert_true(l.ready && !l.draining);
    l = load_of("{\"ready\":false}");
    assert_true(!l.ready && !l.draining);
    l = load_of("{\"ready\":false,\"serving\":false,\"terminating\":true}");
    assert_true(!l.ready && l.draining);
    l = load_of("{\"ready\":true,\"terminating\":true}"); /* publishNotReadyAddresses */
    assert_true(!l.ready && l.draining);
}

static void expect_edges(const char *text, size_t n)
{
    struct kube_slices s = list(text);

    if (s.edges != n)
        fail_msg("%zu of %s", s.edges, text);
    kube_slices_done(&s);
}

static void who_is_no_edge_is_left_out(void **state)
{
    (void)state;
    expect_edges(LIST(V4("s", "1", "null")), 0);
    expect_edges(LIST(V4("s", "1", "[{\"addresses\":[\"10.0.0.2\"],\"conditions\":{}}]")), 0);
    expect_edges(LIST(V4("s", "1", "[" POD("edge-b", "evil.example/", READY) "]")), 0);
    expect_edges(LIST(V4("s", "1", "[" POD("edge-b", "fd00::2", READY) "]")), 0);
    expect_edges(LIST(V4("s", "1", "[" POD("", "10.0.0.2", READY) "]")), 0);
    expect_edges(LIST(V4("s", "1",
                         "[{\"conditions\":{},\"targetRef\":{\"kind\":\"Pod\","
                         "\"name\":\"edge-b\"}}]")),
                 0);
    /* this very edge, where its name isn't its pod's */
    expect_edges(LIST(V4("s", "1", "[" POD("pod-a", "10.0.0.1", READY) "]")), 0);
}

static void a_slice_may_have_no_ports(void **state)
{
    struct kube_slices s =
        list(LIST("{" META("s", "1") ",\"addressType\":\"IPv4\",\"endpoints\":[" POD(
            "edge-b", "10.0.0.2", READY) "],\"ports\":null}"));

    (void)state;
    assert_int_equal(s.edges, 1);
    assert_string_equal(s.v[0].edges.v[0].url, ""); /* nobody is sent there */
    assert_string_equal(s.v[0].edges.v[0].admin, "");
    kube_slices_done(&s);
}

#define V6(name, endpoints) \
    "{" META(name, "9") ",\"addressType\":\"IPv6\",\"endpoints\":" endpoints "," PORTS "}"

static void either_family_will_do_and_one_is_enough(void **state)
{
    struct coord_member secure = self;
    struct coord_list all = {NULL, 0, 0};
    struct kube_slices s;

    (void)state;
    s = list(LIST(V6("six", "[" POD("edge-b", "fd00::2", READY) "]") "," V4(
        "four", "1", "[" POD("edge-b", "10.0.0.2", READY) "]")));
    kube_slices_all(&s, &all);
    assert_int_equal(all.n, 1);
    assert_string_equal(all.v[0].url, "ws://10.0.0.2:8000");
    coord_list_done(&all);
    kube_slices_done(&s);
    secure.url = "wss://[fd00::1]:8443";
    assert_int_equal(
        kube_list(slice_of(LIST(V6("six", "[" POD("edge-b", "fd00::2", READY) "]"))), &secure, &s),
        0);
    kube_slices_all(&s, &all);
    assert_string_equal(all.v[0].url, "wss://[fd00::2]:8000");
    assert_string_equal(all.v[0].admin, "[fd00::2]:9100");
    coord_list_done(&all);
    kube_slices_done(&s);
}

/* The list's edge-b, as edge-a sees it that is known by this url. */
static void expect_other(const char *url, const char *want)
{
    struct coord_member known = self;
    struct coord_list all = {NULL, 0, 0};
    struct kube_slices s;

    known.url = url;
    assert_int_equal(kube_list(slice_of(LIST(V4("four", "1",
                                                "[" POD("edge-a", "10.0.0.1", READY) "," POD(
                                                    "edge-b", "10.0.0.2", READY) "]"))),
                               &known, &s),
                     0);
    kube_slices_all(&s, &all);
    assert_int_equal(all.n, 1);
    assert_string_equal(all.v[0].node, "edge-b");
    assert_string_equal(all.v[0].url, want);
    coord_list_done(&all);
    kube_slices_done(&s);
}

static void who_is_behind_a_name_is_behind_one(void **state)
{
    (void)state;
    expect_other("wss://edges.example.com", "wss://edges.example.com");
    expect_other("ws://10.0.0.1:8000", "ws://10.0.0.2:8000");
    expect_other("ws://edge-a:8000", "ws://10.0.0.2:8000"); /* its pod's name is no such name */
    expect_other("", "ws://10.0.0.2:8000");
}

static void what_is_no_list_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "\"items\":",
        "{\"kind\":\"Status\",\"metadata\":{},\"code\":403}",
        "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[]}",
        "{\"kind\":\"EndpointSliceList\",\"metadata\":{},\"items\":[]}",
        "{\"kind\":\"EndpointSliceList\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{]}",
        "{\"kind\":\"EndpointSliceList\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{}]}",
        "{\"kind\":\"EndpointSliceList\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[1]}",
        "{\"kind\":\"EndpointSliceList\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":",
    };
    struct kube_slices s;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (kube_list(slice_of(bad[i]), &self, &s) != -EINVAL)
            fail_msg("%s is a list", bad[i]);
}

/* Or whoever may write slices could have our memory. */
static void slices_and_members_are_bounded(void **state)
{
    struct kube_slices s = list(LIST(""));
    char line[1024];
    int taken = 0;

    (void)state;
    for (int i = 0; i < KUBE_SLICES_MAX + 1; i++) {
        snprintf(line, sizeof(line), "{\"type\":\"ADDED\",\"object\":" V4("s-%d", "8", "[]") "}",
                 i);
        taken += kube_event(slice_of(line), &self, &s, said) == KUBE_EVENT_CHANGE;
    }
    assert_int_equal(taken, KUBE_SLICES_MAX);
    kube_slices_done(&s);
}

/* ---- events ---- */

static enum kube_event event(struct kube_slices *s, const char *text)
{
    return kube_event(slice_of(text), &self, s, said);
}

static void events_change_what_was_listed(void **state)
{
    struct kube_slices s = list(LIST(V4("s-1", "12", "[" POD("edge-b", "10.0.0.2", READY) "]")));

    (void)state;
    assert_int_equal(event(&s, "{\"type\":\"ADDED\",\"object\":" V4(
                                   "s-2", "701", "[" POD("edge-c", "10.0.0.3", READY) "]") "}"),
                     KUBE_EVENT_CHANGE);
    assert_int_equal(s.edges, 2);
    assert_string_equal(s.version, "701");
    assert_int_equal(event(&s, "{\"type\":\"MODIFIED\",\"object\":" V4(
                                   "s-1", "702", "[" POD("edge-b", "10.0.0.2", ENDING) "]") "}"),
                     KUBE_EVENT_CHANGE);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.edges, 2);
    assert_true(s.v[1].edges.v[0].load.draining);
    assert_int_equal(event(&s, "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"EndpointSlice\","
                               "\"apiVersion\":\"discovery.k8s.io/v1\",\"metadata\":{"
                               "\"resourceVersion\":\"812\",\"creationTimestamp\":null},"
                               "\"addressType\":\"\",\"endpoints\":null,\"ports\":null}}"),
                     KUBE_EVENT_NOTHING);
    assert_string_equal(s.version, "812");
    assert_int_equal(s.edges, 2);
    assert_int_equal(event(&s, "{\"type\":\"DELETED\",\"object\":" V4("s-1", "813", "[]") "}"),
                     KUBE_EVENT_DELETED);
    assert_int_equal(kube_slices_left(&s), 1);
    assert_int_equal(s.edges, 2);
    assert_string_equal(s.version, "813");
    kube_slices_settle(&s);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.edges, 1);
    kube_slices_done(&s);
}

#define STATUS(code, reason, message)                                                    \
    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\"," \
    "\"message\":\"" message "\",\"reason\":\"" reason "\",\"code\":" code "}"

static void errors_end_a_watch(void **state)
{
    static const char *const bad[] = {"",
                                      "{}",
                                      "x",
                                      "{\"type\":\"ADDED\"}",
                                      "{\"type\":\"NEW\"}",
                                      "{\"type\":\"BOOKMARK\",\"object\":{}}",
                                      "{\"type\":\"DELETED\",\"object\":{}}"};
    struct kube_slices s = list(LIST(V4("s-1", "12", "[" POD("edge-b", "10.0.0.2", READY) "]")));

    (void)state;
    assert_int_equal(event(&s, "{\"type\":\"ERROR\",\"object\":" STATUS(
                                   "410", "Expired", "too old resource version: 1 (5)") "}"),
                     KUBE_EVENT_EXPIRED);
    assert_int_equal(event(&s, "{\"type\":\"ERROR\",\"object\":" STATUS("500", "InternalError",
                                                                        "no \\\"space\\\"") "}"),
                     KUBE_EVENT_ERROR);
    assert_string_equal(said, "no \"space\"");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(event(&s, bad[i]), KUBE_EVENT_ERROR);
    assert_int_equal(s.edges, 1); /* what is known stays */
    kube_slices_done(&s);
}

static void a_status_is_told_by_its_message(void **state)
{
    (void)state;
    kube_said(slice_of(STATUS("403", "Forbidden", "endpointslices is forbidden")), said);
    assert_string_equal(said, "endpointslices is forbidden");
    kube_said(SLICE("502 Bad Gateway"), said);
    assert_string_equal(said, "502 Bad Gateway");
    kube_said(SLICE(""), said);
    assert_string_equal(said, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_list_and_watch),
        cmocka_unit_test(the_server_is_in_the_environment),
        cmocka_unit_test(a_list_has_everybody_but_us),
        cmocka_unit_test(conditions_are_what_they_say),
        cmocka_unit_test(who_is_no_edge_is_left_out),
        cmocka_unit_test(a_slice_may_have_no_ports),
        cmocka_unit_test(either_family_will_do_and_one_is_enough),
        cmocka_unit_test(who_is_behind_a_name_is_behind_one),
        cmocka_unit_test(what_is_no_list_is_refused),
        cmocka_unit_test(slices_and_members_are_bounded),
        cmocka_unit_test(events_change_what_was_listed),
        cmocka_unit_test(errors_end_a_watch),
        cmocka_unit_test(a_status_is_told_by_its_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
