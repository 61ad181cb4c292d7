/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_tail.c: groups of streams, each tailed by one XREAD on a connection of its own.
 *
 * A group has at most GROUP_STREAMS streams. Entries go straight from the reply into the plogs;
 * after a reply everything is published once, the shards are signalled, and the next XREAD goes
 * out. When the set changes while an XREAD blocks, the control link unblocks it, again every 5 ms
 * until the reply is there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/runtime/log.h"

#include "edge-node/feed_impl.h"

#define STANDS_MS 3000

static void read_more(struct feed_group *g);

/* ---- what comes ---- */

static struct plog *plog_of_key(struct feed_group *g, struct slice key)
{
    for (uint32_t i = 0, at = g->hint; i < g->count; i++) {
        if (slice_eq(key, g->plogs[at]->stream)) {
            g->hint = at;
            return g->plogs[at];
        }
        at = at + 1 < g->count ? at + 1 : 0;
    }
    return NULL; /* removed while the XREAD was under way */
}

static uint64_t end_of(const struct plog *p)
{
    const struct plog_seg *s = atomic_load_explicit(&p->newest, memory_order_relaxed);

    return atomic_load_explicit(s ? &s->upto : &p->upto, memory_order_relaxed);
}

static void on_hole(struct feed *f, struct plog *p, const struct entry *e)
{
    METRIC_ADD(holes, 1);
    log_warn("hole", " log=%s partition=%d at=%llu continues=%llu", p->log, (int)p->partition,
             (unsigned long long)end_of(p), (unsigned long long)e->prev);
    plog_publish(p);
    plog_start(p, e->prev, f->turns);
}

static void on_entry(void *arg, struct slice key, uint64_t pos, struct slice field)
{
    struct feed_group *g = arg;
    struct plog *p = plog_of_key(g, key);
    struct entry e;

    if (!p || pos <= end_of(p))
        return; /* e.g. the stream was removed from the set meanwhile */
    if (entry_decode(field, pos, &e) != 0) {
        METRIC_ADD(record_errors, 1); /* the next entry's prev shows the hole */
        log_warn("entry_unreadable", " log=%s partition=%d position=%llu", p->log,
                 (int)p->partition, (unsigned long long)pos);
        return;
    }
    if (e.prev > end_of(p))
        on_hole(g->link.f, p, &e);
    plog_append(p, &e, hash_bytes(e.channel.p, e.channel.n),
                (uint64_t)(ev_now(g->link.f->loop) * 1e3));
    g->touched |= 1u << g->hint;
    g->fresh++;
    g->entries++;
    g->bytes += field.n;
}

static void publish(struct feed_group *g)
{
    struct feed *f = g->link.f;

    for (uint32_t i = 0; g->touched; i++) {
        if (!(g->touched & (1u << i)))
            continue;
        g->touched &= ~(1u << i);
        plog_publish(g->plogs[i]);
        feed_signal(f, g->plogs[i]);
        feed_count_bytes(f, g->plogs[i]);
    }
    METRIC_ADD(records, g->fresh);
    g->fresh = 0;
    if (g->entries > 4096) {
        g->entries /= 2;
        g->bytes /= 2;
    }
}

static void on_done(void *arg, int err, const char *msg)
{
    struct feed_group *g = arg;
    struct feed *f = g->link.f;

    g->reading = false;
    ev_timer_stop(f->loop, &g->unblock);
    publish(g);
    if (err == 0) {
        g->link.tries = 0;
        atomic_store_explicit(&f->answered_ms, clock_mono_ms(), memory_order_relaxed);
        read_more(g);
    } else if (err != -ECONNRESET) { /* LOADING, UNBLOCKED after a change of role, bad entries … */
        log_warn("redis_error", " link=%s why=%s", g->link.name, log_value(slice_of(msg)));
        feed_link_retry(&g->link);
    }
}

/* ---- asking ---- */

static uint64_t count_for(const struct feed_group *g)
{
    uint64_t mean = g->entries ? g->bytes / g->entries + 1 : 256;
    uint64_t n = REPLY_BYTES / (g->count * mean);

    return n < 1 ? 1 : n > REPLY_COUNT_MAX ? REPLY_COUNT_MAX : n;
}

uint64_t feed_page_count(const struct plog *p)
{
    const struct feed_group *g = p->group;
    uint64_t mean = g && g->entries ? g->bytes / g->entries + 1 : KIB(8);
    uint64_t n = REPLY_BYTES / mean;

    return n < 16 ? 16 : n > REPLY_COUNT_MAX ? REPLY_COUNT_MAX : n;
}

