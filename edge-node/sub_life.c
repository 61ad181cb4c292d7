/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sub_life.c: how subscriptions are made, found and ended, and what each has while it isn't live.
 * See sub.h.
 */
#include <stdlib.h>

#include "edge-node/edge_metric.h"
#include "edge-node/sub.h"

#define SPARE_MAX 1024 /* 200 KiB a shard */

/* Most live for a turn. Kept, they leave no holes between what stays. */
static struct pull *pull_new(struct hub *h)
{
    struct pull *pull = list_first(&h->spare, struct pull, w.node);

    if (!pull)
        return mem_zalloc(sizeof(*pull));
    list_del(&pull->w.node);
    h->spare_count--;
    memset(pull, 0, sizeof(*pull));
    return pull;
}

static void pull_free(struct hub *h, struct pull *pull)
{
    waiter_drop(&pull->w);
    buf_done(&pull->first);
    free(pull->find);
    if (h->spare_count == SPARE_MAX) {
        free(pull);
        return;
    }
    list_add_tail(&h->spare, &pull->w.node);
    h->spare_count++;
}

void subs_done(struct hub *h)
{
    struct pull *pull, *tmp;

    list_for_each_safe(pull, tmp, &h->spare, w.node)
        free(pull);
    list_init(&h->spare);
    h->spare_count = 0;
}

static void pull_begin(struct sub *sub)
{
    struct pull *pull = pull_new(sub->s->h);

    pull->sub = sub;
    waiter_init(&pull->w, sub->s, sub->ch);
    pull->w.try_now = sub_try;
    pull->w.expire = sub_expire;
    sub->pull = pull;
}

void sub_caught_up(struct sub *sub)
{
    pull_free(sub->s->h, sub->pull);
    sub->pull = NULL;
}

void sub_behind(struct sub *sub, uint64_t pos)
{
    hub_unlive(sub);
    pull_begin(sub);
    sub->pull->pos = pos;
    sub->pull->behind = true;
}

void sub_new(struct session *s, struct channel *ch, uint32_t cmd_id, const struct cursor *cursor,
             int64_t exp_s, bool server)
{
    struct sub *sub = mem_zalloc(sizeof(*sub));
    struct pull *pull;

    sub->s = s;
    sub->ch = ch;
    sub->exp_s = exp_s;
    sub->server = server;
    list_add_tail(&s->subs, &sub->in_session);
    s->sub_count++;
    pull_begin(sub);
    pull = sub->pull;
    pull->cmd_id = cmd_id;
    pull->recover = cursor->recover;
    pull->pos = pull->asked = cursor->offset;
    pull->foreign = cursor->epoch.n != LOG_ID_LEN;
    if (!pull->foreign)
        memcpy(pull->epoch, cursor->epoch.p, LOG_ID_LEN);
    METRIC_ADD(subscriptions, 1);
    METRIC_ADD(lagging, 1);
    waiter_owed(&pull->w);
}

/* Of the two, the channel's subscribers and the session's subscriptions, the fewer are looked
 * through; the former are all there are if nobody is behind. */
struct sub *sub_find(const struct session *s, struct slice channel)
{
    const struct channel *ch = hub_channel_find(s->h, channel);
    struct sub *sub;

    if (!ch)
        return NULL;
    if (ch->live == ch->sub_count && ch->live <= s->sub_count) {
        for (uint32_t i = 0; i < ch->live; i++)
            if (ch->slots[i].s == s)
                return ch->slots[i].sub;
        return NULL;
    }
    list_for_each(sub, &s->subs, in_session)
        if (sub->ch == ch)
            return sub;
    return NULL;
}

void sub_free(struct sub *sub)
{
    if (sub->live)
        hub_unlive(sub);
    if (sub->pull)
        sub_caught_up(sub);
    list_del(&sub->in_session);
    sub->s->sub_count--;
    hub_channel_unref(sub->ch);
    free(sub);
    METRIC_ADD(subscriptions, -1);
    METRIC_ADD(lagging, -1);
}
