/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_admin_ask.c: an admin listener asked from another thread, as `health` asks it from another
 * process; and what is there instead of an answer.
 */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/io/admin.h"
#include "common/io/admin_ask.h"
#include "common/io/listen.h"

struct asking {
    char listen[32];
    const char *path;
    int rc, status;
    struct buf body;
    char why[200];
    atomic_bool done;
};

static void on_ready(struct admin_response *res, void *arg)
{
    (void)arg;
    res->status = 503;
    buf_lit(&res->body, "draining\n");
}

static void on_big(struct admin_response *res, void *arg)
{
    size_t n = *(size_t *)arg;

    memset(buf_reserve(&res->body, n), 'm', n);
    res->body.n += n;
}

static size_t big = KIB(200), too_big = ADMIN_ASK_MAX + 1;
static const struct admin_route routes[] = {
    {"/health/ready", on_ready, NULL},
    {"/big", on_big, &big},
    {"/too-big", on_big, &too_big},
    {NULL, NULL, NULL},
};

static void *ask(void *arg)
{
    struct asking *q = arg;

    q->rc = admin_ask(q->listen, q->path, &q->status, &q->body, q->why, sizeof(q->why));
    atomic_store(&q->done, true);
    return NULL;
}

static void turn(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)events;
    if (atomic_load(&((struct asking *)w->data)->done))
        ev_break(loop, EVBREAK_ALL);
}

/* Asks while the listener's loop runs here; where: what stands before the port. */
static void ask_admin(struct asking *q, const char *where, const char *path)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    char why[256];
    struct admin *admin = admin_new(loop, "127.0.0.1:0", routes, why, sizeof(why));
    pthread_t thread;
    ev_timer t;

    assert_non_null(admin);
    *q = (struct asking){.path = path};
    snprintf(q->listen, sizeof(q->listen), "%s:%d", where, admin_port(admin));
    ev_timer_init(&t, turn, 0., 0.002);
    t.data = q;
    ev_timer_start(loop, &t);
    assert_int_equal(pthread_create(&thread, NULL, ask, q), 0);
    ev_run(loop, 0);
    pthread_join(thread, NULL);
    ev_timer_stop(loop, &t);
    admin_free(admin);
    ev_loop_destroy(loop);
}

static void the_answer_comes_with_its_status(void **state)
{
    static const char *const wheres[] = {"127.0.0.1", "", "0.0.0.0"};
    struct asking q;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wheres); i++) {
        ask_admin(&q, wheres[i], "/health/ready");
        assert_int_equal(q.rc, 0);
        assert_int_equal(q.status, 503);
        assert_int_equal(q.body.n, 9);
        assert_memory_equal(q.body.p, "draining\n", 9);
        buf_done(&q.body);
    }
    ask_admin(&q, "", "/big");
    assert_int_equal(q.status, 200);
    assert_int_equal(q.body.n, big);
    buf_done(&q.body);
    ask_admin(&q, "", "/nothing");
    assert_int_equal(q.status, 404);
    buf_done(&q.body);
}

static void an_answer_is_bounded(void **state)
{
    struct asking q;

    (void)state;
    ask_admin(&q, "", "/too-big");
    assert_int_equal(q.rc, -EMSGSIZE);
    assert_true(q.body.n < ADMIN_ASK_MAX + KIB(64));
    buf_done(&q.body);
}

/* A server of one answer, in a thread. */
struct fake {
    int fd;
    const char *says;
};

static void *answer(void *arg)
{
    struct fake *f = arg;
    char request[256];
    int fd = accept(f->fd, NULL, NULL);

    assert_true(read(fd, request, sizeof(request)) > 0);
    assert_int_equal(send(fd, f->says, strlen(f->says), MSG_NOSIGNAL), strlen(f->says));
    close(fd);
    return NULL;
}

static void what_is_no_answer_is_told(void **state)
{
    static const char *const says[] = {"", "220 mail.example\r\n\r\n"};
    struct listen_at at;
    struct buf body = BUF_INIT;
    char why[200] = "", listen[32];
    int status = 0;
    struct fake f;

    (void)state;
    assert_int_equal(listen_resolve("127.0.0.1:0", &at, why, sizeof(why)), 0);
    f.fd = listen_bind(&at, false, 8);
    assert_true(f.fd >= 0);
    fcntl(f.fd, F_SETFL, 0); /* it waits in accept() */
    snprintf(listen, sizeof(listen), "127.0.0.1:%d", listen_port(&at));
    for (size_t i = 0; i < ARRAY_LEN(says); i++) {
        pthread_t thread;
        f.says = says[i];
        assert_int_equal(pthread_create(&thread, NULL, answer, &f), 0);
        assert_true(admin_ask(listen, "/", &status, &body, why, sizeof(why)) < 0);
        pthread_join(thread, NULL);
        assert_non_null(strstr(why, listen));
    }
    close(f.fd);
    assert_int_equal(admin_ask(listen, "/", &status, &body, why, sizeof(why)), -ECONNREFUSED);
    assert_non_null(strstr(why, listen));
    assert_int_equal(admin_ask("nowhere", "/", &status, &body, why, sizeof(why)), -EINVAL);
    assert_int_equal(admin_health("test", listen, "/health/ready"), 1);
    assert_int_equal(admin_health("test", "", "/health/ready"), 1);
    buf_done(&body);
}

static void health_is_a_word_of_its_own(void **state)
{
    static char program[] = "p", health[] = "health", live[] = "live", ready[] = "ready",
                set[] = "--set";
    char *cases[][4] = {{program, health},        {program, health, live, set},
                        {program, health, ready}, {program, health, set},
                        {program, set, health},   {program}};
    static const struct {
        int argc, left;
        const char *path;
    } expected[] = {{2, 1, "/health/ready"}, {4, 2, "/health/live"}, {3, 1, "/health/ready"},
                    {3, 2, "/health/ready"}, {3, 3, NULL},           {1, 1, NULL}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        int argc = expected[i].argc;
        char **argv = cases[i];
        const char *path = admin_health_path(&argc, &argv);

        assert_int_equal(argc, expected[i].left);
        assert_ptr_equal(argv, cases[i] + expected[i].argc - expected[i].left);
        if (expected[i].path)
            assert_string_equal(path, expected[i].path);
        else
            assert_null(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_comes_with_its_status),
        cmocka_unit_test(an_answer_is_bounded),
        cmocka_unit_test(what_is_no_answer_is_told),
        cmocka_unit_test(health_is_a_word_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
