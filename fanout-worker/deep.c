/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deep.c: takes wants, checks the log, publishes; deep.h says what for.
 *
 *   BLPOP ff:want ──► SET …:want XX (still wanted?) ──► last position and fingerprint ──►
 *   overlap check ──► read and publish a row of segments ──► BLPOP …
 *
 * One want at a time: each reply leads to the next step. What can't be answered is left: the edge's
 * want ends by itself, and the edge asks again. @thread history
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/runtime/log.h"

#include "fanout-worker/deep_impl.h"
#include "fanout-worker/worker_conf.h"
#include "fanout-worker/worker_metric.h"

#define PAUSE_MAX          1.0
#define REPLY_MS           5000
#define WANT_TTL_MS        "4000" /* longer than a row takes */
#define FAILED_S           0.5
#define CHECK_FOR_MS       1000  /* one overlap check is good for */
#define GRACE_MS           "500" /* so long a segment stays: who wanted it looks every few ms */
#define ROWS_AHEAD         4     /* whoever reads on wants them next; within SEGMENT_ROW_BYTES */

#define COUNT(d, field, n) metric_add(&(d)->h->opts.metrics->field, (int64_t)(n))

static void ask(struct deep *d);
static void ask_later(struct deep *d);

static void call(struct deep *d, enum script which, redis_reply_fn *fn, int argc,
                 const struct slice *argv)
{
    struct slice all[16];

    all[0] = SLICE("EVALSHA");
    all[1] = (struct slice){d->h->opts.scripts->sha[which], SCRIPT_SHA_LEN};
    memcpy(all + 2, argv, (size_t)argc * sizeof(*argv));
    redis_cmd(d->redis, fn, d, argc + 2, all);
}

static void load(struct deep *d)
{
    static const enum script used[] = {SCRIPT_SEGMENT, SCRIPT_LAST};

    for (size_t i = 0; i < ARRAY_LEN(used); i++)
        redis_cmd(d->redis, NULL, NULL, 3,
                  (struct slice[]){SLICE("SCRIPT"), SLICE("LOAD"), script_text(used[i])});
}

/* ---- publishing ---- */

static void on_published(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct deep *d = arg;

    (void)c;
    if (!reply)
        return; /* the connection's end begins anew */
    d->unpublished--;
    if (redis_type(reply) == REDIS_T_ERROR) {
        log_warn("deep_history_failed", " why=%s", log_value(redis_str(reply)));
        if (redis_is_error(reply, "NOSCRIPT"))
            load(d);
    } else if (redis_int(reply) == 1) {
        COUNT(d, deep_segments, 1);
    } else {
        COUNT(d, deep_full, 1);
    }
    if (d->row_done && d->unpublished == 0 && !ev_is_active(&d->retry))
        ask(d);
}

static void publish(struct deep *d, const struct buf *value, const struct segment *head)
{
    char key[KEY_MAX], bound[24];
    struct buf full = BUF_INIT;
    struct slice argv[9];

    segment_head(&full, SEGMENT_FULL, head->from, head->from, head->low);
    argv[0] = SLICE("3");
    argv[1] = (struct slice){key, key_segment(key, d->want.log, d->want.partition, head->from)};
    argv[2] = SLICE(KEY_SEGS);
    argv[3] = SLICE(KEY_SEGS_SUM);
    argv[4] = buf_as_slice(value);
    /* What touches the end grows: only whoever waits for it now may take it. */
    argv[5] = head->flags & SEGMENT_END ? SLICE("1000") : SLICE("60000");
    argv[6] = (struct slice){
        bound, (size_t)snprintf(bound, sizeof(bound), "%lld", (long long)d->h->opts.history_bytes)};
    argv[7] = buf_as_slice(&full);
    argv[8] = SLICE(GRACE_MS);
    d->unpublished++;
    call(d, SCRIPT_SEGMENT, on_published, 9, argv);
    buf_done(&full);
}

