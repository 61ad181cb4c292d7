/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_coord_kube_watch.c: the Kubernetes backend against an API server that says what it is told
 * to: a list, the watch that goes on from it, and what goes wrong with either.
 */
#include "common/io/coord_kube.h"

#include "tests/unit/io/http_server.h"

static struct ev_loop *loop;
static struct server server;
static char url[64], service[] = "edges", account[64], none[] = "";
static struct coord_metrics metrics;
static struct coord_conf conf;
static struct coord *c;

static void write_file(const char *name, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", account, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    (void)state;
    loop = ev_loop_new(EVFLAG_AUTO);
    server_open(&server, loop);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", server.port);
    snprintf(account, sizeof(account), "/tmp/fanfare-kube-XXXXXX");
    assert_non_null(mkdtemp(account));
    write_file("namespace", "team");
    write_file("token", "first\n");
    metrics = (struct coord_metrics){0};
    conf = (struct coord_conf){.coordination = COORDINATION_KUBERNETES,
                               .kubernetes_url = url,
                               .kubernetes_service = service,
                               .kubernetes_account = account};
    return 0;
}

static int teardown(void **state)
{
    static const char *const files[] = {"namespace", "token"};
    char path[128];

    (void)state;
    coord_stop(c);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", account, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(account);
    server_close(&server);
    ev_loop_destroy(loop);
    return 0;
}

/* ---- what the server says ---- */

#define SLICE_AS(family, address, name, version, pod)                                     \
    "{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" version                 \
    "\"},\"addressType\":\"" family "\",\"endpoints\":[{\"addresses\":[\"" address "\"]," \
    "\"conditions\":{\"ready\":true},\"targetRef\":{\"kind\":\"Pod\",\"name\":\"" pod     \
    "\"}}],\"ports\":[{\"name\":\"client\",\"port\":8000}]}"
#define SLICE_OF(name, version, pod) SLICE_AS("IPv4", "10.0.0.2", name, version, pod)
#define LIST(version, items)                                                       \
    "{\"kind\":\"EndpointSliceList\",\"metadata\":{\"resourceVersion\":\"" version \
    "\"},\"items\":[" items "]}"
#define WATCH "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

static struct buf reply;

static const char *whole(const char *status, const char *body)
{
    buf_clear(&reply);
    buf_printf(&reply, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body), body);
    buf_byte(&reply, '\0');
    return reply.p;
}

/* To whoever is connected: that is one, or another one that is about to be closed. */
static void say(const char *text)
{
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (server.peers[i].server)
            (void)send(server.peers[i].io.fd, text, strlen(text), MSG_NOSIGNAL);
}

static void wait_asked(void)
{
    assert_true(run_until(loop, &server.was_asked, WAIT_MS));
}

/* Answers the next request, or the one that waits already; it is in server.asked. */
static void serve(const char *says)
{
    wait_asked();
    server.was_asked = false;
    say(says);
}

static void serve_list(const char *body)
{
    serve(whole("200 OK", body));
    assert_null(strstr(server.asked.p, "watch=true"));
}

/* A piece of the watch. */
static void send_chunk(const char *text)
{
    struct buf chunk = BUF_INIT;

    buf_printf(&chunk, "%zx\r\n%s\r\n", strlen(text), text);
    buf_byte(&chunk, '\0');
    say(chunk.p);
    buf_done(&chunk);
}

static void start(void)
{
    c = coord_start(&(struct coord_opts){
        .conf = &conf,
        .metrics = &metrics,
        .self = {.role = COORD_EDGE, .node = "edge-a", .region = "eu", .url = "ws://a:8000"}});
}

/* Until the view has that node, or not. */
static void wait_node(const char *node, bool there)
{
    uint64_t end = clock_mono_ms() + WAIT_MS;
    bool never = false, found;

    do {
        const struct coord_view *v = coord_view_ref(c);
        found = false;
        for (size_t i = 0; i < v->count; i++)
            found = found || !strcmp(v->members[i].node, node);
        coord_view_unref(v);
        (void)run_until(loop, &never, 2);
    } while (found != there && clock_mono_ms() < end);
    assert_true(found == there);
}

static void wait_lost(int64_t lost)
{
    uint64_t end = clock_mono_ms() + WAIT_MS;
    bool never = false;

    while (metric_read(&metrics.lost) != lost && clock_mono_ms() < end)
        (void)run_until(loop, &never, 2);
    assert_int_equal(metric_read(&metrics.lost), lost);
}

/* ---- tests ---- */

