/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pump.c: the pump's loop: what wakes it, and who gets it.
 *
 * Wakes by: the descriptors of the source and its spare (pump_adopt.c), Redis' socket, history's
 * answers (inbox), a tick of 250 ms, and the pulse, ten a second. Owns the sources, the topics with
 * their partitions, the Redis connection. It makes no blocking call. Invariant: source callbacks
 * come only from pump_source_round().
 * @thread pump (new, start, stop: main)
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#include "fanout-worker/pump_impl.h"

#define TICK_S       0.25
#define ROUND_BUDGET 4096 /* records before Redis' answers get a look */
#define LEAVE_S      0.5

void pump_status(struct pump *pu)
{
    struct worker_status *st = pu->opts.status;
    bool joined, ready = sites_are_ready(pu);

    if (!pu->src) /* leaving */
        return;
    joined = pu->src->ops->has_joined(pu->src);
    if (st->redis_up == ready && st->joined == joined)
        return;
    st->redis_up = ready;
    st->joined = joined;
    metric_set(&pu->opts.metrics->redis_up, ready);
    metric_set(&pu->opts.metrics->joined, joined);
    if (pu->changed)
        pu->changed(pu->changed_arg);
}

void pump_source_round(struct pump *pu, bool with_all)
{
    bool more = pu->src->ops->poll(pu->src, ROUND_BUDGET, with_all);

    if (pu->spare && pu->spare->ops->poll(pu->spare, ROUND_BUDGET, with_all))
        more = true;
    if (more)
        ev_idle_start(pu->loop, &pu->more);
    else
        ev_idle_stop(pu->loop, &pu->more);
}

void pump_kick(struct pump *pu)
{
    ev_idle_start(pu->loop, &pu->more);
}

static void on_source(struct ev_loop *loop, ev_io *w, int events)
{
    (void)loop;
    (void)events;
    pump_source_round(w->data, false);
}

static void on_more(struct ev_loop *loop, ev_idle *w, int events)
{
    (void)loop;
    (void)events;
    pump_source_round(w->data, false);
}

/* ---- from the source ---- */

static void on_assigned(void *arg, const struct source_id *ids, size_t n)
{
    struct pump *pu = arg;

    for (size_t i = 0; i < n; i++)
        part_own(part_get(&pu->topics[ids[i].topic], ids[i].partition));
    /* Only now: the share of a rebuild depends on how many are ours. */
    for (size_t i = 0; i < n; i++)
        part_attach(part_get(&pu->topics[ids[i].topic], ids[i].partition));
    metric_set(&pu->opts.metrics->assigned, pu->owned);
    log_info("assigned", " partitions=%zu owned=%d", n, pu->owned);
    pump_status(pu);
}

static void on_revoked(void *arg, const struct source_id *ids, size_t n)
{
    struct pump *pu = arg;

    for (size_t i = 0; i < n; i++) {
        struct part *p = part_get(&pu->topics[ids[i].topic], ids[i].partition);
        bool was_running = p->state == PART_RUN;

        part_disown(p);
        if (was_running)
            part_keep(p);
    }
    metric_set(&pu->opts.metrics->assigned, pu->owned);
    log_info("revoked", " partitions=%zu owned=%d", n, pu->owned);
}

/* Before anything that is fetched by another connection: the partitions begin anew. */
static void on_connection(void *arg, const char *text)
{
    struct pump *pu = arg;

    log_warn("kafka_connection", " text=%s", log_value(slice_of(text)));
    pump_each_part(pu, part_doubt);
}

static void on_failed(void *arg, const char *text)
{
    struct pump *pu = arg;

    log_error("kafka_failed", " text=%s", log_value(slice_of(text)));
    pu->opts.status->failed = true;
    if (pu->changed)
        pu->changed(pu->changed_arg);
}

