/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plog.h: a partition log: the tail of one region stream in this edge's memory, and pages of its
 * older part.
 *
 * One writer (feed), many readers (shards). The tail covers every record in (from, upto], in
 * segments that are only ever appended to behind a published end. Readers hold pointers only within
 * a turn (turns_begin … turns_end): what feed unlinks, it frees when every shard has begun a later
 * turn or sleeps.
 *
 *   oldest                          newest
 *   [seg (a,b]] <── older ── [seg (b,c]] <── older ── [seg (c,d]]     from = a, upto = d
 *                                 rec ◄─back── rec ◄────back──── rec
 *                                                                 ▲ buckets[hash & mask]
 *
 * Each record links back to the previous record of its hash bucket, so one channel's records are
 * found from the newest to the oldest without a scan. A link is followed only while its position is
 * above `from` as read at the turn's beginning; a walk is valid only if `from` is still not above
 * where it began (feed moves `from` before it clears buckets).
 *
 * A page (plog_page) covers (from, upto] of the older part, fetched on demand. Its records are
 * linked by bucket too, forwards: `back` is the next one.
 */
#pragma once

#include "common/base/base.h"
#include "common/base/entry.h"
#include "common/base/keys.h"

struct index_asks;
struct turns;

#define PLOG_SEG_BYTES KIB(256) /* a segment; one record alone may make a larger one */
#define PLOG_SEG_FIRST KIB(16)  /* the first one */
#define PLOG_BUCKETS   8192     /* 64 KiB a plog in use */
#define PAGE_BUCKETS   128      /* a page has some hundred records */
#define PLOG_WANTS     4        /* pages that a shard can ask for at a time */
#define PLOG_LINKED    16       /* records that are linked at a time */
#define PLOG_FETCHES   4        /* history replies under way */
#define SHARDS_MAX     256

/* A record as readers see it; channel, tags and payload follow. Const once published. */
struct plog_rec {
    uint64_t pos;
    uint64_t hash; /* hash_bytes(channel) */
    const struct plog_rec *back;
    uint64_t back_pos; /* position of *back; 0: none */
    uint32_t payload_len, tags_len;
    uint8_t channel_len, tag_count, kind;
    bool marker;
    char bytes[];
};

static inline struct slice plog_rec_channel(const struct plog_rec *r)
{
    return (struct slice){r->bytes, r->channel_len};
}
static inline struct slice plog_rec_tags(const struct plog_rec *r)
{
    return (struct slice){r->bytes + r->channel_len, r->tags_len};
}
static inline struct slice plog_rec_payload(const struct plog_rec *r)
{
    return (struct slice){r->bytes + r->channel_len + r->tags_len, r->payload_len};
}

/* Bytes a record takes in a segment or page, from the lengths of what follows it. */
static inline size_t plog_rec_size(size_t bytes)
{
    return (offsetof(struct plog_rec, bytes) + bytes + 7) & ~(size_t)7;
}
static inline size_t plog_rec_stride(const struct plog_rec *r)
{
    return plog_rec_size((size_t)r->channel_len + r->tags_len + r->payload_len);
}

struct plog_seg {
    struct plog_seg *older;           /* const once published */
    _Atomic(struct plog_seg *) newer; /* feed's */
    uint64_t from;                    /* covers (from, upto] */
    _Atomic uint64_t upto;
    _Atomic size_t used; /* bytes of data published */
    size_t cap;
    uint64_t born_ms;
    _Alignas(8) char data[];
};

typedef _Atomic(const struct plog_rec *) plog_bucket;
struct feed_group;

enum plog_state {
    PLOG_COLD, /* its position isn't known yet */
    PLOG_READY,
    PLOG_GONE, /* its log was superseded: clients are told */
};

/* One page of the older part: every record in (from, upto]. It was asked for from `asked` on; where
 * asked < from, what lies between is missing: in the region only, unless the page is final. */
struct plog_page {
    _Atomic(struct plog_page *) next; /* feed cuts the list at its end */
    uint64_t asked, from, upto;
    uint64_t newest; /* position of its last record */
    uint64_t born_ms;
    bool backward; /* fetched for a reader that goes backwards */
    uint32_t count;
    bool final; /* nothing is missing, or Kafka doesn't have it either */
    bool deep;  /* a segment of deep history: the next one begins at upto */
    size_t used;
    const struct plog_rec *buckets[PAGE_BUCKETS]; /* oldest of each */
    _Alignas(8) char data[];
};

