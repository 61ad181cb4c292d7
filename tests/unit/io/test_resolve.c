/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_resolve.c: names become addresses without the loop waiting, and connections use it.
 */
#include "common/io/resolve.h"

#include "tests/unit/io/redis_server.h"

struct answer {
    struct client cl; /* for its loop and run_until() */
    int calls;
    char address[RESOLVE_ADDRESS_MAX], why[128];
};

static void on_answer(void *arg, const char *address, const char *why)
{
    struct answer *a = arg;

    a->calls++;
    snprintf(a->address, sizeof(a->address), "%s", address ? address : "");
    snprintf(a->why, sizeof(a->why), "%s", why);
}

static void a_name_is_answered_from_the_loop(void **state)
{
    struct answer a = {.cl.loop = ev_loop_new(EVFLAG_AUTO)};

    (void)state;
    assert_non_null(resolve_start(a.cl.loop, "localhost", on_answer, &a));
    assert_int_equal(a.calls, 0);
    run_until(&a.cl, &a.calls, 1);
    assert_string_equal(a.address, "127.0.0.1");
    assert_non_null(resolve_start(a.cl.loop, "no..such.name", on_answer, &a));
    run_until(&a.cl, &a.calls, 2);
    assert_string_equal(a.address, "");
    assert_true(strlen(a.why) > 0);
    ev_loop_destroy(a.cl.loop);
}

static void what_was_cancelled_is_not_told(void **state)
{
    struct answer a = {.cl.loop = ev_loop_new(EVFLAG_AUTO)};

    (void)state;
    resolve_cancel(resolve_start(a.cl.loop, "localhost", on_answer, &a));
    resolve_cancel(NULL);
    ev_loop_destroy(a.cl.loop); /* its thread may still be there */
    assert_int_equal(a.calls, 0);
}

static void lookups_are_bounded(void **state)
{
    struct answer a = {.cl.loop = ev_loop_new(EVFLAG_AUTO)};
    char name[RESOLVE_HOST_MAX + 1];
    int started = 0;

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_null(resolve_start(a.cl.loop, name, on_answer, &a));
    /* One that was answered has its place until the loop hears of it. It is the first test: the
     * threads of others may be there for a while yet, with theirs. */
    while (started < RESOLVE_MAX && resolve_start(a.cl.loop, "localhost", on_answer, &a))
        started++;
    assert_int_equal(started, RESOLVE_EACH);
    while (started < RESOLVE_MAX && resolve_start(a.cl.loop, "LOCALHOST", on_answer, &a))
        started++;
    while (started < RESOLVE_MAX && resolve_start(a.cl.loop, "127.0.0.1", on_answer, &a))
        started++;
    assert_int_equal(started, RESOLVE_MAX);
    assert_null(resolve_start(a.cl.loop, "127.0.0.1", on_answer, &a));
    run_until(&a.cl, &a.calls, started);
    ev_loop_destroy(a.cl.loop);
}

static void a_connection_takes_a_name(void **state)
{
    struct answer a = {.calls = 0};
    struct client cl;
    char url[64];

    (void)state;
    snprintf(url, sizeof(url), "redis://localhost:%d", server.port);
    client_up(&cl, url);
    assert_string_equal(ask(&cl, "PING"), "+PONG");
    client_end(&cl);
    client_begin(&cl, &(struct redis_opts){.url = "redis://no..such.name:1"});
    assert_int_equal(cl.down, 0);
    run_until(&cl, &cl.down, 1);
    assert_int_equal(cl.err, -EHOSTUNREACH);
    assert_non_null(strstr(cl.why, "no address of no..such.name"));
    client_end(&cl);
    client_begin(&cl, &(struct redis_opts){.url = url});
    redis_conn_free(cl.conn); /* while it looks the name up: nothing comes of that */
    cl.conn = NULL;
    assert_non_null(resolve_start(cl.loop, "localhost", on_answer, &a));
    run_until(&cl, &a.calls, 1);
    run_turns(&cl, 3);
    assert_int_equal(cl.up + cl.down, 0);
    client_end(&cl);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(lookups_are_bounded),
        TEST(a_name_is_answered_from_the_loop),
        TEST(what_was_cancelled_is_not_told),
        TEST(a_connection_takes_a_name),
    };

    return RUN_WITH_SERVER(list);
}