const struct source_events pump_source_events = {
    .assigned = on_assigned,
    .revoked = on_revoked,
    .record = part_on_record,
    .end = part_on_end,
    .turn = part_on_turn,
    .trouble = part_on_trouble,
    .connection = on_connection,
    .failed = on_failed,
};

/* ---- from history ---- */

static struct part *part_of(const struct pump *pu, const struct history_job *j)
{
    const struct topic *t = &pu->topics[j->topic];

    return j->partition < t->part_count ? t->parts[j->partition] : NULL;
}

static void on_job(struct pump *pu, struct history_job *j)
{
    struct part *p;

    switch (j->kind) {
    case HISTORY_FACTS:
        part_on_facts(part_of(pu, j), j);
        break;
    case HISTORY_CHECK:
        part_on_check(part_of(pu, j), j);
        break;
    case HISTORY_LEADER:
        p = part_of(pu, j);
        if (p)
            part_doubt(p);
        break;
    case HISTORY_TOPIC:
        topic_on_count(&pu->topics[j->topic], j);
        break;
    case HISTORY_NEWLOG:
    case HISTORY_LOG:
        topic_on_log(&pu->topics[j->topic], j);
        break;
    }
    free(j);
}

static void on_wake(struct ev_loop *loop, ev_async *w, int events)
{
    struct pump *pu = w->data;
    struct history_job *j, *next;
    struct list jobs;
    bool has_facts = false;

    (void)events;
    list_init(&jobs);
    inbox_take(&pu->inbox, &jobs);
    list_for_each_safe(j, next, &jobs, link) {
        has_facts = has_facts || (j->kind == HISTORY_FACTS && j->err == 0);
        on_job(pu, j);
    }
    if (has_facts) /* who carries on what is ours now gives way when he reads this */
        beacon_beat(pu);
    if (pu->stop)
        ev_break(loop, EVBREAK_ALL);
}

void pump_on_home(struct pump *pu)
{
    sweep_clear(&pu->sweep); /* nobody could write meanwhile, or this is another server */
    pump_adopt_clear(pu);
    sites_on_home(pu);
    for (uint32_t i = 0; i < pu->topic_count; i++)
        topic_on_redis(&pu->topics[i]);
}

struct slice *pump_argv(struct pump *pu, size_t argc)
{
    if (pu->argv_cap < argc) {
        pu->argv_cap = argc * 2;
        pu->argv = mem_realloc(pu->argv, pu->argv_cap * sizeof(*pu->argv));
    }
    return pu->argv;
}

/* ---- life ---- */

static void bell(void *arg)
{
    struct pump *pu = arg;

    ev_async_send(pu->loop, &pu->wake);
}

static void init_limits(struct pump *pu)
{
    const struct worker_conf *conf = pu->opts.conf;

    pu->limits = (struct append_limits){
        .batch_records = (uint32_t)conf->batch_records,
        .batch_bytes = (size_t)conf->batch_bytes,
        .inflight_batches = (uint32_t)conf->inflight_batches,
        .inflight_bytes = conf->inflight_bytes,
        .inflight_total = &pu->inflight_total,
    };
}

struct pump *pump_new(const struct pump_opts *opts)
{
    struct pump *pu = mem_zalloc(sizeof(*pu));
    char host[32] = "", id[9];

