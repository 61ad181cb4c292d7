/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_redis_wire.c: replies of a scripted server: cut into bytes, of wrong shapes, too long.
 */
#include "tests/unit/io/redis_wire.h"

#define STREAM_REPLY                                                                  \
    "*2\r\n*2\r\n$1\r\na\r\n*2\r\n*2\r\n$3\r\n1-5\r\n*2\r\n$1\r\nd\r\n$4\r\nfive\r\n" \
    "*2\r\n$3\r\n1-6\r\n*2\r\n$1\r\nd\r\n$0\r\n\r\n"                                  \
    "*2\r\n$1\r\nb\r\n*1\r\n*2\r\n$3\r\n1-9\r\n*2\r\n$1\r\nd\r\n$4\r\n\r\n\r\n\r\n"

static void a_reply_in_single_bytes_is_the_same(void **state)
{
    static const char reply[] = STREAM_REPLY "+PONG\r\n*2\r\n:1\r\n*1\r\n$2\r\nxy\r\n";
    struct entries e = {0};
    struct wire w;

    (void)state;
    wire_up(&w);
    send_entries(&w.cl, &e, "XREAD STREAMS a b 0 0");
    redis_cmd_text(w.cl.conn, note_reply, &w.cl, "PING");
    redis_cmd_text(w.cl.conn, note_reply, &w.cl, "X");
    for (size_t i = 0; i < sizeof(reply) - 1; i++) {
        say(&w, reply + i, 1);
        ev_run(w.cl.loop, EVRUN_NOWAIT);
    }
    run_until(&w.cl, &w.cl.replies, 2);
    buf_byte(&e.text, '\0');
    buf_byte(&w.cl.text, '\0');
    assert_string_equal(e.text.p, "a/5=five a/6= b/9=\r\n\r\n ");
    assert_string_equal(w.cl.text.p, "+PONG\n[:1 ['xy]]\n");
    assert_int_equal(e.done, 1);
    assert_int_equal(e.err, 0);
    buf_done(&e.text);
    wire_end(&w);
}

static void replies_without_entries_are_no_error(void **state)
{
    static const char *const replies[] = {"*-1\r\n", "$-1\r\n", "*0\r\n"};
    struct wire w;

    (void)state;
    wire_up(&w);
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        struct entries e = {0};

        send_entries(&w.cl, &e, "XREAD STREAMS a 0");
        say_text(&w, replies[i]);
        run_until(&w.cl, &e.done, 1);
        assert_int_equal(e.err + e.count, 0);
    }
    wire_end(&w);
}

#define ENTRY(id, name) "*2\r\n" id "*2\r\n" name "$1\r\nv\r\n"

