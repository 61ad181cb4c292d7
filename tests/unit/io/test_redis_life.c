/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_redis_life.c: how a connection to a real redis-server begins and ends: greeting, passwords,
 * a server that dies, a free from inside any callback; and the blocking form.
 */
#include "tests/unit/io/redis_server.h"

static void a_killed_server_ends_every_command_then_the_connection(void **state)
{
    struct entries e = {0};
    struct server own;
    struct client cl;

    (void)state;
    server_start(&own, "");
    client_up(&cl, own.url);
    cl.free_on_down = true;
    send_entries(&cl, &e, "XREAD BLOCK 0 STREAMS x $");
    for (int i = 0; i < 100; i++)
        redis_cmd_text(cl.conn, note_reply, &cl, "PING");
    run_turns(&cl, 3);
    assert_int_equal(cl.replies, 0);
    server_stop(&own);
    run_until(&cl, &cl.down, 1);
    assert_int_equal(e.done, 1);
    assert_int_equal(e.err, -ECONNRESET);
    assert_int_equal(cl.nulls, 100);
    assert_int_equal(cl.nulls_at_down, 100);
    assert_int_equal(cl.down, 1);
    assert_int_equal(cl.err, -ECONNRESET);
    assert_non_null(strstr(cl.why, "127.0.0.1"));
    client_end(&cl);
}

static void the_oldest_command_may_take_only_reply_ms(void **state)
{
    struct client cl;

    (void)state;
    client_begin(&cl, &(struct redis_opts){.url = server.url, .reply_ms = 2500});
    run_until(&cl, &cl.up, 1);
    assert_string_equal(ask(&cl, "PING"), "+PONG");
    redis_cmd_text(cl.conn, note_reply, &cl, with_key("BLPOP", "0"));
    run_until(&cl, &cl.down, 1);
    assert_int_equal(cl.err, -ETIMEDOUT);
    assert_int_equal(cl.nulls, 1);
    client_end(&cl);
}

static void free_from_reply(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct client *cl = arg;

    assert_non_null(r);
    redis_conn_free(c);
    assert_memory_equal(redis_str(r).p, "PONG", 4); /* the reply outlives it */
    cl->conn = NULL;
    cl->replies++;
}

static void the_connection_may_be_freed_from_any_callback(void **state)
{
    struct entries e = {.free_at = 2};
    struct client cl;

    (void)state;
    client_up(&cl, server.url);
    ask(&cl, with_key("XADD", "1-1 d a"));
    ask(&cl, with_key("XADD", "1-2 d b"));
    ask(&cl, with_key("XADD", "1-3 d c"));
    send_entries(&cl, &e, with_key("XRANGE", "- +"));
    redis_cmd_text(cl.conn, note_reply, &cl, "PING");
    run_until(&cl, &e.done, 1);
    run_turns(&cl, 3);
    assert_int_equal(e.count, 2); /* none after the free */
    assert_int_equal(e.done, 1);
    assert_int_equal(e.err, -ECONNRESET);
    assert_int_equal(cl.nulls, 1);
    client_end(&cl);
    buf_done(&e.text);

    e = (struct entries){.free_at_done = true};
    client_up(&cl, server.url);
    get_entries(&cl, &e, with_key("XRANGE", "- +"));
    assert_int_equal(e.count, 3);
    assert_int_equal(e.err, 0);
    client_end(&cl);
    buf_done(&e.text);

    client_up(&cl, server.url);
    redis_cmd_text(cl.conn, free_from_reply, &cl, "PING");
    redis_cmd_text(cl.conn, note_reply, &cl, "PING");
    run_until(&cl, &cl.replies, 1);
    assert_int_equal(cl.nulls, 1);
    assert_int_equal(cl.down, 0);
    client_end(&cl);

    client_begin(&cl, &(struct redis_opts){.url = server.url});
    cl.free_on_up = true;
    run_until(&cl, &cl.up, 1);
    run_turns(&cl, 3);
    client_end(&cl);
}

static void commands_before_up_are_refused_at_the_next_turn(void **state)
{
    struct client cl;

    (void)state;
    client_begin(&cl, &(struct redis_opts){.url = server.url});
    redis_cmd_text(cl.conn, note_reply, &cl, "PING");
    assert_int_equal(cl.nulls, 0);
    assert_int_equal(redis_pending_cmds(cl.conn), 1);
    run_until(&cl, &cl.nulls, 1);
    run_until(&cl, &cl.up, 1);
    assert_string_equal(ask(&cl, "PING"), "+PONG");
    assert_int_equal(cl.nulls, 1);
    client_end(&cl);
}

