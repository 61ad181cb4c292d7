/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_topic.c: which log a topic is (ff:topic:<name>, every second; every 100 ms until known, or
 * while a client's cursor may be of a newer one), and
 * the beacon (every 300 ms): where Kafka ends, and how old that knowledge is on our own clock.
 *
 * A topic's view is replaced as a whole when its log changes; the old log's plogs become GONE, and
 * their shards are told. `n` never goes back: an older hash from a Redis that lost its tail is
 * ignored.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/runtime/log.h"

#include "edge-node/feed_impl.h"

struct question { /* which topic an answer belongs to */
    struct feed *f;
    struct topic *t;
};

/* ---- topics ---- */

static int32_t room(const struct feed *f)
{
    int32_t n = 0;

    for (uint32_t i = 0; i < FEED_PLOGS_MAX; i++)
        n += !feed_plog(f, i);
    return n;
}

static void add_plogs(struct feed *f, struct topic_view *v)
{
    uint32_t id = 0;

    for (int32_t i = 0; i < v->partitions; i++) {
        while (feed_plog(f, id))
            id++;
        must(id < FEED_PLOGS_MAX);
        v->plogs[i] = plog_new(v->log, i, id, f->shard_count);
        v->plogs[i]->known_ms = clock_mono_ms();
        v->plogs[i]->store = feed_store_of(f, v->log, i);
        atomic_store(&f->plogs[id], v->plogs[i]);
        if (id >= f->plog_top)
            f->plog_top = id + 1;
    }
}

static void on_settled(void *p)
{
    ((struct plog *)p)->settled = true;
}

/* A shard that looked the old view up in a turn under way may begin to tail its plogs until the end
 * of that turn. */
static void retire_view(struct feed *f, struct topic_view *v)
{
    for (int32_t i = 0; i < v->partitions; i++) {
        struct plog *p = v->plogs[i];
        if (!p)
            continue;
        feed_tail_remove(p);
        atomic_store(&p->state, PLOG_GONE);
        p->idle_ms = clock_mono_ms();
        feed_signal(f, p);
        turns_retire(f->turns, p, on_settled);
    }
    turns_retire(f->turns, v, free);
}

static void wake_all(struct feed *f)
{
    for (int i = 0; i < f->shard_count; i++)
        feed_wake(f, i);
}

/* What must be the same in workers and edges: else an edge looks where its records are not. */
struct placing {
    struct slice namespace, key, partitioner, history;
};

static bool tell_unless_same(struct topic *t, const char *knob, struct slice theirs,
                             const char *ours)
{
    char was[sizeof(t->differs)];

    if (!theirs.p || slice_eq(theirs, slice_of(ours)))
        return false; /* an older worker writes fewer fields */
    memcpy(was, t->differs, sizeof(was));
    snprintf(t->differs, sizeof(t->differs), "%s=%.*s", knob, (int)theirs.n, theirs.p);
    if (strcmp(was, t->differs) != 0)
        log_error("namespace_differs", " topic=%s knob=%s edge=%s worker=%s mend=%s",
                  log_value(slice_of(t->ns->topic)), knob, log_value(slice_of(ours)),
                  log_value(theirs), log_value(SLICE("give workers and edges the same namespace")));
    return true;
}

/* Edges go by their own configuration, so that a wrong hash can't lead them astray. The first that
 * differs is said, once a change: the hash comes every second. */
static void compare(struct topic *t, const struct placing *theirs, const char *log,
                    struct topic_view *v)
{
    const char *log_id = t->ns->conf->log_id;
    bool any = v->partitioner == PARTITIONER_ANY; /* it reads all partitions */

    if (tell_unless_same(t, "namespace", theirs->namespace, t->ns->name) ||
        tell_unless_same(t, "key", theirs->key, ns_key_name(t->ns->conf->key)) ||
        (!any &&
         tell_unless_same(t, "history", theirs->history, ns_promise_name(t->ns->conf->history))) ||
        (log_id[0] && tell_unless_same(t, "log_id", slice_of(log), log_id)))
        v->map = TOPIC_DIFFERS;
    else if (tell_unless_same(t, "partitioner", theirs->partitioner,
                              partitioner_name(v->partitioner)))
        v->map = any ? TOPIC_MAPPED : TOPIC_DIFFERS;
    else
        t->differs[0] = 0;
}

/* Only the hash's fields: no plogs yet. False: not usable. */
static bool hash_parse(const struct redis_reply *r, struct topic *t, struct topic_view *ret)
{
    struct topic_view v = {.partitioner = (enum partitioner)t->ns->conf->partitioner};
    struct placing theirs = {0};

    for (size_t i = 0; i + 1 < redis_len(r); i += 2) {
        struct slice name = redis_str(redis_at(r, i)), value = redis_str(redis_at(r, i + 1));
        int64_t number = redis_int(redis_at(r, i + 1));
        if (slice_eq(name, SLICE("n")) && number > 0)
            v.n = (uint64_t)number;
        else if (slice_eq(name, SLICE("log")) && log_id_is_valid(value))
            memcpy(v.log, value.p, LOG_ID_LEN);
        else if (slice_eq(name, SLICE("partitions")) && number > 0 && number <= INT32_MAX)
            v.partitions = (int32_t)number;
        else if (slice_eq(name, SLICE("partitioner")))
            theirs.partitioner = value;
        else if (slice_eq(name, SLICE("namespace")))
            theirs.namespace = value;
        else if (slice_eq(name, SLICE("key")))
            theirs.key = value;
        else if (slice_eq(name, SLICE("history")))
            theirs.history = value;
        else if (slice_eq(name, SLICE("state")) && slice_eq(value, SLICE("unmapped")))
            v.map = TOPIC_UNMAPPED;
        else if (slice_eq(name, SLICE("state")) && slice_eq(value, SLICE("compacted")))
            v.map = TOPIC_COMPACTED;
    }
    if (!v.partitions || !v.log[0])
        return false;
    if (v.partitioner == PARTITIONER_ANY)
        v.map = TOPIC_MAPPED; /* it reads all partitions */
    compare(t, &theirs, v.log, &v);
    memcpy(ret, &v, sizeof(v));
    return true;
}

static struct topic_view *view_new(const struct topic_view *hash)
{
    struct topic_view *v = mem_zalloc(sizeof(*v) + sizeof(v->plogs[0]) * (size_t)hash->partitions);

    memcpy(v, hash, sizeof(*v));
    return v;
}

static bool is_same_log(const struct topic_view *a, const struct topic_view *b)
{
    return !strcmp(a->log, b->log) && a->partitions == b->partitions;
}

/* Said once a change: the hash comes every second. */
static void tell_excess(struct topic *t, int32_t partitions)
{
    if (atomic_exchange(&t->excess, partitions) != partitions && partitions)
        log_error("too_many_partitions", " topic=%s partitions=%d limit=%d",
                  log_value(slice_of(t->ns->topic)), (int)partitions, FEED_PLOGS_MAX);
}

static void publish_view(struct topic *t, struct topic_view *v)
{
    bool is_mapped = v && v->map == TOPIC_MAPPED && v->partitioner != PARTITIONER_ANY;

    atomic_store(&t->view, v);
    atomic_store(&t->mapped, is_mapped ? v->partitions : 0);
}

int32_t feed_partitions(const struct feed *f, uint32_t ns_index)
{
    return atomic_load_explicit(&f->topics[ns_index].mapped, memory_order_relaxed);
}

/* Another log. One for which there is no room beside its forerunner ends that all the same: its
 * readers are told now, and there is room when the hash comes again. */
static void view_replace(struct feed *f, struct topic *t, const struct topic_view *hash)
{
    struct topic_view *old = atomic_load(&t->view), *v = NULL;

    if (hash->partitions <= room(f)) {
        v = view_new(hash);
        if (old)
            memcpy(v->was, old->log, sizeof(v->was));
        add_plogs(f, v);
        log_info("topic", " topic=%s log=%s partitions=%d", log_value(slice_of(t->ns->topic)),
                 v->log, (int)v->partitions);
    } else if (!old) {
        tell_excess(t, hash->partitions);
        return;
    }
    tell_excess(t, 0);
    publish_view(t, v);
    if (old)
        retire_view(f, old);
    wake_all(f);
}

static void view_change(struct feed *f, struct topic *t, const struct topic_view *hash)
{
    struct topic_view *old = atomic_load(&t->view), *v;

    /* A topic that becomes unmapped is told like a new log: who subscribes again learns why. */
    if (!old || !is_same_log(old, hash) ||
        (old->map == TOPIC_MAPPED && hash->map != TOPIC_MAPPED)) {
        view_replace(f, t, hash);
    } else if (old->map != hash->map || old->n != hash->n) {
        v = view_new(hash);
        memcpy(v->was, old->was, sizeof(v->was));
        memcpy(v->plogs, old->plogs, sizeof(v->plogs[0]) * (size_t)v->partitions);
        publish_view(t, v);
        turns_retire(f->turns, old, free);
        wake_all(f);
    }
}

static void on_topic(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct question *q = arg;
    struct feed *f = q->f;
    struct topic *t = q->t;
    struct topic_view hash;

    (void)c;
    free(q);
    t->asked = false;
    if (!r || redis_type(r) != REDIS_T_ARRAY)
        return;
    f->control.tries = 0;
    atomic_store(&f->answered_ms, clock_mono_ms());
    if (!hash_parse(r, t, &hash) || hash.n < t->n)
        return;
    t->n = hash.n;
    view_change(f, t, &hash);
    atomic_store(&t->known_ms, t->asked_ms);
}

bool feed_is_old_log(struct feed *f, uint32_t ns_index, const char *log, uint64_t since_ms)
{
    struct topic *t = &f->topics[ns_index];
    uint64_t known_ms = atomic_load(&t->known_ms); /* before the view: it may change now */
    const struct topic_view *v = feed_topic(f, ns_index);

    if (!v || !strcmp(v->log, log))
        return false; /* it came in this very moment, or there was no room for it */
    if (known_ms > since_ms || !strcmp(v->was, log))
        return true;
    atomic_store(&t->wanted, true);
    return false;
}

void feed_topics_poll(struct feed *f)
{
    char key[KEY_MAX];

    if (!feed_link_is_up(&f->control))
        return;
    for (uint32_t i = 0; i < f->nss->count; i++) {
        struct topic *t = &f->topics[i];
        struct question *q;
        bool known = atomic_load(&t->view) || atomic_load(&t->excess);
        if (t->asked || (known && f->ticks % 10 && !atomic_load(&t->wanted)))
            continue;
        t->asked = true;
        atomic_store(&t->wanted, false); /* before the time: who wants it now is answered by it */
        t->asked_ms = clock_mono_ms();
        q = mem_alloc(sizeof(*q));
        *q = (struct question){.f = f, .t = t};
        redis_cmd(f->control.conn, on_topic, q, 2,
                  (struct slice[]){SLICE("HGETALL"), {key, key_topic(key, t->ns->topic)}});
    }
}

void feed_topics_free(struct feed *f)
{
    for (uint32_t i = 0; i < f->nss->count; i++)
        free(atomic_load(&f->topics[i].view));
}

/* ---- beacon ---- */

static struct plog *plog_of_row(struct feed *f, const struct beacon_row *row)
{
    for (uint32_t i = 0; i < f->nss->count; i++) {
        const struct topic_view *v = atomic_load(&f->topics[i].view);
        if (v && !strcmp(v->log, row->log) && row->partition < v->partitions)
            return v->plogs[row->partition];
    }
    return NULL;
}

/* Does the row show that its writer lives? Only a counter that grew does: after a failover one
 * reads first what the new primary had, which is older than what is known (*ret_old). A writer that
 * is seen for the first time may be such a one, too: it lives when its next row comes. NULL, or
 * what is known of it. */
static struct beacon_seen *row_moved(struct plog *p, const struct beacon_row *row, bool *ret_old)
{
    uint64_t who = hash_bytes(row->worker, strlen(row->worker)), now = clock_mono_ms();
    struct beacon_seen *s = &p->beacon[p->beacon[1].who == who];
    bool known = s->who == who, grew = known && row->counter > s->counter;

    *ret_old = known && row->counter < s->counter;
    if (!known) /* in the place of the one that has stood still for longer */
        s = &p->beacon[p->beacon[1].ms < p->beacon[0].ms];
    if (!known || grew)
        *s = (struct beacon_seen){who, row->counter, now, grew ? s->aged_ms : 0};
    return grew ? s : NULL;
}

/* The writer made it when its last one with an age was there, which was after the question before
 * the one that showed that: at a master. At a replica it may have been there much earlier. */
static void take_age(const struct feed *f, struct plog *p, const struct beacon_row *row,
                     struct beacon_seen *s)
{
    uint64_t before = s->aged_ms;

    if (row->age_ms == BEACON_AGE_UNKNOWN)
        return;
    s->aged_ms = feed_is_at_master(f) ? f->beacon_before_ms : 0;
    if (s->aged_ms && before > row->age_ms && before - row->age_ms > atomic_load(&p->end_ms))
        atomic_store(&p->end_ms, before - row->age_ms);
}

/* A row is as old as the question: an answer may be late. */
static void take_row(struct feed *f, struct plog *p, const struct beacon_row *row)
{
    bool is_old;
    struct beacon_seen *moved = row_moved(p, row, &is_old);
    enum beacon_state state = row->state;

    if (is_old)
        return;
    /* What a replica lacks comes late, as in a rebuild, and is no more news than that. */
    if (feed_replica_lacks(f, p, row->last) && state == BEACON_LIVE)
        state = BEACON_REBUILD;
    if (row->last > p->appended)
        p->appended = row->last;
    if (state != BEACON_STALLED)
        feed_tail_look(f, p, row->last);
    if (row->low > atomic_load(&p->kafka_low))
        atomic_store(&p->kafka_low, row->low);
    if (row->end > atomic_load(&p->kafka_end))
        atomic_store(&p->kafka_end, row->end);
    atomic_store(&p->beacon_state, state);
    if (!moved)
        return;
    take_age(f, p, row, moved);
    atomic_store(&p->beacon_ms, f->beacon_asked_ms);
}

static void on_beacon(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct feed *f = arg;

    (void)c;
    f->beacon_asked = false;
    if (!r || redis_type(r) != REDIS_T_ARRAY)
        return;
    for (size_t i = 0; i + 1 < redis_len(r); i += 2) {
        struct beacon_row row;
        struct plog *p;
        if (beacon_parse(redis_str(redis_at(r, i)), redis_str(redis_at(r, i + 1)), &row) != 0)
            continue; /* a worker's row, or one from another version */
        p = plog_of_row(f, &row);
        if (p)
            take_row(f, p, &row);
    }
    f->beacon_before_ms = f->beacon_asked_ms;
}

void feed_beacon_poll(struct feed *f)
{
    if (f->beacon_asked || f->ticks % 3 || !feed_link_is_up(&f->control))
        return;
    f->beacon_asked = true;
    f->beacon_asked_ms = clock_mono_ms();
    feed_ask_role(f); /* whose rows they are: take_age() */
    redis_cmd(f->control.conn, on_beacon, f, 2,
              (struct slice[]){SLICE("HGETALL"), SLICE(KEY_BEACON)});
}
