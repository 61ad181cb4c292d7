/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_coord_lock.c: what a real Consul says only in rare moments (tests/integration has the rest):
 * that it doesn't know whether a lock was had.
 */
#include "common/io/coord_lock.h"

#include "tests/unit/io/http_server.h"

#define REPLY(status, length, body) \
    SLICE("HTTP/1.1 " status "\r\nContent-Length: " length "\r\n\r\n" body)

static struct coord *c;
static struct ev_loop *loop;
static struct server server;
static int created;
static bool was_tried, was_ended, is_good;
static _Atomic bool is_gained;

static bool asks(const char *asked, const char *what)
{
    return strncmp(asked, what, strlen(what)) == 0;
}

/* The first session acquires nothing, as far as Consul can say. */
static struct slice consul(const char *asked)
{
    if (asks(asked, "GET /v1/health/service/"))
        return REPLY("200 OK", "2", "[]");
    if (asks(asked, "GET /v1/kv/"))
        return REPLY("404 Not Found", "0", "");
    if (asks(asked, "PUT /v1/session/create")) {
        created++;
        return created > 1 ? REPLY("200 OK", "12", "{\"ID\":\"two\"}")
                           : REPLY("200 OK", "12", "{\"ID\":\"one\"}");
    }
    if (asks(asked, "PUT /v1/kv/l?acquire=one")) {
        was_tried = true;
        return REPLY("500 Internal Server Error", "9", "No leader");
    }
    if (asks(asked, "PUT /v1/kv/l?acquire=two")) {
        is_good = true;
        return REPLY("200 OK", "4", "true");
    }
    if (asks(asked, "PUT /v1/kv/l?release="))
        return REPLY("200 OK", "4", "true");
    if (asks(asked, "PUT /v1/session/destroy/one"))
        was_ended = true;
    return REPLY("200 OK", "0", "");
}

static void on_lock(int err, const char *why, void *arg)
{
    (void)why, (void)arg;
    if (!err)
        is_gained = true;
}

/* Behind the agent an acquire may wait for a leader, and be done after the release: the key of a
 * lock that nobody has would be held for as long as its session lives. */
static void a_lock_that_may_yet_be_had_is_ended_with_its_session(void **state)
{
    static char none[] = "", url[64];
    struct coord_metrics metrics = {0};
    struct coord_conf conf = {.coordination = COORDINATION_CONSUL,
                              .consul_url = url,
                              .consul_token = none,
                              .consul_ca = none,
                              .consul_cert = none,
                              .consul_key = none,
                              .consul_namespace = none};
    struct coord_lock *lock;
    bool never = false;

    (void)state;
    loop = ev_loop_new(EVFLAG_AUTO);
    server_open(&server, loop);
    server.chooses = consul;
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", server.port);
    c = coord_start(&(struct coord_opts){
        .conf = &conf, .metrics = &metrics, .self = {.role = COORD_WORKER, .node = "a"}});
    assert_int_equal(coord_lock_new(c, "l", on_lock, NULL, &lock), 0);
    assert_true(run_until(loop, &was_tried, WAIT_MS));
    coord_lock_free(lock);
    assert_true(run_until(loop, &was_ended, WAIT_MS));
    assert_int_equal(coord_lock_new(c, "l", on_lock, NULL, &lock), 0);
    assert_true(run_until(loop, &is_good, WAIT_MS)); /* the next one has another session */
    for (uint64_t till = clock_mono_ms() + WAIT_MS; !is_gained && clock_mono_ms() < till;)
        (void)run_until(loop, &never, 2);
    assert_true(is_gained);
    coord_stop(c);
    server_close(&server);
    ev_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_that_may_yet_be_had_is_ended_with_its_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
