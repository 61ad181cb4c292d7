/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub.c: channels, tails and waiters: who is where. turn.c moves them.
 */
#include "edge-node/hub.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/hash.h"

#include "edge-node/edge_metric.h"
#include "edge-node/publish.h"
#include "edge-node/sub.h"

void hub_init(struct hub *h, const struct edge_conf *conf, const struct namespaces *nss,
              struct feed *feed, struct turns *turns)
{
    *h = (struct hub){.conf = conf, .nss = nss, .feed = feed, .turns = turns};
    h->now_ms = clock_mono_ms();
    h->publish = publish_new();
    h->scan_steps = SCAN_STEPS;
    hmap_init(&h->channels);
    wheel_init(&h->wheel, h->now_ms);
    list_init(&h->sessions);
    list_init(&h->asking);
    list_init(&h->todo);
    list_init(&h->waiting);
    list_init(&h->due);
    list_init(&h->slow);
    list_init(&h->dirty);
    list_init(&h->dead);
    list_init(&h->spare);
}

void hub_done(struct hub *h)
{
    must(list_is_empty(&h->sessions));
    subs_done(h);
    publish_free(h->publish);
    for (uint32_t i = 0; i < SCANS_A_TURN; i++)
        rec_vec_done(&h->scans[i].recs);
    rec_vec_done(&h->found);
    buf_done(&h->frame);
    hmap_done(&h->channels);
}

/* ---- tails ---- */

static struct tail *tail_ref(struct hub *h, struct plog *p)
{
    struct tail *t = h->tails[p->id];

    if (!t || t->p != p) {
        t = mem_zalloc(sizeof(*t));
        t->h = h;
        t->p = p;
        list_init(&t->channels);
        list_init(&t->waiting);
        list_init(&t->asks);
        h->tails[p->id] = t;
        feed_tail(h->feed, h->index, p, true);
    }
    t->refs++;
    return t;
}

static void tail_unref(struct tail *t)
{
    struct hub *h = t->h;

    must(t->refs);
    if (--t->refs)
        return;
    list_splice_tail(&h->todo, &t->waiting);
    feed_tail(h->feed, h->index, t->p, false);
    if (h->tails[t->p->id] == t)
        h->tails[t->p->id] = NULL;
    list_del(&t->asks);
    free(t);
}

/* ---- channels ---- */

static struct channel *channel_find(const struct hub *h, struct slice name, uint64_t hash)
{
    struct hmap_node *n;

    for (n = hmap_first(&h->channels, hash); n; n = hmap_next(n)) {
        struct channel *ch = container_of(n, struct channel, node);
        if (ch->name_len == name.n && !memcmp(ch->name, name.p, name.n))
            return ch;
    }
    return NULL;
}

struct channel *hub_channel_find(const struct hub *h, struct slice name)
{
    return channel_find(h, name, hash_bytes(name.p, name.n));
}

struct channel *hub_channel(struct hub *h, const struct namespace *ns, struct slice name)
{
    uint64_t hash = hash_bytes(name.p, name.n);
    struct channel *ch = channel_find(h, name, hash);

    if (!ch) {
        ch = mem_zalloc(offsetof(struct channel, name) + name.n);
        ch->h = h;
        ch->ns = ns;
        ch->slots = &ch->first;
        ch->slot_cap = 1;
        ch->name_len = (uint8_t)name.n;
        memcpy(ch->name, name.p, name.n);
        list_init(&ch->in_tail);
        hmap_insert(&h->channels, &ch->node, hash);
        METRIC_ADD(channels, 1);
    }
    ch->sub_count++;
    return ch;
}

static void any_tails(struct channel *ch, bool on)
{
    struct hub *h = ch->h;

    for (uint32_t i = 0; i < ch->any_count; i++) {
        struct plog *p = ch->any[i];
        if (on)
            tail_ref(h, p);
        else
            tail_unref(h->tails[p->id]);
    }
}

/* Lets go of the tail: the channel is free to be resolved anew. */
static void channel_unresolve(struct channel *ch)
{
    list_del(&ch->in_tail);
    if (ch->tail)
        tail_unref(ch->tail);
    ch->tail = NULL;
    any_tails(ch, false);
    free((void *)ch->any);
    ch->any = NULL;
    ch->any_count = 0;
}

void hub_channel_unref(struct channel *ch)
{
    struct hub *h = ch->h;

    must(ch->sub_count && ch->sub_count > ch->live);
    if (--ch->sub_count)
        return;
    channel_unresolve(ch);
    hmap_remove(&h->channels, &ch->node);
    hub_older_forget(ch);
    if (ch->slots != &ch->first)
        free(ch->slots);
    free(ch);
    METRIC_ADD(channels, -1);
}

static struct slice key_of(const struct channel *ch)
{
    const struct namespace *ns;
    struct slice key = {ch->name, ch->name_len};
    struct slice name = key;

    must(namespaces_of_channel(ch->h->nss, name, &ns, &key) == 0);
    return key;
}

static void resolve_any(struct channel *ch, const struct topic_view *v)
{
    ch->any_count = (uint32_t)v->partitions;
    ch->any = mem_alloc(sizeof(ch->any[0]) * ch->any_count);
    memcpy(ch->any, v->plogs, sizeof(ch->any[0]) * ch->any_count);
    any_tails(ch, true);
}

