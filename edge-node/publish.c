/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish.c: see publish.h.
 *
 * If only one channel got records, its block is written straight to each of its live subscribers;
 * so is any block to a client with one subscription. What others get from several blocks is
 * gathered and goes out in one write. A client that can't take more is moved to its own pace
 * (sub_lag).
 *
 * Writes go out PUSHES at a time (write_many); blocks of several chunks one by one. A client costs
 * the few lines of memory that session.h and the transport keep together; they are fetched while
 * others are written to.
 */
#include "edge-node/publish.h"

#include <stdlib.h>

#include "edge-node/edge_metric.h"
#include "edge-node/session.h"
#include "edge-node/sub.h"

#define PUSHES       256 /* writes that go out together */
#define GATHER_BYTES KIB(256)
/* Clients whose connections are fetched; their sessions: twice as many. */
#define AHEAD      ((size_t)6)
#define FRESH_KEEP 1024 /* records of a channel in a turn, usually */
/* Of all channels of a turn together, whichever of them got the large records. */
#define TOUCHED_KEEP MIB(32)

/* A channel that got records in this turn; the memory of the other two stays for the next ones. */
struct touched {
    struct channel *ch;
    struct rec_vec fresh;
    struct block block;
    size_t kept; /* bytes of both */
};

/* One block for one subscriber. */
struct item {
    struct hub_slot to;
    const struct block *block;
    uint32_t next; /* index + 1 of the session's next item; 0: none */
    uint32_t last; /* in a session's first item: index of its last one */
};

/* A write that is put off, to go out with others. */
struct push {
    struct hub_slot to;
    const struct block *block; /* of one chunk; NULL: of several blocks, in `bytes` */
};

struct publish {
    struct touched *touched;
    size_t touched_n, touched_cap;
    size_t kept; /* by all of them */
    struct item *items;
    size_t items_n, items_cap;
    struct session **sessions; /* with items */
    size_t sessions_n, sessions_cap;
    struct buf bytes; /* gathered; in place until the pushes were written */
    struct push pushes[PUSHES];
    struct transport_write writes_due[PUSHES]; /* theirs */
    size_t pushes_n;
    int64_t deliveries, writes, bytes_out;
};

struct publish *publish_new(void)
{
    return mem_zalloc(sizeof(struct publish));
}

static void forget_touched(struct publish *x)
{
    for (size_t i = 0; i < x->touched_cap; i++) {
        rec_vec_done(&x->touched[i].fresh);
        block_done(&x->touched[i].block);
        x->touched[i].kept = 0;
    }
    x->kept = 0;
}

void publish_free(struct publish *x)
{
    forget_touched(x);
    free(x->touched);
    free(x->items);
    free(x->sessions);
    buf_done(&x->bytes);
    free(x);
}

/* Room for one more element of an array of the scratch. */
#define GROW(array, n, cap)                                         \
    do {                                                            \
        if ((n) == (cap)) {                                         \
            (cap) = (cap) ? (cap)*2 : 16;                           \
            (array) = mem_realloc(array, (cap) * sizeof(*(array))); \
        }                                                           \
    } while (0)

static void touch(struct publish *x, struct channel *ch)
{
    size_t had = x->touched_cap;

    GROW(x->touched, x->touched_n, x->touched_cap);
    if (had < x->touched_cap)
        memset(&x->touched[had], 0, (x->touched_cap - had) * sizeof(*x->touched));
    x->touched[x->touched_n++].ch = ch;
    ch->touched = (uint32_t)x->touched_n;
}

void publish_add(struct publish *x, struct channel *ch, const struct plog_rec *r)
{
    if (!ch->touched)
        touch(x, ch);
    rec_vec_add(&x->touched[ch->touched - 1].fresh, r);
}

/* Replies that wait since the client was choked go first: a subscribe reply may be among them. */
static bool is_ready(struct session *s)
{
    if (s->out.n)
        session_flush(s);
    return session_can_take(s);
}

/* Where a client is that got what was before b, and b up to its chunk i. */
static uint64_t pos_before(const struct sub *sub, const struct block *b, size_t i)
{
    const struct tail *t = sub->ch->tail;

    if (i)
        return b->chunks[i - 1].last;
    return t ? t->before : 0;
}

