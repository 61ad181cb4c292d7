/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ws_frame.c: frames put together however they are cut, what breaks the protocol, close codes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "edge-node/ws_frame.h"

#define FIN 0x80

/* A client's frame with a mask; `first` is the whole first byte. */
static void put(struct buf *b, unsigned char first, const char *payload, size_t n)
{
    static const unsigned char mask[4] = {0x11, 0x22, 0x94, 0x48};

    buf_byte(b, first);
    if (n < 126) {
        buf_byte(b, (unsigned char)(0x80 | n));
    } else if (n < 65536) {
        buf_byte(b, 0x80 | 126);
        buf_byte(b, (unsigned char)(n >> 8));
        buf_byte(b, (unsigned char)n);
    } else {
        buf_byte(b, 0x80 | 127);
        for (int i = 7; i >= 0; i--)
            buf_byte(b, (unsigned char)((uint64_t)n >> (8 * i)));
    }
    buf_add(b, mask, 4);
    for (size_t i = 0; i < n; i++)
        buf_byte(b, (unsigned char)payload[i] ^ mask[i & 3]);
}

/* All of b in pieces of `piece` bytes; events as "type:payload-length " into out; the last rc. */
static int run(struct ws_reader *r, const struct buf *b, size_t piece, size_t max, struct buf *out)
{
    char *copy = mem_strndup(b->p, b->n);
    int rc = 0;

    for (size_t at = 0; at < b->n && rc >= 0; at += piece) {
        struct ws_input in = {copy + at, b->n - at < piece ? b->n - at : piece};
        struct ws_event e;
        while ((rc = ws_reader_next(r, &in, max, &e)) == 1) {
            buf_printf(out, "%d:", e.type);
            buf_slice(out, e.payload);
            buf_byte(out, ' ');
        }
    }
    free(copy);
    return rc;
}

static void expect(const struct buf *b, size_t max, int want_rc, const char *want)
{
    for (size_t piece = 1; piece <= b->n; piece++) {
        struct ws_reader r = {0};
        struct buf out = BUF_INIT;
        assert_int_equal(run(&r, b, piece, max, &out), want_rc);
        buf_byte(&out, '\0');
        assert_string_equal(out.p, want);
        buf_done(&out);
        ws_reader_done(&r);
    }
}

static void test_messages(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    put(&b, FIN | WS_TEXT, "hello", 5);
    put(&b, FIN | WS_BINARY, "\xff\xfe", 2);
    put(&b, FIN | WS_TEXT, "", 0);
    expect(&b, 100, 0, "1:hello 2:\xff\xfe 1: ");
    buf_done(&b);
}

static void test_fragments_with_control_between(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    put(&b, WS_TEXT, "g\xc3", 2); /* a character cut by the frame's end */
    put(&b, FIN | WS_PING, "p1", 2);
    put(&b, WS_CONTINUATION, "", 0);
    put(&b, FIN | WS_PONG, "", 0);
    put(&b, FIN | WS_CONTINUATION, "\xa4h", 2);
    put(&b, FIN | WS_BINARY, "x", 1);
    put(&b, FIN | WS_CLOSE, "\x03\xe8", 2);
    expect(&b, 4, 0, "9:p1 10: 1:g\xc3\xa4h 2:x 8:\x03\xe8 ");
    buf_done(&b);
}

static void test_ten_pings(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    for (int i = 0; i < 10; i++)
        put(&b, FIN | WS_PING, (char[]){(char)('0' + i)}, 1);
    expect(&b, 10, 0, "9:0 9:1 9:2 9:3 9:4 9:5 9:6 9:7 9:8 9:9 ");
    buf_done(&b);
}

static void test_long_lengths(void **state)
{
    static const size_t sizes[] = {125, 126, 127, 128, 65535, 65536, 70000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct buf b = BUF_INIT;
        char *payload = mem_alloc(sizes[i]);
        struct ws_reader r = {0};
        struct ws_event e;
        struct ws_input in;
        for (size_t k = 0; k < sizes[i]; k++)
            payload[k] = (char)('a' + k % 23);
        put(&b, FIN | WS_TEXT, payload, sizes[i]);
        in = (struct ws_input){b.p, b.n};
        assert_int_equal(ws_reader_next(&r, &in, 70000, &e), 1);
        assert_int_equal(e.payload.n, sizes[i]);
        assert_memory_equal(e.payload.p, payload, sizes[i]);
        assert_int_equal(ws_reader_next(&r, &in, 70000, &e), 0);
        ws_reader_done(&r);
        free(payload);
        buf_done(&b);
    }
}

static void expect_error(const char *bytes, size_t n, size_t max, int code, const char *before)
{
    struct buf b = BUF_INIT;

    buf_add(&b, bytes, n);
    expect(&b, max, -code, before);
    buf_done(&b);
}

#define BROKEN(lit) expect_error(lit, sizeof(lit) - 1, 100, WS_CLOSE_PROTOCOL, "")