static void a_watch_goes_on_from_the_list(void **state)
{
    (void)state;
    start();
    wait_asked();
    write_file("token", "second"); /* before the answer: the next request is another thread's */
    serve_list(LIST("700", SLICE_OF("s-1", "5", "edge-b")));
    assert_non_null(strstr(server.asked.p, "GET /apis/discovery.k8s.io/v1/namespaces/team/"
                                           "endpointslices?labelSelector=kubernetes.io%2Fservice-"
                                           "name%3Dedges HTTP/1.1\r\n"));
    assert_non_null(strstr(server.asked.p, "\r\nAuthorization: Bearer first\r\n"));
    serve(WATCH);
    assert_non_null(strstr(server.asked.p, "watch=true"));
    assert_non_null(strstr(server.asked.p, "resourceVersion=700 HTTP"));
    assert_non_null(strstr(server.asked.p, "\r\nAuthorization: Bearer second\r\n"));
    wait_node("edge-b", true);
    send_chunk("{\"type\":\"ADDED\",\"obj"); /* events come in any pieces */
    send_chunk("ect\":" SLICE_OF("s-2", "701", "edge-c") "}\n{\"type\":\"DELETED\",\"object\":");
    wait_node("edge-c", true);
    wait_node("edge-b", true);
    send_chunk(SLICE_OF("s-1", "702", "edge-b") "}\n");
    wait_node("edge-b", false);
    send_chunk(""); /* its end: the next one goes on from there */
    serve(WATCH);
    assert_non_null(strstr(server.asked.p, "resourceVersion=702 HTTP"));
    assert_int_equal(metric_read(&metrics.losses), 0);
}

static void what_has_expired_is_listed_again(void **state)
{
    (void)state;
    start();
    serve_list(LIST("700", SLICE_OF("s-1", "5", "edge-b")));
    serve(whole("410 Gone", "{\"message\":\"too old resource version\",\"code\":410}"));
    serve_list(LIST("900", SLICE_OF("s-1", "5", "edge-c")));
    wait_node("edge-c", true);
    wait_node("edge-b", false);
    serve(WATCH);
    assert_non_null(strstr(server.asked.p, "resourceVersion=900 HTTP"));
    send_chunk("{\"type\":\"ERROR\",\"object\":{\"message\":\"too old\",\"code\":410}}\n");
    serve_list(LIST("950", SLICE_OF("s-1", "5", "edge-d")));
    wait_node("edge-d", true);
    assert_int_equal(metric_read(&metrics.losses), 0);
}

static void a_refusal_is_told_and_the_view_stays(void **state)
{
    (void)state;
    start();
    serve(whole("403 Forbidden", "{\"message\":\"endpointslices is forbidden\",\"code\":403}"));
    wait_lost(1);
    serve_list(LIST("700", SLICE_OF("s-1", "5", "edge-b")));
    wait_lost(0);
    serve(whole("403 Forbidden", "{\"message\":\"no watch\",\"code\":403}"));
    wait_lost(1); /* a right to list isn't enough, and that stays so */
    serve_list(LIST("701", SLICE_OF("s-1", "5", "edge-b")));
    serve(WATCH);
    send_chunk("{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"702\"}}}\n"
               "{\"type\":\"ERROR\",\"object\":{\"message\":\"etcd is gone\",\"code\":500}}\n");
    serve_list(LIST("710", SLICE_OF("s-1", "5", "edge-b")));
    wait_lost(1); /* no watch has lasted yet */
    serve(WATCH);
    wait_lost(0); /* nothing happens there, but it lasts */
    assert_int_equal(metric_read(&metrics.losses), 2);
}

static void a_list_of_nothing_is_not_believed(void **state)
{
    (void)state;
    start();
    serve_list(LIST("700", SLICE_OF("s-1", "5", "edge-b")));
    serve(whole("410 Gone", ""));
    serve_list(LIST("701", ""));
    serve_list(LIST("701", "")); /* twice: it is lost */
    wait_lost(1);
    wait_node("edge-b", true);
    serve_list(LIST("702", SLICE_OF("s-1", "5", "edge-b")));
    wait_lost(0);
}

/* It is refused, and what is known stays until a list says otherwise. */
static void a_slice_of_too_many_changes_nothing(void **state)
{
    const struct coord_member self = {.node = "edge-a", .region = "eu", .url = "ws://a:8000"};
    char said[KUBE_SAID_MAX];
    struct buf line = BUF_INIT;
    struct kube_slices s;

    (void)state;
    assert_int_equal(kube_list(slice_of(LIST("7", SLICE_OF("s-1", "1", "edge-b") "," SLICE_OF(
                                                      "s-2", "2", "edge-c"))),
                               &self, &s),
                     0);
    buf_lit(&line, "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"s-1\"},"
                   "\"addressType\":\"IPv4\",\"endpoints\":[");
    for (int i = 0; i < COORD_MEMBERS_MAX; i++)
        buf_printf(&line,
                   "{\"addresses\":[\"10.1.0.1\"],\"targetRef\":{\"kind\":\"Pod\","
                   "\"name\":\"e-%d\"}},",
                   i);
    buf_lit(&line, "null]}}");
    assert_int_equal(kube_event(buf_as_slice(&line), &self, &s, said), KUBE_EVENT_ERROR);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.edges, 2);
    buf_done(&line);
    kube_slices_done(&s);
}

