/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_plog.c: a partition log as its readers see it: nothing before it is published, a channel's
 * chain against a plain scan, eviction under a reader, a restart behind a hole.
 */
#include "tests/unit/edge/edge_test.h"

#define CHANNELS 40

struct seen {
    uint64_t pos[20000];
    size_t n;
};

static struct seen seen;

static void note(void *arg, const struct plog_rec *r)
{
    struct seen *x = arg;

    assert_true(x->n == 0 || r->pos > x->pos[x->n - 1]);
    x->pos[x->n++] = r->pos;
}

static int each(const struct plog *p, uint64_t after, uint64_t upto)
{
    seen.n = 0;
    return plog_each(p, after, upto, NULL, note, &seen);
}

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

static void channel_name_of(char dst[16], uint64_t pos)
{
    snprintf(dst, 16, "ch%u", (unsigned)(hash_u64(pos) % CHANNELS));
}

/* Positions 2, 4, 6 …: sparse, as Kafka's are. */
static void fill(struct plog *p, uint64_t from, size_t n, size_t payload)
{
    static char bytes[KIB(64)];
    char name[16];

    for (size_t i = 0; i < n; i++) {
        uint64_t pos = from + 2 * (i + 1);
        channel_name_of(name, pos);
        append_one(p, pos, name, (struct slice){bytes, payload});
    }
    plog_publish(p);
}

static void test_publish(void **state)
{
    struct turns *t;
    struct plog *p = begin(&t, 100);
    struct plog_view v = plog_view(p);

    (void)state;
    assert_int_equal(atomic_load(&p->state), PLOG_READY);
    assert_int_equal(v.from, 100);
    assert_int_equal(v.upto, 100);
    append_one(p, 105, "a", SLICE("1"));
    append_one(p, 106, "b", SLICE("22"));
    assert_int_equal(plog_view(p).upto, 100);
    plog_publish(p);
    v = plog_view(p);
    assert_int_equal(v.from, 100);
    assert_int_equal(v.upto, 106);
    assert_int_equal(each(p, 100, v.upto), 0);
    assert_int_equal(seen.n, 2);
    assert_int_equal(each(p, 105, v.upto), 0);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.pos[0], 106);
    assert_int_equal(each(p, 100, 105), 0);
    assert_int_equal(seen.n, 1);
    assert_int_equal(each(p, 99, v.upto), -ENOENT);
    assert_int_equal(each(p, 106, 106), 0);
    end(p, t);
}

static void check_one(void *arg, const struct plog_rec *r)
{
    *(int *)arg += 1;
    assert_int_equal(r->pos, 9);
    assert_true(slice_eq(plog_rec_channel(r), SLICE("chan")));
    assert_true(slice_eq(plog_rec_payload(r), SLICE("{\"a\":1}")));
    assert_int_equal(plog_rec_tags(r).n, 6);
    assert_int_equal(r->tag_count, 1);
    assert_true(r->marker);
    assert_int_equal(r->kind, ENTRY_TEXT);
}

static void test_record(void **state)
{
    struct turns *t;
    struct plog *p = begin(&t, 8);
    struct entry e = entry_of(9, 8, "chan", SLICE("{\"a\":1}"));
    struct buf tags = BUF_INIT;
    int n = 0;

    (void)state;
    entry_tag_add(&tags, SLICE("k"), SLICE("val"));
    e.tags = buf_as_slice(&tags);
    e.tag_count = 1;
    e.kind = ENTRY_TEXT;
    e.marker = true;
    plog_append(p, &e, 77, 0);
    plog_publish(p);
    assert_int_equal(plog_each(p, 8, 9, NULL, check_one, &n), 0);
    assert_int_equal(n, 1);
    buf_done(&tags);
    end(p, t);
}

/* A walk of its own; the result is valid until the next one. */
static int walk(const struct plog *p, const struct plog_view *v, uint64_t after,
                const struct channel_key *key, size_t steps, struct plog_walk *w)
{
    plog_walk_begin(w, key, steps);
    return plog_walk(p, v, after, w);
}