static void count(struct publish *x, const struct chunk *c)
{
    x->deliveries += c->count;
    x->bytes_out += (int64_t)c->n;
    x->writes++;
}

/* Writes the chunks of b until the client can't take more. */
static void write_block(struct publish *x, const struct hub_slot *to, const struct block *b)
{
    struct session *s = to->s;

    for (size_t i = 0; i < b->n; i++) {
        const struct chunk *c = &b->chunks[i];
        if (!is_ready(s) || s->tr->write(s->conn, b->bytes.p + c->at, c->n) != 0) {
            sub_lag(to->sub, pos_before(to->sub, b, i));
            return;
        }
        count(x, c);
    }
}

static void write_pushes(struct publish *x)
{
    if (!x->pushes_n)
        return;
    x->pushes[0].to.s->tr->write_many(x->writes_due, x->pushes_n);
    for (size_t i = 0; i < x->pushes_n; i++) {
        const struct push *p = &x->pushes[i];
        if (!p->block) /* if it failed, the client is gone */
            continue;
        if (x->writes_due[i].rc == 0)
            count(x, &p->block->chunks[0]);
        else
            sub_lag(p->to.sub, pos_before(p->to.sub, p->block, 0));
    }
    x->pushes_n = 0;
    x->bytes.n = 0;
}

static void put_off(struct publish *x, const struct push *p, const char *bytes, size_t n)
{
    x->pushes[x->pushes_n] = *p;
    x->writes_due[x->pushes_n++] = (struct transport_write){p->to.s->conn, bytes, n, 0};
    if (x->pushes_n == PUSHES)
        write_pushes(x);
}

/* As write_block(), perhaps a little later: nothing else is written to the client until then. */
static void push(struct publish *x, const struct hub_slot *to, const struct block *b)
{
    struct session *s = to->s;
    const struct chunk *c = &b->chunks[0];

    if (b->n > 1) {
        write_block(x, to, b);
        return;
    }
    if (!is_ready(s)) {
        sub_lag(to->sub, pos_before(to->sub, b, 0));
        return;
    }
    put_off(x, &(struct push){*to, b}, b->bytes.p + c->at, c->n);
}

static void publish_one(struct publish *x, const struct channel *ch, const struct block *b)
{
    for (uint32_t i = ch->live; i-- > 0;) { /* downwards: sub_lag moves the last into its place */
        const struct hub_slot to = ch->slots[i];
        if (i >= 2 * AHEAD)
            session_prefetch(ch->slots[i - 2 * AHEAD].s);
        if (i >= AHEAD)
            session_prefetch_conn(ch->slots[i - AHEAD].s);
        push(x, &to, b);
    }
}

/* ---- several channels ---- */

static void list_items(struct publish *x, const struct channel *ch, const struct block *b)
{
    for (uint32_t i = 0; i < ch->live; i++) {
        GROW(x->items, x->items_n, x->items_cap);
        x->items[x->items_n++] = (struct item){ch->slots[i], b, 0, 0};
    }
}

static void gather(struct publish *x, uint32_t at)
{
    struct session *s = x->items[at].to.s;

    x->items[at].last = at;
    if (!s->gather) {
        GROW(x->sessions, x->sessions_n, x->sessions_cap);
        x->sessions[x->sessions_n++] = s;
        s->gather = at + 1;
    } else {
        struct item *first = &x->items[s->gather - 1];
        x->items[first->last].next = at + 1;
        first->last = at;
    }
}

/* Sorts the items by client, and writes to those that can have but one. */
static void sort_items(struct publish *x)
{
    for (size_t i = 0; i < x->items_n; i++) {
        const struct item *it = &x->items[i];
        if (i + 2 * AHEAD < x->items_n)
            session_prefetch(it[2 * AHEAD].to.s);
        if (i + AHEAD < x->items_n)
            session_prefetch_conn(it[AHEAD].to.s);
        if (it->to.s->sub_count == 1)
            push(x, &it->to, it->block);
        else
            gather(x, (uint32_t)i);
    }
}

static const struct item *next_item(const struct publish *x, const struct item *it)
{
    return it->next ? &x->items[it->next - 1] : NULL;
}

