/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_deep.c: deep history: what the region's stream no longer has, by way of the workers.
 *
 *   GET the segment ──► there: a page. Not there: leave a want (one for all edges), look again soon
 *
 * Segments stand in rows that begin at multiples of SEGMENT_POSITIONS; where inside a row the one
 * with pos + 1 begins is found by going along it, or known from the page before. One search a row
 * of a partition, shared by all shards; DEEP_MAX at a time, of which a log, and within it a
 * partition, gets its share. What doesn't come within DEEP_MS is given up; who still waits asks
 * again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/segment.h"
#include "common/runtime/log.h"

#include "edge-node/feed_impl.h"

#define DEEP_MAX    64
#define DEEP_MS     10000
#define LOOK_S      0.005 /* between two looks … */
#define SOON_MS     1000  /* … in this time; then */
#define LATE_S      0.05  /* less than a segment stays at least */
#define WANT_MS     "1000"
#define WANT_EACH   1000 /* a want that isn't taken ends; ours is renewed */
#define WANTS_KEPT  "-1000"
#define WANTS_TTL_S "60"
#define AHEAD_MAX   8 /* segments: two rounds of a worker's, one that is read while one is sent */
#define SAY_MS      10000 /* what is said again and again, is said this often */

struct deep {
    struct list node;
    struct feed *f;
    struct plog *p;
    uint64_t pos, from;
    uint64_t since_ms, wanted_ms;
    bool asking;    /* a reply is on its way */
    bool gone;      /* ended while it was; the reply frees it */
    bool broken;    /* a segment was unreadable, and deleted */
    uint32_t ahead; /* of what was asked for, in segments */
    struct ev_timer look;
};

static void get(struct deep *d);
static void begin(struct feed *f, struct plog *p, uint64_t pos, uint32_t ahead);

static void end(struct deep *d)
{
    ev_timer_stop(d->f->loop, &d->look);
    list_del(&d->node);
    d->f->deep_count--;
    d->p->deeps--;
    d->gone = true;
    if (!d->asking)
        free(d);
}

static void fail(struct deep *d)
{
    METRIC_ADD(deep_failed, 1);
    end(d); /* who waits asks again with the shard's next tick */
}

/* A reply came for d; false: nobody cares any more. */
static bool answered(struct deep *d, const struct redis_reply *r)
{
    d->asking = false;
    if (d->gone) {
        free(d);
        return false;
    }
    if (!r || redis_type(r) == REDIS_T_ERROR || atomic_load(&d->p->state) == PLOG_GONE) {
        fail(d);
        return false;
    }
    return true;
}

/* ---- a segment ---- */

static struct plog_page *page_of(struct segment *s)
{
    struct page_builder *b = page_builder_new(s->from, false, SIZE_MAX);
    uint64_t begins = s->chain < s->upto ? s->chain : s->upto;
    struct plog_page *page;
    struct entry e;
    int rc;

    while ((rc = segment_next(s, &e)) == 0)
        page_builder_add(b, &e, hash_bytes(e.channel.p, e.channel.n));
    if (rc != -ENOENT) {
        page_builder_free(b);
        return NULL;
    }
    METRIC_ADD(deep_records, page_builder_count(b));
    page = page_builder_take(b, s->upto, clock_mono_ms());
    page->from = begins;
    page->final = page->deep = true;
    return page;
}

static void look_later(struct deep *d)
{
    bool soon = clock_mono_ms() - d->since_ms < SOON_MS;

    ev_timer_set(&d->look, soon ? LOOK_S : LATE_S, 0);
    ev_timer_start(d->f->loop, &d->look);
}

/* The deep history of p isn't to be had for now: who waits is told so (sub.c). */
static void refuse(struct deep *d)
{
    if (!d->ahead)
        atomic_store(&d->p->refused_ms, clock_mono_ms());
    fail(d);
}

/* Nobody can read this segment, and it would stand there for a minute: it goes, and is wanted anew.
 * The second one is the workers' way to write them. */
