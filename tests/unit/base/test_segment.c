/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_segment.c: segments written and read again: their drawing, their chain, what retention took,
 * and what is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/keys.h"
#include "common/base/segment.h"

static struct entry entry_at(uint64_t pos)
{
    return (struct entry){
        .pos = pos,
        .kind = ENTRY_JSON,
        .fingerprint = (uint32_t)pos,
        .channel = SLICE("quakes:japan"),
        .tags = SLICE(""),
        .payload = SLICE("{\"m\":5}"),
    };
}

/* from 4096 up to 8192, records at 4100, 4101 and 5000. */
static void build(struct buf *out, uint64_t low)
{
    uint64_t last = 4096, chain = low > 4097 ? low - 1 : 4096;
    const uint64_t at[] = {4100, 4101, 5000};
    struct buf records = BUF_INIT;

    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        struct entry e = entry_at(at[i]);

        segment_add(&records, &e, &last, &chain);
    }
    segment_head(out, 0, 4096, 8192, low);
    buf_slice(out, buf_as_slice(&records));
    buf_done(&records);
}

static void test_what_is_written_is_read(void **state)
{
    const uint64_t at[] = {4100, 4101, 5000}, prev[] = {4096, 4100, 4101};
    struct buf value = BUF_INIT;
    struct segment s;
    struct entry e;

    (void)state;
    build(&value, 1);
    assert_int_equal(segment_open(buf_as_slice(&value), &s), 0);
    assert_int_equal(s.from, 4096);
    assert_int_equal(s.upto, 8192);
    assert_int_equal(s.low, 1);
    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        assert_int_equal(segment_next(&s, &e), 0);
        assert_int_equal(e.pos, at[i]);
        assert_int_equal(e.prev, prev[i]);
        assert_true(slice_eq(e.channel, SLICE("quakes:japan")));
    }
    assert_int_equal(segment_next(&s, &e), -ENOENT);
    buf_done(&value);
}

static void test_the_drawing(void **state)
{
    static const unsigned char head[] = {1, 0, 0x80, 0x20, 0x80, 0x20, 7};
    struct buf value = BUF_INIT;

    (void)state;
    segment_head(&value, 0, 4096, 8192, 7);
    assert_int_equal(value.n, sizeof(head));
    assert_memory_equal(value.p, head, sizeof(head));
    buf_done(&value);
}

/* It would take a reader past what other segments hold. */
static void test_one_beyond_its_row_is_refused(void **state)
{
    struct segment s;

    (void)state;
    for (uint64_t from = 4096; from <= 8191; from += 4095) {
        struct buf value = BUF_INIT;
        segment_head(&value, 0, from, 8192, 7);
        assert_int_equal(segment_open(buf_as_slice(&value), &s), 0);
        buf_clear(&value);
        segment_head(&value, 0, from, 8193, 7);
        assert_int_equal(segment_open(buf_as_slice(&value), &s), -EBADMSG);
        buf_done(&value);
    }
}

static void test_what_retention_took_shows_in_the_chain(void **state)
{
    struct buf value = BUF_INIT;
    struct segment s;
    struct entry e;

    (void)state;
    build(&value, 4099);
    assert_int_equal(segment_open(buf_as_slice(&value), &s), 0);
    assert_int_equal(s.chain, 4098);
    assert_int_equal(segment_next(&s, &e), 0);
    assert_int_equal(e.prev, 4098);
    buf_done(&value);
}

static void test_each_cut_is_refused(void **state)
{
    struct buf value = BUF_INIT;
    struct segment s;
    struct entry e;
    size_t whole = 0;
    int rc;

    (void)state;
    build(&value, 1);
    for (size_t n = 0; n < value.n; n++) {
        if (segment_open((struct slice){value.p, n}, &s) < 0)
            continue;
        while ((rc = segment_next(&s, &e)) == 0)
            ;
        whole += rc == -ENOENT; /* only where a record ends */
    }
    assert_int_equal(whole, 3);
    value.p[0] = 2;
    assert_int_equal(segment_open(buf_as_slice(&value), &s), -EPROTONOSUPPORT);
    value.p[0] = 1;
    value.p[1] = 4;
    assert_int_equal(segment_open(buf_as_slice(&value), &s), -EBADMSG);
    buf_done(&value);
}

static void test_a_broken_chain_is_refused(void **state)
{
    struct buf value = BUF_INIT, records = BUF_INIT;
    uint64_t last = 4096, chain = 4090; /* not what the head says */
    struct entry e = entry_at(4100);
    struct segment s;

    (void)state;
    segment_add(&records, &e, &last, &chain);
    segment_head(&value, SEGMENT_END, 4096, 4100, 1);
    buf_slice(&value, buf_as_slice(&records));
    assert_int_equal(segment_open(buf_as_slice(&value), &s), 0);
    assert_int_equal(segment_next(&s, &e), -EBADMSG);
    buf_done(&value);
    buf_done(&records);
}

static void test_wants(void **state)
{
    static const char *const bad[] = {"",
                                      "LogAAAA1",
                                      "LogAAAA1 3",
                                      "LogAAAA1 3 x",
                                      "LogAAAA1 -1 4",
                                      "short 3 4",
                                      "LogAAAA1 3 4 5",
                                      "LogAAAA1 3 9223372036854775808"};
    struct segment_want w = {.log = "LogAAAA1", .partition = 3, .from = 8192}, got;
    char text[KEY_MAX];
    size_t n = segment_want_print(text, &w);

    (void)state;
    assert_string_equal(text, "LogAAAA1 3 8192");
    assert_int_equal(segment_want_parse((struct slice){text, n}, &got), 0);
    assert_string_equal(got.log, w.log);
    assert_int_equal(got.partition, 3);
    assert_int_equal(got.from, 8192);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(segment_want_parse(slice_of(bad[i]), &got), -EBADMSG);
    key_segment(text, "LogAAAA1", 3, 8192);
    assert_string_equal(text, "ff:{LogAAAA1:3}:seg:8192");
    key_segment_want(text, "LogAAAA1", 3, 8192);
    assert_string_equal(text, "ff:{LogAAAA1:3}:seg:8192:want");
    assert_int_equal(segment_row(8191), 4096);
    assert_int_equal(segment_row(8192), 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_the_drawing),
        cmocka_unit_test(test_one_beyond_its_row_is_refused),
        cmocka_unit_test(test_what_retention_took_shows_in_the_chain),
        cmocka_unit_test(test_each_cut_is_refused),
        cmocka_unit_test(test_a_broken_chain_is_refused),
        cmocka_unit_test(test_wants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
