/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_redis_broken.c: a scripted server that breaks the protocol, is silent, refuses, or does not
 * read; and what each does to the commands not yet answered.
 */
#include <pthread.h>

#include "tests/unit/io/redis_wire.h"

/* The server says something that ends the connection, in the place of a reply. */
static void expect_protocol_error(const char *reply, bool entries)
{
    struct entries e = {0};
    struct wire w;

    wire_up(&w);
    if (entries)
        send_entries(&w.cl, &e, "XREAD STREAMS a 0");
    else
        redis_cmd_text(w.cl.conn, note_reply, &w.cl, "PING");
    say_text(&w, reply);
    run_until(&w.cl, &w.cl.down, 1);
    if (w.cl.err != -EPROTO)
        fail_msg("%s: %d %s", reply, w.cl.err, w.cl.why);
    assert_int_equal(entries ? e.done : w.cl.nulls, 1);
    assert_int_equal(e.err, entries ? -ECONNRESET : 0);
    wire_end(&w);
}

static void what_is_not_resp_ends_the_connection(void **state)
{
    static const char *const replies[] = {
        "HTTP/1.1 400 Bad Request\r\n",
        "\r\n",
        "*x\r\n",
        "$-2\r\n",
        "$1x\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        expect_protocol_error(replies[i], false);
        expect_protocol_error(replies[i], true);
    }
    expect_protocol_error("*2147483647\r\n", false); /* a tree we won't make room for */
    expect_protocol_error("*2\r\n:1\r\n*2147483647\r\n", false);
}

static void a_reply_nobody_asked_for_ends_the_connection(void **state)
{
    struct wire w;

    (void)state;
    wire_up(&w);
    say_text(&w, "+hello\r\n");
    run_until(&w.cl, &w.cl.down, 1);
    assert_int_equal(w.cl.err, -EPROTO);
    wire_end(&w);
}

/* Writes a string of more than 64 MiB, as far as it is read. */
static void *flood(void *arg)
{
    struct wire *w = arg;
    size_t n = MIB(1);
    char *part = mem_zalloc(n);

    say_text(w, "$100000000\r\n");
    for (int i = 0; i < 96; i++)
        if (send(w->fd, part, n, MSG_NOSIGNAL) < 0)
            break;
    free(part);
    return NULL;
}

static void a_string_over_64_mib_ends_the_connection(void **state)
{
    pthread_t thread;
    struct wire w;

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct entries e = {0};

        wire_up(&w);
        w.cl.free_on_down = true;
        if (i)
            send_entries(&w.cl, &e, "XRANGE a - +");
        else
            redis_cmd_text(w.cl.conn, note_reply, &w.cl, "GET a");
        assert_int_equal(pthread_create(&thread, NULL, flood, &w), 0);
        run_until(&w.cl, &w.cl.down, 1);
        assert_int_equal(w.cl.err, -EPROTO);
        assert_non_null(strstr(w.cl.why, "64 MiB"));
        pthread_join(thread, NULL);
        wire_end(&w);
    }
}

static void a_server_that_never_answers_is_given_up(void **state)
{
    uint64_t begin = clock_mono_ms();
    struct wire w;

    (void)state;
    listen_only(&w);
    client_begin(&w.cl, &(struct redis_opts){.url = w.url, .connect_ms = 100});
    run_until(&w.cl, &w.cl.down, 1);
    assert_int_equal(w.cl.err, -ETIMEDOUT);
    assert_int_equal(w.cl.up, 0);
    assert_true(clock_mono_ms() - begin >= 95);
    wire_end(&w);
}

static void a_refused_connection_is_told_from_the_loop(void **state)
{
    struct wire w;

    (void)state;
    listen_only(&w);
    close(w.listener);
    client_begin(&w.cl, &(struct redis_opts){.url = w.url});
    assert_int_equal(w.cl.down, 0);
    redis_cmd_text(w.cl.conn, note_reply, &w.cl, "PING");
    w.cl.free_on_down = true;
    run_until(&w.cl, &w.cl.down, 1);
    assert_int_equal(w.cl.err, -ECONNREFUSED);
    assert_int_equal(w.cl.nulls, 1);
    client_end(&w.cl);
    client_begin(&w.cl, &(struct redis_opts){.url = "unix:/nonexistent/redis.sock"});
    run_until(&w.cl, &w.cl.down, 1);
    assert_int_equal(w.cl.err, -ENOENT);
    client_end(&w.cl);
}

/* "-ERR max number of clients reached" comes before anything was asked, and then the end. */
static void an_error_at_the_door_is_told(void **state)
{
    struct wire w;

    (void)state;
    listen_only(&w);
    client_begin(&w.cl, &(struct redis_opts){.url = w.url});
    w.fd = accept(w.listener, NULL, NULL);
    say_text(&w, "-ERR max number of clients reached\r\n");
    run_until(&w.cl, &w.cl.down, 1);
    assert_non_null(strstr(w.cl.why, "max number of clients"));
    wire_end(&w);
}

static void a_server_without_client_id_serves(void **state)
{
    struct wire w;

    (void)state;
    listen_only(&w);
    client_begin(&w.cl, &(struct redis_opts){.url = w.url});
    w.fd = accept(w.listener, NULL, NULL);
    say_text(&w, "-ERR unknown command 'CLIENT'\r\n");
    run_until(&w.cl, &w.cl.up, 1);
    assert_int_equal(redis_client_id(w.cl.conn), 0);
    wire_end(&w);
}

struct again {
    struct client *cl;
    int n;
};