static void broken(struct deep *d, const char *why)
{
    uint64_t now = clock_mono_ms();
    struct feed *f = d->f;
    char key[KEY_MAX];

    METRIC_ADD(record_errors, 1);
    if (!f->broken_ms || now - f->broken_ms > SAY_MS) {
        f->broken_ms = now;
        log_warn("segment_unreadable", " log=%s partition=%d from=%llu why=%s", d->p->log,
                 d->p->partition, (unsigned long long)d->from, log_value(slice_of(why)));
    }
    if (d->broken) {
        refuse(d);
        return;
    }
    d->broken = true;
    d->wanted_ms = 0;
    if (feed_link_is_up(feed_deep_link(f, d->p)))
        redis_cmd(feed_deep_link(f, d->p)->conn, NULL, NULL, 2,
                  (struct slice[]){SLICE("DEL"),
                                   {key, key_segment(key, d->p->log, d->p->partition, d->from)}});
    look_later(d);
}

/* Whoever got a segment wants the next one: it is looked for while this one is sent. */
static void go_ahead(struct feed *f, struct plog *p, uint64_t pos, uint32_t ahead)
{
    if (ahead <= AHEAD_MAX && pos < p->region_from && f->deep_count < DEEP_MAX / 2 &&
        !feed_deep_has(f, p, pos) && !plog_page_at(p, pos, false))
        begin(f, p, pos, ahead);
}

static void take(struct deep *d, struct slice value)
{
    struct feed *f = d->f;
    struct plog *p = d->p;
    struct plog_page *page;
    struct segment s;
    uint32_t ahead;
    int rc = segment_open(value, &s);

    if (rc < 0 || s.from != d->from) {
        broken(d, rc == -EPROTONOSUPPORT ? "its version is another one: update edges before workers"
                                         : "these bytes are no segment");
        return;
    }
    if (s.flags & SEGMENT_FULL) {
        refuse(d);
        return;
    }
    /* Before any gap is told: the same low then answers the next subscribe. */
    if (s.low > atomic_load(&p->kafka_low))
        atomic_store(&p->kafka_low, s.low);
    if (s.upto <= d->pos && !(s.flags & SEGMENT_END) && s.upto > d->from) {
        d->from = s.upto;
        get(d);
        return;
    }
    if (s.upto <= d->pos) { /* the log's end, as yet */
        fail(d);
        return;
    }
    page = page_of(&s);
    if (!page) {
        broken(d, "a record in it");
        return;
    }
    METRIC_ADD(deep_segments, 1);
    ahead = d->ahead + 1;
    end(d);
    feed_add_page(f, p, page);
    if (!(s.flags & SEGMENT_END))
        go_ahead(f, p, s.upto, ahead);
}

/* ---- asking ---- */

static void on_pushed(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    feed_see_readonly(arg, c, r);
}

static void on_wanted(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct deep *d = arg;
    struct segment_want w = {.partition = 0};
    char text[KEY_MAX];

    feed_see_readonly(d->f, c, r);
    if (!answered(d, r))
        return;
    if (redis_type(r) == REDIS_T_STATUS && feed_link_is_up(&d->f->control)) {
        /* ours is the first: a worker shall know */
        struct redis_conn *home = d->f->control.conn;

        w.partition = d->p->partition;
        w.from = d->from;
        memcpy(w.log, d->p->log, sizeof(w.log));
        redis_cmd(home, on_pushed, d->f, 3,
                  (struct slice[]){
                      SLICE("RPUSH"), SLICE(KEY_WANTS), {text, segment_want_print(text, &w)}});
        redis_cmd_text(home, NULL, NULL, "LTRIM " KEY_WANTS " " WANTS_KEPT " -1");
        redis_cmd_text(home, NULL, NULL, "EXPIRE " KEY_WANTS " " WANTS_TTL_S);
    }
    look_later(d);
}

static void want(struct deep *d)
{
    const struct link *l = feed_deep_link(d->f, d->p);
    char key[KEY_MAX];

    if (!feed_link_is_up(l)) { /* it has moved since the question */
        fail(d);
        return;
    }
    d->wanted_ms = clock_mono_ms();
    d->asking = true;
    redis_cmd(l->conn, on_wanted, d, 6,
              (struct slice[]){SLICE("SET"),
                               {key, key_segment_want(key, d->p->log, d->p->partition, d->from)},
                               SLICE("1"),
                               SLICE("NX"),
                               SLICE("PX"),
                               SLICE(WANT_MS)});
}