/* In `bytes`, which doesn't move while there are pushes. */
static void make_room(struct publish *x, size_t n)
{
    if (x->bytes.cap - x->bytes.n >= n)
        return;
    write_pushes(x);
    buf_reserve(&x->bytes, n > GATHER_BYTES ? n : GATHER_BYTES);
}

/* All of a client's blocks in one write, if they fit; else one by one. */
static void write_items(struct hub *h, struct session *s)
{
    struct publish *x = h->publish;
    const struct item *first = &x->items[s->gather - 1], *it;
    const struct hub_slot to = first->to;
    const char *bytes;
    size_t sum = 0, n = 0;

    s->gather = 0;
    for (it = first; it; it = next_item(x, it)) {
        sum += it->block->size;
        n++;
    }
    if (n == 1) {
        push(x, &to, first->block);
        return;
    }
    if (sum > (size_t)h->conf->write_max || !is_ready(s)) {
        for (it = first; it; it = next_item(x, it))
            write_block(x, &it->to, it->block);
        return;
    }
    make_room(x, sum);
    bytes = x->bytes.p + x->bytes.n;
    for (it = first; it; it = next_item(x, it)) {
        for (size_t i = 0; i < it->block->n; i++) {
            const struct chunk *c = &it->block->chunks[i];
            buf_add(&x->bytes, it->block->bytes.p + c->at, c->n);
            x->deliveries += c->count;
        }
    }
    x->bytes_out += (int64_t)sum;
    x->writes++;
    put_off(x, &(struct push){to, NULL}, bytes, sum);
}

static void encode(struct hub *h, struct touched *t)
{
    const struct session *s = t->ch->slots[0].s; /* one encoding and framing as yet */
    struct block_how how = {s->proto, s->tr, (size_t)h->conf->write_max, t->ch->any != NULL};

    block_encode(&t->block, &how, &t->fresh);
}

static void encode_all(struct hub *h)
{
    struct publish *x = h->publish;

    for (size_t i = 0; i < x->touched_n; i++) {
        if (i + AHEAD < x->touched_n && x->touched[i + AHEAD].ch->live)
            session_prefetch(x->touched[i + AHEAD].ch->slots[0].s);
        if (x->touched[i].ch->live) /* all may have lagged since (a hole) */
            encode(h, &x->touched[i]);
    }
}

static void publish_some(struct hub *h)
{
    struct publish *x = h->publish;

    for (size_t i = 0; i < x->touched_n; i++)
        list_items(x, x->touched[i].ch, &x->touched[i].block);
    sort_items(x);
    for (size_t i = 0; i < x->sessions_n; i++) {
        if (i + 2 * AHEAD < x->sessions_n)
            session_prefetch(x->sessions[i + 2 * AHEAD]);
        if (i + AHEAD < x->sessions_n)
            session_prefetch_conn(x->sessions[i + AHEAD]);
        write_items(h, x->sessions[i]);
    }
    x->items_n = x->sessions_n = 0;
}

static void untouch(struct publish *x, struct touched *t)
{
    t->ch->touched = 0;
    t->fresh.n = 0;
    if (t->fresh.cap > FRESH_KEEP)
        rec_vec_done(&t->fresh);
    block_clear(&t->block);
    x->kept -= t->kept;
    t->kept = t->fresh.cap * sizeof(*t->fresh.v) + block_memory(&t->block);
    x->kept += t->kept;
}

void publish_all(struct hub *h)
{
    struct publish *x = h->publish;

    encode_all(h);
    if (x->touched_n == 1)
        publish_one(x, x->touched[0].ch, &x->touched[0].block);
    else
        publish_some(h);
    write_pushes(x);
    for (size_t i = 0; i < x->touched_n; i++)
        untouch(x, &x->touched[i]);
    x->touched_n = 0;
    if (x->kept > TOUCHED_KEEP)
        forget_touched(x);
}

void publish_count(struct publish *x)
{
    if (!x->writes)
        return;
    METRIC_ADD(turns, 1);
    METRIC_ADD(deliveries, x->deliveries);
    METRIC_ADD(writes, x->writes);
    METRIC_ADD(bytes_out, x->bytes_out);
    x->deliveries = x->writes = x->bytes_out = 0;
}
