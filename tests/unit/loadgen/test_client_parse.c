/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_client_parse.c: what a client reads: WebSocket frames cut at every byte, the protocol's
 * replies, and that broken ones are refused without reading past their end.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "loadgen/plan.h"
#include "loadgen/reply.h"
#include "loadgen/wsframe.h"

static struct reply one(const char *text)
{
    struct slice in = slice_of(text);
    struct reply rp;
    assert_int_equal(reply_take(&in, &rp), 0);
    assert_int_equal(in.n, 0);
    return rp;
}

static void assert_text(struct slice got, const char *want)
{
    assert_int_equal(got.n, strlen(want));
    assert_memory_equal(got.p, want, got.n);
}

static void test_push(void **state)
{
    (void)state;
    struct reply rp =
        one("{\"push\":{\"channel\":\"ns:a\",\"pub\":{\"data\":{\"c\":\"}\\\"\",\"s\":[1,{}]},"
            "\"offset\":43,\"tags\":{\"k\":\"v\"}}}}");
    assert_int_equal(rp.kind, REPLY_PUB);
    assert_text(rp.channel, "ns:a");
    assert_text(rp.pub.data, "{\"c\":\"}\\\"\",\"s\":[1,{}]}");
    assert_int_equal(rp.pub.offset, 43);
    assert_false(rp.pub.marker);
    rp = one("{\"push\":{\"pub\":{\"offset\":9223372036854775807,\"data\":null,"
             "\"tags\":{\"fanfare-error\":\"too_large\"}},\"channel\":\"x\"}}");
    assert_true(rp.pub.marker);
    assert_true(rp.pub.offset == INT64_MAX);
    assert_text(rp.pub.data, "null");
}

static void test_other_kinds(void **state)
{
    (void)state;
    assert_int_equal(one("{}").kind, REPLY_PING);
    struct reply rp =
        one("{\"push\":{\"channel\":\"a\",\"unsubscribe\":{\"code\":2500,\"reason\":\"x\"}}}");
    assert_int_equal(rp.kind, REPLY_UNSUBSCRIBED);
    assert_int_equal(rp.code, 2500);
    rp = one("{\"push\":{\"disconnect\":{\"code\":3001}}}");
    assert_int_equal(rp.kind, REPLY_DISCONNECT);
    rp = one("{\"id\":3,\"error\":{\"code\":103,\"message\":\"no\",\"temporary\":true}}");
    assert_int_equal(rp.kind, REPLY_ERROR);
    assert_int_equal(rp.id, 3);
    assert_int_equal(rp.code, 103);
    rp = one("{\"id\":1,\"connect\":{\"client\":\"u\",\"ping\":25,\"pong\":true,\"node\":\"n1\","
             "\"subs\":{}}}");
    assert_int_equal(rp.kind, REPLY_CONNECT);
    assert_int_equal(rp.ping_s, 25);
    assert_true(rp.pong);
    assert_text(rp.node, "n1");
    assert_int_equal(one("{\"push\":{\"channel\":\"a\",\"join\":{}}}").kind, REPLY_OTHER);
}

static void test_subscribe(void **state)
{
    (void)state;
    struct reply rp =
        one("{\"id\":2,\"subscribe\":{\"recoverable\":true,\"positioned\":true,\"epoch\":\"E\","
            "\"offset\":41,\"was_recovering\":true,\"recovered\":true,\"publications\":["
            "{\"data\":1,\"offset\":42},{\"data\":\"]\",\"offset\":44}]}}");
    assert_int_equal(rp.kind, REPLY_SUBSCRIBE);
    assert_true(rp.recoverable && rp.was_recovering && rp.recovered);
    assert_text(rp.epoch, "E");
    assert_int_equal(rp.offset, 41);
    struct pub pub;
    assert_int_equal(pub_take(&rp.publications, &pub), 0);
    assert_int_equal(pub.offset, 42);
    assert_int_equal(pub_take(&rp.publications, &pub), 0);
    assert_text(pub.data, "\"]\"");
    assert_int_equal(pub_take(&rp.publications, &pub), -ENOENT);
    rp = one("{\"id\":2,\"subscribe\":{}}");
    assert_false(rp.recovered);
    assert_int_equal(rp.publications.n, 0);
}

static void test_joined_replies(void **state)
{
    (void)state;
    struct slice in = SLICE("{}\n{\"id\":2,\"subscribe\":{\"offset\":7}}\n{}");
    struct reply rp;
    assert_int_equal(reply_take(&in, &rp), 0);
    assert_int_equal(rp.kind, REPLY_PING);
    assert_int_equal(reply_take(&in, &rp), 0);
    assert_int_equal(rp.offset, 7);
    assert_int_equal(reply_take(&in, &rp), 0);
    assert_int_equal(reply_take(&in, &rp), -ENOENT);
}

/* Copied to memory of its exact size, so that a sanitizer sees any read behind the end. */
static int take_exact(const char *text, size_t n)
{
    char *p = malloc(n ? n : 1);
    memcpy(p, text, n);
    struct slice in = {p, n};
    struct reply rp;
    int r;
    while ((r = reply_take(&in, &rp)) == 0)
        ;
    free(p);
    return r;
}