static void on_get(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct deep *d = arg;

    (void)c;
    if (!answered(d, r))
        return;
    if (redis_type(r) == REDIS_T_STRING)
        take(d, redis_str(r));
    else if (clock_mono_ms() - d->wanted_ms >= WANT_EACH)
        want(d);
    else
        look_later(d);
}

static void get(struct deep *d)
{
    char key[KEY_MAX];

    if (!feed_link_is_up(feed_deep_link(d->f, d->p)) || clock_mono_ms() - d->since_ms > DEEP_MS ||
        !feed_deep_can(d->p, d->pos)) {
        fail(d);
        return;
    }
    d->asking = true;
    redis_cmd(feed_deep_link(d->f, d->p)->conn, on_get, d, 2,
              (struct slice[]){SLICE("GET"),
                               {key, key_segment(key, d->p->log, d->p->partition, d->from)}});
}

static void on_look(struct ev_loop *loop, struct ev_timer *w, int events)
{
    (void)loop, (void)events;
    get(container_of(w, struct deep, look));
}

/* ---- for feed_history.c ---- */

bool feed_deep_can(const struct plog *p, uint64_t pos)
{
    uint64_t seen = atomic_load(&p->beacon_ms), low = atomic_load(&p->kafka_low);

    /* Where Kafka has deleted all that the region lacks, the region's page is final, and tells. */
    return seen && low && clock_mono_ms() - seen < BEACON_STALE_MS &&
           pos < atomic_load(&p->kafka_end) && !(p->region_from && low > p->region_from);
}

bool feed_deep_has(const struct feed *f, const struct plog *p, uint64_t pos)
{
    const struct deep *d;

    list_for_each(d, &f->deeps, node)
        if (d->p == p && segment_row(d->pos) == segment_row(pos))
            return true;
    return false;
}

/* Where to begin: at the end of a segment we have, or at the row's beginning. */
static uint64_t first_from(const struct plog *p, uint64_t pos)
{
    for (const struct plog_page *page = atomic_load(&p->pages); page;
         page = atomic_load(&page->next))
        if (page->deep && page->upto == pos)
            return pos;
    return segment_row(pos);
}

/* Searches of p's log, then of p. */
struct share {
    uint32_t log, plog;
};

static struct share share_of(const struct feed *f, const struct plog *p)
{
    struct share s = {.plog = p->deeps};
    const struct deep *d;

    list_for_each(d, &f->deeps, node)
        s.log += strcmp(d->p->log, p->log) == 0;
    return s;
}

/* The latest search of who has most. */
static struct deep *largest(const struct feed *f, struct share *ret)
{
    struct deep *d, *found = NULL;

    list_for_each(d, &f->deeps, node) {
        struct share s = share_of(f, d->p);
        if (found && (s.log < ret->log || (s.log == ret->log && s.plog < ret->plog)))
            continue;
        found = d;
        *ret = s;
    }
    return found;
}

/* Is there a place for one more of p's? If not, one goes whose log or partition has more of them
 * than p's then has; who waits for it asks again. */
static bool have_place(struct feed *f, const struct plog *p)
{
    struct share most = {.log = 0}, mine;
    struct deep *d;

    if (f->deep_count < DEEP_MAX)
        return true;
    mine = share_of(f, p);
    d = largest(f, &most);
    if (strcmp(d->p->log, p->log) == 0 ? mine.plog + 1 >= most.plog : mine.log + 1 >= most.log)
        return false;
    end(d);
    return true;
}

static void begin(struct feed *f, struct plog *p, uint64_t pos, uint32_t ahead)
{
    struct deep *d = mem_zalloc(sizeof(*d));

    d->f = f;
    d->p = p;
    d->pos = pos;
    d->from = first_from(p, pos);
    d->ahead = ahead;
    d->since_ms = clock_mono_ms();
    ev_init(&d->look, on_look);
    list_add_tail(&f->deeps, &d->node);
    f->deep_count++;
    p->deeps++; /* keeps the plog */
    get(d);
}

void feed_deep_start(struct feed *f, struct plog *p, uint64_t pos)
{
    if (have_place(f, p)) /* else who waits asks again */
        begin(f, p, pos, 0);
}

void feed_deep_stop(struct feed *f)
{
    struct deep *d, *tmp;

    list_for_each_safe(d, tmp, &f->deeps, node)
        end(d);
}
