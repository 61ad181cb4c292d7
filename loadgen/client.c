/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.c: one client's protocol, as the SDKs do it. connect and all subscribes go in one frame; a
 * lost connection is opened again on the next edge with back-off and jitter, and each subscription
 * resumes with its cursor. What it got goes to the delivery log. See crew.h.
 *
 * Command ids: 1 is connect, 2 + j subscribes to the client's j-th channel.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/base/clock.h"

#include "loadgen/crew.h"
#include "loadgen/reply.h"

#define MS          ((uint64_t)1000000)
#define FRAME_TEXT  60000 /* commands of one frame: edges take 64 KiB */
#define RETRY_MS    300
#define BACKOFF_MS  100
#define BACKOFF_MAX 5000

static void log_row(struct client *c, const struct sub *s, enum dlog_type type, uint64_t pos,
                    uint32_t digest)
{
    struct dlog_row row = {c->id, s->channel, pos, digest, type};
    if (fwrite_unlocked(&row, sizeof row, 1, c->crew->log) != 1)
        c->crew->log_failed = true;
}

static struct slice name_of(const struct client *c, const struct sub *s)
{
    return slice_of(c->crew->names[s->channel]);
}

static struct sub *sub_of(struct client *c, struct slice escaped)
{
    struct crew *cr = c->crew;
    char plain[1024];
    struct slice name = escaped;
    if (memchr(escaped.p, '\\', escaped.n)) {
        int n = reply_unescape(escaped, plain, sizeof plain);
        if (n < 0)
            return NULL;
        name = (struct slice){plain, (size_t)n};
    }
    size_t i = dlog_digest(name.p, name.n) & cr->slot_mask;
    while (cr->slots[i] && !slice_eq(slice_of(cr->names[cr->slots[i] - 1]), name))
        i = (i + 1) & cr->slot_mask;
    for (uint32_t j = 0; cr->slots[i] && j < cr->st->subscriptions; j++)
        if (c->subs[j].channel == cr->slots[i] - 1)
            return &c->subs[j];
    return NULL;
}

static void subscribe_print(struct client *c, uint32_t j, struct buf *out)
{
    const struct sub *s = &c->subs[j];
    buf_printf(out, "{\"id\":%u,\"subscribe\":{\"channel\":", 2 + j);
    buf_json_string(out, name_of(c, s));
    if (s->begun) {
        buf_lit(out, ",\"recover\":true,\"offset\":");
        buf_u64(out, s->cursor);
        buf_lit(out, ",\"epoch\":");
        buf_json_string(out, slice_of(c->crew->epochs[s->epoch]));
    }
    buf_lit(out, "}}");
}

/* Asks for every subscription that is idle; `first`: with the connect command in front. */
static int ask(struct client *c, bool first)
{
    struct crew *cr = c->crew;
    struct buf *out = &cr->text;
    int r = 0;
    buf_clear(out);
    if (first) {
        buf_lit(out, "{\"id\":1,\"connect\":{\"name\":\"loadgen\"");
        if (cr->st->conf.token[0]) {
            buf_lit(out, ",\"token\":");
            buf_json_string(out, slice_of(cr->st->conf.token));
        }
        buf_lit(out, "}}");
    }
    for (uint32_t j = 0; j < cr->st->subscriptions && r == 0; j++) {
        if (c->subs[j].state != SUB_IDLE)
            continue;
        c->subs[j].state = SUB_ASKED;
        if (out->n)
            buf_byte(out, '\n');
        subscribe_print(c, j, out);
        if (out->n > FRAME_TEXT) {
            r = conn_send(c, buf_as_slice(out));
            buf_clear(out);
        }
    }
    if (out->n && r == 0)
        r = conn_send(c, buf_as_slice(out));
    return r;
}

void client_on_open(struct client *c)
{
    c->up = false;
    c->told = false;
    c->resuming = true;
    for (uint32_t j = 0; j < c->crew->st->subscriptions; j++) {
        if (c->subs[j].state != SUB_REFUSED)
            c->subs[j].state = SUB_IDLE;
        if (!c->subs[j].begun)
            c->resuming = false;
    }
    if (ask(c, true))
        crew_wait(c, 0); /* the due time finds it unusable and opens a new one */
}

/* Forgets one record on purpose: the oracle must see that it is missing. */
static bool drops(struct crew *cr)
{
    if (!cr->st->conf.drop_one || cr->index != 0 || stat_get(&cr->stats->dropped_one))
        return false;
    stat_add(&cr->stats->dropped_one, 1);
    return true;
}