static void test_broken(void **state)
{
    (void)state;
    BROKEN("\xc1\x80\0\0\0\0");                   /* a reserved bit */
    BROKEN("\x83\x80\0\0\0\0");                   /* a reserved opcode */
    BROKEN("\x8b\x80\0\0\0\0");                   /* a reserved control opcode */
    BROKEN("\x80\x80\0\0\0\0");                   /* goes on with nothing */
    BROKEN("\x81\x01z");                          /* no mask */
    BROKEN("\x09\x80\0\0\0\0");                   /* a control frame in parts */
    BROKEN("\x89\xfe\0\x7e\0\0\0\0");             /* a long ping */
    BROKEN("\x01\x80\0\0\0\0\x81\x80\0\0\0\0");   /* a message amid another */
    BROKEN("\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0"); /* a length with its highest bit */
    expect_error("\x81\x82\0\0\0\0\xc3\x28", 8, 100, WS_CLOSE_BAD_TEXT, "");
    expect_error("\x82\x81\0\0\0\0a\x81\xe5\0\0\0\0", 13, 100, WS_CLOSE_TOO_BIG, "2:a ");
    expect_error("\x82\xff\0\0\1\0\0\0\0\0\0\0\0\0", 14, 100, WS_CLOSE_TOO_BIG, "");
}

/* The sum of the parts counts. */
static void test_too_big_in_parts(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    put(&b, WS_TEXT, "1234", 4);
    put(&b, FIN | WS_CONTINUATION, "5678", 4);
    expect(&b, 8, 0, "1:12345678 ");
    expect(&b, 7, -WS_CLOSE_TOO_BIG, "");
    buf_done(&b);
}

/* After an error only the client's close frame is seen, whatever stands before it. */
static void test_only_close(void **state)
{
    char big[300] = "";

    (void)state;
    for (size_t piece = 1; piece < 400; piece += 7) {
        struct ws_reader r = {.only_close = true};
        struct buf b = BUF_INIT, out = BUF_INIT;
        put(&b, FIN | WS_BINARY, big, sizeof(big));
        put(&b, FIN | WS_PING, "p", 1);
        put(&b, 0x73, "reserved", 8);
        buf_lit(&b, "\x81\x02hi"); /* not masked */
        put(&b, FIN | WS_CLOSE, big, 200);
        put(&b, FIN | WS_CLOSE, "\x03\xe9", 2);
        assert_int_equal(run(&r, &b, piece, 10, &out), 0);
        assert_true(slice_eq(buf_as_slice(&out), SLICE("8:\x03\xe9 ")));
        assert_int_equal(r.message.n, 0);
        ws_reader_done(&r);
        buf_done(&b);
        buf_done(&out);
    }
}

static void test_close_codes(void **state)
{
    static const int good[] = {1000, 1001, 1002, 1003, 1007, 1011, 3000, 3999, 4000, 4999};
    static const int bad[] = {0, 999, 1004, 1005, 1006, 1012, 1015, 1016, 2999, 5000, 65535};
    char p[] = {0, 0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        p[0] = (char)(good[i] >> 8), p[1] = (char)good[i];
        assert_int_equal(ws_close_code((struct slice){p, 2}), good[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        p[0] = (char)(bad[i] >> 8), p[1] = (char)bad[i];
        assert_int_equal(ws_close_code((struct slice){p, 2}), WS_CLOSE_PROTOCOL);
    }
    assert_int_equal(ws_close_code(SLICE("")), WS_CLOSE_NONE);
    assert_int_equal(ws_close_code(SLICE("\x03")), WS_CLOSE_PROTOCOL);
    assert_int_equal(ws_close_code(SLICE("\x03\xe8ok")), 1000);
    assert_int_equal(ws_close_code(SLICE("\x03\xe8\xff")), WS_CLOSE_BAD_TEXT);
}

static void test_heads(void **state)
{
    char room[WS_HEAD_MAX];
    char *end = room + sizeof(room);

    (void)state;
    assert_int_equal(ws_put_head(end, 125, WS_PONG), 2);
    assert_memory_equal(end - 2, "\x8a\x7d", 2);
    assert_int_equal(ws_put_head(end, 126, WS_TEXT), 4);
    assert_memory_equal(end - 4, "\x81\x7e\0\x7e", 4);
    assert_int_equal(ws_put_head(end, 65535, WS_TEXT), 4);
    assert_memory_equal(end - 4, "\x81\x7e\xff\xff", 4);
    assert_int_equal(ws_put_head(end, 65536, WS_BINARY), 10);
    assert_memory_equal(end - 10, "\x82\x7f\0\0\0\0\0\1\0\0", 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),   cmocka_unit_test(test_fragments_with_control_between),
        cmocka_unit_test(test_ten_pings),  cmocka_unit_test(test_long_lengths),
        cmocka_unit_test(test_broken),     cmocka_unit_test(test_too_big_in_parts),
        cmocka_unit_test(test_only_close), cmocka_unit_test(test_close_codes),
        cmocka_unit_test(test_heads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