struct plog {
    /* const after creation */
    char log[LOG_ID_LEN + 1];
    int32_t partition;
    uint32_t id;         /* index for the shards' tables */
    struct slice stream; /* its key in Redis; owned */

    /* feed writes, shards read */
    _Atomic int state; /* enum plog_state */
    _Atomic uint64_t from, upto;
    _Atomic uint64_t loose; /* where it began with no entry there; 0: at one */
    _Atomic(struct plog_seg *) newest;
    _Atomic(struct plog_page *) pages;
    _Atomic(plog_bucket *) buckets;        /* NULL only while nobody tails it */
    _Atomic uint64_t kafka_low, kafka_end; /* greatest seen in the beacon, positions */
    _Atomic uint64_t beacon_ms;            /* own monotonic time of the beacon's last change */
    _Atomic int beacon_state;              /* enum beacon_state */
    _Atomic uint64_t end_ms;               /* kafka_end was so then or later; own monotonic time */
    _Atomic uint64_t refused_ms;           /* when deep history wasn't to be had (no room for it,
                                              unreadable); own monotonic time */
    struct index_asks *index;              /* of the last-position index; index.h */

    /* shards write, feed reads: who tails it, and the positions each wants history after (+1, 0 =
     * none; the top bit asks for the page that ends there instead); feed sets to 0 what it takes */
    _Atomic uint64_t tailing[SHARDS_MAX / 64];
    _Atomic uint64_t *wants; /* PLOG_WANTS a shard; allocated with the plog */

    /* shards, any: where the last hole ends that somebody met; a cursor below it isn't covered.
     * Raised before a gap is told, so that the reply to the next subscribe is final */
    _Atomic uint64_t lost;

    /* feed's own */
    struct plog_seg *oldest;
    struct plog_rec *unlinked[PLOG_LINKED]; /* the last ones: in no bucket yet */
    uint32_t unlinked_n;
    size_t bytes, bytes_counted; /* of segments, pages, buckets; as last added to feed's sum */
    struct feed_store *store;    /* the server that its stream is at */
    struct feed_group *group;    /* the connection that tails it; NULL: none */
    uint64_t known_ms;           /* since when its log is known here */
    uint64_t idle_ms;            /* since when nobody tails it; 0: somebody does */
    struct beacon_seen {
        uint64_t who, counter, ms; /* hash of the writer's name; its greatest; when it grew */
        uint64_t aged_ms; /* its last row that told an age wasn't there yet; 0: not known */
    } beacon[2];          /* of the last two writers of its row */
    int served;           /* the shard whose turn it is to be asked what it wants */
    uint32_t fetches;     /* history replies under way … */
    uint64_t under_way[PLOG_FETCHES]; /* … and the wants they serve */
    uint32_t deeps;                   /* searches for segments under way */
    uint32_t lookups;                 /* in the last-position index, under way */
    uint64_t lacking, lacking_ms;     /* a position that a replica hasn't, since; 0: it has all */
    uint64_t appended;                /* the greatest position that the beacon says was appended */
    uint64_t stood, stood_ms;         /* the tail's end, while it isn't that far; since */
    uint64_t region_from;             /* the region's stream begins behind it, as last seen */
    bool starting;
    bool settled; /* GONE, and no shard's turn is left that could still begin to tail it */
};

/* What page is wanted: a position + 1, and how. Deep: what the region lacks, from Kafka. */
#define PLOG_WANT_BACKWARD (1ull << 63)
#define PLOG_WANT_REGION   (1ull << 62) /* forward, and not deep */
#define PLOG_WANT_POS(w)   (((w) & ~(PLOG_WANT_BACKWARD | PLOG_WANT_REGION)) - 1)

struct plog *plog_new(const char *log, int32_t partition, uint32_t id, int shards);
void plog_free(struct plog *p); /* only when no reader can hold it */

/* ---- feed ---- */

/* Starts (or starts over, after a hole) at position pos: from = upto = pos, no segments. What was
 * there is handed to turns_retire. pos >= upto: readers' cursors rely on an end that only grows. */
void plog_start(struct plog *p, uint64_t pos, struct turns *t);
/* Nobody tails it any more: back to COLD, all memory retired (a reader that came in this very
 * moment finds nothing). */