static void deliver(struct client *c, struct sub *s, const struct pub *pub, uint64_t now_ns)
{
    struct crew *cr = c->crew;
    s->cursor = pub->offset;
    stat_add(&cr->stats->deliveries, 1);
    if (drops(cr))
        return;
    if (pub->marker) {
        log_row(c, s, DLOG_MARKER, pub->offset, 0);
        return;
    }
    log_row(c, s, DLOG_DELIVERED, pub->offset, dlog_digest(pub->data.p, pub->data.n));
    uint64_t due = payload_number(pub->data, SLICE("\"t\":"));
    if (!c->slow && !c->old && due >= stat_get(&cr->sh->measure_from) &&
        due < stat_get(&cr->sh->measure_to))
        hist_add(&cr->stats->latency_ns, now_ns > due ? now_ns - due : 0);
}

static int on_connect(struct client *c, const struct reply *rp, uint64_t now_ns)
{
    struct crew_stats *stats = c->crew->stats;
    c->up = true;
    c->attempts = 0;
    c->ping_s = rp->ping_s;
    c->pong = rp->pong;
    stat_add(&stats->connected, 1);
    stat_add(&stats->connects, 1);
    stat_add(&stats->edges[c->edge].clients, 1);
    hist_add(&stats->connect_ns, now_ns - c->started_ns);
    return 0;
}

static int epoch_of(struct crew *cr, struct slice epoch, uint8_t *ret)
{
    if (epoch.n > EPOCH_MAX || memchr(epoch.p, '\\', epoch.n))
        return -EBADMSG;
    for (uint32_t i = 0; i < cr->epoch_count; i++) {
        if (slice_eq(slice_of(cr->epochs[i]), epoch)) {
            *ret = (uint8_t)i;
            return 0;
        }
    }
    if (cr->epoch_count == ARRAY_LEN(cr->epochs))
        return -EBADMSG;
    memcpy(cr->epochs[cr->epoch_count], epoch.p, epoch.n);
    cr->epochs[cr->epoch_count][epoch.n] = 0;
    *ret = (uint8_t)cr->epoch_count++;
    return 0;
}

/* When the last subscription of a connection that resumes is live: did it all recover? */
static void resume_check(struct client *c, uint64_t now_ns)
{
    struct crew_stats *stats = c->crew->stats;
    if (!c->resuming)
        return;
    for (uint32_t j = 0; j < c->crew->st->subscriptions; j++)
        if (c->subs[j].state != SUB_LIVE)
            return;
    c->resuming = false;
    stat_add(c->told ? &stats->told_clients : &stats->resumed, 1);
    if (!c->told && !c->slow && !c->old)
        hist_add(&stats->resume_ns, now_ns - c->started_ns);
    if (c->was_lost && !c->told)
        stat_add(&stats->edges[c->lost_edge].resumed, 1);
    c->was_lost = false;
}

static int on_subscribe(struct client *c, struct sub *s, const struct reply *rp, uint64_t now_ns)
{
    uint8_t epoch = 0;
    if (!rp->recoverable || epoch_of(c->crew, rp->epoch, &epoch))
        return -EBADMSG;
    if (!s->begun) {
        s->cursor = s->first = rp->offset;
        log_row(c, s, DLOG_SUBSCRIBED, rp->offset, 0);
        stat_add(&c->crew->stats->begun, 1);
    } else if (rp->recovered && epoch == s->epoch) {
        log_row(c, s, DLOG_RESUMED, s->cursor, 0);
    } else {
        c->told = true;
        s->cursor = s->first = rp->offset;
        log_row(c, s, DLOG_TOLD, rp->offset, 0);
    }
    s->begun = true;
    s->epoch = epoch;
    s->state = SUB_LIVE;
    struct slice list = rp->publications;
    struct pub pub;
    int r = 0;
    while (list.n && (r = pub_take(&list, &pub)) == 0)
        deliver(c, s, &pub, now_ns);
    if (r)
        return r;
    resume_check(c, now_ns);
    return 0;
}

static bool is_temporary(uint32_t error)
{
    return error == 100 || error == 111;
}

static int on_error(struct client *c, const struct reply *rp)
{
    struct crew_stats *stats = c->crew->stats;
    stat_set(&stats->last_error, rp->code);
    if (rp->id < 2 || rp->id - 2 >= c->crew->st->subscriptions) {
        stat_add(&stats->refused, !is_temporary(rp->code));
        return -ECONNABORTED;
    }
    struct sub *s = &c->subs[rp->id - 2];
    if (is_temporary(rp->code)) {
        s->state = SUB_IDLE;
        crew_wait(c, (RETRY_MS + crew_random(c->crew) % RETRY_MS) * MS);
        return 0;
    }
    s->state = SUB_REFUSED;
    stat_add(&stats->refused, 1);
    if (s->begun)
        log_row(c, s, DLOG_ENDED, s->cursor, 0);
    return 0;
}

