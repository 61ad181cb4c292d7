/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_plog_page.c: pages of a plog's older part: what they cover in both directions, one channel's
 * records in them, eviction under a reader.
 */
#include "tests/unit/edge/edge_test.h"

static struct plog *begin(struct turns **t, uint64_t pos)
{
    struct plog *p = plog_new("abcdefgh", 3, 0, 1);

    *t = turns_new(1);
    plog_start(p, pos, *t);
    return p;
}

static void end(struct plog *p, struct turns *t)
{
    plog_free(p);
    turns_free(t);
}

static void add_page(struct plog *p, uint64_t asked, bool backward, const uint64_t *pos, size_t n,
                     uint64_t upto)
{
    struct page_builder *b = page_builder_new(asked, backward, PLOG_PAGE_BYTES);

    for (size_t i = 0; i < n; i++) {
        struct entry e = entry_of(pos[i], pos[i] - 2, "c", SLICE("12345"));
        page_builder_add(b, &e, 1);
    }
    assert_int_equal(page_builder_count(b), n);
    plog_add_page(p, page_builder_take(b, upto, 0));
}

/* n records of "c", ascending. */
static void check_page(const struct plog_page *page, uint64_t from, uint64_t upto, size_t n)
{
    struct channel_key key = {1, SLICE("c")}, other = {1 + PAGE_BUCKETS, SLICE("c")};
    struct rec_vec got = {NULL, 0, 0};
    uint64_t last = from;

    assert_non_null(page);
    assert_int_equal(page->from, from);
    assert_int_equal(page->upto, upto);
    assert_int_equal(page->count, n);
    plog_page_channel(page, &key, &got);
    assert_int_equal(got.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_true(got.v[i]->pos > last);
        assert_true(slice_eq(plog_rec_payload(got.v[i]), SLICE("12345")));
        last = got.v[i]->pos;
    }
    plog_page_channel(page, &other, &got); /* the same bucket, another channel */
    assert_int_equal(got.n, 0);
    rec_vec_done(&got);
}

static void test_pages_forward(void **state)
{
    struct turns *t;
    struct plog *p = begin(&t, 100);

    (void)state;
    assert_null(plog_page_at(p, 10, true));
    add_page(p, 10, false, (uint64_t[]){12, 14, 16}, 3, 16);
    check_page(plog_page_at(p, 10, true), 10, 16, 3);
    check_page(plog_page_at(p, 15, true), 10, 16, 3);
    assert_null(plog_page_at(p, 9, true));
    assert_null(plog_page_at(p, 16, true));
    assert_null(plog_page_before(p, 16)); /* the wrong direction */
    /* asked for what follows 30; the oldest that is left continues from 40: a gap */
    add_page(p, 30, false, (uint64_t[]){42, 44}, 2, 44);
    check_page(plog_page_at(p, 30, true), 40, 44, 2);
    assert_int_equal(plog_page_at(p, 30, true)->asked, 30);
    /* the oldest entry may continue from before what was asked for: covered */
    add_page(p, 51, false, (uint64_t[]){52}, 1, 52);
    check_page(plog_page_at(p, 51, true), 51, 52, 1);
    end(p, t);
}

static void test_pages_backward(void **state)
{
    struct turns *t;
    struct plog *p = begin(&t, 100);

    (void)state;
    add_page(p, 20, true, (uint64_t[]){20, 18, 16}, 3, 20);
    check_page(plog_page_before(p, 20), 14, 20, 3);
    check_page(plog_page_before(p, 15), 14, 20, 3);
    assert_null(plog_page_before(p, 14));
    assert_null(plog_page_before(p, 21));
    assert_null(plog_page_at(p, 15, true));
    add_page(p, 9, true, NULL, 0, 9); /* nothing older is left */
    check_page(plog_page_before(p, 5), 0, 9, 0);
    end(p, t);
}

static void test_pages_evicted(void **state)
{
    struct turns *t;
    struct plog *p = begin(&t, 100);
    size_t before = p->bytes;

    (void)state;
    assert_false(plog_evict_page(p, t));
    add_page(p, 10, false, (uint64_t[]){12}, 1, 12);
    add_page(p, 20, false, (uint64_t[]){22}, 1, 22);
    assert_true(p->bytes > before);
    turns_begin(t, 0);
    assert_true(plog_evict_page(p, t)); /* the oldest */
    assert_null(plog_page_at(p, 10, true));
    assert_non_null(plog_page_at(p, 20, true));
    assert_int_equal(turns_reclaim(t), 1);
    assert_true(plog_evict_page(p, t));
    assert_false(plog_evict_page(p, t));
    turns_end(t, 0);
    assert_int_equal(turns_reclaim(t), 0);
    assert_int_equal(p->bytes, before);
    end(p, t);
}

/* Each channel's records, also where several share a bucket, against what was put in. */
static void test_channels_of_a_page(void **state)
{
    enum {
        N = 400,
        CHANNELS = 3 * PAGE_BUCKETS
    };
    struct page_builder *b = page_builder_new(0, false, PLOG_PAGE_BYTES);
    struct rec_vec got = {NULL, 0, 0};
    struct turns *t;
    struct plog *p = begin(&t, 1000);
    size_t sum = 0;
    char name[16];

    (void)state;
    for (uint64_t i = 1; i <= N; i++) {
        struct entry e;
        (void)snprintf(name, sizeof(name), "ch%u", (unsigned)(hash_u64(i) % CHANNELS));
        e = entry_of(i, i - 1, name, SLICE("1"));
        page_builder_add(b, &e, key_of_name(name).hash);
    }
    plog_add_page(p, page_builder_take(b, N, 0));
    for (unsigned c = 0; c < CHANNELS; c++) {
        struct channel_key key;
        size_t k = 0;
        (void)snprintf(name, sizeof(name), "ch%u", c);
        key = key_of_name(name);
        plog_page_channel(plog_page_at(p, 0, true), &key, &got);
        for (uint64_t i = 1; i <= N; i++)
            if (hash_u64(i) % CHANNELS == c)
                assert_int_equal(got.v[k++]->pos, i);
        assert_int_equal(k, got.n);
        sum += k;
    }
    assert_int_equal(sum, N);
    rec_vec_done(&got);
    end(p, t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_forward),
        cmocka_unit_test(test_pages_backward),
        cmocka_unit_test(test_pages_evicted),
        cmocka_unit_test(test_channels_of_a_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
