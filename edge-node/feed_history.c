/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_history.c: where a plog begins, and pages of what is older, both over the history link.
 *
 * Pages are single flight: one fetch a position, at most PLOG_FETCHES a plog; what is wanted beyond
 * that stays wanted and is looked at again when one is done, or at the tick.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/runtime/log.h"

#include "edge-node/feed_impl.h"

#define PAGE_BYTES_SHARE 4 /* pages take at most this part of plog_bytes */

/* ---- the beginning of a plog ---- */

struct start {
    struct feed *f;
    struct plog *p;
    uint64_t last;
};

static void on_last(void *arg, struct slice key, uint64_t pos, struct slice field)
{
    struct start *s = arg;

    (void)key, (void)field;
    s->last = pos;
}

/* No stream: the topic is empty, or Redis lost it and the worker rebuilds it. What Kafka holds by
 * now is no news; what comes after is. Without a fresh beacon nothing is known. */
static bool position_without_stream(const struct plog *p, uint64_t *ret)
{
    uint64_t seen = atomic_load(&p->beacon_ms);

    if (!seen || clock_mono_ms() - seen > BEACON_STALE_MS)
        return false;
    *ret = atomic_load(&p->kafka_end);
    return true;
}

static void on_start_done(void *arg, int err, const char *msg)
{
    struct start *s = arg;
    struct feed *f = s->f;
    struct plog *p = s->p;
    uint64_t pos = s->last, last = s->last;

    free(s);
    p->starting = false;
    if (err == -EREMOTEIO)
        log_warn("redis_error", " link=history why=%s", log_value(slice_of(msg)));
    if (err || atomic_load(&p->state) != PLOG_COLD || !feed_is_tailed(p))
        return; /* the tick tries again if somebody still wants it */
    if (!pos && !position_without_stream(p, &pos))
        return;
    if (pos < atomic_load(&p->upto)) /* Redis went back since it was tailed last: it comes again */
        pos = atomic_load(&p->upto);
    /* Nor is it news to who comes now, before the beacon is read again: a replica that lags, a
     * server where the stream is being written anew. */
    if (pos < p->appended)
        atomic_store(&p->beacon_state, BEACON_REBUILD);
    atomic_store(&p->loose, pos == last ? 0 : pos);
    plog_start(p, pos, f->turns);
    feed_tail_add(f, p);
    feed_signal(f, p);
}

void feed_start_plog(struct feed *f, struct plog *p)
{
    static const struct redis_entries_ops ops = {.entry = on_last, .done = on_start_done};
    struct start *s;

    if (p->starting || !feed_link_is_up(&p->store->history))
        return;
    p->starting = true;
    s = mem_zalloc(sizeof(*s));
    *s = (struct start){.f = f, .p = p};
    redis_cmd_entries(p->store->history.conn, &ops, s, 6,
                      (struct slice[]){SLICE("XREVRANGE"), p->stream, SLICE("+"), SLICE("-"),
                                       SLICE("COUNT"), SLICE("1")});
}

/* ---- pages ---- */

struct fetch {
    struct feed *f;
    struct plog *p;
    uint64_t want, pos;
    bool backward;
    uint64_t last;
    struct page_builder *b;
};

static void on_page_entry(void *arg, struct slice key, uint64_t pos, struct slice field)
{
    struct fetch *x = arg;
    struct entry e;

    (void)key;
    if (entry_decode(field, pos, &e) != 0) {
        METRIC_ADD(record_errors, 1);
        return; /* the next one's prev shows the hole */
    }
    page_builder_add(x->b, &e, hash_bytes(e.channel.p, e.channel.n));
    x->last = pos;
}

static void make_room(struct feed *f)
{
    size_t bound = (size_t)f->conf->plog_bytes / PAGE_BYTES_SHARE, sum = 0;

    for (uint32_t i = 0; i < f->plog_top; i++) {
        const struct plog *p = feed_plog(f, i);
        const struct plog_page *page = p ? atomic_load(&p->pages) : NULL;
        for (; page; page = atomic_load(&page->next))
            sum += sizeof(*page) + page->used;
    }
    for (uint32_t i = 0; i < f->plog_top && sum > bound; i++) {
        struct plog *p = feed_plog(f, i);
        size_t before = p ? p->bytes : 0;
        while (p && sum > bound && plog_evict_page(p, f->turns)) {
            sum -= before - p->bytes;
            before = p->bytes;
        }
    }
}

void feed_add_page(struct feed *f, struct plog *p, struct plog_page *page)
{
    make_room(f);
    plog_add_page(p, page);
    feed_count_bytes(f, p);
    feed_signal(f, p);
}

/* The region has nothing that follows pos at once (page: what it has later; NULL: nothing, its
 * stream is gone or rebuilding). True: Kafka is asked. A page with a hole that Kafka can't fill is
 * final. */
static bool goes_deep(struct fetch *x, struct plog_page *page)
{
    if (x->backward || x->want & PLOG_WANT_REGION || (page && page->from == page->asked))
        return false;
    x->p->region_from = page ? page->from : 0;
    if (page && atomic_load(&x->p->kafka_low) > page->from) {
        page->final = true;
        return false;
    }
    if (!feed_deep_can(x->p, x->pos))
        return false;
    if (!feed_deep_has(x->f, x->p, x->pos)) /* begun meanwhile for another position of its row */
        feed_deep_start(x->f, x->p, x->pos);
    return true;
}