static void read_row(struct deep *d)
{
    uint64_t from = d->want.from;
    uint64_t limit = segment_row(from) + SEGMENT_POSITIONS * (deep_goes_on(d) ? ROWS_AHEAD : 1u);
    struct segment head = {.flags = 0};
    size_t bytes = 0;
    int rc = 0;

    d->row_done = false;
    while (rc == 0 && from < limit && bytes < SEGMENT_ROW_BYTES && !(head.flags & SEGMENT_END)) {
        struct buf value = BUF_INIT;

        rc = deep_read(d, from, segment_row(from) + SEGMENT_POSITIONS, &value, &head);
        if (rc == 0) {
            publish(d, &value, &head);
            bytes += value.n;
            COUNT(d, deep_positions, head.upto - from);
            from = head.upto;
        }
        buf_done(&value);
    }
    if (rc < 0 && rc != -ECANCELED)
        log_warn("deep_history_failed", " log=%s partition=%d from=%llu why=%s", d->want.log,
                 d->want.partition, (unsigned long long)from, log_value(slice_of(strerror(-rc))));
    d->row_done = true;
    if (rc < 0)
        ask_later(d);
    else if (d->unpublished == 0)
        ask(d);
}

/* ---- is it still the same log? ---- */

static bool was_checked(const struct deep *d)
{
    return d->checked_ms && clock_mono_ms() - d->checked_ms < CHECK_FOR_MS &&
           d->checked.partition == d->want.partition && strcmp(d->checked.log, d->want.log) == 0;
}

static bool check(struct deep *d, uint64_t last, uint32_t fp, bool has_fp)
{
    struct history_job j = {
        .kind = HISTORY_FACTS,
        .topic = d->topic,
        .partition = d->want.partition,
        .pos = last,
        .fp = fp,
        .has_fp = has_fp,
    };

    memcpy(j.log, d->want.log, sizeof(j.log));
    history_look(d->h, &j);
    if (j.err < 0 || j.check == CHECK_DIFFERENT || j.check == CHECK_BEYOND) {
        log_warn("deep_history_failed", " log=%s partition=%d why=%s", d->want.log,
                 d->want.partition,
                 log_value(slice_of(j.err < 0 ? j.why : "Kafka's log isn't the stream's")));
        return false;
    }
    d->low = j.low;
    d->checked = d->want;
    d->checked_ms = clock_mono_ms();
    return true;
}

static void on_last(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct deep *d = arg;
    uint64_t last, fp = 0;
    bool has_fp;

    (void)c;
    if (!reply)
        return;
    if (redis_is_error(reply, "NOSCRIPT"))
        load(d);
    if (redis_type(reply) != REDIS_T_ARRAY || redis_len(reply) < 1 ||
        !decimal_parse(redis_str(redis_at(reply, 0)), INT64_MAX, &last)) {
        ask(d);
        return;
    }
    has_fp = redis_len(reply) > 1 && decimal_parse(redis_str(redis_at(reply, 1)), UINT32_MAX, &fp);
    if (check(d, last, (uint32_t)fp, has_fp))
        read_row(d);
    else
        ask_later(d);
}

static void on_claimed(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    char stream[KEY_MAX], side[KEY_MAX];
    struct deep *d = arg;

    (void)c;
    if (!reply)
        return;
    if (redis_type(reply) != REDIS_T_STATUS) { /* nobody waits any more */
        ask(d);
        return;
    }
    COUNT(d, deep_wants, 1);
    if (was_checked(d)) {
        read_row(d);
        return;
    }
    call(d, SCRIPT_LAST, on_last, 3,
         (struct slice[]){SLICE("2"),
                          {stream, key_stream(stream, d->want.log, d->want.partition)},
                          {side, key_side(side, d->want.log, d->want.partition)}});
}

/* ---- wants ---- */

/* The want's topic, if its log is the topic's current one. */
static bool find_topic(struct deep *d)
{
    for (uint32_t i = 0; i < d->h->nss->count; i++) {
        const struct log_record *log = &d->h->topics[i].log;

        if (strcmp(log->log, d->want.log) == 0 && d->want.partition < log->partitions) {
            d->topic = i;
            return true;
        }
    }
    return false;
}

