/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed.c: the feed thread: its loop, its links to Redis, what it does when asked, and by the clock.
 *
 * Owns every plog and topic view. Invariant: a plog is in a group exactly while it is READY and
 * tailed (or was, up to IDLE_KEEP_MS ago).
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#include "edge-node/feed_impl.h"

/* ---- what was asked ---- */

static void serve(struct feed *f, struct plog *p)
{
    int state = atomic_load(&p->state);

    if (feed_is_tailed(p)) {
        p->idle_ms = 0;
        if (state == PLOG_COLD)
            feed_start_plog(f, p);
    } else if (!p->idle_ms) {
        p->idle_ms = clock_mono_ms();
    }
    if (state == PLOG_READY) {
        feed_serve_wants(f, p);
        feed_index_serve(f, p);
    }
}

static void on_asked(struct ev_loop *loop, struct ev_async *w, int events)
{
    struct feed *f = container_of(w, struct feed, asked);

    (void)loop, (void)events;
    for (size_t i = 0; i < ARRAY_LEN(f->asks); i++) {
        uint64_t bits = atomic_load_explicit(&f->asks[i], memory_order_relaxed);
        if (!bits)
            continue;
        bits = atomic_exchange(&f->asks[i], 0);
        while (bits) {
            struct plog *p = feed_plog(f, (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(bits));
            bits &= bits - 1;
            if (p)
                serve(f, p);
        }
    }
}

/* ---- bounds ---- */

static struct plog *plog_with_oldest(struct feed *f)
{
    struct plog *best = NULL;

    for (uint32_t i = 0; i < f->plog_top; i++) {
        struct plog *p = feed_plog(f, i);
        if (!p || !p->oldest || p->oldest == atomic_load(&p->newest))
            continue;
        if (!best || p->oldest->born_ms < best->oldest->born_ms)
            best = p;
    }
    return best;
}

static void count(struct feed *f, struct plog *p)
{
    f->bytes += p->bytes - p->bytes_counted; /* wraps as meant */
    p->bytes_counted = p->bytes;
}

void feed_count_bytes(struct feed *f, struct plog *p)
{
    if (p->bytes == p->bytes_counted)
        return;
    count(f, p);
    while (f->bytes > (size_t)f->conf->plog_bytes) {
        struct plog *victim = plog_with_oldest(f);
        if (!victim)
            break;
        plog_evict(victim, f->turns);
        count(f, victim);
    }
    METRIC_SET(plog_bytes, f->bytes);
}

/* ---- housekeeping ---- */

static void retire_plog(void *p)
{
    plog_free(p);
}

static void tidy_plog(struct feed *f, struct plog *p, uint64_t now)
{
    const struct plog_page *page = atomic_load(&p->pages);
    int state = atomic_load(&p->state);

    if (page && page->born_ms + PAGE_KEEP_MS < now)
        while (plog_evict_page(p, f->turns))
            ;
    if (feed_is_tailed(p)) {
        serve(f, p); /* a last try may have found nothing */
    } else if (p->settled && !p->starting && !p->fetches && !p->deeps && !p->lookups) {
        atomic_store(&f->plogs[p->id], NULL);
        f->bytes -= p->bytes_counted;
        turns_retire(f->turns, p, retire_plog);
        return;
    } else if (state == PLOG_READY && p->idle_ms && p->idle_ms + IDLE_KEEP_MS < now) {
        feed_tail_remove(p);
        plog_stop(p, f->turns);
        if (feed_is_tailed(p)) /* somebody came at this very moment */
            feed_start_plog(f, p);
    }
    feed_index_tidy(f, p);
}

/* Nobody writes where we read, or what was the master is a replica by now: the address may lead
 * elsewhere. A replica's streams are good until it does. */
static void relink(struct feed *f, uint64_t oldest, uint64_t now)
{
    bool stale = oldest >= BEACON_STALE_MS;

    if ((!stale && !f->demoted) || now - f->relinked_ms < BEACON_STALE_MS)
        return;
    f->relinked_ms = now;
    feed_link_restart(&f->control);
    if (!stale)
        return;
    f->stale_ms = oldest; /* it is said with the role of who answers then */
    feed_groups_restart(f);
}

static void on_tick(struct ev_loop *loop, struct ev_timer *w, int events)
{
    struct feed *f = container_of(w, struct feed, tick);
    uint64_t now = clock_mono_ms(), oldest = 0;
    int64_t tailed = 0;

    (void)loop, (void)events;
    f->ticks++;
    feed_topics_poll(f);
    feed_beacon_poll(f);
    feed_table_poll(f);
    feed_replica_tick(f);
    for (uint32_t i = 0; i < f->plog_top; i++) {
        struct plog *p = feed_plog(f, i);
        if (!p)
            continue;
        if (atomic_load(&p->state) == PLOG_READY && feed_is_tailed(p)) {
            uint64_t seen = atomic_load(&p->beacon_ms);
            uint64_t age = now - (seen > p->known_ms ? seen : p->known_ms);
            oldest = age > oldest ? age : oldest;
            tailed++;
        }
        tidy_plog(f, p, now);
    }
    turns_reclaim(f->turns);
    METRIC_SET(plogs, tailed);
    METRIC_SET(beacon_age, oldest);
    METRIC_SET(redis_up, now - atomic_load(&f->answered_ms) < 3000);
    relink(f, oldest, now);
}

/* ---- life ---- */

static void on_control_up(struct link *l)
{
    l->f->beacon_asked = l->f->table_asked = l->f->role_refused = false;
    l->f->beacon_before_ms = 0;
    for (uint32_t i = 0; i < l->f->nss->count; i++)
        l->f->topics[i].asked = false;
    feed_ask_role(l->f);
    feed_topics_poll(l->f);
    feed_beacon_poll(l->f);
}

static void on_stop(struct ev_loop *loop, struct ev_async *w, int events)
{
    (void)w, (void)events;
    ev_break(loop, EVBREAK_ALL);
}

struct feed *feed_new(const struct edge_conf *conf, const struct namespaces *nss,
                      struct turns *turns, struct feed_shard *shards, int shard_count)
{
    struct feed *f = mem_zalloc(sizeof(*f));

    f->conf = conf;
    f->nss = nss;
    f->turns = turns;
    f->shards = shards;
    f->shard_count = shard_count;
    f->topics = mem_zalloc(sizeof(*f->topics) * nss->count);
    for (uint32_t i = 0; i < nss->count; i++)
        f->topics[i].ns = &nss->v[i];
    list_init(&f->stores);
    list_init(&f->deeps);
    ev_async_init(&f->asked, on_asked);
    ev_async_init(&f->stop, on_stop);
    ev_timer_init(&f->tick, on_tick, 0.1, 0.1);
    return f;
}

static void begin(struct feed *f)
{
    ev_async_start(f->loop, &f->asked);
    ev_async_start(f->loop, &f->stop);
    ev_timer_start(f->loop, &f->tick);
    feed_replica_init(f);
    feed_stores_start(f);
    feed_link_start(&f->control, f->home, "fanfare-control", on_control_up);
}

static void end(struct feed *f)
{
    feed_deep_stop(f);
    feed_replica_stop(f);
    feed_link_stop(&f->control);
    feed_stores_stop(f);
    ev_timer_stop(f->loop, &f->tick);
    ev_async_stop(f->loop, &f->stop);
    ev_async_stop(f->loop, &f->asked);
}

static void *run(void *arg)
{
    struct feed *f = arg;

    proc_thread_role("feed");
    ev_run(f->loop, 0);
    return NULL;
}

void feed_start(struct feed *f, struct ev_loop *shared)
{
    f->shares = shared != NULL;
    f->loop = shared ? shared : ev_loop_new(EVFLAG_AUTO);
    must(f->loop);
    begin(f);
    f->started = true;
    if (!f->shares)
        must(pthread_create(&f->thread, NULL, run, f) == 0);
}

void feed_stop(struct feed *f)
{
    if (!f->started)
        return;
    if (!f->shares) {
        ev_async_send(f->loop, &f->stop);
        pthread_join(f->thread, NULL);
    }
    end(f);
    if (!f->shares)
        ev_loop_destroy(f->loop);
    f->loop = NULL; /* shards that close their clients after this still ask */
    f->started = false;
}

void feed_free(struct feed *f)
{
    /* The shards sleep; what still points at plogs goes first. */
    must(turns_reclaim(f->turns) == 0);
    for (uint32_t i = 0; i < f->plog_top; i++) {
        struct plog *p = feed_plog(f, i);
        if (p)
            plog_free(p);
    }
    feed_topics_free(f);
    free(f->topics);
    free(f);
}

bool feed_is_ready(struct feed *f, char *why, size_t why_size)
{
    uint64_t age = clock_mono_ms() - atomic_load(&f->answered_ms);

    if (!atomic_load(&f->answered_ms) || age > 3000) {
        snprintf(why, why_size, "Redis has not answered for 3 s; check redis_url and the server");
        return false;
    }
    for (uint32_t i = 0; i < f->nss->count; i++) {
        const char *topic = f->nss->v[i].topic;
        int excess = atomic_load(&f->topics[i].excess);
        if (feed_topic(f, i))
            continue;
        if (excess)
            snprintf(why, why_size,
                     "no room for the %d partitions of topic %s: an edge takes %d of all topics "
                     "together",
                     excess, topic, FEED_PLOGS_MAX);
        else
            snprintf(
                why, why_size,
                "topic %s is not known in this region yet; is a fanfare-worker running for it?",
                topic);
        return false;
    }
    snprintf(why, why_size, "ok");
    return true;
}