static void take_page(struct fetch *x, size_t n)
{
    struct plog_page *page = NULL;

    if (n || x->backward)
        page = page_builder_take(x->b, x->backward ? x->pos : x->last, clock_mono_ms());
    else
        page_builder_free(x->b); /* that proves nothing; the tick asks again */
    /* A page that serves nobody who waits would only make them ask again at once. */
    if (goes_deep(x, page) || !page ||
        !(page->final || x->backward || x->want & PLOG_WANT_REGION)) {
        free(page);
        return;
    }
    METRIC_ADD(history_fetches, 1);
    METRIC_ADD(history_records, n);
    feed_add_page(x->f, x->p, page);
}

static void on_page_done(void *arg, int err, const char *msg)
{
    struct fetch *x = arg;
    struct feed *f = x->f;
    struct plog *p = x->p;
    size_t n = page_builder_count(x->b);

    for (int i = 0; i < PLOG_FETCHES; i++)
        if (p->under_way[i] == x->want)
            p->under_way[i] = 0;
    p->fetches--;
    if (!err)
        p->store->history.tries = 0;
    if (err == -EREMOTEIO)
        log_warn("redis_error", " link=history why=%s", log_value(slice_of(msg)));
    if (err)
        page_builder_free(x->b); /* nobody is woken: the tick asks again */
    else
        take_page(x, n);
    free(x);
    feed_serve_wants(f, p);
}

static bool is_under_way(const struct plog *p, uint64_t want)
{
    for (int i = 0; i < PLOG_FETCHES; i++)
        if (p->under_way[i] == want)
            return true;
    return false;
}

static void note_under_way(struct plog *p, uint64_t want)
{
    int i = 0;

    while (p->under_way[i])
        i++; /* there are as many places as fetches */
    p->under_way[i] = want;
    p->fetches++;
}

static void fetch(struct feed *f, struct plog *p, uint64_t want)
{
    uint64_t pos = PLOG_WANT_POS(want);
    bool backward = want & PLOG_WANT_BACKWARD;
    static const struct redis_entries_ops ops = {.entry = on_page_entry, .done = on_page_done};
    char id[ENTRY_ID_MAX + 1], count[24];
    struct fetch *x = mem_zalloc(sizeof(*x));
    struct slice at = {id, 0}, k = p->stream;
    struct slice n = {count, (size_t)snprintf(count, sizeof(count), "%llu",
                                              (unsigned long long)feed_page_count(p))};

    *x = (struct fetch){.f = f, .p = p, .want = want, .pos = pos, .backward = backward};
    x->b = page_builder_new(pos, backward, PLOG_PAGE_BYTES);
    note_under_way(p, want);
    if (backward) {
        at.n = entry_id_print(id, pos);
        redis_cmd_entries(
            p->store->history.conn, &ops, x, 6,
            (struct slice[]){SLICE("XREVRANGE"), k, at, SLICE("-"), SLICE("COUNT"), n});
        return;
    }
    id[0] = '('; /* exclusive */
    at.n = 1 + entry_id_print(id + 1, pos);
    redis_cmd_entries(p->store->history.conn, &ops, x, 6,
                      (struct slice[]){SLICE("XRANGE"), k, at, SLICE("+"), SLICE("COUNT"), n});
}

static bool is_there(const struct plog *p, uint64_t want)
{
    uint64_t pos = PLOG_WANT_POS(want);

    if (want & PLOG_WANT_BACKWARD)
        return plog_page_before(p, pos) != NULL;
    return plog_page_at(p, pos, want & PLOG_WANT_REGION) != NULL;
}

static void serve(struct feed *f, struct plog *p, uint64_t want)
{
    uint64_t pos = PLOG_WANT_POS(want);
    bool deep = !(want & (PLOG_WANT_BACKWARD | PLOG_WANT_REGION));

    if (is_under_way(p, want) || is_there(p, want) || (deep && feed_deep_has(f, p, pos)))
        return;
    if (deep && pos < p->region_from && feed_deep_can(p, pos))
        feed_deep_start(f, p, pos);
    else
        fetch(f, p, want);
}

static bool serve_shard(struct feed *f, struct plog *p, int shard)
{
    for (int i = 0; i < PLOG_WANTS; i++) {
        _Atomic uint64_t *place = &p->wants[shard * PLOG_WANTS + i];
        uint64_t want = atomic_load_explicit(place, memory_order_relaxed);
        if (want && atomic_compare_exchange_strong(place, &want, 0)) {
            serve(f, p, want);
            return true;
        }
    }
    return false;
}

/* One of each shard in turn, so that one with many doesn't keep the others from theirs. */
void feed_serve_wants(struct feed *f, struct plog *p)
{
    if (!feed_link_is_up(&p->store->history))
        return;
    for (int idle = 0; idle < f->shard_count && p->fetches < PLOG_FETCHES;) {
        int shard = p->served;
        p->served = (shard + 1) % f->shard_count;
        idle = serve_shard(f, p, shard) ? 0 : idle + 1;
    }
}
