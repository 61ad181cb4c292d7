/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_coord_end.c: what is asked of coordination while it ends, of a Consul that takes requests
 * and doesn't answer.
 */
#include "common/io/coord_kv.h"
#include "common/io/coord_lock.h"

#include "tests/unit/io/http_server.h"

static struct coord *c;
static int values, locks, refused; /* callbacks with -ECANCELED; what they asked for in vain */

static void on_lock(int err, const char *why, void *arg)
{
    (void)why, (void)arg;
    assert_int_equal(err, -ECANCELED);
    locks++;
}

/* Who tries again what failed, as many do. */
static void on_value(const struct coord_value *v, void *arg)
{
    struct coord_lock *lock;

    assert_int_equal(v->err, -ECANCELED);
    values++;
    refused += coord_kv_get(c, "k", on_value, arg) == -ECANCELED;
    refused += coord_kv_put(c, "k", SLICE("v"), on_value, arg) == -ECANCELED;
    refused += coord_lock_new(c, "l", on_lock, arg, &lock) == -ECANCELED;
}

static void what_is_posted_is_ended_and_then_nothing_is_taken(void **state)
{
    static char none[] = "", url[64];
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct coord_metrics metrics = {0};
    struct coord_conf conf = {.coordination = COORDINATION_CONSUL,
                              .consul_url = url,
                              .consul_token = none,
                              .consul_ca = none,
                              .consul_cert = none,
                              .consul_key = none,
                              .consul_namespace = none};
    struct server server;
    struct coord_lock *lock;
    struct coord_kv_op *watch;

    (void)state;
    server_open(&server, loop);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", server.port);
    c = coord_start(&(struct coord_opts){
        .conf = &conf, .metrics = &metrics, .self = {.role = COORD_WORKER, .node = "a"}});
    assert_int_equal(coord_kv_get(c, "k", on_value, NULL), 0);
    assert_int_equal(coord_kv_watch(c, "k", on_value, NULL, &watch), 0);
    assert_int_equal(coord_lock_new(c, "l", on_lock, NULL, &lock), 0);
    coord_stop(c);
    assert_int_equal(values, 2);
    assert_int_equal(locks, 1);
    assert_int_equal(refused, 3 * 2);
    server_close(&server);
    ev_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_posted_is_ended_and_then_nothing_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