static void test_broken_replies(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":1}}}",   /* no offset */
        "{\"push\":{\"channel\":\"a\",\"pub\":{\"offset\":1}}}", /* no data */
        "{\"push\":{\"pub\":{\"data\":1,\"offset\":1}}}",        /* no channel */
        "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":[1},\"offset\":1}}}",
        "{\"id\":1 \"connect\":{}}",
        "{}{}",
        "{} \n{}",
        "{\"id\":x}",
        "[]",
        "\n",
        "{\"id\":123456789012345678901}",
    };
    for (size_t i = 0; i < ARRAY_LEN(broken); i++)
        assert_int_equal(take_exact(broken[i], strlen(broken[i])), -EBADMSG);
    static const char good[] =
        "{\"push\":{\"channel\":\"a\\\\\",\"pub\":{\"data\":{\"x\":\"\\\"\"},"
        "\"offset\":12}}}";
    assert_int_equal(take_exact(good, sizeof good - 1), -ENOENT);
    for (size_t n = 1; n < sizeof good - 1; n++)
        assert_int_equal(take_exact(good, n), -EBADMSG);
}

static void test_unescape(void **state)
{
    (void)state;
    char dst[16];
    assert_int_equal(reply_unescape(SLICE("a\\\"\\\\\\/\\n"), dst, sizeof dst), 5);
    assert_memory_equal(dst, "a\"\\/\n", 5);
    assert_int_equal(reply_unescape(SLICE("\\u00e9\\u20AC\\u0041"), dst, sizeof dst), 6);
    assert_memory_equal(dst,
                        "\xc3\xa9\xe2\x82\xac"
                        "A",
                        6);
    assert_int_equal(reply_unescape(SLICE("\\x"), dst, sizeof dst), -1);
    assert_int_equal(reply_unescape(SLICE("\\"), dst, sizeof dst), -1);
    assert_int_equal(reply_unescape(SLICE("\\u12"), dst, sizeof dst), -1);
    assert_int_equal(reply_unescape(SLICE("\\ud800"), dst, sizeof dst), -1);
    assert_int_equal(reply_unescape(SLICE("12345678901234567"), dst, sizeof dst), -1);
}

static void test_frames_at_every_cut(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        size_t n = sizes[i], header = n < 126 ? 2 : n < 65536 ? 4 : 10;
        unsigned char *p = calloc(1, header + n);
        p[0] = 0x81;
        p[1] = (unsigned char)(n < 126 ? n : n < 65536 ? 126 : 127);
        for (size_t k = 2; k < header; k++)
            p[k] = (unsigned char)((uint64_t)n >> 8 * (header - 1 - k));
        struct ws_frame f;
        for (size_t cut = 0; cut < header + n; cut += cut < 20 ? 1 : 977) {
            struct slice in = {(char *)p, cut};
            assert_int_equal(ws_take(&in, MIB(1), &f), -EAGAIN);
            assert_int_equal(in.n, cut);
        }
        struct slice in = {(char *)p, header + n};
        assert_int_equal(ws_take(&in, MIB(1), &f), 0);
        assert_int_equal(in.n, 0);
        assert_true(f.fin && f.opcode == WS_TEXT && f.body.n == n);
        in = (struct slice){(char *)p, header + n};
        if (n > 100)
            assert_int_equal(ws_take(&in, 100, &f), -EMSGSIZE);
        free(p);
    }
}

static void test_illegal_frames(void **state)
{
    (void)state;
    const struct slice bad[] = {
        SLICE("\xc1\x00"),           /* reserved bit */
        SLICE("\x81\x81\0\0\0\0\0"), /* masked by a server */
        SLICE("\x83\x00"),           /* unknown opcode */
        SLICE("\x8b\x00"),
        SLICE("\x09\x00"),         /* a control frame in pieces */
        SLICE("\x89\x7e\x00\x7e"), /* a long control frame */
        SLICE("\x81\x7e\x00\x7d"), /* not the shortest length */
        SLICE("\x81\x7f\0\0\0\0\0\0\xff\xff"),
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct slice in = bad[i];
        struct ws_frame f;
        assert_int_equal(ws_take(&in, MIB(1), &f), -EPROTO);
    }
}

static void test_frame_out(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    static const size_t sizes[] = {0, 5, 125, 126, 65535, 65536};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char *body = calloc(1, sizes[i] + 1);
        memset(body, 'x', sizes[i]);
        buf_clear(&out);
        ws_put(&out, WS_TEXT, (struct slice){body, sizes[i]}, 0x12345678);
        size_t header = 4u + (sizes[i] < 126 ? 2u : sizes[i] < 65536 ? 4u : 10u);
        assert_int_equal(out.n, header + sizes[i]);
        const unsigned char *p = (const unsigned char *)out.p;
        assert_int_equal(p[0], 0x81);
        assert_true(p[1] & 0x80);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(p[header + k] ^ p[header - 4 + k % 4], 'x');
        free(body);
    }
    buf_done(&out);
}

static void test_payload(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    plan_payload(&out, "ch\"1", 42, 123456789012345u, 200);
    assert_int_equal(out.n, 200);
    assert_int_equal(payload_number(buf_as_slice(&out), SLICE("\"t\":")), 123456789012345u);
    assert_int_equal(payload_number(buf_as_slice(&out), SLICE("\"s\":")), 42);
    assert_int_equal(payload_number(buf_as_slice(&out), SLICE("\"z\":")), 0);
    plan_payload(&out, "ch1", 42, 7, 0);
    assert_text(buf_as_slice(&out), "{\"c\":\"ch1\",\"s\":42,\"t\":7}");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_push),
        cmocka_unit_test(test_other_kinds),
        cmocka_unit_test(test_subscribe),
        cmocka_unit_test(test_joined_replies),
        cmocka_unit_test(test_broken_replies),
        cmocka_unit_test(test_unescape),
        cmocka_unit_test(test_frames_at_every_cut),
        cmocka_unit_test(test_illegal_frames),
        cmocka_unit_test(test_frame_out),
        cmocka_unit_test(test_payload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
