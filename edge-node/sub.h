/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sub.h: one subscription of one session: from the subscribe command to the last push.
 *
 *   waits ──► answered (first page in the reply) ──► pulls ──► live ──► pulls (slow) ──► live …
 *
 * The position only grows. Going live happens within one turn, when everything up to the tail's
 * cursor was sent; so nothing is lost, doubled or out of order. @thread shard
 */
#pragma once

#include "edge-node/session.h"

/* What a subscription needs only until it is live, and when it fell behind. */
struct pull {
    struct waiter w;
    struct sub *sub;
    uint64_t pos;      /* everything up to here was sent */
    uint64_t stuck_ms; /* since when it waits for older records; 0: it got some */
    uint64_t asked;    /* its cursor */
    uint64_t told_at;  /* server-side: the offset to tell in the connect reply */
    uint64_t gap_from; /* has_gap: what lies between this and that offset may be missing */
    uint32_t cmd_id;
    bool recover, foreign; /* as asked; foreign: its epoch can't be this log's */
    bool told;             /* server-side result: recovered */
    bool has_gap;
    bool behind; /* has been live, and fell behind */
    bool looked; /* up in the last-position index, since it was last live */
    char epoch[LOG_ID_LEN + 1];
    struct buf first;     /* publications for the reply */
    struct finding *find; /* history latest: what was looked through; NULL: it is over */
};

/* A million of these are live at a time: what isn't needed then is `pull`'s. */
struct sub {
    struct session *s;
    struct channel *ch;
    struct pull *pull;      /* NULL exactly while live */
    struct list in_session; /* session->subs */
    int64_t exp_s;          /* of its token; 0: never */
    uint32_t slot;          /* index in ch->slots while live */
    bool live, answered, server;
};

/* The session has checked name, limits and permission. cursor may be all zero. */
void sub_new(struct session *s, struct channel *ch, uint32_t cmd_id, const struct cursor *cursor,
             int64_t exp_s, bool server);
struct sub *sub_find(const struct session *s, struct slice channel);
/* Ends it without a word. */
void sub_free(struct sub *sub);
/* Its records can't be had any more, or its log is gone: tells the client, then ends it. */
void sub_gap(struct sub *sub, const struct proto_gap *gap);
/* It is live now: `pull` goes. For hub_live(). */
void sub_caught_up(struct sub *sub);
/* A live one fell behind at pos; the caller moves it to where it waits. */
void sub_behind(struct sub *sub, uint64_t pos);
/* The same, as its client can take no more: it waits for that, by its namespace's slow_clients. */
void sub_lag(struct sub *sub, uint64_t pos);
/* An answered subscription goes on: to the plog's end and live, or until something is missing. */
void sub_pull(struct sub *sub);
/* history latest, not answered yet: looks for the channel's latest record behind the cursor. 1: it
 * is in `first`, or, where the reply has no room for it, the next one behind pull->pos; 0: there is
 * none; -EAGAIN: it waits; -ENOENT: it may have been among what nobody has any more. Otherwise
 * pull->pos is as far as it looked. @turn */
int sub_find_latest(struct sub *sub) _must_check_;
/* Its time is up before that: what was found stays, sub_pull() goes on from pull->pos. */
void sub_stop_finding(struct sub *sub);
static inline bool sub_wants_latest(const struct sub *sub)
{
    return sub->pull->recover && sub->ch->ns->conf->history == NS_HISTORY_LATEST;
}
/* What of r fits into the reply; pull->pos moves. */
void sub_first_page(struct sub *sub, const struct records *r);
/* Of its waiter. @turn */
void sub_try(struct hub *h, struct waiter *w);
void sub_expire(struct hub *h, struct waiter *w);
void subs_done(struct hub *h); /* the hub ends, its sessions are gone */
/* For the connect reply. */
void sub_result(const struct sub *sub, struct buf *subs);
/* It is out: the subscriptions that waited for it go on. */
void sub_release_held(struct session *s);
