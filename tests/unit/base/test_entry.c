/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_entry.c: the codec against golden files (schemas/region-stream.md) that were not made by
 * it; then what must be refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/entry.h"

struct golden {
    const char *file;
    struct entry e;
    struct slice key, value; /* the Kafka record that it was made of */
    int64_t raw_time;
    struct slice tags[4]; /* name, value, name, value */
};

/* The longest channel name. */
#define TEN(s)  s s s s s s s s s s
#define LONGEST TEN(TEN("c")) TEN(TEN("c")) TEN("c") TEN("c") TEN("c") TEN("c") TEN("c") "ccccc"

static const struct golden goldens[] = {
    {.file = "json",
     .e = {.pos = 42, .prev = 41, .time_ms = 1700000000123, .kind = ENTRY_JSON},
     .key = {"tokyo", 5},
     .value = {"{\"magnitude\":6.1}", 17},
     .raw_time = 1700000000123},
    {.file = "text",
     .e = {.pos = 1000000, .prev = 999000, .time_ms = 1, .kind = ENTRY_TEXT, .tag_count = 2},
     .key = {"tokyo", 5},
     .value = {"h\xc3\xa9llo\n", 7},
     .raw_time = 1,
     .tags = {{"source", 6}, {"usgs", 4}, {"empty", 5}, {"", 0}}},
    {.file = "binary",
     .e = {.pos = 300, .prev = 0, .time_ms = 1700000000123, .kind = ENTRY_BINARY},
     .key = {"tokyo", 5},
     .value = {"\x00\xff\x80", 3},
     .raw_time = 1700000000123},
    {.file = "tombstone",
     .e = {.pos = 2, .prev = 1, .time_ms = 0, .kind = ENTRY_NULL},
     .key = {"tokyo", 5},
     .value = {NULL, 0},
     .raw_time = -1},
    {.file = "marker",
     .e = {.pos = 129,
           .prev = 1,
           .time_ms = 1700000000123,
           .kind = ENTRY_NULL,
           .marker = true,
           .tag_count = 2},
     .key = {"tokyo", 5},
     .value = {"0123456789", 10},
     .raw_time = 1700000000123,
     .tags = {{"fanfare-error", 13}, {"too_large", 9}, {"fanfare-size", 12}, {"10", 2}}},
    {.file = "limits",
     .e = {.pos = INT64_MAX, .prev = 0, .time_ms = INT64_MAX, .kind = ENTRY_JSON},
     .key = {"k", 1},
     .value = {"0", 1},
     .raw_time = INT64_MAX},
};

/* Reads data/entry/<name>.hex: hexadecimal bytes, blanks; a comment goes from '#' on. */
static void read_hex(const char *name, struct buf *to)
{
    char path[512], line[1024];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/entry/%s.hex", TEST_DATA, name);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        char *at = line, *end;

        line[strcspn(line, "#\n")] = '\0';
        for (;;) {
            unsigned long v = strtoul(at, &end, 16);

            if (end == at)
                break;
            assert_true(v <= 255);
            buf_byte(to, (unsigned char)v);
            at = end;
        }
        assert_int_equal(strspn(at, " "), strlen(at));
    }
    (void)fclose(f);
}

static void complete(const struct golden *g, struct entry *e, struct buf *tags)
{
    bool limits = strcmp(g->file, "limits") == 0;

    *e = g->e;
    e->channel = limits ? SLICE(LONGEST) : SLICE("quakes:tokyo");
    e->fingerprint = entry_fingerprint(g->key, g->value, g->raw_time);
    e->payload = e->kind == ENTRY_NULL ? (struct slice){"", 0} : g->value;
    for (size_t i = 0; i < e->tag_count; i++)
        entry_tag_add(tags, g->tags[2 * i], g->tags[2 * i + 1]);
    e->tags = buf_as_slice(tags);
}

static void assert_same(const struct entry *a, const struct entry *b)
{
    assert_true(a->pos == b->pos && a->prev == b->prev && a->time_ms == b->time_ms);
    assert_int_equal(a->fingerprint, b->fingerprint);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->marker, b->marker);
    assert_int_equal(a->tag_count, b->tag_count);
    assert_true(slice_eq(a->channel, b->channel));
    assert_true(slice_eq(a->tags, b->tags));
    assert_true(slice_eq(a->payload, b->payload));
}