static void wrong_shapes_are_bad_messages_and_the_connection_stays(void **state)
{
    static const char *const replies[] = {
        "+OK\r\n",
        ":1\r\n",
        "$1\r\nx\r\n",
        "*1\r\n:1\r\n", /* no array in the array */
        "*1\r\n*-1\r\n",
        "*1\r\n*0\r\n",
        "*1\r\n*1\r\n$3\r\n1-1\r\n",             /* an id alone */
        "*1\r\n*3\r\n$3\r\n1-1\r\n*0\r\n*0\r\n", /* three parts */
        "*1\r\n*2\r\n$3\r\n1-1\r\n*-1\r\n",      /* a deleted entry */
        "*1\r\n*2\r\n$3\r\n1-1\r\n*0\r\n",
        "*1\r\n*2\r\n$3\r\n1-1\r\n*1\r\n$1\r\nd\r\n",
        "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nd\r\n:1\r\n",
        "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nd\r\n*2\r\n$1\r\nd\r\n$1\r\nv\r\n",
        "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nd\r\n-ERR x\r\n",
        "*1\r\n*2\r\n*0\r\n*2\r\n$1\r\nd\r\n$1\r\nv\r\n",
        "*1\r\n" ENTRY(":1\r\n", "$1\r\nd\r\n"),
        "*1\r\n" ENTRY("$-1\r\n", "$1\r\nd\r\n"),
        "*1\r\n" ENTRY("$0\r\n\r\n", "$1\r\nd\r\n"),
        "*1\r\n" ENTRY("$3\r\n1-0\r\n", "$1\r\nd\r\n"),
        "*1\r\n" ENTRY("$3\r\n0-1\r\n", "$1\r\nd\r\n"),
        "*1\r\n" ENTRY("$2\r\n1-\r\n", "$1\r\nd\r\n"),
        "*1\r\n" ENTRY("$4\r\n1--1\r\n", "$1\r\nd\r\n"),
        "*1\r\n" ENTRY("$4\r\n1- 1\r\n", "$1\r\nd\r\n"),
        "*1\r\n" ENTRY("$22\r\n1-18446744073709551616\r\n", "$1\r\nd\r\n"),
        "*1\r\n" ENTRY("$3\r\n1-1\r\n", "$0\r\n\r\n"),
        "*1\r\n" ENTRY("$3\r\n1-1\r\n", "$1\r\nD\r\n"),
        "*1\r\n" ENTRY("$3\r\n1-1\r\n", "+d\r\n"),
        "*1\r\n" ENTRY("$3\r\n1-1\r\n", "*1\r\n$1\r\nd\r\n"),
    };
    struct wire w;

    (void)state;
    wire_up(&w);
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        struct entries e = {0};

        send_entries(&w.cl, &e, "XRANGE a - +");
        redis_cmd_text(w.cl.conn, note_reply, &w.cl, "PING");
        say_text(&w, replies[i]);
        say_text(&w, "+PONG\r\n");
        run_until(&w.cl, &w.cl.replies, (int)i + 1);
        if (e.err != -EBADMSG || e.count != 0 || e.done != 1)
            fail_msg("reply %zu: err %d, %d entries, %d done", i, e.err, e.count, e.done);
        buf_done(&e.text);
    }
    wire_end(&w);
}

/* XREAD's reply to XRANGE, and the other way round. */
static void the_shape_is_the_commands_own(void **state)
{
    static const char *const commands[] = {"XRANGE a - +", "XREAD STREAMS a 0"};
    static const char *const replies[] = {STREAM_REPLY,
                                          "*1\r\n" ENTRY("$3\r\n1-1\r\n", "$1\r\nd\r\n")};
    struct wire w;

    (void)state;
    wire_up(&w);
    for (int i = 0; i < 2; i++) {
        struct entries e = {0};

        send_entries(&w.cl, &e, commands[i]);
        say_text(&w, replies[i]);
        run_until(&w.cl, &e.done, 1);
        assert_int_equal(e.err, -EBADMSG);
        assert_int_equal(e.count, 0);
        buf_done(&e.text);
    }
    wire_end(&w);
}

static void a_long_error_is_cut(void **state)
{
    struct entries e = {0};
    struct buf text = BUF_INIT;
    struct wire w;

    (void)state;
    wire_up(&w);
    send_entries(&w.cl, &e, "XRANGE a - +");
    buf_byte(&text, '-');
    for (int i = 0; i < 20000; i++)
        buf_byte(&text, 'E');
    buf_lit(&text, "\r\n");
    say(&w, text.p, text.n);
    run_until(&w.cl, &e.done, 1);
    assert_int_equal(e.err, -EREMOTEIO);
    assert_int_equal(e.msg[0], 'E');
    buf_done(&text);
    wire_end(&w);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(a_reply_in_single_bytes_is_the_same),
        cmocka_unit_test(replies_without_entries_are_no_error),
        cmocka_unit_test(wrong_shapes_are_bad_messages_and_the_connection_stays),
        cmocka_unit_test(the_shape_is_the_commands_own),
        cmocka_unit_test(a_long_error_is_cut),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