static void read_more(struct feed_group *g)
{
    static const struct redis_entries_ops ops = {.entry = on_entry, .done = on_done};
    struct slice argv[6 + 2 * GROUP_STREAMS];
    char ids[GROUP_STREAMS][ENTRY_ID_MAX], count[24];
    int argc = 0;

    if (g->reading || !g->count || !feed_link_is_up(&g->link))
        return;
    argv[argc++] = SLICE("XREAD");
    argv[argc++] = SLICE("COUNT");
    argv[argc++] = (struct slice){
        count, (size_t)snprintf(count, sizeof(count), "%llu", (unsigned long long)count_for(g))};
    argv[argc++] = SLICE("BLOCK");
    argv[argc++] = SLICE(XREAD_BLOCK_MS);
    argv[argc++] = SLICE("STREAMS");
    for (uint32_t i = 0; i < g->count; i++)
        argv[argc++] = g->plogs[i]->stream;
    for (uint32_t i = 0; i < g->count; i++)
        argv[argc++] = (struct slice){ids[i], entry_id_print(ids[i], end_of(g->plogs[i]))};
    g->reading = true;
    g->changed = false;
    redis_cmd_entries(g->link.conn, &ops, g, argc, argv);
}

static void unblock(struct feed_group *g)
{
    struct feed *f = g->link.f;
    struct feed_store *st = g->link.store;
    const struct link *l = st == f->home && !f->replica.on ? &f->control : &st->history;
    char text[64];

    /* Ids are those of one server: of another one they are somebody else's. */
    if (!feed_link_is_up(l) || !g->link.conn || !redis_conn_is_same(l->conn, g->link.conn))
        return;
    snprintf(text, sizeof(text), "CLIENT UNBLOCK %lld TIMEOUT",
             (long long)redis_client_id(g->link.conn));
    redis_cmd_text(l->conn, NULL, NULL, text);
}

static void on_unblock(struct ev_loop *loop, struct ev_timer *w, int events)
{
    (void)loop, (void)events;
    unblock(container_of(w, struct feed_group, unblock));
}

static void set_changed(struct feed_group *g)
{
    if (!g->reading) {
        read_more(g);
        return;
    }
    if (g->changed)
        return;
    g->changed = true;
    unblock(g);
    ev_timer_set(&g->unblock, 0.005, 0.005);
    ev_timer_start(g->link.f->loop, &g->unblock);
}

/* ---- groups ---- */

static void on_up(struct link *l)
{
    struct feed_group *g = container_of(l, struct feed_group, link);

    g->reading = false;
    read_more(g);
}

static struct feed_group *group_with_room(struct feed_store *st)
{
    struct feed_group *g;

    list_for_each(g, &st->groups, node)
        if (g->count < GROUP_STREAMS)
            return g;
    g = mem_zalloc(sizeof(*g));
    list_add_tail(&st->groups, &g->node);
    ev_init(&g->unblock, on_unblock);
    feed_link_start(&g->link, st, "fanfare-tail", on_up);
    return g;
}

void feed_tail_add(struct feed *f, struct plog *p)
{
    struct feed_group *g = group_with_room(p->store);

    must(!p->group && p->store->f == f);
    p->group = g;
    g->plogs[g->count++] = p;
    set_changed(g);
}

void feed_tail_remove(struct plog *p)
{
    struct feed_group *g = p->group;

    if (!g)
        return;
    publish(g); /* `touched` goes by index, and the indices change now */
    for (uint32_t i = 0; i < g->count; i++)
        if (g->plogs[i] == p)
            g->plogs[i] = g->plogs[--g->count];
    g->hint = 0;
    p->group = NULL;
    set_changed(g);
}

void feed_store_restart_groups(struct feed_store *st)
{
    struct feed_group *g;

    list_for_each(g, &st->groups, node)
        feed_link_retry(&g->link);
}

/* A connection may lead to a server that another has replaced behind its address, and that hears of
 * nothing any more. At home a beacon that stands still tells; of other servers, this. */
void feed_tail_look(struct feed *f, struct plog *p, uint64_t last)
{
    uint64_t end = atomic_load(&p->upto), now = clock_mono_ms();
    struct feed_store *st = p->store;
    char where[REDIS_WHERE_MAX];

    if (end >= last || end != p->stood || !p->group || !feed_link_is_up(&p->group->link)) {
        p->stood = end;
        p->stood_ms = now;
        return;
    }
    if (now - p->stood_ms < STANDS_MS || now - st->relinked_ms < STANDS_MS ||
        (f->replica.on && st == f->home)) /* feed_replica_lacks() looks at those */
        return;
    st->relinked_ms = now;
    redis_url_where(feed_store_url(st), where);
    log_warn("tail_stands", " at=%s log=%s partition=%d position=%llu appended=%llu",
             log_value(slice_of(where)), p->log, (int)p->partition, (unsigned long long)end,
             (unsigned long long)last);
    feed_link_restart(&st->history);
    feed_store_restart_groups(st);
}

void feed_groups_free(struct feed_store *st)
{
    struct feed_group *g, *tmp;

    list_for_each_safe(g, tmp, &st->groups, node) {
        ev_timer_stop(st->f->loop, &g->unblock);
        feed_link_stop(&g->link);
        list_del(&g->node);
        free(g);
    }
}
