/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_sentinel.c: the Sentinels of a sentinel:// URL: where is the master now, or a replica?
 *
 * All of them are asked at once, and the answer with the highest configuration epoch counts: that
 * is how Sentinels themselves tell the newer of two views, so one that was cut off and still names
 * a deposed master loses to any that knows better. Who doesn't answer within ANSWER_MS is not
 * waited for if another did. A Sentinel's connection is kept for the next question.
 *
 * Two users: a connection asks once on its way up (redis_connect.c), a watch all the time
 * (redis_watch.c). @thread of the loop
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/io/redis_impl.h"

#define ANSWER_MS  250
#define CONNECT_MS 1000
#define REPLY_MS   1000

struct sentinel {
    struct sentinels *ss;
    struct redis_conn *conn; /* NULL: not connected */
    struct redis_address where;
    bool asked;           /* it has neither answered nor gone */
    bool answered, knows; /* the last question; knows: `master` is the master */
    int64_t epoch;
    struct redis_address master;
    struct redis_address replica; /* in step; host "": it knows none, or wasn't asked */
    uint64_t score;               /* that one's */
    char why[160];                /* it didn't answer */
};

struct sentinels {
    struct ev_loop *loop;
    char *name, *user, *password;
    sentinels_fn *fn;
    void *arg;
    bool replicas;     /* one of them is asked for */
    ev_timer patience; /* runs while a question is open */
    size_t count;
    struct sentinel v[];
};

/* ---- an answer ---- */

static void take_replica(const struct sentinels *ss, const struct sentinel *s,
                         struct sentinels_say *ret)
{
    ret->at = s->replica;
    if (s->replica.host[0])
        return;
    ret->err = -ENXIO;
    snprintf(ret->why, sizeof(ret->why), "the Sentinels know no replica of \"%s\" that is in step",
             ss->name);
}

static void judge(const struct sentinels *ss, struct sentinels_say *ret)
{
    const struct sentinel *best = NULL, *silent = NULL;
    size_t answered = 0, knowing = 0;

    *ret = (struct sentinels_say){.err = 0};
    for (const struct sentinel *s = ss->v; s < ss->v + ss->count; s++) {
        answered += s->answered;
        knowing += s->answered && s->knows;
        if (s->answered && s->knows && (!best || s->epoch > best->epoch))
            best = s;
        if (!s->answered && s->why[0] && !silent)
            silent = s;
    }
    if (best) {
        ret->at = best->master;
        ret->epoch = best->epoch;
        ret->by_most = knowing * 2 > ss->count;
        if (ss->replicas)
            take_replica(ss, best, ret);
    } else if (answered) {
        ret->err = -ENOENT;
        snprintf(ret->why, sizeof(ret->why),
                 "the Sentinels know no master called \"%s\": end the URL with the name in their "
                 "\"sentinel monitor\" line",
                 ss->name);
    } else {
        ret->err = -EHOSTUNREACH;
        snprintf(ret->why, sizeof(ret->why), "no Sentinel answers (%s)",
                 silent ? silent->why : "in time");
    }
}

/* Tells if it can be told. The listener may free ss. */
static void settle(struct sentinels *ss, bool impatient)
{
    struct sentinels_say says;
    size_t asked = 0, answered = 0;

    if (!ev_is_active(&ss->patience))
        return;
    for (const struct sentinel *s = ss->v; s < ss->v + ss->count; s++) {
        asked += s->asked;
        answered += s->answered;
    }
    if (asked && !(impatient && answered))
        return;
    ev_timer_stop(ss->loop, &ss->patience);
    judge(ss, &says);
    ss->fn(ss->arg, &says);
}

static void on_patience(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)events;
    settle(w->data, true);
}

/* ---- one Sentinel ---- */

static bool take_address(struct slice host, int64_t port, struct redis_address *ret)
{
    if (host.n == 0 || host.n >= sizeof(ret->host) || port < 1 || port > 65535)
        return false;
    memcpy(ret->host, host.p, host.n);
    ret->host[host.n] = '\0';
    ret->port = (int)port;
    return true;
}

static void on_address(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct sentinel *s = arg;
    struct slice host, text;
    int64_t port;

    (void)c;
    if (!r)
        return; /* on_down follows */
    s->answered = redis_type(r) == REDIS_T_NIL;
    if (redis_type(r) == REDIS_T_ERROR) {
        text = redis_str(r);
        snprintf(s->why, sizeof(s->why), "%.*s", text.n < 120 ? (int)text.n : 120, text.p);
    }
    if (redis_len(r) != 2)
        return;
    host = redis_str(redis_at(r, 0));
    port = redis_int(redis_at(r, 1));
    s->answered = s->knows = take_address(host, port, &s->master);
}

/* Who isn't allowed to ask for the epoch goes by the first answer. */
static void on_facts(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct sentinel *s = arg;

    (void)c;
    if (!r)
        return;
    for (size_t i = 0; i + 1 < redis_len(r); i += 2)
        if (slice_eq(redis_str(redis_at(r, i)), SLICE("config-epoch")))
            s->epoch = redis_int(redis_at(r, i + 1));
    if (s->ss->replicas)
        return; /* on_replicas() is the last */
    s->asked = false;
    settle(s->ss, false);
}

