/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plog_page.c: pages of a plog's older part: built by feed from one reply, read by shards.
 *
 * Pages form a short list, newest first; a page is one allocation. See plog.h.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/buf.h"

#include "edge-node/plog.h"
#include "edge-node/turns.h"

#define LOAD(p)     atomic_load_explicit(p, memory_order_acquire)
#define STORE(p, v) atomic_store_explicit(p, v, memory_order_release)

struct page_builder {
    uint64_t asked;
    size_t bound; /* no further record above it */
    bool backward;
    bool ended; /* takes no more: a hole, or the bound */
    size_t count;
    uint64_t last;        /* position of the last one taken */
    uint64_t oldest_prev; /* prev of the entry with the lowest position */
    uint64_t newest;      /* the highest position */
    struct buf recs;
};

struct page_builder *page_builder_new(uint64_t asked, bool backward, size_t bound)
{
    struct page_builder *b = mem_zalloc(sizeof(*b));

    b->asked = asked;
    b->bound = bound;
    b->backward = backward;
    return b;
}

void page_builder_free(struct page_builder *b)
{
    if (!b)
        return;
    buf_done(&b->recs);
    free(b);
}

size_t page_builder_count(const struct page_builder *b)
{
    return b->count;
}

void page_builder_add(struct page_builder *b, const struct entry *e, uint64_t hash)
{
    struct plog_rec head = {
        .pos = e->pos,
        .hash = hash,
        .payload_len = (uint32_t)e->payload.n,
        .tags_len = (uint32_t)e->tags.n,
        .channel_len = (uint8_t)e->channel.n,
        .tag_count = e->tag_count,
        .kind = e->kind,
        .marker = e->marker,
    };
    static const char zeros[8];
    size_t end = b->recs.n + plog_rec_stride(&head);

    /* A page has no hole in it: what is behind one is the next page's, which then begins late. */
    if (b->count && (b->backward ? e->pos < b->oldest_prev : e->prev > b->last))
        b->ended = true;
    if (b->ended)
        return;
    if (!b->count || b->backward)
        b->oldest_prev = e->prev;
    if (!b->count || !b->backward)
        b->newest = e->pos;
    b->count++;
    b->last = e->pos;
    b->ended = end >= b->bound;
    buf_add(&b->recs, &head, offsetof(struct plog_rec, bytes));
    buf_slice(&b->recs, e->channel);
    buf_slice(&b->recs, e->tags);
    buf_slice(&b->recs, e->payload);
    buf_add(&b->recs, zeros, end - b->recs.n);
}

/* Entries of a backward fetch came newest first: lay them down the other way round. */
static void copy_reversed(char *dst, const struct buf *src)
{
    char *at = dst + src->n;

    for (size_t i = 0; i < src->n;) {
        size_t n = plog_rec_stride((const struct plog_rec *)(const void *)(src->p + i));
        at -= n;
        memcpy(at, src->p + i, n);
        i += n;
    }
}

/* Links each bucket's records, the oldest first. */
static void link_up(struct plog_page *page)
{
    struct plog_rec *last[PAGE_BUCKETS] = {NULL};

    for (size_t at = 0; at < page->used;) {
        struct plog_rec *r = (struct plog_rec *)(void *)(page->data + at);
        size_t bucket = r->hash % PAGE_BUCKETS;
        if (last[bucket])
            last[bucket]->back = r;
        else
            page->buckets[bucket] = r;
        last[bucket] = r;
        at += plog_rec_stride(r);
    }
}

struct plog_page *page_builder_take(struct page_builder *b, uint64_t upto, uint64_t now_ms)
{
    struct plog_page *page = mem_zalloc(sizeof(*page) + b->recs.n);

    page->from = page->asked = b->backward ? 0 : b->asked;
    if (b->count && (b->backward || b->oldest_prev > b->asked))
        page->from = b->oldest_prev;
    page->upto = b->ended && !b->backward ? b->last : upto;
    page->newest = b->newest;
    page->born_ms = now_ms;
    page->backward = b->backward;
    page->final = page->from == page->asked;
    page->used = b->recs.n;
    page->count = (uint32_t)b->count;
    if (b->backward)
        copy_reversed(page->data, &b->recs);
    else if (b->recs.n)
        memcpy(page->data, b->recs.p, b->recs.n);
    link_up(page);
    page_builder_free(b);
    return page;
}

void plog_add_page(struct plog *p, struct plog_page *page)
{
    atomic_init(&page->next, LOAD(&p->pages));
    p->bytes += sizeof(*page) + page->used;
    STORE(&p->pages, page);
}

bool plog_evict_page(struct plog *p, struct turns *t)
{
    _Atomic(struct plog_page *) *link = &p->pages;
    struct plog_page *page = LOAD(link);

    if (!page)
        return false;
    while (LOAD(&page->next)) {
        link = &page->next;
        page = LOAD(link);
    }
    STORE(link, (struct plog_page *)NULL);
    p->bytes -= sizeof(*page) + page->used;
    turns_retire(t, page, free);
    return true;
}

const struct plog_page *plog_page_at(const struct plog *p, uint64_t pos, bool region)
{
    for (const struct plog_page *page = LOAD(&p->pages); page; page = LOAD(&page->next))
        if (plog_page_serves(page, pos, region))
            return page;
    return NULL;
}

const struct plog_page *plog_page_before(const struct plog *p, uint64_t pos)
{
    for (const struct plog_page *page = LOAD(&p->pages); page; page = LOAD(&page->next))
        if (page->backward && page->from < pos && pos <= page->upto)
            return page;
    return NULL;
}

void plog_page_channel(const struct plog_page *page, const struct channel_key *key,
                       struct rec_vec *out)
{
    const struct plog_rec *r = page->buckets[key->hash % PAGE_BUCKETS];

    out->n = 0;
    for (; r; r = r->back)
        if (plog_rec_is_of(r, key))
            rec_vec_add(out, r);
}