static void test_golden(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(goldens); i++) {
        struct buf tags = BUF_INIT, file = BUF_INIT, out = BUF_INIT;
        struct entry e, got;

        complete(&goldens[i], &e, &tags);
        read_hex(goldens[i].file, &file);
        entry_encode(&out, &e);
        if (!slice_eq(buf_as_slice(&out), buf_as_slice(&file)))
            fail_msg("%s is written otherwise", goldens[i].file);
        assert_int_equal(entry_decode(buf_as_slice(&file), e.pos, &got), 0);
        assert_same(&e, &got);
        buf_done(&tags);
        buf_done(&file);
        buf_done(&out);
    }
}

static void test_tags(void **state)
{
    (void)state;
    struct buf file = BUF_INIT;
    struct slice it, name, value;
    struct entry e;

    read_hex("text", &file);
    assert_int_equal(entry_decode(buf_as_slice(&file), 1000000, &e), 0);
    it = e.tags;
    assert_true(entry_tag_next(&it, &name, &value));
    assert_true(slice_eq(name, SLICE("source")) && slice_eq(value, SLICE("usgs")));
    assert_true(entry_tag_next(&it, &name, &value));
    assert_true(slice_eq(name, SLICE("empty")) && value.n == 0);
    assert_false(entry_tag_next(&it, &name, &value));
    buf_done(&file);
}

/* A cut before the payload is refused; one inside it only shortens it. */
static void test_cut_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(goldens); i++) {
        struct buf file = BUF_INIT;
        struct entry e, got = {.pos = 0};

        read_hex(goldens[i].file, &file);
        assert_int_equal(entry_decode(buf_as_slice(&file), goldens[i].e.pos, &e), 0);
        for (size_t n = 0; n < file.n - e.payload.n; n++) {
            assert_int_equal(entry_decode((struct slice){file.p, n}, e.pos, &got), -EBADMSG);
            assert_int_equal(got.pos, 0);
        }
        buf_done(&file);
    }
}

#define PRINT "\x01\x02\x03\x04"
#define CHANNEL \
    "\x01"      \
    "c"

static int decode(struct slice field)
{
    struct entry e;

    return entry_decode(field, 100, &e);
}

static void test_refused(void **state)
{
    (void)state;
    assert_int_equal(decode(SLICE("\x01\x01\x01" PRINT "\x05" CHANNEL "\x00"
                                  "text")),
                     0);
    assert_int_equal(decode(SLICE("\x01\x01\x64" PRINT "\x05" CHANNEL "\x00"
                                  "text")),
                     0);
    assert_int_equal(decode(SLICE("\x02\x01\x01" PRINT "\x05" CHANNEL "\x00"
                                  "text")),
                     -EPROTONOSUPPORT);
    /* kind 4; a flag of the future; a marker that has a payload's kind */
    assert_int_equal(decode(SLICE("\x01\x04\x01" PRINT "\x05" CHANNEL "\x00"
                                  "text")),
                     -EBADMSG);
    assert_int_equal(decode(SLICE("\x01\x11\x01" PRINT "\x05" CHANNEL "\x00"
                                  "text")),
                     -EBADMSG);
    assert_int_equal(decode(SLICE("\x01\x09\x01" PRINT "\x05" CHANNEL "\x00"
                                  "text")),
                     -EBADMSG);
    /* from itself; from before the log */
    assert_int_equal(decode(SLICE("\x01\x01\x00" PRINT "\x05" CHANNEL "\x00"
                                  "text")),
                     -EBADMSG);
    assert_int_equal(decode(SLICE("\x01\x01\x65" PRINT "\x05" CHANNEL "\x00"
                                  "text")),
                     -EBADMSG);
    /* a time of 2^63 */
    assert_int_equal(
        decode(SLICE("\x01\x01\x01" PRINT "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01" CHANNEL "\x00"
                     "text")),
        -EBADMSG);
    /* channels: empty, a control character, not UTF-8 */
    assert_int_equal(decode(SLICE("\x01\x01\x01" PRINT "\x05"
                                  "\x00"
                                  "\x00"
                                  "text")),
                     -EBADMSG);
    assert_int_equal(decode(SLICE("\x01\x01\x01" PRINT "\x05"
                                  "\x01\n"
                                  "\x00"
                                  "text")),
                     -EBADMSG);
    assert_int_equal(decode(SLICE("\x01\x01\x01" PRINT "\x05"
                                  "\x01\xff"
                                  "\x00"
                                  "text")),
                     -EBADMSG);
}