/* The chain of each channel from each of some positions, against what is known to be there. */
static void check_chains(const struct plog *p, const struct plog_view *v, uint64_t after)
{
    struct plog_walk w = {.begun = false};

    for (unsigned c = 0; c < CHANNELS; c++) {
        char name[16], other[16];
        struct channel_key key;
        size_t k = 0;

        snprintf(name, sizeof(name), "ch%u", c);
        key = key_of_name(name);
        plog_walk_begin(&w, &key, SIZE_MAX);
        if (after < v->upto - 100) /* in two goes */
            assert_int_equal(plog_walk(p, v, after + (v->upto - after) / 2, &w), 0);
        assert_int_equal(plog_walk(p, v, after, &w), 0);
        for (uint64_t pos = v->upto; pos > after; pos -= 2) {
            channel_name_of(other, pos);
            if (strcmp(other, name) != 0)
                continue;
            assert_true(k < w.found.n);
            assert_int_equal(w.found.v[k++]->pos, pos);
        }
        assert_int_equal(k, w.found.n);
    }
    rec_vec_done(&w.found);
}

static void test_chains(void **state)
{
    struct turns *t;
    struct plog *p = begin(&t, 0);
    struct plog_view v;

    (void)state;
    fill(p, 0, 5000, 300); /* more than one segment */
    assert_ptr_not_equal(p->oldest, atomic_load(&p->newest));
    v = plog_view(p);
    assert_int_equal(v.upto, 10000);
    for (uint64_t after = 0; after <= 10000; after += 500)
        check_chains(p, &v, after);
    fill(p, 10000, 100, 10); /* newer than the view: must not be seen */
    check_chains(p, &v, 9000);
    end(p, t);
}

/* What a partition takes is counted, and a quiet one takes little. */
static void test_bytes(void **state)
{
    size_t buckets = PLOG_BUCKETS * sizeof(plog_bucket), last;
    struct turns *t;
    struct plog *p = begin(&t, 0);

    (void)state;
    assert_int_equal(p->bytes, buckets);
    append_one(p, 1, "a", SLICE("1"));
    last = p->bytes;
    assert_in_range(last, buckets + PLOG_SEG_FIRST, buckets + PLOG_SEG_FIRST + 200);
    fill(p, 1, 2000, 1000);
    assert_in_range(p->bytes, buckets + (size_t)2000 * 1000,
                    buckets + (size_t)2000 * 1200 + PLOG_SEG_BYTES);
    while (plog_evict(p, t))
        ;
    assert_in_range(p->bytes, buckets, buckets + PLOG_SEG_BYTES + 200);
    plog_stop(p, t);
    assert_int_equal(p->bytes, 0);
    end(p, t);
}

static void test_chain_budget(void **state)
{
    struct turns *t;
    struct plog *p = begin(&t, 0);
    struct channel_key key = key_of_name("one");
    struct plog_walk w = {.begun = false};
    struct plog_view v;

    (void)state;
    for (uint64_t i = 1; i <= 100; i++)
        append_one(p, i, "one", SLICE("0"));
    plog_publish(p);
    v = plog_view(p);
    assert_int_equal(walk(p, &v, 0, &key, 10, &w), -E2BIG);
    assert_int_equal(w.found.n, 10);
    assert_int_equal(w.found.v[0]->pos, 100);
    assert_int_equal(w.next_pos, 90); /* above it, it saw all */
    assert_int_equal(plog_walk(p, &v, 0, &w), -E2BIG);
    assert_int_equal(walk(p, &v, 90, &key, 10, &w), 0);
    assert_int_equal(w.found.n, 10);
    assert_int_equal(walk(p, &v, 0, &key, 100, &w), 0);
    assert_int_equal(w.found.n, 100);
    key = key_of_name("none");
    assert_int_equal(walk(p, &v, 0, &key, 10, &w), 0);
    assert_int_equal(w.found.n, 0);
    rec_vec_done(&w.found);
    end(p, t);
}