/* By the address that it had; a slice of that name is another one. */
static void who_was_in_a_deleted_slice_stays_until_it_is_settled(void **state)
{
    const struct coord_member self = {
        .node = "edge-a", .region = "eu", .url = "ws://10.0.0.1:8000"};
    struct coord_list all = {NULL, 0, 0};
    char said[KUBE_SAID_MAX];
    struct kube_slices s;

    (void)state;
    assert_int_equal(kube_list(slice_of(LIST("7", SLICE_OF("s-1", "1", "edge-b") "," SLICE_AS(
                                                      "IPv6", "fd00::2", "s-2", "2", "edge-b"))),
                               &self, &s),
                     0);
    assert_int_equal(
        kube_event(SLICE("{\"type\":\"DELETED\",\"object\":" SLICE_OF("s-1", "8", "x") "}"), &self,
                   &s, said),
        KUBE_EVENT_DELETED);
    kube_slices_all(&s, &all);
    assert_int_equal(all.n, 1);
    assert_string_equal(all.v[0].url, "ws://10.0.0.2:8000");
    coord_list_done(&all);
    assert_int_equal(
        kube_event(SLICE("{\"type\":\"ADDED\",\"object\":" SLICE_OF("s-1", "9", "edge-c") "}"),
                   &self, &s, said),
        KUBE_EVENT_CHANGE);
    kube_slices_settle(&s);
    assert_int_equal(kube_slices_left(&s), 2);
    kube_slices_done(&s);
}

/* The Service is made anew, or the wrong one was deleted: the edges are all there. */
static void the_end_of_the_last_slice_is_not_believed(void **state)
{
    (void)state;
    start();
    serve_list(LIST("700", SLICE_OF("s-1", "5", "edge-b")));
    serve(WATCH);
    send_chunk("{\"type\":\"DELETED\",\"object\":" SLICE_OF("s-1", "701", "edge-b") "}\n");
    serve_list(LIST("701", ""));
    serve_list(LIST("701", ""));
    wait_lost(1);
    wait_node("edge-b", true);
    serve_list(LIST("702", SLICE_OF("s-2", "702", "edge-c")));
    wait_node("edge-c", true);
    wait_node("edge-b", false);
}

/* Its slices end one by one, and until the last one has, that looks like fewer edges. */
static void a_service_that_ends_slice_by_slice_leaves_the_view(void **state)
{
    (void)state;
    start();
    serve_list(LIST("700", SLICE_OF("s-1", "5", "edge-b") "," SLICE_OF("s-2", "6", "edge-c")));
    serve(WATCH);
    wait_node("edge-c", true);
    send_chunk("{\"type\":\"DELETED\",\"object\":" SLICE_OF("s-1", "701", "edge-b") "}\n");
    send_chunk("{\"type\":\"DELETED\",\"object\":" SLICE_OF("s-2", "702", "edge-c") "}\n");
    serve_list(LIST("702", ""));
    serve_list(LIST("702", ""));
    wait_lost(1);
    wait_node("edge-b", true);
    wait_node("edge-c", true);
    assert_int_equal(metric_read(&metrics.changes), 2); /* they came, and nobody left */
}

static void no_token_is_no_end(void **state)
{
    (void)state;
    write_file("token", "two words");
    start();
    wait_lost(1);
    write_file("token", "good");
    serve_list(LIST("700", SLICE_OF("s-1", "5", "edge-b")));
    wait_lost(0);
}

static void the_configuration_is_checked(void **state)
{
    struct buf errors = BUF_INIT;

    (void)state;
    c = NULL;
    coord_conf_check(&conf, &errors);
    assert_int_equal(errors.n, 0);
    conf.kubernetes_url = none;
    conf.kubernetes_service = none;
    coord_conf_check(&conf, &errors);
    buf_byte(&errors, '\0');
    assert_non_null(strstr(errors.p, "kubernetes_url: needed where there is no KUBERNETES_"));
    assert_non_null(strstr(errors.p, "kubernetes_service: expected the name"));
    buf_clear(&errors);
    setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    conf.kubernetes_service = service;
    coord_conf_check(&conf, &errors);
    buf_byte(&errors, '\0');
    assert_non_null(strstr(errors.p, "/ca.crt\n")); /* https: whom to trust */
    buf_clear(&errors);
    conf.kubernetes_url = url;
    conf.kubernetes_account = service;
    coord_conf_check(&conf, &errors);
    buf_byte(&errors, '\0');
    assert_non_null(strstr(errors.p, "kubernetes_account: can't read edges/namespace"));
    assert_non_null(strstr(errors.p, "kubernetes_account: can't read edges/token"));
    buf_done(&errors);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_watch_goes_on_from_the_list),
        TEST(what_has_expired_is_listed_again),
        TEST(a_refusal_is_told_and_the_view_stays),
        TEST(a_list_of_nothing_is_not_believed),
        cmocka_unit_test(a_slice_of_too_many_changes_nothing),
        cmocka_unit_test(who_was_in_a_deleted_slice_stays_until_it_is_settled),
        TEST(the_end_of_the_last_slice_is_not_believed),
        TEST(a_service_that_ends_slice_by_slice_leaves_the_view),
        TEST(no_token_is_no_end),
        TEST(the_configuration_is_checked),
    };
    int rc;

    signal(SIGPIPE, SIG_IGN);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&reply);
    return rc;
}
