/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deep.c: takes wants; each becomes a row in hand, which goes its way by itself:
 *
 *   BLPOP ff:want ──► SET …:want XX (still wanted?) ──► is it the same log? where does Kafka begin?
 *   ──► read a row of segments ──► is it still the same log? ──► publish, DEL …:want
 *
 * Rows go side by side, those of one partition one behind the other; each has DEEP_ROW_MS in all.
 * What can't be answered is left, and its want deleted: the edge may ask again. While a row is in
 * hand its want is renewed, so that nobody else reads the same; it ends soon after a worker that
 * died.
 * @thread history
 */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/runtime/log.h"

#include "fanout-worker/deep_impl.h"
#include "fanout-worker/region.h"

#define PAUSE_MAX 1.0
#define TICK_S    0.025
#define RENEW_MS  500

static void ask(struct deep *d);

/* ---- rows ---- */

void deep_call(struct deep_row *row, enum script which, redis_reply_fn *fn, int argc,
               const struct slice *argv)
{
    struct slice all[16];

    all[0] = SLICE("EVALSHA");
    all[1] = (struct slice){row->d->h->opts.scripts->sha[which], SCRIPT_SHA_LEN};
    memcpy(all + 2, argv, (size_t)argc * sizeof(*argv));
    row->replies++;
    redis_cmd(deep_conn(row), fn, row, argc + 2, all);
}

void deep_load(struct redis_conn *c)
{
    static const enum script used[] = {SCRIPT_SEGMENT, SCRIPT_LAST};

    for (size_t i = 0; i < ARRAY_LEN(used); i++)
        redis_cmd(c, NULL, NULL, 3,
                  (struct slice[]){SLICE("SCRIPT"), SLICE("LOAD"), script_text(used[i])});
}

void deep_work(struct deep *d)
{
    d->goes_on = true;
    ev_idle_start(d->h->loop, &d->work);
}

void deep_row_go(struct deep_row *row, enum deep_state state)
{
    row->state = state;
    deep_work(row->d);
}

static void row_free(struct deep_row *row)
{
    list_del(&row->node);
    free(row);
}

void deep_row_end(struct deep_row *row, const char *why)
{
    struct deep *d = row->d;

    if (why)
        log_warn("deep_history_failed", " log=%s partition=%d from=%llu why=%s", row->want.log,
                 row->want.partition, (unsigned long long)row->want.from, log_value(slice_of(why)));
    deep_reader_give(row, false);
    deep_row_drop(row);
    row->state = DEEP_DONE;
    d->count--;
    if (deep_is_up(row))
        deep_want_drop(row);
    if (row->replies == 0)
        row_free(row);
    ask(d);
}

bool deep_row_answered(struct deep_row *row, const struct redis_reply *reply)
{
    row->replies--;
    if (row->state == DEEP_DONE) {
        if (row->replies == 0)
            row_free(row);
        return false;
    }
    return reply != NULL; /* else the connection's end ends the row */
}

void deep_see_readonly(struct redis_conn *c, const struct redis_reply *reply)
{
    if (reply && redis_is_error(reply, "READONLY"))
        redis_conn_end(c, "it is a replica by now, not the master");
}

bool deep_find_topic(struct deep_row *row)
{
    const struct history *h = row->d->h;

    for (uint32_t i = 0; i < h->nss->count; i++) {
        const struct log_record *log = &h->topics[i].log;

        if (strcmp(log->log, row->want.log) == 0 && row->want.partition < log->partitions) {
            row->topic = i;
            return true;
        }
    }
    return false;
}

/* ---- what can go on at once ---- */

static void on_work(struct ev_loop *loop, ev_idle *w, int events)
{
    struct deep *d = w->data;
    struct deep_row *row, *next;

    (void)events;
    d->goes_on = false;
    deep_look(d);
    list_for_each_safe(row, next, &d->rows, node) {
        if (row->state == DEEP_WAIT && deep_reader_take(row))
            row->state = DEEP_READ;
        if (row->state == DEEP_READ)
            deep_read(row);
    }
    if (!d->goes_on)
        ev_idle_stop(loop, w);
}

static void on_bell(struct ev_loop *loop, ev_async *w, int events)
{
    (void)loop, (void)events;
    deep_work(w->data);
}

/* ---- Redis ---- */

static void disconnect(struct deep *d)
{
    if (d->wants)
        redis_conn_free(d->wants);
    if (d->redis)
        redis_conn_free(d->redis);
    d->wants = d->redis = NULL;
}

/* All rows end: what they waited for doesn't come any more. */
static void give_up(struct deep *d, double pause)
{
    struct deep_row *row, *next;

    disconnect(d);
    list_for_each_safe(row, next, &d->rows, node)
        if (row->state != DEEP_DONE)
            deep_row_end(row, NULL);
    d->asked = false;
    ev_timer_stop(d->h->loop, &d->retry);
    ev_timer_set(&d->retry, pause, 0);
    ev_timer_start(d->h->loop, &d->retry);
}

