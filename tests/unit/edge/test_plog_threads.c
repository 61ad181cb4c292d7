/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_plog_threads.c: one writer and two readers of a partition log, each in its own thread.
 * Whatever a reader is told to be whole must be: a tail read on from its cursor, a channel's walk,
 * a page. The writer appends, publishes, evicts, goes on behind holes, stops and starts. Run it
 * with the thread sanitizer, too.
 */
#include <pthread.h>
#include <sched.h>

#include "common/base/clock.h"

#include "tests/unit/edge/edge_test.h"

#define READERS  2
#define CHANNELS 5
#define ENOUGH   400     /* of each kind, for each reader */
#define ROUNDS   1000000 /* at most, but for … */
#define AT_LEAST 20000   /* … ms: a reader may stand still, and the writer not */

struct shared {
    struct plog *p;
    struct turns *t;
    _Atomic bool ended;
};

struct reader {
    struct shared *sh;
    int index;
    uint64_t cursor, rng, next;         /* next: the position that must come */
    _Atomic size_t tails, walks, pages; /* that were whole */
};

static uint32_t rnd(uint64_t *rng, uint32_t n)
{
    *rng = hash_u64(*rng + 0x9e3779b97f4a7c15u);
    return (uint32_t)(*rng >> 33) % n;
}

/* Position n is of channel n % CHANNELS; between two holes none is left out. */
static void name_of(char dst[8], uint64_t pos)
{
    (void)snprintf(dst, 8, "ch%u", (unsigned)(pos % CHANNELS));
}

/* ---- readers ---- */

static void on_rec(void *arg, const struct plog_rec *r)
{
    struct reader *rd = arg;

    must(r->pos == rd->next);
    must(plog_rec_payload(r).n == 8 + r->pos % 50);
    rd->next++;
}

static void read_tail(struct reader *rd, const struct plog_view *v)
{
    rd->next = rd->cursor + 1;
    if (v->upto <= rd->cursor)
        return;
    if (rd->cursor >= v->from && plog_each(rd->sh->p, rd->cursor, v->upto, NULL, on_rec, rd) == 0) {
        must(rd->next == v->upto + 1);
        rd->tails++;
    }
    rd->cursor = v->upto;
}

static void walk(struct reader *rd, const struct plog_view *v)
{
    struct plog_walk w = {.begun = false};
    uint64_t after = v->upto - rnd(&rd->rng, (uint32_t)(v->upto - v->from) + 1);
    struct channel_key key;
    char name[8];
    size_t k = 0;

    name_of(name, rnd(&rd->rng, CHANNELS));
    key = key_of_name(name);
    plog_walk_begin(&w, &key, SIZE_MAX);
    if (plog_walk(rd->sh->p, v, after + (v->upto - after) / 2, &w) == 0 &&
        plog_walk(rd->sh->p, v, after, &w) == 0) {
        for (uint64_t pos = v->upto; pos > after; pos--) {
            char other[8];
            name_of(other, pos);
            if (strcmp(name, other) != 0)
                continue;
            must(k < w.found.n && w.found.v[k]->pos == pos);
            k++;
        }
        must(k == w.found.n);
        rd->walks++;
    }
    rec_vec_done(&w.found);
}

static void read_page(struct reader *rd)
{
    const struct plog_page *page = atomic_load(&rd->sh->p->pages);
    struct rec_vec found = {NULL, 0, 0};
    struct channel_key key;
    char name[8];

    if (!page)
        return;
    name_of(name, page->from + 1);
    key = key_of_name(name);
    plog_page_channel(page, &key, &found);
    must(found.n == (page->upto - page->from + CHANNELS - 1) / CHANNELS);
    for (size_t i = 0; i < found.n; i++)
        must(found.v[i]->pos == page->from + 1 + i * CHANNELS);
    rec_vec_done(&found);
    rd->pages++;
}

static void *be_a_reader(void *arg)
{
    struct reader *rd = arg;
    struct shared *sh = rd->sh;

    while (!atomic_load(&sh->ended)) {
        struct plog_view v;
        turns_begin(sh->t, rd->index);
        v = plog_view(sh->p);
        read_tail(rd, &v);
        if (v.upto > v.from)
            walk(rd, &v);
        read_page(rd);
        turns_end(sh->t, rd->index);
    }
    return NULL;
}

/* ---- the writer ---- */

static struct entry entry_at(uint64_t pos, char name[8])
{
    static const char bytes[64] = "";

    name_of(name, pos);
    return entry_of(pos, pos - 1, name, (struct slice){bytes, 8 + pos % 50});
}

static void add_page(struct plog *p, uint64_t from, uint32_t n)
{
    struct page_builder *b = page_builder_new(from, false, PLOG_PAGE_BYTES);

    for (uint64_t pos = from + 1; pos <= from + n; pos++) {
        char name[8];
        struct entry e = entry_at(pos, name);
        page_builder_add(b, &e, key_of_name(name).hash);
    }
    plog_add_page(p, page_builder_take(b, from + n, 0));
}

static void write_round(struct shared *sh, uint64_t *rng, uint64_t *last)
{
    uint32_t what = rnd(rng, 200);

    for (uint32_t n = rnd(rng, 20); n-- > 0;) {
        char name[8];
        struct entry e = entry_at(++*last, name);
        plog_append(sh->p, &e, key_of_name(name).hash, 0);
    }
    plog_publish(sh->p);
    if (what < 12) {
        plog_evict(sh->p, sh->t);
    } else if (what == 60) {
        *last += 1 + rnd(rng, 10);
        plog_start(sh->p, *last, sh->t);
    } else if (what == 61) {
        plog_stop(sh->p, sh->t);
        plog_start(sh->p, *last, sh->t);
    } else if (what < 70) {
        add_page(sh->p, rnd(rng, 1000), 1 + rnd(rng, 200));
    } else if (what < 80) {
        plog_evict_page(sh->p, sh->t);
    }
    turns_reclaim(sh->t);
}

static bool have_enough(struct reader *readers)
{
    for (int i = 0; i < READERS; i++)
        if (readers[i].tails < ENOUGH || readers[i].walks < ENOUGH || readers[i].pages < ENOUGH)
            return false;
    return true;
}

static void test_threads(void **state)
{
    struct shared sh = {.p = plog_new("abcdefgh", 0, 0, READERS), .t = turns_new(READERS)};
    struct reader readers[READERS] = {{0}};
    pthread_t threads[READERS];
    uint64_t rng = 1, last = 0, until = clock_mono_ms() + AT_LEAST;

    (void)state;
    plog_start(sh.p, 0, sh.t);
    for (int i = 0; i < READERS; i++) {
        readers[i].sh = &sh;
        readers[i].index = i;
        readers[i].rng = (uint64_t)i;
        assert_int_equal(pthread_create(&threads[i], NULL, be_a_reader, &readers[i]), 0);
    }
    for (int i = 0; !have_enough(readers) && (i < ROUNDS || clock_mono_ms() < until); i++) {
        write_round(&sh, &rng, &last);
        sched_yield();
    }
    atomic_store(&sh.ended, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_true(have_enough(readers));
    assert_int_equal(turns_reclaim(sh.t), 0);
    plog_free(sh.p);
    turns_free(sh.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