    pu->opts = *opts;
    pu->scripts = *opts->scripts;
    snprintf(pu->cluster, sizeof(pu->cluster), "%s", opts->cluster);
    gethostname(host, sizeof(host) - 1);
    for (char *c = host; *c; c++)
        *c = *c == ' ' || *c == ':' ? '-' : *c;
    proc_random_id(id, 8);
    snprintf(pu->worker_id, sizeof(pu->worker_id), "%s-%s", host, id);
    init_limits(pu);
    pu->loop = ev_loop_new(EVFLAG_AUTO);
    must(pu->loop);
    pu->topic_count = opts->nss->count;
    pu->topics = mem_zalloc(pu->topic_count * sizeof(*pu->topics));
    for (uint32_t i = 0; i < pu->topic_count; i++)
        topic_init(&pu->topics[i], pu, i, &opts->topics[i]);
    list_init(&pu->sites);
    sweep_init(&pu->sweep);
    pump_adopt_init(pu);
    inbox_init(&pu->inbox, bell, pu);
    ev_async_init(&pu->wake, on_wake);
    ev_idle_init(&pu->more, on_more);
    ev_timer_init(&pu->tick, pump_on_tick, TICK_S, TICK_S);
    ev_check_init(&pu->turn, pump_on_turn);
    ev_set_priority(&pu->turn, EV_MAXPRI);
    pu->turn.data = pu;
    pu->wake.data = pu->more.data = pu->tick.data = pu;
    ev_async_start(pu->loop, &pu->wake); /* here: history may ring before our thread begins */
    return pu;
}

struct inbox *pump_inbox(struct pump *pu)
{
    return &pu->inbox;
}

static void on_left(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct pump *pu = arg;

    (void)c, (void)reply;
    ev_break(pu->loop, EVBREAK_ALL);
}

static void on_leave_time(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)w, (void)events;
    ev_break(loop, EVBREAK_ALL);
}

static void say_leaving(struct pump *pu)
{
    ev_timer limit;

    if (!pu->home->ready)
        return;
    pu->home->ready = false; /* no attaching any more */
    ev_timer_init(&limit, on_leave_time, LEAVE_S, 0);
    ev_timer_start(pu->loop, &limit);
    beacon_leave(pu, on_left);
    ev_run(pu->loop, 0);
    ev_timer_stop(pu->loop, &limit);
}

/* Says so first: others adopt the partitions at once. The group takes its time. */
static void leave(struct pump *pu)
{
    struct source *src = pu->src, *spare = pu->spare;

    ev_io_stop(pu->loop, &pu->source_io);
    ev_idle_stop(pu->loop, &pu->more);
    ev_timer_stop(pu->loop, &pu->tick);
    pump_adopt_stop(pu);
    pump_each_part(pu, part_disown);
    pu->src = pu->spare = NULL;
    say_leaving(pu);
    src->ops->close(src);
    if (spare)
        spare->ops->close(spare);
}

static void *pump_main(void *arg)
{
    struct pump *pu = arg;

    proc_thread_role("pump");
    ev_io_init(&pu->source_io, on_source, pu->src->ops->fd(pu->src), EV_READ);
    pu->source_io.data = pu;
    ev_io_start(pu->loop, &pu->source_io);
    ev_timer_start(pu->loop, &pu->tick);
    ev_timer_start(pu->loop, &pu->pulse);
    pu->turned_ms = clock_mono_ms();
    ev_check_start(pu->loop, &pu->turn);
    sites_start(pu);
    pump_source_round(pu, true);
    ev_run(pu->loop, 0);
    leave(pu);
    return NULL;
}

void pump_start(struct pump *pu, struct source *take_src, struct history *h,
                void (*changed)(void *arg), void *arg)
{
    pu->src = take_src;
    pu->history = h;
    pu->changed = changed;
    pu->changed_arg = arg;
    must(pthread_create(&pu->thread, NULL, pump_main, pu) == 0);
    pu->started = true;
}

void pump_stop(struct pump *pu)
{
    if (!pu->started)
        return;
    pu->stop = true;
    bell(pu);
    pthread_join(pu->thread, NULL);
}

void pump_free(struct pump *pu)
{
    struct history_job *j, *next;

    sites_stop(pu);
    for (uint32_t i = 0; i < pu->topic_count; i++)
        topic_done(&pu->topics[i]);
    free(pu->topics);
    list_for_each_safe(j, next, &pu->inbox.items, link)
        free(j);
    sweep_clear(&pu->sweep);
    adopt_clear(&pu->adopt);
    record_maker_done(&pu->maker);
    buf_done(&pu->scratch);
    free(pu->argv);
    ev_loop_destroy(pu->loop);
    free(pu);
}