/* One row of SENTINEL REPLICAS. Of those in step each process has its own favourite: that spreads
 * them, and all of its connections lead to one. */
static void consider(struct sentinel *s, const struct redis_reply *r)
{
    struct slice host = {NULL, 0}, flags = {NULL, 0}, link = {NULL, 0};
    struct redis_address at;
    int64_t port = 0;
    uint64_t score;

    for (size_t i = 0; i + 1 < redis_len(r); i += 2) {
        struct slice name = redis_str(redis_at(r, i)), value = redis_str(redis_at(r, i + 1));

        if (slice_eq(name, SLICE("ip")))
            host = value;
        else if (slice_eq(name, SLICE("port")))
            port = redis_int(redis_at(r, i + 1));
        else if (slice_eq(name, SLICE("flags")))
            flags = value;
        else if (slice_eq(name, SLICE("master-link-status")))
            link = value;
    }
    /* Down, or disconnected: there are more words than that. */
    if (!slice_eq(flags, SLICE("slave")) || !slice_eq(link, SLICE("ok")) ||
        !take_address(host, port, &at))
        return;
    score = hash_u64(hash_bytes(host.p, host.n) ^ (uint64_t)port);
    if (s->replica.host[0] && score <= s->score)
        return;
    s->replica = at;
    s->score = score;
}

static void on_replicas(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct sentinel *s = arg;

    (void)c;
    if (!r)
        return;
    for (size_t i = 0; i < redis_len(r); i++)
        consider(s, redis_at(r, i));
    s->asked = false;
    settle(s->ss, false);
}

static void question(struct sentinel *s)
{
    struct slice name = slice_of(s->ss->name);

    s->epoch = 0;
    s->replica.host[0] = '\0';
    redis_cmd(s->conn, on_address, s, 3,
              (struct slice[]){SLICE("SENTINEL"), SLICE("GET-MASTER-ADDR-BY-NAME"), name});
    redis_cmd(s->conn, on_facts, s, 3, (struct slice[]){SLICE("SENTINEL"), SLICE("MASTER"), name});
    if (s->ss->replicas)
        redis_cmd(s->conn, on_replicas, s, 3,
                  (struct slice[]){SLICE("SENTINEL"), SLICE("REPLICAS"), name});
}

static void on_up(struct redis_conn *c, void *arg)
{
    (void)c;
    question(arg);
}

static void on_down(struct redis_conn *c, int err, const char *why, void *arg)
{
    struct sentinel *s = arg;

    (void)err;
    snprintf(s->why, sizeof(s->why), "%s", why);
    s->asked = s->answered = false;
    s->conn = NULL;
    redis_conn_free(c);
    settle(s->ss, false);
}

static void ask_one(struct sentinel *s)
{
    static const struct redis_ops ops = {.on_up = on_up, .on_down = on_down};
    struct sentinels *ss = s->ss;
    const struct redis_opts opts = {
        .password = ss->password, .connect_ms = CONNECT_MS, .reply_ms = REPLY_MS};
    struct redis_url url = {.at = s->where};

    if (s->asked)
        return; /* it hasn't answered the last question */
    s->asked = true;
    s->answered = s->knows = false;
    s->why[0] = '\0';
    if (s->conn) {
        question(s);
        return;
    }
    if (ss->user)
        url.user = mem_strdup(ss->user);
    s->conn = conn_new(ss->loop, &url, &opts, &ops, s);
}

/* ---- all of them ---- */

static char *copy(const char *text)
{
    return text && text[0] ? mem_strdup(text) : NULL;
}

struct sentinels *sentinels_new(struct ev_loop *loop, const struct redis_url *url,
                                const struct redis_opts *opts, sentinels_fn *fn, void *arg)
{
    size_t n = url->sentinel_count;
    struct sentinels *ss = mem_zalloc(sizeof(*ss) + n * sizeof(ss->v[0]));

    ss->loop = loop;
    ss->name = mem_strdup(url->master);
    ss->user = copy(opts->sentinel_user);
    ss->password = copy(opts->sentinel_password);
    ss->fn = fn;
    ss->arg = arg;
    ss->count = n;
    ss->replicas = opts->role == REDIS_REPLICA;
    for (size_t i = 0; i < n; i++)
        ss->v[i] = (struct sentinel){.ss = ss, .where = url->sentinels[i]};
    ev_timer_init(&ss->patience, on_patience, 0., ANSWER_MS / 1000.);
    ss->patience.data = ss;
    return ss;
}

void sentinels_ask(struct sentinels *ss)
{
    if (ev_is_active(&ss->patience))
        return;
    ev_timer_again(ss->loop, &ss->patience);
    for (struct sentinel *s = ss->v; s < ss->v + ss->count; s++)
        ask_one(s);
}

void sentinels_free(struct sentinels *ss)
{
    if (!ss)
        return;
    ev_timer_stop(ss->loop, &ss->patience);
    for (struct sentinel *s = ss->v; s < ss->v + ss->count; s++)
        redis_conn_free(s->conn);
    if (ss->password)
        explicit_bzero(ss->password, strlen(ss->password));
    free(ss->password);
    free(ss->user);
    free(ss->name);
    free(ss);
}
