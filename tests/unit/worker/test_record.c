/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_record.c: the fate of every kind of record, under every policy that decides it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout-worker/record.h"

struct world {
    struct namespace_conf plain, quakes;
    struct conf_item items[2];
    struct conf_table table;
    struct namespaces nss;
    struct record_maker maker;
    struct record_rules rules;
    struct entry e;
};

static char no_text[] = "", topic_a[] = "a", topic_b[] = "b", name_quakes[] = "quakes";

static const struct namespace *find(const struct world *w, const char *name)
{
    for (uint32_t i = 0; i < w->nss.count; i++) {
        if (strcmp(w->nss.v[i].name, name) == 0)
            return &w->nss.v[i];
    }
    return NULL;
}

static int setup(void **state)
{
    static struct world w;
    struct buf errors = BUF_INIT;

    w = (struct world){.nss = {NULL, 0}};
    w.plain = (struct namespace_conf){
        .topic = topic_a, .log_id = no_text, .partitioner = PARTITIONER_MURMUR2};
    w.quakes = w.plain;
    w.quakes.topic = topic_b;
    w.items[0] = (struct conf_item){no_text, &w.plain};
    w.items[1] = (struct conf_item){name_quakes, &w.quakes};
    w.table = (struct conf_table){w.items, 2};
    assert_int_equal(namespaces_init(&w.nss, &w.table, &errors), 0);
    w.rules = (struct record_rules){.nss = &w.nss,
                                    .ns = find(&w, "quakes"),
                                    .record_max = 100,
                                    .partition = 0,
                                    .partitions = 1};
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    record_maker_done(&w->maker);
    namespaces_done(&w->nss);
    return 0;
}

static struct record_result make(struct world *w, struct slice key, struct slice value)
{
    struct source_record r = {.offset = 5, .time_ms = 7, .key = key, .value = value};

    return record_make(&w->maker, &w->rules, &r, &w->e);
}

#define assert_slice(s, text) assert_true(slice_eq(s, slice_of(text)))

static void test_json(void **state)
{
    struct world *w = *state;
    struct record_result res = make(w, SLICE("k"), SLICE("{\"a\": 1}"));

    assert_int_equal(res.fate, RECORD_ENTRY);
    assert_int_equal(res.why, REFUSED_NOT);
    assert_int_equal(w->e.kind, ENTRY_JSON);
    assert_slice(w->e.channel, "quakes:k");
    assert_slice(w->e.payload, "{\"a\": 1}");
    assert_int_equal(w->e.time_ms, 7);
    assert_int_equal(w->e.fingerprint, entry_fingerprint(SLICE("k"), SLICE("{\"a\": 1}"), 7));
    res = make(w, SLICE("k"), SLICE("[1,\r\n2]"));
    assert_int_equal(res.fate, RECORD_ENTRY);
    assert_slice(w->e.payload, "[1,2]"); /* the fingerprint is of what Kafka holds */
    assert_int_equal(w->e.fingerprint, entry_fingerprint(SLICE("k"), SLICE("[1,\r\n2]"), 7));
}

static void test_keys(void **state)
{
    struct world *w = *state;

    assert_int_equal(make(w, (struct slice){NULL, 0}, SLICE("1")).why, REFUSED_NO_KEY);
    assert_int_equal(make(w, SLICE(""), SLICE("1")).why, REFUSED_NO_KEY);
    assert_int_equal(make(w, SLICE("a\x01"), SLICE("1")).why, REFUSED_BAD_KEY);
    assert_int_equal(make(w, SLICE("\xff"), SLICE("1")).why, REFUSED_BAD_KEY);
    assert_int_equal(make(w, SLICE("\xff"), SLICE("1")).fate, RECORD_SKIP);
    w->rules.ns = find(w, "");
    assert_int_equal(make(w, SLICE("quakes:k"), SLICE("1")).why, REFUSED_UNREACHABLE);
    assert_int_equal(make(w, SLICE("other:k"), SLICE("1")).why, REFUSED_NOT);
    assert_slice(w->e.channel, "other:k");
}

static void test_invalid(void **state)
{
    struct world *w = *state;
    struct slice text = SLICE("not json"), bytes = SLICE("\xff\xfe");

    w->quakes.on_invalid = NS_INVALID_STRING;
    assert_int_equal(make(w, SLICE("k"), text).fate, RECORD_ENTRY);
    assert_int_equal(w->e.kind, ENTRY_TEXT);
    make(w, SLICE("k"), bytes);
    assert_int_equal(w->e.kind, ENTRY_BINARY);
    w->quakes.on_invalid = NS_INVALID_BASE64;
    make(w, SLICE("k"), text);
    assert_int_equal(w->e.kind, ENTRY_BINARY);
    w->quakes.on_invalid = NS_INVALID_REJECT;
    assert_int_equal(make(w, SLICE("k"), text).why, REFUSED_INVALID);
    assert_int_equal(w->e.kind, ENTRY_NULL);
    assert_true(w->e.marker);
    w->quakes.on_too_large = NS_FATE_SKIP;
    assert_int_equal(make(w, SLICE("k"), text).fate, RECORD_SKIP);
    w->quakes.payload = NS_TEXT;
    assert_int_equal(make(w, SLICE("k"), text).fate, RECORD_ENTRY);
    assert_int_equal(w->e.kind, ENTRY_TEXT);
    assert_int_equal(make(w, SLICE("k"), bytes).why, REFUSED_INVALID);
    w->quakes.payload = NS_BINARY;
    assert_int_equal(make(w, SLICE("k"), bytes).why, REFUSED_NOT);
    assert_int_equal(w->e.kind, ENTRY_BINARY);
}

