/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_redis_sentinel.c: who is believed about the master: Sentinels that the test writes by hand,
 * and a real Redis where they lead.
 */
#include "tests/unit/io/redis_server.h"

#define SENTINELS 3

/* Sentinels that listen. Each says what the test wrote for it as soon as it is connected to; what a
 * client asks is not read. */
struct town {
    int listener[SENTINELS], port[SENTINELS], fd[16], fds;
    char url[128];
};

static void town_begin(struct town *t)
{
    t->fds = 0;
    for (int i = 0; i < SENTINELS; i++)
        t->listener[i] = loopback_listen(&t->port[i]);
    snprintf(t->url, sizeof(t->url), "sentinel://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/m",
             t->port[0], t->port[1], t->port[2]);
}

static void town_close(struct town *t, int i)
{
    if (t->listener[i] >= 0)
        close(t->listener[i]);
    t->listener[i] = -1;
}

static void town_end(struct town *t)
{
    for (int i = 0; i < t->fds; i++)
        close(t->fd[i]);
    for (int i = 0; i < SENTINELS; i++)
        town_close(t, i);
}

/* What Sentinel i says to whoever is next: its CLIENT ID, and the two answers. */
static void says(struct town *t, int i, const char *text)
{
    int fd = accept(t->listener[i], NULL, NULL);

    assert_true(fd >= 0 && t->fds < (int)ARRAY_LEN(t->fd));
    t->fd[t->fds++] = fd;
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static const char *master_at(int port, int epoch)
{
    static char text[4][256];
    static int turn;
    char digits[8], number[8];
    char *dst = text[turn++ % 4];

    snprintf(digits, sizeof(digits), "%d", port);
    snprintf(number, sizeof(number), "%d", epoch);
    snprintf(dst, sizeof(text[0]),
             ":7\r\n*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n"
             "*4\r\n$4\r\nname\r\n$1\r\nm\r\n$12\r\nconfig-epoch\r\n$%zu\r\n%s\r\n",
             strlen(digits), digits, strlen(number), number);
    return dst;
}

static const char unknown[] = ":7\r\n*-1\r\n-ERR No such master with that name\r\n";
static const char forbidden[] = ":7\r\n-NOAUTH Authentication required.\r\n-NOAUTH Authentication "
                                "required.\r\n";

static int64_t connect_ms = 5000; /* of connect_by() */
static enum redis_role role;      /* that connect_by() wants */

struct seen {
    struct town t;
    struct client cl;
};

/* A connection by three Sentinels that say so. NULL: that one is gone. */
static void connect_by(struct seen *s, const char *one, const char *two, const char *three)
{
    const char *const all[] = {one, two, three};

    town_begin(&s->t);
    for (int i = 0; i < SENTINELS; i++)
        if (!all[i])
            town_close(&s->t, i);
    client_begin(&s->cl,
                 &(struct redis_opts){.url = s->t.url, .role = role, .connect_ms = connect_ms});
    for (int i = 0; i < SENTINELS; i++)
        if (all[i])
            says(&s->t, i, all[i]);
    while (!s->cl.up && !s->cl.down)
        ev_run(s->cl.loop, EVRUN_ONCE);
}

static void seen_done(struct seen *s)
{
    client_end(&s->cl);
    town_end(&s->t);
}

static void expect_up(const char *one, const char *two, const char *three)
{
    char where[REDIS_WHERE_MAX], own[32];
    struct seen s;

    connect_by(&s, one, two, three);
    if (!s.cl.up)
        fail_msg("%s", s.cl.why);
    assert_string_equal(ask(&s.cl, "PING"), "+PONG");
    redis_conn_where(s.cl.conn, where);
    snprintf(own, sizeof(own), "127.0.0.1:%d", server.port);
    assert_string_equal(where, own);
    seen_done(&s);
}

static void expect_down(const char *three, int err, const char *why)
{
    struct seen s;

    connect_by(&s, NULL, NULL, three);
    assert_int_equal(s.cl.err, err);
    if (!strstr(s.cl.why, why))
        fail_msg("\"%s\" isn't in: %s", why, s.cl.why);
    seen_done(&s);
}

static void the_newest_configuration_counts(void **state)
{
    const int nobody = 1; /* a port where none listens */

    (void)state;
    expect_up(master_at(server.port, 3), master_at(server.port, 3), master_at(server.port, 3));
    expect_up(master_at(nobody, 2), master_at(server.port, 3), master_at(nobody, 2));
    expect_up(NULL, NULL, master_at(server.port, 0));
    expect_up(unknown, unknown, master_at(server.port, 1));
    expect_up(NULL, forbidden, master_at(server.port, 1));
}

/* It is given up in a second: nothing that waits for that is ever up in less. But the machine may
 * stand still in one or two of the tries. */
static void a_silent_one_is_not_waited_for(void **state)
{
    int ups = 0;

    (void)state;
    connect_ms = 900;
    for (int i = 0; i < 5; i++) {
        struct seen s;
        connect_by(&s, ":7\r\n", master_at(server.port, 1), NULL);
        ups += s.cl.up;
        if (s.cl.up)
            assert_string_equal(ask(&s.cl, "PING"), "+PONG");
        else
            assert_int_equal(s.cl.err, -ETIMEDOUT);
        seen_done(&s);
    }
    connect_ms = 5000;
    assert_true(ups >= 3);
}

/* What a Sentinel says to who wants a replica: of these, given as "port flags link ". */
static const char *with_replicas(const char *const *rows, size_t n)
{
    static char text[3][1024];
    static int turn;
    char *dst = text[turn++ % 3];
    int at = snprintf(dst, sizeof(text[0]), "%s*%zu\r\n", master_at(1, 1), n);

    for (size_t i = 0; i < n; i++) {
        char port[8], flags[32], link[8];

        assert_int_equal(sscanf(rows[i], "%7s %31s %7s", port, flags, link), 3);
        at += snprintf(dst + at, sizeof(text[0]) - (size_t)at,
                       "*8\r\n+ip\r\n+127.0.0.1\r\n+port\r\n$%zu\r\n%s\r\n+flags\r\n+%s\r\n"
                       "+master-link-status\r\n+%s\r\n",
                       strlen(port), port, flags, link);
    }
    return dst;
}

static void one_in_step_is_chosen(void **state)
{
    char good[32];
    const char *const some[] = {"1 s_down,slave ok", "2 slave err", good,
                                "3 slave,disconnected ok"};
    const char *const none[] = {"1 s_down,slave ok", "2 slave err"};
    struct seen s;

    (void)state;
    snprintf(good, sizeof(good), "%d slave ok", server.port);
    role = REDIS_REPLICA;
    expect_up(with_replicas(some, 4), with_replicas(some, 4), with_replicas(some, 4));
    connect_by(&s, NULL, NULL, with_replicas(none, 2));
    assert_int_equal(s.cl.err, -ENXIO);
    assert_non_null(strstr(s.cl.why, "know no replica of \"m\" that is in step"));
    seen_done(&s);
    role = REDIS_ANY;
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    expect_down(unknown, -ENOENT,
                "the Sentinels know no master called \"m\": end the URL with the name in their ");
    expect_down(NULL, -EHOSTUNREACH, "no Sentinel answers (redis 127.0.0.1:");
    expect_down(forbidden, -EHOSTUNREACH, "refused");
    expect_down(master_at(1, 1), -ECONNREFUSED, "redis 127.0.0.1:1: connect");
}

static void only_forbidding_sentinels_are_quoted(void **state)
{
    struct seen s;

    (void)state;
    connect_by(&s, forbidden, forbidden, forbidden);
    assert_non_null(strstr(s.cl.why, "no Sentinel answers (NOAUTH"));
    seen_done(&s);
}

static void a_replica_is_refused(void **state)
{
    struct seen s;

    (void)state;
    town_begin(&s.t); /* its third listener plays the server, too */
    client_begin(&s.cl, &(struct redis_opts){.url = s.t.url});
    says(&s.t, 0, master_at(s.t.port[2], 1));
    says(&s.t, 1, master_at(s.t.port[2], 1));
    says(&s.t, 2, master_at(s.t.port[2], 1));
    for (uint64_t till = clock_mono_ms() + WAIT_MS;
         poll(&(struct pollfd){.fd = s.t.listener[2], .events = POLLIN}, 1, 0) == 0;) {
        if (s.cl.down || clock_mono_ms() > till)
            fail_msg("it doesn't connect: %s", s.cl.why);
        ev_run(s.cl.loop, EVRUN_NOWAIT);
    }
    says(&s.t, 2, "*2\r\n$5\r\nslave\r\n$2\r\n::\r\n:7\r\n");
    run_until(&s.cl, &s.cl.down, 1);
    assert_int_equal(s.cl.err, -EROFS);
    seen_done(&s);
}

static void freed_while_it_asks(void **state)
{
    struct seen s;

    (void)state;
    town_begin(&s.t);
    client_begin(&s.cl, &(struct redis_opts){.url = s.t.url});
    run_turns(&s.cl, 3);
    seen_done(&s);
    town_begin(&s.t); /* none answers before connect_ms */
    client_begin(&s.cl, &(struct redis_opts){.url = s.t.url, .connect_ms = 50});
    run_until(&s.cl, &s.cl.down, 1);
    assert_int_equal(s.cl.err, -ETIMEDOUT);
    seen_done(&s);
}

/* ---- a watch ---- */

struct guard {
    struct client cl; /* its connection, and its loop for run_until() */
    struct redis_watch *watch;
    int masters, heard, lost;
    char why[256];
};

static void on_master(void *arg)
{
    ((struct guard *)arg)->masters++;
}

static void on_heard(void *arg, bool heard, const char *why)
{
    struct guard *g = arg;

    *(heard ? &g->heard : &g->lost) += 1;
    snprintf(g->why, sizeof(g->why), "%s", why);
}

static const struct redis_watch_ops watch_ops = {on_master, on_heard};

static void answer_all(struct town *t, const char *one, const char *two, const char *three)
{
    says(t, 0, one);
    says(t, 1, two);
    says(t, 2, three);
}

/* Sends the answers to the question that is asked next, on connections that are there. */
static void answer_again(struct town *t, int first, const char *text)
{
    text += strlen(":7\r\n");
    for (int i = 0; i < SENTINELS; i++)
        assert_int_equal(send(t->fd[first + i], text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The next question has been written when its connections can be read from. */
static void wait_asked(struct guard *g, int fd)
{
    char text[512];
    uint64_t end = clock_mono_ms() + WAIT_MS;

    while (recv(fd, text, sizeof(text), MSG_DONTWAIT) > 0)
        continue;
    while (clock_mono_ms() < end && recv(fd, text, sizeof(text), MSG_DONTWAIT) <= 0)
        ev_run(g->cl.loop, EVRUN_ONCE);
}

static void a_watch_tells_who_the_master_is(void **state)
{
    struct redis_opts opts;
    struct guard g = {.masters = 0};
    struct town t;

    (void)state;
    town_begin(&t);
    opts = (struct redis_opts){.url = t.url};
    client_up(&g.cl, server.url);
    assert_null(
        redis_watch_new(g.cl.loop, &(struct redis_opts){.url = server.url}, &watch_ops, &g));
    g.watch = redis_watch_new(g.cl.loop, &opts, &watch_ops, &g);
    assert_true(redis_watch_agrees(g.watch, g.cl.conn)); /* nothing is known */
    run_turns(&g.cl, 2);
    answer_all(&t, master_at(server.port, 5), master_at(server.port, 5), master_at(1, 4));
    run_until(&g.cl, &g.masters, 1);
    assert_true(redis_watch_agrees(g.watch, g.cl.conn));
    wait_asked(&g, t.fd[0]);
    answer_again(&t, 0, master_at(1, 6)); /* a failover */
    run_until(&g.cl, &g.masters, 2);
    assert_false(redis_watch_agrees(g.watch, g.cl.conn));
    assert_int_equal(g.lost, 0);
    redis_watch_free(g.watch);
    client_end(&g.cl);
    town_end(&t);
}

/* All Sentinels are gone: it is said once, and a connection goes where the master was. */
static void what_a_watch_knew_is_used(void **state)
{
    struct redis_opts opts;
    struct guard g = {.masters = 0};
    struct client other;
    struct town t;

    (void)state;
    town_begin(&t);
    opts = (struct redis_opts){.url = t.url};
    client_up(&g.cl, server.url);
    g.watch = redis_watch_new(g.cl.loop, &opts, &watch_ops, &g);
    run_turns(&g.cl, 2);
    answer_all(&t, master_at(server.port, 5), master_at(server.port, 5), master_at(server.port, 5));
    run_until(&g.cl, &g.masters, 1);
    town_end(&t);
    run_until(&g.cl, &g.lost, 1);
    assert_non_null(strstr(g.why, "no Sentinel answers"));
    opts.watch = g.watch;
    other = (struct client){.loop = g.cl.loop};
    other.conn = redis_conn_new(g.cl.loop, &opts, &client_ops, &other);
    run_until(&other, &other.up, 1);
    redis_conn_free(other.conn);
    assert_int_equal(g.lost, 1);
    redis_watch_free(g.watch);
    client_end(&g.cl);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(the_newest_configuration_counts),
        TEST(a_silent_one_is_not_waited_for),
        TEST(one_in_step_is_chosen),
        TEST(what_is_wrong_is_said),
        TEST(only_forbidding_sentinels_are_quoted),
        TEST(a_replica_is_refused),
        TEST(freed_while_it_asks),
        TEST(a_watch_tells_who_the_master_is),
        TEST(what_a_watch_knew_is_used),
    };

    return RUN_WITH_SERVER(list);
}