void plog_stop(struct plog *p, struct turns *t);
/* Appends one decoded entry (e->pos > upto). */
void plog_append(struct plog *p, const struct entry *e, uint64_t hash, uint64_t now_ms);
/* Makes everything appended so far visible: one release a reply. */
void plog_publish(struct plog *p);
/* Unlinks and retires the oldest segment, unless it is the newest; false: there is none. */
bool plog_evict(struct plog *p, struct turns *t);

/* A page under construction; entries must ascend. */
struct page_builder;
#define PLOG_PAGE_BYTES MIB(1)
struct page_builder *page_builder_new(uint64_t asked, bool backward, size_t bound);
void page_builder_add(struct page_builder *b, const struct entry *e, uint64_t hash);
size_t page_builder_count(const struct page_builder *b);
/* Ends it at upto (>= the last record), or where a hole or its size ended it; frees the builder.
 * A backward page was asked for from its end; its records are reversed. */
struct plog_page *page_builder_take(struct page_builder *b, uint64_t upto, uint64_t now_ms);
void page_builder_free(struct page_builder *b);
void plog_add_page(struct plog *p, struct plog_page *page);
/* Unlinks and retires the oldest page; false if there is none. */
bool plog_evict_page(struct plog *p, struct turns *t);

/* ---- shards, within a turn ---- */

void plog_set_lost(struct plog *p, uint64_t pos); /* the greatest one stays */

struct channel_key {
    uint64_t hash; /* hash_bytes(name) */
    struct slice name;
};
static inline bool plog_rec_is_of(const struct plog_rec *r, const struct channel_key *key)
{
    return r->hash == key->hash && slice_eq(plog_rec_channel(r), key->name);
}

/* What a turn may read: fixed once, so that the turn has one end. */
struct plog_view {
    uint64_t from, upto;
};
struct plog_view plog_view(const struct plog *p);

/* Where a reader of everything stopped, so that the next turn needn't begin at the segment's start.
 * No pointer: a segment is known by where it begins. {0} at first. */
struct plog_place {
    uint64_t seg_from, pos; /* after the record at pos … */
    size_t at;              /* … that ends at this byte of the segment */
};

/* Calls each(rec) for the records in (after, upto], ascending. place may be NULL. -ENOENT if
 * `after` is below what is there (a hole: nothing was called). */
int plog_each(const struct plog *p, uint64_t after, uint64_t upto, struct plog_place *place,
              void (*each)(void *arg, const struct plog_rec *r), void *arg) _must_check_;

/* Where such a reader, at `after`, may end so as not to read more than *bytes and the rest of a
 * segment; takes from *bytes, down to 0, what that is. */
uint64_t plog_part(const struct plog *p, uint64_t after, uint64_t upto,
                   const struct plog_place *place, size_t *bytes);

struct rec_vec {
    const struct plog_rec **v;
    size_t n, cap;
};
void rec_vec_add(struct rec_vec *vec, const struct plog_rec *r);
void rec_vec_done(struct rec_vec *vec);

/* A walk along one channel's links, from the newest record backwards. It may go on later in the
 * same turn, further back. */
struct plog_walk {
    struct channel_key key;
    size_t steps; /* links it may still follow */
    bool begun;
    const struct plog_rec *next; /* to look at next */
    uint64_t next_pos;           /* its position; 0: there is none */
    struct rec_vec found;        /* newest first */
};
/* Goes on until w->found has all in (after, v->upto]. v is the turn's. -ENOENT: `after` is below
 * what is there; if feed evicted it just now, the walk is to be begun anew. -E2BIG: no steps are
 * left; what is above w->next_pos was seen. */
int plog_walk(const struct plog *p, const struct plog_view *v, uint64_t after,
              struct plog_walk *w) _must_check_;
void plog_walk_begin(struct plog_walk *w, const struct channel_key *key, size_t steps);

/* The page that was asked for what follows pos: page->asked <= pos < page->upto; or, backward, one
 * with page->from < pos <= page->upto. region: one that isn't final is good enough. NULL: ask
 * feed. */
const struct plog_page *plog_page_at(const struct plog *p, uint64_t pos, bool region);
static inline bool plog_page_serves(const struct plog_page *page, uint64_t pos, bool region)
{
    return !page->backward && page->asked <= pos && pos < page->upto &&
           (page->final || region || pos >= page->from);
}
const struct plog_page *plog_page_before(const struct plog *p, uint64_t pos);
/* All records of a channel in the page, ascending; replaces what is in out. */
void plog_page_channel(const struct plog_page *page, const struct channel_key *key,
                       struct rec_vec *out);
