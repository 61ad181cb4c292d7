/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_redis.c: replies of a real redis-server: types, order, pipelining, big values.
 */
#include "tests/unit/io/redis_server.h"

static void replies_of_each_type_arrive(void **state)
{
    struct client cl;

    (void)state;
    client_up(&cl, server.url);
    assert_string_equal(ask(&cl, "PING"), "+PONG");
    assert_string_equal(ask(&cl, with_key("GET", "")), "nil");
    assert_string_equal(ask(&cl, with_key("SET", "17")), "+OK");
    assert_string_equal(ask(&cl, with_key("GET", "")), "'17");
    assert_string_equal(ask(&cl, with_key("INCRBY", "-20")), ":-3");
    assert_string_equal(ask(&cl, "EVAL return{1,{'a',false},{}} 0"), "[:1 ['a nil] []]");
    assert_memory_equal(ask(&cl, with_key("LPUSH", "x")), "-WRONGTYPE", 10);
    assert_int_equal(redis_pending_cmds(cl.conn), 0);
    assert_int_equal(redis_pending_bytes(cl.conn), 0);
    client_end(&cl);
}

struct typed {
    int done;
    bool is_oom, is_wrongtype;
    int64_t number;
};

static void note_typed(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct typed *t = arg;

    (void)c;
    t->done++;
    t->is_oom = redis_is_error(r, "OOM");
    t->is_wrongtype = redis_is_error(r, "WRONGTYPE");
    t->number = redis_int(r);
    assert_null(redis_at(r, 0));
}

static void errors_and_numbers_are_told_apart(void **state)
{
    struct typed t = {0};
    struct client cl;

    (void)state;
    client_up(&cl, server.url);
    ask(&cl, with_key("SET", "-42"));
    redis_cmd_text(cl.conn, note_typed, &t, with_key("GET", ""));
    run_until(&cl, &t.done, 1);
    assert_int_equal(t.number, -42);
    assert_false(t.is_wrongtype);
    ask(&cl, with_key("SET", "12x"));
    redis_cmd_text(cl.conn, note_typed, &t, with_key("GET", ""));
    run_until(&cl, &t.done, 2);
    assert_int_equal(t.number, 0);
    redis_cmd_text(cl.conn, note_typed, &t, with_key("LPUSH", "x"));
    run_until(&cl, &t.done, 3);
    assert_true(t.is_wrongtype);
    assert_false(t.is_oom);
    client_end(&cl);
}

struct counter {
    int n, wrong;
};

static void note_count(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct counter *k = arg;

    (void)c;
    k->n++;
    if (!r || redis_int(r) != k->n)
        k->wrong++;
}

static void ten_thousand_commands_are_answered_in_order(void **state)
{
    struct counter k = {0};
    struct client cl;

    (void)state;
    client_up(&cl, server.url);
    for (int i = 0; i < 10000; i++)
        redis_cmd_text(cl.conn, note_count, &k, with_key("INCR", ""));
    assert_int_equal(redis_pending_cmds(cl.conn), 10000);
    assert_int_equal(k.n, 0); /* never from inside redis_cmd */
    run_until(&cl, &k.n, 10000);
    assert_int_equal(k.wrong, 0);
    assert_int_equal(redis_pending_cmds(cl.conn), 0);
    client_end(&cl);
}

static void issue_next(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    note_count(c, r, arg);
    if (((struct counter *)arg)->n < 100)
        redis_cmd_text(c, issue_next, arg, with_key("INCR", ""));
}

static void a_callback_may_issue_commands(void **state)
{
    struct counter k = {0};
    struct client cl;

    (void)state;
    client_up(&cl, server.url);
    redis_cmd_text(cl.conn, issue_next, &k, with_key("INCR", ""));
    run_until(&cl, &k.n, 100);
    assert_int_equal(k.wrong, 0);
    client_end(&cl);
}

static void big_values_go_both_ways(void **state)
{
    const size_t size = MIB(24); /* beyond any socket buffer, and many reads */
    char *value = mem_alloc(size);
    struct client cl;

    (void)state;
    for (size_t i = 0; i < size; i++)
        value[i] = (char)('a' + i % 23);
    client_up(&cl, server.url);
    redis_cmd(cl.conn, note_reply, &cl, 3,
              (struct slice[]){SLICE("SET"), slice_of(key), {value, size}});
    run_until(&cl, &cl.replies, 1);
    assert_int_equal(redis_pending_bytes(cl.conn), 0);
    buf_clear(&cl.text);
    redis_cmd_text(cl.conn, note_reply, &cl, with_key("GET", ""));
    run_until(&cl, &cl.replies, 2);
    assert_int_equal(cl.text.n, size + 2);
    assert_memory_equal(cl.text.p + 1, value, size);
    ask(&cl, with_key("DEL", ""));
    client_end(&cl);
    free(value);
}

static void prepare_issues(struct ev_loop *loop, ev_prepare *w, int events)
{
    struct client *cl = w->data;

    (void)events;
    ev_prepare_stop(loop, w);
    redis_cmd_text(cl->conn, note_reply, cl, "PING");
}

static void a_command_from_a_prepare_watcher_is_written_before_the_loop_sleeps(void **state)
{
    struct client cl;
    ev_prepare w;

    (void)state;
    client_up(&cl, server.url);
    ev_prepare_init(&w, prepare_issues);
    w.data = &cl;
    ev_prepare_start(cl.loop, &w);
    run_until(&cl, &cl.replies, 1);
    client_end(&cl);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(replies_of_each_type_arrive),
        TEST(errors_and_numbers_are_told_apart),
        TEST(ten_thousand_commands_are_answered_in_order),
        TEST(a_callback_may_issue_commands),
        TEST(big_values_go_both_ways),
        TEST(a_command_from_a_prepare_watcher_is_written_before_the_loop_sleeps),
    };

    return RUN_WITH_SERVER(list);
}
