/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_shards.h: shards without threads over fake_feed.h: their turns, time, the life of all of it.
 * Every step is the test's own. fake_conn.h has the clients. @thread main
 */
#pragma once

#include "tests/unit/edge/fake_feed.h"

/* Frees the plogs of logs that ended, as feed does. */
static inline void fake_tidy(struct feed *f)
{
    for (size_t i = 0; i < ARRAY_LEN(f->streams); i++) {
        struct plog *p = f->streams[i].p;
        if (!p || !p->settled || atomic_load(&p->tailing[0]))
            continue;
        f->streams[i].p = NULL;
        plog_free(p);
    }
}

static inline void fake_turn(struct fake *x)
{
    x->now_ms++;
    x->again = false;
    for (int i = 0; i < FAKE_SHARDS; i++)
        hub_turn(&x->hubs[i], x->now_ms);
    turns_reclaim(x->feed.turns);
    fake_tidy(&x->feed);
}

static inline bool fake_has_grown(const struct feed *f)
{
    for (int i = 0; i < FAKE_SHARDS; i++)
        for (size_t k = 0; k < FEED_PLOGS_MAX / 64; k++)
            if (atomic_load(&f->shards[i].grown[k]))
                return true;
    return false;
}

/* Turns until nothing moves any more. */
static inline void fake_settle(struct fake *x)
{
    for (int i = 0; i < 10000; i++) {
        bool moved = fake_serve(x);
        if (!moved && !fake_has_grown(&x->feed) && !x->again && i)
            return;
        fake_turn(x);
    }
    fail_msg("it never comes to rest");
}

/* Time goes on by ms, in ticks of 100. */
static inline void fake_pass(struct fake *x, uint64_t ms)
{
    for (uint64_t end = x->now_ms + ms; x->now_ms < end;) {
        x->now_ms += 100;
        for (int i = 0; i < FAKE_SHARDS; i++)
            hub_tick(&x->hubs[i], x->now_ms);
        fake_settle(x);
    }
}

static inline void fake_again(void *arg)
{
    ((struct fake *)arg)->again = true;
}

static inline struct topic_view *fake_view(struct fake *x, enum partitioner partitioner)
{
    struct topic_view *v = mem_zalloc(sizeof(*v) + sizeof(v->plogs[0]) * FAKE_PARTS);

    v->n = (uint64_t)x->feed.log + 1;
    memcpy(v->log, FAKE_LOG, LOG_ID_LEN);
    v->log[LOG_ID_LEN - 1] = (char)('A' + x->feed.log);
    v->partitions = FAKE_PARTS;
    v->partitioner = partitioner;
    for (int i = 0; i < FAKE_PARTS; i++)
        v->plogs[i] = x->feed.streams[x->feed.log * FAKE_PARTS + i].p;
    return v;
}

static inline void fake_settled(void *p)
{
    ((struct plog *)p)->settled = true;
}

static inline void fake_begin_log(struct fake *x, uint64_t start)
{
    struct feed *f = &x->feed;

    for (uint32_t i = 0; i < FAKE_PARTS; i++) {
        uint32_t id = (uint32_t)f->log * FAKE_PARTS + i;
        struct fake_stream *s = &f->streams[id];
        s->p = plog_new(FAKE_LOG, (int32_t)i, id, FAKE_SHARDS);
        s->p->log[LOG_ID_LEN - 1] = (char)('A' + f->log);
        s->last = start;
        plog_start(s->p, start, f->turns);
    }
    for (int i = 0; i < FAKE_NS_COUNT; i++)
        if (i != FAKE_NONE)
            f->views[i] = fake_view(x, i == FAKE_ANY ? PARTITIONER_ANY : PARTITIONER_MURMUR2);
    f->views[FAKE_UNMAPPED]->map = TOPIC_UNMAPPED;
}

/* All topics have another log: as feed's view_replace(). */
static inline void fake_new_log(struct fake *x, uint64_t start)
{
    struct feed *f = &x->feed;
    struct topic_view *old[FAKE_NS_COUNT];

    memcpy(old, f->views, sizeof(old));
    assert_true(++f->log < FAKE_LOGS);
    fake_begin_log(x, start);
    for (int i = 0; i < FAKE_PARTS; i++) {
        struct plog *p = f->streams[(f->log - 1) * FAKE_PARTS + i].p;
        atomic_store(&p->state, PLOG_GONE);
        fake_signal(f, p);
        turns_retire(f->turns, p, fake_settled);
    }
    for (int i = 0; i < FAKE_NS_COUNT; i++)
        if (old[i])
            turns_retire(f->turns, old[i], free);
}

static inline void fake_namespaces(struct fake *x)
{
    static const char *const names[] = {"", "um", "none", "any", "ahead", "priv"};
    static const char *const topics[] = {"t0", "t1", "t2", "t3", "t4", "t5"};
    struct conf_table table = {x->items, FAKE_NS_COUNT};
    struct buf errors = BUF_INIT;

    for (size_t i = 0; i < FAKE_NS_COUNT; i++) {
        struct namespace_conf *c = &x->ns_conf[i];
        c->topic = (char *)(uintptr_t)topics[i];
        c->log_id = (char *)(uintptr_t)(i == FAKE_AHEAD ? FAKE_LOG : "");
        c->partitioner = i == FAKE_ANY ? PARTITIONER_ANY : PARTITIONER_MURMUR2;
        c->anonymous = i != FAKE_PRIVATE;
        x->items[i] = (struct conf_item){(char *)(uintptr_t)names[i], c};
    }
    assert_int_equal(namespaces_init(&x->nss, &table, &errors), 0);
    buf_done(&errors);
}

static inline void fake_init(struct fake *x, uint64_t start)
{
    struct feed *f = &x->feed;

    memset(x, 0, sizeof(*x));
    x->conf = (struct edge_conf){
        .ping_interval = 25000,
        .pong_timeout = 8000,
        .connect_timeout = 5000,
        .write_max = (int64_t)KIB(64),
        .frame_max = (int64_t)KIB(64),
        .channels_max = 128,
        .anonymous = true,
    };
    fake_namespaces(x);
    f->turns = turns_new(FAKE_SHARDS);
    f->page_records = 7;
    fake_begin_log(x, start);
    for (int i = 0; i < FAKE_SHARDS; i++) {
        struct hub *h = &x->hubs[i];
        hub_init(h, &x->conf, &x->nss, f, f->turns);
        h->index = i;
        h->inbox = &f->shards[i];
        h->node = "n1";
        h->again = fake_again;
        h->again_arg = x;
    }
    x->now_ms = x->hub.now_ms;
}

/* All sessions were closed. */
static inline void fake_done(struct fake *x)
{
    struct feed *f = &x->feed;

    fake_turn(x);
    for (int i = 0; i < FAKE_SHARDS; i++)
        hub_done(&x->hubs[i]);
    for (size_t i = 0; i < ARRAY_LEN(f->streams); i++) {
        struct fake_stream *s = &f->streams[i];
        if (s->p) {
            assert_int_equal(atomic_load(&s->p->tailing[0]), 0);
            plog_free(s->p);
        }
        for (size_t k = 0; k < s->n; k++)
            free((void *)(uintptr_t)s->v[k].payload.p);
        free(s->v);
    }
    for (size_t i = 0; i < FAKE_NS_COUNT; i++)
        free(f->views[i]);
    turns_free(f->turns);
    namespaces_done(&x->nss);
}
