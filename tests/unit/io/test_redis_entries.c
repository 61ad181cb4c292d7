/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_redis_entries.c: stream entries of a real redis-server, handed over while they are parsed;
 * blocked reads.
 */
#include "tests/unit/io/redis_server.h"

static void entries_of_xread_and_xrange_are_handed_over(void **state)
{
    struct entries e = {0};
    struct client cl;
    char command[128];

    (void)state;
    client_up(&cl, server.url);
    ask(&cl, with_key("XADD", "1-5 d five"));
    ask(&cl, with_key("XADD", "1-7 d seven"));
    snprintf(command, sizeof(command), "XADD %sb 1-9 d nine", key);
    ask(&cl, command);
    snprintf(command, sizeof(command), "XREAD COUNT 10 STREAMS %s %sb 0 0", key, key);
    get_entries(&cl, &e, command);
    snprintf(command, sizeof(command), "%s/5=five %s/7=seven %sb/9=nine ", key, key, key);
    assert_string_equal(e.text.p, command);
    assert_int_equal(e.err, 0);

    buf_done(&e.text);
    e = (struct entries){0};
    get_entries(&cl, &e, with_key("XRANGE", "- +"));
    assert_string_equal(e.text.p, "/5=five /7=seven ");
    buf_done(&e.text);
    e = (struct entries){0};
    get_entries(&cl, &e, with_key("xrevrange", "+ -"));
    assert_string_equal(e.text.p, "/7=seven /5=five ");
    buf_done(&e.text);
    e = (struct entries){0};
    get_entries(&cl, &e, with_key("XREAD STREAMS", "1-7"));
    assert_int_equal(e.err + e.count, 0);
    buf_done(&e.text);
    client_end(&cl);
}

static void twenty_thousand_entries_arrive_whole(void **state)
{
    struct entries e = {.quiet = true};
    struct client cl;
    char command[512], value[300];

    (void)state;
    memset(value, 'v', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    client_up(&cl, server.url);
    for (int i = 1; i <= 20000; i++) {
        snprintf(command, sizeof(command), "XADD %s 1-%d d %s", key, i, value);
        redis_cmd_text(cl.conn, note_reply, &cl, command);
    }
    run_until(&cl, &cl.replies, 20000);
    get_entries(&cl, &e, with_key("XREAD COUNT 20000 STREAMS", "0"));
    assert_int_equal(e.count, 20000);
    assert_int_equal(e.last, 20000);
    assert_int_equal(e.bytes, 20000 * 299);
    assert_int_equal(e.err, 0);
    ask(&cl, with_key("DEL", ""));
    buf_done(&e.text);
    client_end(&cl);
}

static void wrong_entries_are_refused_and_the_connection_stays(void **state)
{
    static const char *const wrong[] = {"2-1 d x", "1-3 e x", "1-3 d x d y", "1-3 dd x"};
    struct client cl;

    (void)state;
    client_up(&cl, server.url);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct entries e = {0};

        ask(&cl, with_key("DEL", ""));
        assert_memory_equal(ask(&cl, with_key("XADD", "1-1 d first")), "'1-1", 5);
        assert_int_equal(ask(&cl, with_key("XADD", wrong[i]))[0], '\'');
        assert_int_equal(ask(&cl, with_key("XADD", "2-9 d last"))[0], '\'');
        get_entries(&cl, &e, with_key("XRANGE", "- +"));
        assert_int_equal(e.err, -EBADMSG);
        assert_string_equal(e.text.p, "/1=first ");
        assert_string_equal(ask(&cl, "PING"), "+PONG");
        buf_done(&e.text);
    }
    client_end(&cl);
}

static void an_error_in_the_place_of_entries_is_told(void **state)
{
    struct entries e = {0};
    struct client cl;

    (void)state;
    client_up(&cl, server.url);
    ask(&cl, with_key("SET", "x"));
    get_entries(&cl, &e, with_key("XRANGE", "- +"));
    assert_int_equal(e.err, -EREMOTEIO);
    assert_memory_equal(e.msg, "WRONGTYPE", 9);
    assert_string_equal(ask(&cl, "PING"), "+PONG");
    buf_done(&e.text);
    client_end(&cl);
}

/* Waits until Redis says that n clients are blocked. */
static void wait_blocked(struct redis_sync *s, int n)
{
    uint64_t end = clock_mono_ms() + WAIT_MS;
    char want[32];

    snprintf(want, sizeof(want), "blocked_clients:%d\r", n);
    while (clock_mono_ms() < end) {
        const struct redis_reply *r =
            redis_sync_cmd(s, 2, (struct slice[]){SLICE("INFO"), SLICE("clients")});

        assert_non_null(r);
        if (strstr(redis_str(r).p, want))
            return;
        poll(NULL, 0, 2);
    }
    fail_msg("nobody blocked");
}

static void a_blocked_xread_is_woken(void **state)
{
    struct redis_sync *other = open_sync(server.url);
    struct entries e = {0};
    struct client cl;

    (void)state;
    client_up(&cl, server.url);
    send_entries(&cl, &e, with_key("XREAD BLOCK 0 STREAMS", "0"));
    run_turns(&cl, 2);
    wait_blocked(other, 1);
    run_turns(&cl, 2);
    assert_int_equal(e.done, 0);
    redis_sync_cmd(
        other, 5,
        (struct slice[]){SLICE("XADD"), slice_of(key), SLICE("1-4"), SLICE("d"), SLICE("hello")});
    run_until(&cl, &e.done, 1);
    assert_int_equal(e.count, 1);
    assert_int_equal(e.last, 4);
    buf_done(&e.text);
    client_end(&cl);
    redis_sync_close(other);
}

static void client_unblock_ends_a_blocked_xread(void **state)
{
    struct redis_sync *other = open_sync(server.url);
    struct client cl;
    char id[32];

    (void)state;
    client_up(&cl, server.url);
    assert_true(redis_client_id(cl.conn) > 0);
    snprintf(id, sizeof(id), "%lld", (long long)redis_client_id(cl.conn));
    for (int error = 0; error < 2; error++) {
        struct entries e = {0};

        send_entries(&cl, &e, with_key("XREAD BLOCK 0 STREAMS", "0"));
        run_turns(&cl, 2);
        wait_blocked(other, 1);
        redis_sync_cmd(other, 4,
                       (struct slice[]){SLICE("CLIENT"), SLICE("UNBLOCK"), slice_of(id),
                                        error ? SLICE("ERROR") : SLICE("TIMEOUT")});
        run_until(&cl, &e.done, 1);
        assert_int_equal(e.count, 0);
        assert_int_equal(e.err, error ? -EREMOTEIO : 0);
        buf_done(&e.text);
    }
    client_end(&cl);
    redis_sync_close(other);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(entries_of_xread_and_xrange_are_handed_over),
        TEST(twenty_thousand_entries_arrive_whole),
        TEST(wrong_entries_are_refused_and_the_connection_stays),
        TEST(an_error_in_the_place_of_entries_is_told),
        TEST(a_blocked_xread_is_woken),
        TEST(client_unblock_ends_a_blocked_xread),
    };

    return RUN_WITH_SERVER(list);
}