static void test_too_large(void **state)
{
    struct world *w = *state;
    struct slice it, name, value;
    char big[101];

    memset(big, '1', sizeof(big));
    assert_int_equal(make(w, SLICE("k"), (struct slice){big, 100}).why, REFUSED_NOT);
    assert_int_equal(make(w, SLICE("k"), (struct slice){big, 101}).why, REFUSED_TOO_LARGE);
    assert_true(w->e.marker);
    assert_int_equal(w->e.payload.n, 0);
    it = w->e.tags;
    assert_true(entry_tag_next(&it, &name, &value));
    assert_slice(name, "fanfare-error");
    assert_slice(value, "too_large");
    assert_true(entry_tag_next(&it, &name, &value));
    assert_slice(name, "fanfare-size");
    assert_slice(value, "101");
    assert_false(entry_tag_next(&it, &name, &value));
    w->quakes.on_too_large = NS_FATE_SKIP;
    assert_int_equal(make(w, SLICE("k"), (struct slice){big, 101}).fate, RECORD_SKIP);
}

static void test_tombstone(void **state)
{
    struct world *w = *state;
    struct slice none = {NULL, 0};

    assert_int_equal(make(w, SLICE("k"), none).fate, RECORD_ENTRY);
    assert_int_equal(w->e.kind, ENTRY_NULL);
    assert_false(w->e.marker);
    w->quakes.on_tombstone = NS_TOMBSTONE_SKIP;
    assert_int_equal(make(w, SLICE("k"), none).why, REFUSED_TOMBSTONE);
}

static void test_partition(void **state)
{
    struct world *w = *state;
    int32_t right = partitioner_of(PARTITIONER_MURMUR2, SLICE("k"), 16);
    int32_t was = partitioner_of(PARTITIONER_MURMUR2, SLICE("k"), 5);

    w->rules.partitions = 16;
    w->rules.partition = right;
    assert_int_equal(make(w, SLICE("k"), SLICE("1")).fate, RECORD_ENTRY);
    w->rules.partition = (right + 1) % 16;
    assert_int_equal(make(w, SLICE("k"), SLICE("1")).fate, RECORD_MISMATCH);
    w->rules.unmapped = true;
    assert_int_equal(make(w, SLICE("k"), SLICE("1")).fate, RECORD_ENTRY);
    assert_true(make(w, SLICE("k"), SLICE("1")).mismatch);
    w->rules.unmapped = false;
    assert_int_not_equal(was, right);
    w->rules.partition = was;
    w->rules.earlier = (const int32_t[]){5};
    w->rules.earlier_count = 1;
    assert_int_equal(make(w, SLICE("k"), SLICE("1")).why, REFUSED_MOVED);
    w->quakes.partitioner = PARTITIONER_ANY;
    assert_int_equal(make(w, SLICE("k"), SLICE("1")).fate, RECORD_ENTRY);
}

static bool header(const void *raw, size_t i, struct slice *name, struct slice *value)
{
    static const struct slice names[] = {{"no", 2}, {"yes", 3}, {"yes", 3}, {"yes", 3}};
    static const struct slice values[] = {{"x", 1}, {"1", 1}, {"\xff", 1}, {NULL, 0}};

    (void)raw;
    if (i >= 4)
        return false;
    *name = names[i];
    *value = values[i];
    return true;
}

static void test_headers(void **state)
{
    struct world *w = *state;
    struct source_record r = {.key = SLICE("k"), .value = SLICE("1"), .header = header};
    char allow_text[] = "yes", *allow[] = {allow_text};
    struct record_result res;
    struct slice it, name, value;

    w->quakes.headers = (struct conf_strings){allow, 1};
    res = record_make(&w->maker, &w->rules, &r, &w->e);
    assert_int_equal(res.tags_left, 2);
    assert_int_equal(w->e.tag_count, 1);
    it = w->e.tags;
    assert_true(entry_tag_next(&it, &name, &value));
    assert_slice(name, "yes");
    assert_slice(value, "1");
    assert_false(entry_tag_next(&it, &name, &value));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_json),      TEST(test_keys),      TEST(test_invalid), TEST(test_too_large),
        TEST(test_tombstone), TEST(test_partition), TEST(test_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
