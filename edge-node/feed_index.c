/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_index.c: lookups in the last-position indexes: did a channel move since that cursor?
 *
 * For all that is asked of a partition while the last lookup was on its way one HMGET goes out; one
 * more for the old index, where a cursor is older than the new one. What Redis refuses proves
 * nothing; what it doesn't answer is asked again by who waits.
 */
#include <errno.h>
#include <stdlib.h>

#include "edge-node/feed_impl.h"
#include "edge-node/index.h"

struct lookup {
    struct feed *f;
    struct plog *p;
    struct index_set *set;
    bool old;
};

/* ---- shards ---- */

int feed_index(struct feed *f, struct plog *p, const struct channel_key *key, uint64_t pos,
               uint64_t *ret)
{
    if (index_answered(p->index, key, pos, ret))
        return 0;
    (void)f;
    index_ask(p->index, key, pos);
    return -EAGAIN;
}

void feed_look_up(struct feed *f, struct plog *p)
{
    feed_ring(f, p);
}

/* ---- feed ---- */

static void done(struct lookup *x)
{
    struct feed *f = x->f;
    struct plog *p = x->p;

    p->bytes += x->set->bytes;
    index_publish(p->index, x->set, clock_mono_ms());
    p->lookups--;
    free(x);
    feed_index_tidy(f, p);
    feed_signal(f, p);
    feed_index_serve(f, p);
}

static void ask(struct lookup *x);

static void take(struct lookup *x, const struct redis_reply *r)
{
    struct index_set *set = x->set;
    struct index_says *says = x->old ? &set->old : &set->now;

    if (redis_type(r) != REDIS_T_ARRAY || redis_len(r) != set->n + 1)
        return; /* no right to ask, or not a hash: it proves nothing */
    for (uint32_t i = 0; i < set->n; i++) {
        const struct redis_reply *at = redis_at(r, i + 1);
        uint64_t last = redis_type(at) == REDIS_T_NIL ? 0 : index_last(redis_str(at));

        *(x->old ? &set->v[i]->old_last : &set->v[i]->last) = last;
    }
    (void)index_take_range(says, redis_str(redis_at(r, 0)));
}

static void on_reply(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct lookup *x = arg;

    (void)c;
    if (!r) {
        index_give_up(x->p->index, x->set);
        x->p->lookups--;
        free(x);
        return;
    }
    x->p->store->history.tries = 0;
    take(x, r);
    if (!x->old && x->set->now.is_there && x->set->now.since > x->set->lowest &&
        feed_link_is_up(&x->p->store->history)) { /* it may have moved */
        x->old = true;
        ask(x);
        return;
    }
    done(x);
}

static void ask(struct lookup *x)
{
    const struct index_set *set = x->set;
    const struct plog *p = x->p;
    struct slice argv[INDEX_CHANNELS + 3] = {SLICE("HMGET")};
    char key[KEY_MAX];

    argv[1].p = key;
    argv[1].n = (x->old ? key_index_old : key_index)(key, p->log, p->partition);
    argv[2] = SLICE(INDEX_RANGE_FIELD);
    for (uint32_t i = 0; i < set->n; i++)
        argv[3 + i] = (struct slice){set->v[i]->name, set->v[i]->n};
    METRIC_ADD(index_lookups, 1);
    redis_cmd(x->p->store->history.conn, on_reply, x, (int)set->n + 3, argv);
}

void feed_index_serve(struct feed *f, struct plog *p)
{
    struct index_set *set;
    struct lookup *x;

    if (!feed_link_is_up(&p->store->history) || !(set = index_take(p->index)))
        return;
    METRIC_ADD(index_channels, set->n);
    p->lookups++; /* keeps the plog */
    x = mem_alloc(sizeof(*x));
    *x = (struct lookup){.f = f, .p = p, .set = set};
    ask(x);
}

void feed_index_tidy(struct feed *f, struct plog *p)
{
    uint64_t now = clock_mono_ms();
    size_t n;

    while ((n = index_evict(p->index, now, f->turns)))
        p->bytes -= n;
    feed_count_bytes(f, p);
}
