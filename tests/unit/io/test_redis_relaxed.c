/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_redis_relaxed.c: replies that nobody waits for: they don't wake the loop, and none is lost.
 */
#include "tests/unit/io/redis_server.h"

#define RELAX_MS 5

static void relaxed(struct client *cl, const char *word)
{
    redis_cmd_relaxed(cl->conn, note_reply, cl, 2, (struct slice[]){SLICE("ECHO"), slice_of(word)});
}

/* Loop rounds until n replies are there; ret_ms: the time it took. */
static unsigned rounds_until(struct client *cl, int n, uint64_t *ret_ms)
{
    uint64_t began = clock_mono_ms();
    unsigned before = ev_iteration(cl->loop);

    run_until(cl, &cl->replies, n);
    *ret_ms = clock_mono_ms() - began;
    return ev_iteration(cl->loop) - before;
}

static void next_of_chain(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct client *cl = arg;

    note_reply(c, r, arg);
    if (r)
        redis_cmd_relaxed(c, next_of_chain, cl, 1, (struct slice[]){SLICE("PING")});
}

/* Each reply is seen only when the timer fires; but the first one (libev, see redis_read.c). */
static void relaxed_replies_wait_for_the_timer(void **state)
{
    struct client cl;
    uint64_t ms;

    (void)state;
    client_up(&cl, server.url);
    redis_cmd_relaxed(cl.conn, next_of_chain, &cl, 1, (struct slice[]){SLICE("PING")});
    rounds_until(&cl, 1, &ms);
    rounds_until(&cl, 5, &ms);
    assert_true(ms >= 3ul * (RELAX_MS - 1));
    assert_string_equal(ask(&cl, "ECHO end"), "+PONG\n'end");
    client_end(&cl);
}

static void hurry_makes_the_reply_wake_the_loop(void **state)
{
    struct client cl;
    uint64_t ms;

    (void)state;
    client_up(&cl, server.url);
    relaxed(&cl, "x");
    rounds_until(&cl, 1, &ms); /* the socket isn't watched now */
    relaxed(&cl, "y");
    redis_hurry(cl.conn);
    assert_int_equal(rounds_until(&cl, 2, &ms), 1);
    client_end(&cl);
}

static void an_ordinary_command_behind_hurries_all(void **state)
{
    struct client cl;
    uint64_t ms;

    (void)state;
    client_up(&cl, server.url);
    relaxed(&cl, "a");
    relaxed(&cl, "b");
    redis_cmd_text(cl.conn, note_reply, &cl, "ECHO c");
    relaxed(&cl, "d");
    assert_true(rounds_until(&cl, 3, &ms) <= 3);
    run_until(&cl, &cl.replies, 4);
    buf_byte(&cl.text, '\0');
    assert_string_equal(cl.text.p, "'a\n'b\n'c\n'd\n");
    client_end(&cl);
}

static void nothing(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)events;
    if (++*(int *)w->data == 1000)
        ev_timer_stop(loop, w);
}

/* Whatever wakes the loop sees the replies first: with a loop that is busy anyway, none waits. */
static void other_wakes_read_the_replies(void **state)
{
    struct client cl;
    int wakes = 0;
    ev_timer t;

    (void)state;
    client_up(&cl, server.url);
    ev_timer_init(&t, nothing, 0.0001, 0.0001);
    t.data = &wakes;
    ev_timer_start(cl.loop, &t);
    for (int i = 1; i <= 100; i++) {
        relaxed(&cl, "x");
        run_until(&cl, &cl.replies, i);
    }
    assert_int_equal(redis_pending_cmds(cl.conn), 0);
    ev_timer_stop(cl.loop, &t);
    client_end(&cl);
}

static void a_server_that_dies_meanwhile_is_noticed(void **state)
{
    struct server own;
    struct client cl;

    (void)state;
    server_start(&own, "");
    client_up(&cl, own.url);
    assert_string_equal(ask(&cl, "PING"), "+PONG");
    kill(own.pid, SIGSTOP); /* the command is written and not answered */
    relaxed(&cl, "x");
    run_turns(&cl, 3);
    server_stop(&own);
    run_until(&cl, &cl.down, 1);
    assert_int_equal(cl.nulls, 1);
    client_end(&cl);

    server_start(&own, ""); /* and with nothing outstanding */
    client_up(&cl, own.url);
    relaxed(&cl, "x");
    run_until(&cl, &cl.replies, 1);
    server_stop(&own);
    run_until(&cl, &cl.down, 1);
    client_end(&cl);
}

static void a_relaxed_command_times_out_like_others(void **state)
{
    struct client cl;

    (void)state;
    client_begin(&cl, &(struct redis_opts){.url = server.url, .reply_ms = 100});
    run_until(&cl, &cl.up, 1);
    redis_cmd_relaxed(cl.conn, note_reply, &cl, 3,
                      (struct slice[]){SLICE("BLPOP"), slice_of(key), SLICE("0")});
    run_until(&cl, &cl.down, 1);
    assert_int_equal(cl.err, -ETIMEDOUT);
    assert_int_equal(cl.nulls, 1);
    client_end(&cl);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(relaxed_replies_wait_for_the_timer),
        TEST(hurry_makes_the_reply_wake_the_loop),
        TEST(an_ordinary_command_behind_hurries_all),
        TEST(other_wakes_read_the_replies),
        TEST(a_server_that_dies_meanwhile_is_noticed),
        TEST(a_relaxed_command_times_out_like_others),
    };

    return RUN_WITH_SERVER(list);
}