/* Sets a new tail's cursor once its plog's position is known; nobody is live on it before. */
static bool tail_begin(struct tail *t)
{
    if (!t->ready && atomic_load(&t->p->state) == PLOG_READY) {
        t->cursor = plog_view(t->p).upto;
        t->ready = true;
    }
    return t->ready;
}

static bool any_is_ready(const struct channel *ch)
{
    for (uint32_t i = 0; i < ch->any_count; i++)
        if (!tail_begin(ch->h->tails[ch->any[i]->id]))
            return false;
    return true;
}

int hub_resolve(struct hub *h, struct channel *ch, const struct topic_view **ret_view)
{
    const struct topic_view *v = feed_topic(h->feed, ch->ns->index);

    if (!v)
        return -EAGAIN;
    *ret_view = v;
    if (v->map != TOPIC_MAPPED)
        return -EXDEV;
    if (ch->tail &&
        (atomic_load(&ch->tail->p->state) == PLOG_GONE || strcmp(ch->tail->p->log, v->log) != 0))
        return -ESTALE; /* its turn to be told comes with the plog's signal */
    if (!ch->tail && !ch->any) {
        if (v->partitioner == PARTITIONER_ANY) {
            resolve_any(ch, v);
        } else {
            int32_t p = partitioner_of(v->partitioner, key_of(ch), v->partitions);
            ch->tail = tail_ref(h, v->plogs[p]);
            list_add_tail(&ch->tail->channels, &ch->in_tail);
        }
    }
    if (ch->any)
        return any_is_ready(ch) ? 0 : -EAGAIN;
    return tail_begin(ch->tail) ? 0 : -EAGAIN;
}

struct channel *hub_channel_of_rec(const struct hub *h, const struct plog_rec *r)
{
    return channel_find(h, plog_rec_channel(r), r->hash);
}

/* A bucket of one second's worth: many who come back at once are taken in as fast as the rate says,
 * the others wait where it costs nothing, behind their SDK's own pause. */
bool hub_admit(struct hub *h)
{
    uint64_t rate = (uint64_t)h->conf->resume_rate, full = rate * 1000;
    uint64_t pause = h->now_ms - h->admit_ms;

    if (!rate)
        return true;
    h->admit = pause >= 1000 || h->admit + pause * rate > full ? full : h->admit + pause * rate;
    h->admit_ms = h->now_ms;
    if (h->admit < 1000)
        return false;
    h->admit -= 1000;
    return true;
}

/* ---- the live ---- */

static void slots_grow(struct channel *ch)
{
    bool one = ch->slots == &ch->first;

    ch->slot_cap *= 2;
    ch->slots = mem_realloc(one ? NULL : ch->slots, ch->slot_cap * sizeof(*ch->slots));
    if (one)
        ch->slots[0] = ch->first;
}

void hub_live(struct sub *sub)
{
    struct channel *ch = sub->ch;

    must(!sub->live && sub->answered);
    sub_caught_up(sub);
    if (ch->live == ch->slot_cap)
        slots_grow(ch);
    sub->slot = ch->live;
    ch->slots[ch->live++] = (struct hub_slot){sub->s, sub};
    sub->live = true;
    if (ch->live == ch->sub_count) /* nobody is behind: what they shared goes */
        hub_older_done(ch);
    METRIC_ADD(lagging, -1);
}

void hub_unlive(struct sub *sub)
{
    struct channel *ch = sub->ch;

    must(sub->live && ch->slots[sub->slot].sub == sub);
    ch->slots[sub->slot] = ch->slots[--ch->live];
    ch->slots[sub->slot].sub->slot = sub->slot;
    sub->live = false;
    METRIC_ADD(lagging, 1);
}

/* ---- waiters ---- */

void waiter_init(struct waiter *w, struct session *s, struct channel *ch)
{
    w->s = s;
    w->ch = ch;
    list_init(&w->node);
    list_init(&w->due_node);
}

void waiter_owed(struct waiter *w)
{
    struct hub *h = w->s->h;

    w->due_ms = h->now_ms + ANSWER_MS;
    list_add_tail(&h->todo, &w->node);
    list_add_tail(&h->due, &w->due_node); /* all wait equally long: the list is in order */
    h->again(h->again_arg);
}

void waiter_answered(struct waiter *w)
{
    list_del(&w->due_node);
}

bool waiter_is_of_old_log(const struct waiter *w, const char *log)
{
    return feed_is_old_log(w->ch->h->feed, w->ch->ns->index, log, waiter_asked_ms(w));
}

void waiter_move(struct waiter *w, struct list *to)
{
    list_move_tail(to, &w->node);
}

void waiter_put_off(struct waiter *w)
{
    struct hub *h = w->ch->h;

    waiter_move(w, &h->todo);
    h->again(h->again_arg);
}

void waiters_first(struct hub *h, struct list *from)
{
    list_splice_tail(from, &h->todo);
    list_splice_tail(&h->todo, from);
}

void waiter_drop(struct waiter *w)
{
    list_del(&w->node);
    list_del(&w->due_node);
}
