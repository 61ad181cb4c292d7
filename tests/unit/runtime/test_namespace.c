/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_namespace.c: channel to namespace and back, unreachable keys, wrong tables.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/runtime/namespace.h"

#define ROWS_MAX 4

struct fixture {
    struct namespace_conf conf[ROWS_MAX];
    struct conf_item items[ROWS_MAX];
    struct conf_table table;
    struct namespaces nss;
    struct buf errors;
};

static void add(struct fixture *f, const char *name, const char *topic, enum ns_key key)
{
    size_t i = f->table.n++;

    f->table.v = f->items;
    f->conf[i].topic = mem_strdup(topic);
    f->conf[i].log_id = mem_strdup("");
    f->conf[i].key = (int)key;
    f->items[i] = (struct conf_item){mem_strdup(name), &f->conf[i]};
}

static void done(struct fixture *f)
{
    namespaces_done(&f->nss);
    for (size_t i = 0; i < f->table.n; i++) {
        free(f->conf[i].topic);
        free(f->conf[i].log_id);
        free(f->items[i].name);
    }
    buf_done(&f->errors);
}

static void init_three(struct fixture *f)
{
    *f = (struct fixture){0};
    add(f, "", "events", NS_KEY_SHORT);
    add(f, "quakes", "quakes", NS_KEY_SHORT);
    add(f, "full", "full-topic", NS_KEY_FULL);
    assert_int_equal(namespaces_init(&f->nss, &f->table, &f->errors), 0);
    assert_int_equal(f->errors.n, 0);
    assert_int_equal(f->nss.count, 3);
}

static void of_channel(const struct fixture *f, struct slice channel, int index, const char *key)
{
    const struct namespace *ns = NULL;
    struct slice got;

    assert_int_equal(namespaces_of_channel(&f->nss, channel, &ns, &got), 0);
    assert_int_equal(ns->index, index);
    assert_true(slice_eq(got, slice_of(key)));
}

static void test_of_channel(void **state)
{
    const struct namespace *ns;
    struct slice key, longest;
    char big[256];
    struct fixture f;

    (void)state;
    memset(big, 'a', sizeof(big));
    init_three(&f);
    of_channel(&f, SLICE("a"), 0, "a");
    of_channel(&f, SLICE("other:a"), 0, "other:a");
    of_channel(&f, SLICE(":a"), 0, ":a");
    of_channel(&f, SLICE("quakesx"), 0, "quakesx");
    of_channel(&f, SLICE("quakes"), 0, "quakes");
    of_channel(&f, SLICE("quakes:a"), 1, "a");
    of_channel(&f, SLICE("quakes:a:b"), 1, "a:b");
    of_channel(&f, SLICE("quakes::"), 1, ":");
    of_channel(&f, SLICE("full:a"), 2, "full:a");
    assert_int_equal(namespaces_of_channel(&f.nss, SLICE("quakes:"), &ns, &key), -EINVAL);
    assert_int_equal(namespaces_of_channel(&f.nss, SLICE(""), &ns, &key), -EINVAL);
    assert_int_equal(namespaces_of_channel(&f.nss, SLICE("a\n"), &ns, &key), -EINVAL);
    assert_int_equal(namespaces_of_channel(&f.nss, SLICE("a\xff"), &ns, &key), -EINVAL);
    longest = (struct slice){big, 255};
    assert_int_equal(namespaces_of_channel(&f.nss, longest, &ns, &key), 0);
    longest.n = 256;
    assert_int_equal(namespaces_of_channel(&f.nss, longest, &ns, &key), -EINVAL);
    done(&f);
}

static void test_no_default(void **state)
{
    struct fixture f = {0};
    const struct namespace *ns;
    struct slice key;

    (void)state;
    add(&f, "quakes", "quakes", NS_KEY_SHORT);
    assert_int_equal(namespaces_init(&f.nss, &f.table, &f.errors), 0);
    of_channel(&f, SLICE("quakes:a"), 0, "a");
    assert_int_equal(namespaces_of_channel(&f.nss, SLICE("a"), &ns, &key), -ENOENT);
    assert_int_equal(namespaces_of_channel(&f.nss, SLICE("x:a"), &ns, &key), -ENOENT);
    done(&f);
}