static void on_want(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct segment_want want;
    struct deep *d = arg;

    (void)c;
    d->asked = false;
    if (!reply)
        return;
    if (redis_type(reply) == REDIS_T_ERROR) {
        log_warn("deep_history_failed", " why=%s", log_value(redis_str(reply)));
        give_up(d, PAUSE_MAX);
        return;
    }
    if (redis_type(reply) == REDIS_T_NIL && d->count == 0)
        deep_readers_rest(d);
    deep_readers_serve(d, clock_mono_ms());
    deep_sites_poll(d);
    if (redis_len(reply) == 2 && segment_want_parse(redis_str(redis_at(reply, 1)), &want) == 0)
        deep_want_take(d, &want);
    ask(d);
}

/* One question at a time, while there is room for its answer. */
static void ask(struct deep *d)
{
    if (d->asked || d->count >= DEEP_ROWS || !d->wants || !redis_conn_is_up(d->wants) ||
        !redis_conn_is_up(d->redis) || clock_mono_ms() < d->pause_ms)
        return;
    d->asked = true;
    redis_cmd(d->wants, on_want, d, 3,
              (struct slice[]){SLICE("BLPOP"), SLICE(KEY_WANTS), SLICE("1")});
}

/* ---- time ---- */

static void on_tick(struct ev_loop *loop, ev_timer *w, int events)
{
    struct deep *d = w->data;
    struct deep_row *row, *next;
    uint64_t now = clock_mono_ms();
    bool renews = now - d->renewed_ms >= RENEW_MS;

    (void)events;
    if (renews)
        d->renewed_ms = now;
    deep_readers_serve(d, now);
    list_for_each_safe(row, next, &d->rows, node) {
        if (row->state == DEEP_DONE)
            continue;
        if (now >= row->end_ms)
            deep_row_end(row, row->state == DEEP_READ ? "Kafka didn't answer in time"
                                                      : "it wasn't done in time");
        else if (renews && deep_is_up(row))
            deep_want_renew(row);
    }
    if (list_is_empty(&d->rows) && now >= d->pause_ms)
        ev_timer_stop(loop, w);
    ask(d);
}

/* ---- life ---- */

static void on_up(struct redis_conn *c, void *arg)
{
    struct deep *d = arg;

    d->tries = 0;
    if (c == d->redis) {
        deep_load(c);
        d->polled_ms = 0;
        deep_sites_poll(d);
    }
    ask(d);
}

static void on_down(struct redis_conn *c, int err, const char *why, void *arg)
{
    struct deep *d = arg;
    double pause = 0.05 * (double)(1u << (d->tries < 5 ? d->tries : 5));

    (void)c;
    (void)err;
    d->tries++;
    log_debug("deep_history", " text=%s", log_value(slice_of(why))); /* the pump says it aloud */
    give_up(d, pause < PAUSE_MAX ? pause : PAUSE_MAX);
}

static struct redis_conn *connect_redis(struct deep *d, const char *name)
{
    static const struct redis_ops ops = {.on_up = on_up, .on_down = on_down};
    struct redis_opts opts = region_redis(d->h->conf, STORE_HOME, name);
    struct redis_conn *c;

    opts.watch = d->watch;
    c = redis_conn_new(d->h->loop, &opts, &ops, d);
    must(c); /* the URL was checked at start */
    return c;
}

static void connect_both(struct deep *d)
{
    d->redis = connect_redis(d, "fanfare-history");
    d->wants = connect_redis(d, "fanfare-wants");
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    connect_both(w->data);
}

static void on_master(void *arg)
{
    struct deep *d = arg;

    if (d->redis &&
        !(redis_watch_agrees(d->watch, d->redis) && redis_watch_agrees(d->watch, d->wants)))
        redis_conn_end(d->redis, "the Sentinels say that another is the master");
}

static void on_heard(void *arg, bool heard, const char *why)
{
    (void)arg, (void)heard, (void)why; /* the pump says it */
}

static void watch(struct deep *d)
{
    static const struct redis_watch_ops ops = {.on_master = on_master, .on_heard = on_heard};
    const struct redis_opts opts = region_redis(d->h->conf, STORE_HOME, NULL);

    d->watch = redis_watch_new(d->h->loop, &opts, &ops, d);
}

struct deep *deep_new(struct history *h)
{
    struct deep *d = mem_zalloc(sizeof(*d));

    d->h = h;
    list_init(&d->rows);
    list_init(&d->sites);
    ev_timer_init(&d->retry, on_retry, 0, 0);
    ev_timer_init(&d->tick, on_tick, TICK_S, TICK_S);
    ev_idle_init(&d->work, on_work);
    ev_async_init(&d->bell, on_bell);
    d->retry.data = d->tick.data = d->work.data = d->bell.data = d;
    ev_async_start(h->loop, &d->bell);
    watch(d);
    connect_both(d);
    return d;
}

void deep_free(struct deep *d)
{
    if (!d)
        return;
    give_up(d, 0);
    deep_sites_done(d);
    redis_watch_free(d->watch);
    deep_readers_done(d);
    ev_timer_stop(d->h->loop, &d->retry);
    ev_timer_stop(d->h->loop, &d->tick);
    ev_idle_stop(d->h->loop, &d->work);
    ev_async_stop(d->h->loop, &d->bell);
    free(d);
}