static int on_unsubscribed(struct client *c, const struct reply *rp)
{
    struct sub *s = sub_of(c, rp->channel);
    if (!s)
        return -EBADMSG;
    if (rp->code >= 2500) {
        s->state = SUB_IDLE; /* with its cursor; the reply tells what became of it */
        stat_add(&c->crew->stats->resubscribed, 1);
        return ask(c, false);
    }
    s->state = SUB_REFUSED;
    stat_add(&c->crew->stats->refused, 1);
    log_row(c, s, DLOG_ENDED, s->cursor, 0);
    return 0;
}

static int on_reply(struct client *c, const struct reply *rp, uint64_t now_ns)
{
    struct sub *s;
    switch (rp->kind) {
    case REPLY_PUB:
        s = sub_of(c, rp->channel);
        if (!s || s->state != SUB_LIVE)
            return -EBADMSG; /* its reply must precede a channel's pushes */
        deliver(c, s, &rp->pub, now_ns);
        return 0;
    case REPLY_PING:
        return c->pong ? conn_send(c, SLICE("{}")) : 0;
    case REPLY_CONNECT:
        return rp->id == 1 && !c->up ? on_connect(c, rp, now_ns) : -EBADMSG;
    case REPLY_SUBSCRIBE:
        if (rp->id < 2 || rp->id - 2 >= c->crew->st->subscriptions ||
            c->subs[rp->id - 2].state != SUB_ASKED)
            return -EBADMSG;
        return on_subscribe(c, &c->subs[rp->id - 2], rp, now_ns);
    case REPLY_ERROR:
        return on_error(c, rp);
    case REPLY_UNSUBSCRIBED:
        return on_unsubscribed(c, rp);
    case REPLY_DISCONNECT:
        return -ECONNRESET;
    case REPLY_OTHER:
        return 0;
    }
    return 0;
}

int client_on_text(struct client *c, struct slice text, uint64_t now_ns)
{
    struct reply rp;
    int r;
    if (text.n == 0)
        return -EBADMSG;
    while ((r = reply_take(&text, &rp)) == 0) {
        r = on_reply(c, &rp, now_ns);
        if (r || c->state != CONN_OPEN)
            return r;
    }
    return r == -ENOENT ? 0 : r;
}

static void went_down(struct client *c)
{
    uint64_t less = (uint64_t) - (int)c->up;
    stat_add(&c->crew->stats->connected, less);
    stat_add(&c->crew->stats->edges[c->edge].clients, less);
    c->up = false;
}

static bool may_reconnect(unsigned code)
{
    return code < 3500 || (code >= 4000 && code < 4500);
}

static void reconnect_later(struct client *c)
{
    uint64_t base = (uint64_t)BACKOFF_MS << (c->attempts < 6 ? c->attempts : 6);
    if (base > BACKOFF_MAX)
        base = BACKOFF_MAX;
    c->attempts++;
    /* with `place` any edge knows which one it shall be */
    uint64_t next = c->crew->st->conf.place ? crew_random(c->crew) : c->edge + 1u;
    c->edge = (uint8_t)(next % c->crew->st->edge_count);
    crew_wait(c, (base / 2 + crew_random(c->crew) % base) * MS);
}

void client_on_lost(struct client *c, unsigned code)
{
    struct crew_stats *stats = c->crew->stats;
    if (c->up) {
        stat_add(&stats->lost, 1);
        stat_add(&stats->edges[c->edge].lost, 1);
        c->lost_edge = c->edge;
        c->was_lost = true;
    } else {
        stat_add(&stats->connect_errors, 1);
    }
    went_down(c);
    if (!may_reconnect(code)) {
        stat_add(&stats->refused, 1);
        stat_set(&stats->last_error, code);
        c->state = CONN_FINAL;
        return;
    }
    reconnect_later(c);
}

static void rewind_all(struct client *c)
{
    for (uint32_t j = 0; j < c->crew->st->subscriptions; j++) {
        struct sub *s = &c->subs[j];
        s->cursor = s->first;
        if (s->begun && s->state != SUB_REFUSED)
            log_row(c, s, DLOG_REWOUND, s->first, 0);
    }
}

void client_cut(struct client *c)
{
    if (c->state != CONN_OPEN || !c->up)
        return;
    stat_add(&c->crew->stats->cut, 1);
    if (c->old)
        rewind_all(c);
    stat_add(&c->crew->stats->rewound, c->old);
    conn_close(c);
    went_down(c);
    reconnect_later(c);
}

void client_on_due(struct client *c)
{
    if (c->state == CONN_NONE) {
        conn_open(c);
        return;
    }
    if (c->state == CONN_OPEN && ask(c, !c->up) == 0)
        return;
    conn_close(c);
    client_on_lost(c, 1006);
}

uint64_t client_behind(const struct client *c, const uint64_t *ends)
{
    uint64_t n = 0;
    for (uint32_t j = 0; j < c->crew->st->subscriptions; j++) {
        const struct sub *s = &c->subs[j];
        n += s->begun && s->state != SUB_REFUSED && s->cursor < ends[s->channel];
    }
    return n;
}
