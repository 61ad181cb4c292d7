/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_log.c: the form of a line, levels, rate limit, and values that try to forge a line.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/utf8.h"
#include "common/runtime/log.h"

#include "tests/unit/runtime/capture.h"

static size_t lines_of(const struct buf *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n; i++)
        n += b->p[i] == '\n';
    return n;
}

static void test_line(void **state)
{
    struct buf out = BUF_INIT;
    struct capture c = capture_begin(2);
    int year, month, day, hour, minute, second, ms, used = 0;

    (void)state;
    log_init("test", LOG_LV_INFO);
    errno = 42;
    log_info("assigned", " topic=%s partitions=%d", log_value(SLICE("a b")), 4);
    assert_int_equal(errno, 42);
    capture_end(&c, &out);
    /* NOLINTNEXTLINE(cert-err34-c): the numbers' range does not matter */
    assert_int_equal(sscanf(out.p, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %n", &year, &month, &day, &hour,
                            &minute, &second, &ms, &used),
                     7);
    assert_int_equal(used, 25);
    assert_string_equal(out.p + used, "info  event=assigned topic=\"a b\" partitions=4\n");
    buf_done(&out);
}

static void test_levels(void **state)
{
    struct buf out = BUF_INIT;
    struct capture c = capture_begin(2);

    (void)state;
    log_init("test", LOG_LV_WARN);
    log_error("one", " a=%d", 1);
    log_warn("two", " a=%d", 1);
    log_info("three", " a=%d", 1);
    log_init("test", LOG_LV_DEBUG);
    log_debug("four", " a=%d", 1);
    capture_end(&c, &out);
    assert_non_null(strstr(out.p, "error event=one a=1\n"));
    assert_non_null(strstr(out.p, "warn  event=two a=1\n"));
    assert_null(strstr(out.p, "three"));
    assert_non_null(strstr(out.p, "debug event=four"));
    buf_done(&out);
}

/* Begins right behind the turn of a second, as the limit counts by seconds. */
static void await_second(void)
{
    uint64_t now = clock_mono_ms() / 1000;

    while (clock_mono_ms() / 1000 == now || clock_mono_ms() % 1000 > 200)
        usleep(1000);
}

static void test_rate_limit(void **state)
{
    struct log_site site = {0}, other = {0};
    struct buf out = BUF_INIT;
    struct capture c;

    (void)state;
    log_init("test", LOG_LV_INFO);
    await_second();
    c = capture_begin(2);
    for (int i = 0; i < LOG_BURST + 7; i++)
        log_write(&site, LOG_LV_INFO, "often", " i=%d", i);
    log_write(&other, LOG_LV_INFO, "rare", " i=%d", 0);
    capture_end(&c, &out);
    assert_int_equal(lines_of(&out), LOG_BURST + 1);
    assert_null(strstr(out.p, "suppressed"));
    await_second();
    c = capture_begin(2);
    log_write(&site, LOG_LV_INFO, "often", " i=%d", 99);
    log_write(&site, LOG_LV_INFO, "often", " i=%d", 100);
    capture_end(&c, &out);
    assert_non_null(strstr(out.p, "i=99 suppressed=7\n"));
    assert_non_null(strstr(out.p, "i=100\n"));
    buf_done(&out);
}

static void test_long_and_forged_lines(void **state)
{
    struct buf out = BUF_INIT, text = BUF_INIT;
    struct capture c;

    (void)state;
    for (int i = 0; i < 10000; i++)
        buf_byte(&text, 'x');
    buf_byte(&text, 0);
    log_init("test", LOG_LV_INFO);
    c = capture_begin(2);
    log_info("long", " v=%s", text.p);
    log_info("forged", " v=%s", "a\n2026 error event=fake\x1b[31m");
    capture_end(&c, &out);
    assert_int_equal(lines_of(&out), 2);
    assert_true(out.n < 8192);
    assert_null(strchr(out.p, 0x1b));
    buf_done(&out);
    buf_done(&text);
}

static void test_values(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain-1.2:3/x", "plain-1.2:3/x"},
        {"", "\"\""},
        {"a b", "\"a b\""},
        {"a=b", "\"a=b\""},
        {"say \"hi\" \\", "\"say \\\"hi\\\" \\\\\""},
        {"a\n\t\r\x1b\x7f", "\"a\\n\\t\\r\\x1b\\x7f\""},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\xff\xc3", "\"\\xff\\xc3\""},
        {"\xc2\x9b", "\"\\xc2\\x9b\""}, /* CSI, a C1 control */
        {"\xe2\x80\xae" /* NOLINT(misc-misleading-bidirectional) */,
         "\"\\xe2\\x80\\xae\""}, /* right-to-left override */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(log_value(slice_of(cases[i].in)), cases[i].out);
    assert_string_equal(log_value((struct slice){NULL, 0}), "\"\"");
    assert_string_equal(log_value((struct slice){"a\0b", 3}), "\"a\\x00b\"");
}

/* Long values of characters of 1 to 4 bytes, and of escapes: always whole characters, bounded. */
static void test_long_values(void **state)
{
    static const char *const units[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                        "\x01"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        for (size_t lead = 0; lead < 4; lead++) {
            struct buf b = BUF_INIT;
            const char *v;

            for (size_t k = 0; k < lead; k++)
                buf_byte(&b, 'a');
            for (size_t k = 0; k < 600; k++)
                buf_str(&b, units[i]);
            v = log_value(buf_as_slice(&b));
            assert_true(strlen(v) < 512 && strlen(v) > 480);
            assert_true(utf8_is_valid(slice_of(v)));
            assert_non_null(strstr(v, "\xe2\x80\xa6"));
            buf_done(&b);
        }
    }
}

static void test_ring(void **state)
{
    const char *v[8];

    (void)state;
    for (size_t i = 0; i < 8; i++)
        v[i] = log_value((struct slice){"01234567" + i, 1});
    for (size_t i = 0; i < 8; i++)
        assert_true(v[i][0] == (char)('0' + i) && v[i][1] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),       cmocka_unit_test(test_levels),
        cmocka_unit_test(test_rate_limit), cmocka_unit_test(test_long_and_forged_lines),
        cmocka_unit_test(test_values),     cmocka_unit_test(test_long_values),
        cmocka_unit_test(test_ring),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