static void ask_again(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct again *a = arg;

    assert_null(r);
    assert_false(redis_conn_is_up(c));
    if (a->n++ == 0)
        redis_cmd_text(c, ask_again, a, "PING");
}

/* What a server that calls itself so is to a connection that wants that role: up, or an errno. */
static int as_role(enum redis_role want, const char *role)
{
    struct wire w;
    int err;

    listen_only(&w);
    client_begin(&w.cl, &(struct redis_opts){.url = w.url, .role = want});
    w.fd = accept(w.listener, NULL, NULL);
    assert_true(w.fd >= 0);
    say_text(&w, role);
    say_text(&w, ":7\r\n");
    while (!w.cl.up && !w.cl.down)
        ev_run(w.cl.loop, EVRUN_ONCE);
    err = w.cl.err;
    if (err)
        assert_non_null(strstr(w.cl.why, "it is a replica"));
    wire_end(&w);
    return err;
}

#define AS_MASTER      "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
#define AS_SLAVE(link) "*5\r\n+slave\r\n+10.0.0.1\r\n:1\r\n+" link "\r\n:7\r\n"
#define NO_RIGHT       "-NOPERM this user has no permissions\r\n"

static void a_server_must_have_the_role(void **state)
{
    (void)state;
    assert_int_equal(as_role(REDIS_MASTER, AS_MASTER), 0);
    assert_int_equal(as_role(REDIS_MASTER, AS_SLAVE("connected")), -EROFS);
    assert_int_equal(as_role(REDIS_MASTER, NO_RIGHT), 0);
    assert_int_equal(as_role(REDIS_REPLICA, AS_MASTER), 0); /* promoted */
    assert_int_equal(as_role(REDIS_REPLICA, AS_SLAVE("connected")), 0);
    assert_int_equal(as_role(REDIS_REPLICA, AS_SLAVE("sync")), -EAGAIN);
    assert_int_equal(as_role(REDIS_REPLICA, NO_RIGHT), 0);
}

static void its_owner_may_end_it(void **state)
{
    struct wire w;

    (void)state;
    wire_up(&w);
    redis_cmd_text(w.cl.conn, note_reply, &w.cl, "PING");
    redis_conn_end(w.cl.conn, "it is of no use");
    assert_int_equal(w.cl.down + w.cl.nulls, 0);
    run_until(&w.cl, &w.cl.down, 1);
    assert_int_equal(w.cl.err, -ECANCELED);
    assert_int_equal(w.cl.nulls_at_down, 1);
    assert_non_null(strstr(w.cl.why, "it is of no use"));
    wire_end(&w);
}

static void commands_of_a_null_callback_are_answered_too(void **state)
{
    struct again a = {0};
    struct wire w;

    (void)state;
    wire_up(&w);
    redis_cmd_text(w.cl.conn, ask_again, &a, "PING");
    close(w.fd);
    w.fd = -1;
    run_until(&w.cl, &a.n, 2);
    assert_int_equal(w.cl.down, 1);
    wire_end(&w);
    a.n = 0;
    wire_up(&w);
    redis_cmd_text(w.cl.conn, ask_again, &a, "PING");
    redis_conn_free(w.cl.conn);
    w.cl.conn = NULL;
    assert_int_equal(a.n, 2);
    wire_end(&w);
}

/* The kernel takes no more: the rest is ours, in order, and is seen by redis_pending_bytes. */
static void what_the_server_does_not_read_is_counted(void **state)
{
    const size_t size = MIB(32);
    char *value = mem_zalloc(size);
    size_t got = 0;
    struct wire w;
    char part[4096];

    (void)state;
    wire_up(&w);
    redis_cmd(w.cl.conn, note_reply, &w.cl, 2, (struct slice[]){SLICE("PUT"), {value, size}});
    redis_cmd_text(w.cl.conn, note_reply, &w.cl, "LAST");
    for (int i = 0; i < 5; i++)
        ev_run(w.cl.loop, EVRUN_NOWAIT);
    assert_true(redis_pending_bytes(w.cl.conn) > MIB(8));
    assert_int_equal(redis_pending_cmds(w.cl.conn), 2);
    memset(part, 0, sizeof(part));
    fcntl(w.fd, F_SETFL, O_NONBLOCK);
    for (uint64_t end = clock_mono_ms() + WAIT_MS; clock_mono_ms() < end;) {
        ssize_t n = recv(w.fd, part, sizeof(part), 0);

        got += n > 0 ? (size_t)n : 0;
        if (n >= 14 && memcmp(part + n - 6, "LAST\r\n", 6) == 0)
            break;
        ev_run(w.cl.loop, EVRUN_NOWAIT);
    }
    assert_int_equal(redis_pending_bytes(w.cl.conn), 0);
    assert_true(got > size);
    free(value);
    wire_end(&w);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(what_is_not_resp_ends_the_connection),
        cmocka_unit_test(a_reply_nobody_asked_for_ends_the_connection),
        cmocka_unit_test(a_string_over_64_mib_ends_the_connection),
        cmocka_unit_test(a_server_that_never_answers_is_given_up),
        cmocka_unit_test(a_refused_connection_is_told_from_the_loop),
        cmocka_unit_test(an_error_at_the_door_is_told),
        cmocka_unit_test(a_server_without_client_id_serves),
        cmocka_unit_test(a_server_must_have_the_role),
        cmocka_unit_test(its_owner_may_end_it),
        cmocka_unit_test(commands_of_a_null_callback_are_answered_too),
        cmocka_unit_test(what_the_server_does_not_read_is_counted),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