static void test_evict(void **state)
{
    struct turns *t;
    struct plog *p = begin(&t, 0);
    struct channel_key key = key_of_name("ch1");
    struct plog_walk w = {.begun = false}, late = {.begun = false};
    struct plog_view old, v;
    size_t bytes;

    (void)state;
    fill(p, 0, 4000, 400);
    old = plog_view(p);
    bytes = p->bytes;
    turns_begin(t, 0);
    assert_int_equal(walk(p, &old, 0, &key, SIZE_MAX, &w), 0);
    assert_true(plog_evict(p, t));
    assert_true(p->bytes < bytes);
    v = plog_view(p);
    assert_true(v.from > 0);
    assert_int_equal(v.upto, old.upto);
    /* the reader's pointers hold until its turn ends */
    assert_int_equal(turns_reclaim(t), 1);
    for (size_t i = 0; i < w.found.n; i++)
        assert_true(plog_rec_is_of(w.found.v[i], &key));
    /* its old view promises nothing any more */
    assert_int_equal(walk(p, &old, 0, &key, SIZE_MAX, &late), -ENOENT);
    assert_false(late.begun);
    assert_int_equal(each(p, 0, old.upto), -ENOENT);
    turns_end(t, 0);
    assert_int_equal(turns_reclaim(t), 0);
    check_chains(p, &v, v.from);
    assert_int_equal(each(p, v.from, v.upto), 0);
    assert_int_equal(seen.n, (v.upto - v.from) / 2);
    while (plog_evict(p, t))
        ;
    v = plog_view(p);
    assert_true(v.from < v.upto); /* the newest segment stays */
    check_chains(p, &v, v.from);
    rec_vec_done(&w.found);
    rec_vec_done(&late.found);
    end(p, t);
}

static void test_place(void **state)
{
    struct turns *t;
    struct plog *p = begin(&t, 0);
    struct plog_place place = {0};
    uint64_t at = 0;

    (void)state;
    for (int round = 0; round < 60; round++) {
        fill(p, at, 100, 200);
        if (round % 7 == 6)
            plog_evict(p, t);
        seen.n = 0;
        assert_int_equal(plog_each(p, at, at + 200, &place, note, &seen), 0);
        assert_int_equal(seen.n, 100);
        assert_int_equal(seen.pos[0], at + 2);
        at += 200;
    }
    plog_start(p, 50000, t); /* the place is of a segment that is gone */
    fill(p, 50000, 10, 10);
    seen.n = 0;
    assert_int_equal(plog_each(p, at, 50020, &place, note, &seen), -ENOENT);
    assert_int_equal(seen.n, 0);
    assert_int_equal(plog_each(p, 50000, 50020, &place, note, &seen), 0);
    assert_int_equal(seen.n, 10);
    end(p, t);
}

static void test_hole(void **state)
{
    struct turns *t;
    struct plog *p = begin(&t, 0);
    struct channel_key key = key_of_name("ch1");
    struct plog_walk w = {.begun = false};
    struct plog_view v = plog_view(p);

    (void)state;
    fill(p, 0, 1000, 10);
    plog_start(p, 5000, t);
    v = plog_view(p);
    assert_int_equal(v.from, 5000);
    assert_int_equal(v.upto, 5000);
    assert_int_equal(each(p, 1000, 5000), -ENOENT);
    fill(p, 5000, 500, 10);
    v = plog_view(p);
    assert_int_equal(walk(p, &v, 4999, &key, SIZE_MAX, &w), -ENOENT);
    check_chains(p, &v, 5000); /* no link goes back across the hole */
    plog_stop(p, t);
    assert_int_equal(atomic_load(&p->state), PLOG_COLD);
    assert_int_equal(p->bytes, 0);
    assert_int_equal(turns_reclaim(t), 0);
    rec_vec_done(&w.found);
    end(p, t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_publish), cmocka_unit_test(test_record),
        cmocka_unit_test(test_chains),  cmocka_unit_test(test_chain_budget),
        cmocka_unit_test(test_evict),   cmocka_unit_test(test_place),
        cmocka_unit_test(test_hole),    cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