static void test_channel_and_back(void **state)
{
    static const struct {
        int index, rc;
        const char *key, *channel;
    } cases[] = {
        {0, 0, "a", "a"},
        {0, 0, "other:a", "other:a"},
        {0, -ENXIO, "quakes:a", NULL},
        {0, -ENXIO, "full:", NULL},
        {1, 0, "a", "quakes:a"},
        {1, 0, "quakes:a", "quakes:quakes:a"},
        {1, 0, "full:a", "quakes:full:a"},
        {2, 0, "full:a", "full:a"},
        {2, -ENXIO, "a", NULL},
        {2, -ENXIO, "quakes:a", NULL},
        {0, -EINVAL, "", NULL},
        {1, -EINVAL, "", NULL},
        {1, -EINVAL, "a\tb", NULL},
        {0, -EINVAL, "\xc0\xaf", NULL},
    };
    struct buf out = BUF_INIT;
    struct fixture f;

    (void)state;
    init_three(&f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice key = slice_of(cases[i].key);

        assert_int_equal(namespace_channel(&f.nss, &f.nss.v[cases[i].index], key, &out),
                         cases[i].rc);
        if (cases[i].rc)
            continue;
        assert_true(slice_eq(buf_as_slice(&out), slice_of(cases[i].channel)));
        of_channel(&f, buf_as_slice(&out), cases[i].index, cases[i].key);
    }
    buf_done(&out);
    done(&f);
}

static void test_too_long_with_prefix(void **state)
{
    struct buf out = BUF_INIT;
    struct fixture f;
    char big[255];

    (void)state;
    memset(big, 'k', sizeof(big));
    init_three(&f);
    assert_int_equal(namespace_channel(&f.nss, &f.nss.v[1], (struct slice){big, 248}, &out), 0);
    assert_int_equal(out.n, 255);
    assert_int_equal(namespace_channel(&f.nss, &f.nss.v[1], (struct slice){big, 249}, &out),
                     -EINVAL);
    assert_int_equal(namespace_channel(&f.nss, &f.nss.v[0], (struct slice){big, 255}, &out), 0);
    buf_done(&out);
    done(&f);
}

static void expect_error(const char *name, const char *topic, const char *log_id, const char *error)
{
    struct fixture f = {0};

    add(&f, "one", "one-topic", NS_KEY_SHORT);
    add(&f, name, topic, NS_KEY_SHORT);
    free(f.conf[1].log_id);
    f.conf[1].log_id = mem_strdup(log_id);
    assert_int_equal(namespaces_init(&f.nss, &f.table, &f.errors), -EINVAL);
    buf_byte(&f.errors, 0);
    assert_non_null(strstr(f.errors.p, error));
    assert_int_equal(f.nss.count, 0);
    done(&f);
}

static void test_wrong_tables(void **state)
{
    char longest[252];

    (void)state;
    memset(longest, 't', 250);
    longest[250] = 0;
    expect_error("two", "one-topic", "", "namespaces.two.topic: \"one-topic\"");
    expect_error("two", "", "", "namespaces.two.topic: ");
    expect_error("two", longest, "", "namespaces.two.topic: ");
    expect_error("a:b", "t", "", "namespaces.a:b: ");
    expect_error("a\nb", "t", "", "namespaces.a\nb: ");
    expect_error("\xff", "t", "", "namespaces.\xff: ");
    expect_error("two", "t", "short", "namespaces.two.log_id: ");
    expect_error("two", "t", "abc.efgh", "namespaces.two.log_id: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_channel),       cmocka_unit_test(test_no_default),
        cmocka_unit_test(test_channel_and_back), cmocka_unit_test(test_too_long_with_prefix),
        cmocka_unit_test(test_wrong_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