static void on_want(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct deep *d = arg;
    char key[KEY_MAX];

    (void)c;
    d->asked = false;
    if (!reply)
        return;
    if (redis_type(reply) == REDIS_T_ERROR) {
        log_warn("deep_history_failed", " why=%s", log_value(redis_str(reply)));
        redis_conn_free(d->redis);
        d->redis = NULL;
        ev_timer_set(&d->retry, PAUSE_MAX, 0);
        ev_timer_start(d->h->loop, &d->retry);
        return;
    }
    if (redis_type(reply) == REDIS_T_NIL)
        deep_read_rest(d);
    if (redis_len(reply) != 2 || segment_want_parse(redis_str(redis_at(reply, 1)), &d->want) < 0 ||
        !find_topic(d)) {
        ask(d);
        return;
    }
    redis_cmd(
        d->redis, on_claimed, d, 6,
        (struct slice[]){SLICE("SET"),
                         {key, key_segment_want(key, d->want.log, d->want.partition, d->want.from)},
                         SLICE("1"),
                         SLICE("XX"),
                         SLICE("PX"),
                         SLICE(WANT_TTL_MS)});
}

/* One question at a time: a second reply would change the want in hand. */
static void ask(struct deep *d)
{
    if (d->asked || !d->redis || !redis_conn_is_up(d->redis))
        return;
    d->asked = true;
    redis_cmd(d->redis, on_want, d, 3,
              (struct slice[]){SLICE("BLPOP"), SLICE(KEY_WANTS), SLICE("1")});
}

/* Kafka didn't answer, and what waits for it blocks: the pump's questions come first. The loop's
 * clock stood still meanwhile. */
static void ask_later(struct deep *d)
{
    ev_now_update(d->h->loop);
    ev_timer_set(&d->retry, FAILED_S, 0);
    ev_timer_start(d->h->loop, &d->retry);
}

/* ---- life ---- */

static void on_up(struct redis_conn *c, void *arg)
{
    struct deep *d = arg;

    (void)c;
    d->tries = 0;
    d->unpublished = 0;
    load(d);
    ask(d);
}

static void on_down(struct redis_conn *c, int err, const char *why, void *arg)
{
    struct deep *d = arg;
    double pause = 0.05 * (double)(1u << (d->tries < 5 ? d->tries : 5));

    (void)err;
    d->tries++;
    log_debug("deep_history", " text=%s", log_value(slice_of(why))); /* the pump says it aloud */
    redis_conn_free(c);
    d->redis = NULL;
    ev_timer_stop(d->h->loop, &d->retry);
    ev_timer_set(&d->retry, pause < PAUSE_MAX ? pause : PAUSE_MAX, 0);
    ev_timer_start(d->h->loop, &d->retry);
}

static void connect_redis(struct deep *d)
{
    static const struct redis_ops ops = {.on_up = on_up, .on_down = on_down};
    struct redis_opts opts = {
        .url = d->h->conf->redis_url,
        .password = d->h->conf->redis_password,
        .connect_ms = 2000,
        .reply_ms = REPLY_MS,
        .name = "fanfare-history",
    };

    d->redis = redis_conn_new(d->h->loop, &opts, &ops, d);
    must(d->redis); /* the URL was checked at start */
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int events)
{
    struct deep *d = w->data;

    (void)loop;
    (void)events;
    if (d->redis)
        ask(d);
    else
        connect_redis(d);
}

struct deep *deep_new(struct history *h)
{
    struct deep *d = mem_zalloc(sizeof(*d));

    d->h = h;
    ev_timer_init(&d->retry, on_retry, 0, 0);
    d->retry.data = d;
    connect_redis(d);
    return d;
}

void deep_free(struct deep *d)
{
    if (!d)
        return;
    ev_timer_stop(d->h->loop, &d->retry);
    if (d->redis)
        redis_conn_free(d->redis);
    deep_read_done(d);
    free(d);
}