static void the_name_the_database_and_the_unix_socket_are_used(void **state)
{
    struct client cl;
    char url[96];

    (void)state;
    snprintf(url, sizeof(url), "%s/3", server.url);
    client_begin(&cl, &(struct redis_opts){.url = url, .name = "fanfare-test"});
    run_until(&cl, &cl.up, 1);
    assert_string_equal(ask(&cl, "CLIENT GETNAME"), "'fanfare-test");
    ask(&cl, with_key("SET", "three"));
    client_end(&cl);
    client_up(&cl, server.unix_url);
    assert_string_equal(ask(&cl, with_key("GET", "")), "nil");
    assert_string_equal(ask(&cl, "SELECT 3"), "+OK");
    assert_string_equal(ask(&cl, with_key("GET", "")), "'three");
    client_end(&cl);
    snprintf(url, sizeof(url), "%s/99", server.url);
    client_begin(&cl, &(struct redis_opts){.url = url});
    run_until(&cl, &cl.down, 1);
    assert_non_null(strstr(cl.why, "SELECT"));
    client_end(&cl);
}

static void expect_login(const struct redis_opts *opts, bool ok)
{
    struct client cl;

    client_begin(&cl, opts);
    run_until(&cl, ok ? &cl.up : &cl.down, 1);
    if (ok)
        assert_string_equal(ask(&cl, "PING"), "+PONG");
    else
        assert_int_equal(cl.err, -EACCES);
    assert_int_equal(cl.up + cl.down, 1);
    assert_null(strstr(cl.why, "p@ss")); /* no secret in a log */
    client_end(&cl);
}

static void passwords_are_checked(void **state)
{
    struct server own;
    struct client cl;
    char url[128];

    (void)state;
    server_start(&own, "p@ss");
    expect_login(&(struct redis_opts){.url = own.url}, false);
    expect_login(&(struct redis_opts){.url = own.url, .password = "wrong"}, false);
    expect_login(&(struct redis_opts){.url = own.url, .password = "p@ss"}, true);
    snprintf(url, sizeof(url), "redis://:p%%40ss@127.0.0.1:%d/0", own.port);
    expect_login(&(struct redis_opts){.url = url}, true);
    expect_login(&(struct redis_opts){.url = url, .password = "wrong"}, false);
    client_begin(&cl, &(struct redis_opts){.url = url});
    run_until(&cl, &cl.up, 1);
    assert_string_equal(ask(&cl, "ACL SETUSER bob on >secret ~* +@all"), "+OK");
    client_end(&cl);
    snprintf(url, sizeof(url), "redis://bob:secret@127.0.0.1:%d", own.port);
    expect_login(&(struct redis_opts){.url = url}, true);
    snprintf(url, sizeof(url), "redis://bob@127.0.0.1:%d", own.port);
    expect_login(&(struct redis_opts){.url = url, .password = "secret"}, true);
    server_stop(&own);
}

static void the_blocking_form_answers_and_says_why_not(void **state)
{
    const struct slice ping[] = {SLICE("PING")};
    struct server own;
    struct redis_sync *s;
    char why[256] = "";

    (void)state;
    server_start(&own, "");
    s = open_sync(own.url);
    assert_memory_equal(redis_str(redis_sync_cmd(s, 1, ping)).p, "PONG", 4);
    assert_true(redis_is_error(redis_sync_cmd(s, 1, (struct slice[]){SLICE("NOPE")}), "ERR"));
    assert_memory_equal(redis_str(redis_sync_cmd(s, 1, ping)).p, "PONG", 4);
    server_stop(&own);
    assert_null(redis_sync_cmd(s, 1, ping));
    assert_true(strlen(redis_sync_why(s)) > 0);
    assert_null(redis_sync_cmd(s, 1, ping));
    redis_sync_close(s);
    assert_null(redis_sync_open(&(struct redis_opts){.url = own.url}, why, sizeof(why)));
    assert_non_null(strstr(why, "refused"));
    assert_null(redis_sync_open(&(struct redis_opts){.url = "http://x"}, why, sizeof(why)));
    assert_non_null(strstr(why, "redis://"));
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(a_killed_server_ends_every_command_then_the_connection),
        TEST(the_oldest_command_may_take_only_reply_ms),
        TEST(the_connection_may_be_freed_from_any_callback),
        TEST(commands_before_up_are_refused_at_the_next_turn),
        TEST(the_name_the_database_and_the_unix_socket_are_used),
        TEST(passwords_are_checked),
        TEST(the_blocking_form_answers_and_says_why_not),
    };

    return RUN_WITH_SERVER(list);
}