static void test_refused_payloads(void **state)
{
    (void)state;
    assert_int_equal(decode(SLICE("\x01\x00\x01" PRINT "\x05" CHANNEL "\x00")), -EBADMSG);
    assert_int_equal(decode(SLICE("\x01\x01\x01" PRINT "\x05" CHANNEL "\x00"
                                  "\xff")),
                     -EBADMSG);
    assert_int_equal(decode(SLICE("\x01\x02\x01" PRINT "\x05" CHANNEL "\x00"
                                  "\xff")),
                     0);
    assert_int_equal(decode(SLICE("\x01\x02\x01" PRINT "\x05" CHANNEL "\x00")), 0);
    assert_int_equal(decode(SLICE("\x01\x03\x01" PRINT "\x05" CHANNEL "\x00"
                                  "x")),
                     -EBADMSG);
}

static void test_refused_tags(void **state)
{
    (void)state;
    assert_int_equal(decode(SLICE("\x01\x03\x01" PRINT "\x05" CHANNEL "\x01"
                                  "\x01"
                                  "a"
                                  "\x01"
                                  "b")),
                     0);
    assert_int_equal(decode(SLICE("\x01\x03\x01" PRINT "\x05" CHANNEL "\x01"
                                  "\x01"
                                  "a"
                                  "\x02"
                                  "b")),
                     -EBADMSG);
    assert_int_equal(decode(SLICE("\x01\x03\x01" PRINT "\x05" CHANNEL "\x01"
                                  "\x01"
                                  "a"
                                  "\x01"
                                  "\xff")),
                     -EBADMSG);
    assert_int_equal(decode(SLICE("\x01\x02\x01" PRINT "\x05" CHANNEL "\x11" TEN(TEN("\x00"
                                                                                     "\x00")))),
                     -EBADMSG);
    assert_int_equal(decode(SLICE("\x01\x02\x01" PRINT "\x05" CHANNEL "\x10" TEN(TEN("\x00"
                                                                                     "\x00")))),
                     0);
}

static void test_positions(void **state)
{
    (void)state;
    struct slice field = SLICE("\x01\x03\x01" PRINT "\x05" CHANNEL "\x00");
    struct entry e;

    assert_int_equal(entry_decode(field, 1, &e), 0);
    assert_int_equal(e.prev, 0);
    assert_int_equal(entry_decode(field, INT64_MAX, &e), 0);
    assert_int_equal(entry_decode(field, 0, &e), -EBADMSG);
    assert_int_equal(entry_decode(field, (uint64_t)INT64_MAX + 1, &e), -EBADMSG);
}

static void test_fingerprint(void **state)
{
    (void)state;
    struct slice key = SLICE("key"), value = SLICE("value");
    uint32_t print = entry_fingerprint(key, value, 7);

    /* crc32c("keyvalue" 07 00 00 00 00 00 00 00), by another implementation */
    assert_int_equal(print, 0x1910208a);
    assert_int_not_equal(entry_fingerprint(key, value, 8), print);
    assert_int_not_equal(entry_fingerprint(key, SLICE("valuf"), 7), print);
    assert_int_not_equal(entry_fingerprint(SLICE("kez"), value, 7), print);
    assert_int_equal(entry_fingerprint(key, (struct slice){NULL, 0}, 7),
                     entry_fingerprint(key, SLICE(""), 7));
}

static void test_ids(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        "1",
        "1-",
        "1-0",
        "0-1",
        "2-1",
        "1-01",
        "1--1",
        "1-1 ",
        "1-+1",
        "1-1-1",
        "11",
        "1-9223372036854775808",
        "1-18446744073709551617",
        "1-99999999999999999999",
    };
    char id[ENTRY_ID_MAX];
    uint64_t pos = 0;
    size_t n;

    assert_int_equal(entry_id_print(id, 1), 3);
    assert_string_equal(id, "1-1");
    n = entry_id_print(id, INT64_MAX);
    assert_string_equal(id, "1-9223372036854775807");
    assert_int_equal(entry_id_parse((struct slice){id, n}, &pos), 0);
    assert_true(pos == INT64_MAX);
    for (size_t i = 0; i < ARRAY_LEN(broken); i++)
        assert_int_equal(entry_id_parse(slice_of(broken[i]), &pos), -EBADMSG);
    assert_true(pos == INT64_MAX);
    n = entry_id_print(id, UINT64_MAX);
    assert_true(n < ENTRY_ID_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_payloads),
        cmocka_unit_test(test_refused_tags),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
