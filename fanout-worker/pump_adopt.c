/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pump_adopt.c: partitions that a dead worker left, or that the group took from this one, carried
 * on until the group has given them to somebody.
 *
 * Ten times a second this worker's row is written and the others' are read; all rows of the beacon
 * twice a second, and whenever somebody died or a partition is being carried on by another than its
 * owner. adopt.h decides. An adopted partition takes the same way to its stream as an owned one,
 * only its records come from the spare source, which is in no group. Two writers at once do no
 * harm: each append is a compare-and-set. Owns the spare source. @thread pump
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/runtime/log.h"

#include "fanout-worker/pump_impl.h"

#define PULSE_S     0.1
#define WHOLE_EACH  5   /* pulses; one that starts is known by then */
#define ADOPTED_MAX 256 /* what each has read ahead is bounded; others take the rest */
#define OTHERS_MAX  64

/* ---- taking and giving ---- */

static const struct source_events *spare_events(void);

static bool has_spare(struct pump *pu)
{
    char why[160] = "";

    if (pu->spare || pu->no_spare)
        return pu->spare;
    pu->spare = pu->opts.new_spare(pu->opts.new_spare_arg, spare_events(), pu, why, sizeof(why));
    pu->no_spare = !pu->spare;
    if (!pu->spare) {
        log_warn("no_adoption", " why=%s", log_value(slice_of(why)));
        return false;
    }
    ev_io_set(&pu->spare_io, pu->spare->ops->fd(pu->spare), EV_READ);
    ev_io_start(pu->loop, &pu->spare_io);
    return true;
}

static void count(struct pump *pu, int32_t by)
{
    pu->adopted += by;
    metric_set(&pu->opts.metrics->adopted, pu->adopted);
}

static void take(struct part *p, const char *from)
{
    struct pump *pu = p->pu;

    if (p->state != PART_OUT || topic_is_missing(p->t) || pu->adopted >= ADOPTED_MAX ||
        !has_spare(pu))
        return;
    p->adopted = true;
    p->known = p->fresh = false;
    p->beyond_since = 0;
    part_set_state(p, PART_HOLD);
    count(pu, 1);
    PUMP_METRIC(pu, adoptions, 1);
    log_info("adopted", " stream=%s from=%s", p->stream, log_value(slice_of(from)));
    part_attach(p);
}

/* In the cooperative protocol a partition that moves belongs to nobody for a second or more. */
void part_keep(struct part *p)
{
    struct pump *pu = p->pu;

    if (!pu->home->ready || list_is_empty(&pu->adopt.workers))
        return;
    pu->watchful = true;
    take(p, pu->worker_id);
}

void part_yield(struct part *p, const char *why)
{
    if (!p->adopted)
        return;
    part_detach(p);
    p->rebuild_until = 0;
    part_set_state(p, PART_OUT);
    p->adopted = false;
    count(p->pu, -1);
    log_info("adoption_ended", " stream=%s why=%s last=%llu", p->stream, why,
             (unsigned long long)p->ap.acked);
}

/* ---- reading the rows ---- */

static struct topic *topic_of(struct pump *pu, const struct beacon_row *row)
{
    for (uint32_t i = 0; i < pu->topic_count; i++) {
        struct topic *t = &pu->topics[i];

        if (strcmp(t->log.log, row->log) == 0 && row->partition < t->log.partitions)
            return t;
    }
    return NULL;
}

static void look_at_row(struct pump *pu, const struct beacon_row *row)
{
    struct topic *t = topic_of(pu, row);
    enum adopt_say say;
    struct part *p;

    if (!t)
        return;
    say = adopt_look(&pu->adopt, row);
    pu->watchful = pu->watchful || say == ADOPT_WAIT || say == ADOPT_TAKE ||
                   row->worker[strlen(row->worker) - 1] == ADOPT_MARK;
    p = row->partition < t->part_count ? t->parts[row->partition] : NULL;
    if (say == ADOPT_YIELD && p)
        part_yield(p, "another_writes");
    else if (say == ADOPT_TAKE && !t->waiting_log)
        take(part_get(t, row->partition), row->worker);
}

static void look_at_all(struct pump *pu, const struct redis_reply *reply)
{
    struct beacon_row row;

    for (size_t i = 0; i + 1 < redis_len(reply); i += 2) {
        struct slice field = redis_str(redis_at(reply, i));

        if (field.n > 2 && memcmp(field.p, "w:", 2) == 0)
            adopt_worker(&pu->adopt, (struct slice){field.p + 2, field.n - 2},
                         redis_str(redis_at(reply, i + 1)));
    }
    adopt_end(&pu->adopt, true);
    pu->watchful = pu->adopted > 0;
    for (size_t i = 0; i + 1 < redis_len(reply); i += 2) {
        if (beacon_parse(redis_str(redis_at(reply, i)), redis_str(redis_at(reply, i + 1)), &row) ==
            0)
            look_at_row(pu, &row);
    }
    beacon_adopted(pu);
    if (!list_is_empty(&pu->adopt.workers)) /* before it is needed */
        (void)has_spare(pu);
}

static void on_all(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct pump *pu = arg;

    (void)c;
    pu->adopt_asked = false;
    if (!reply || redis_type(reply) != REDIS_T_ARRAY || !pu->src)
        return; /* the connection is lost, or this user may not HGETALL */
    adopt_begin(&pu->adopt, clock_mono_ms());
    look_at_all(pu, reply);
    beacon_sweep(pu, reply);
}

static void ask_all(struct pump *pu)
{
    pu->adopt_asked = true;
    redis_cmd(pu->home->redis, on_all, pu, 2,
              (struct slice[]){SLICE("HGETALL"), SLICE(KEY_BEACON)});
}

static void on_others(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct slice ids[OTHERS_MAX + 1]; /* and our own */
    struct pump *pu = arg;
    size_t n = adopt_others(&pu->adopt, ids, OTHERS_MAX);

    (void)c;
    pu->adopt_asked = false;
    ids[n++] = slice_of(pu->worker_id);
    if (!reply || redis_type(reply) != REDIS_T_ARRAY || !pu->src || redis_len(reply) != n)
        return;
    adopt_begin(&pu->adopt, clock_mono_ms());
    for (size_t i = 0; i < n; i++) {
        if (redis_type(redis_at(reply, i)) == REDIS_T_STRING)
            adopt_worker(&pu->adopt, ids[i], redis_str(redis_at(reply, i)));
    }
    adopt_end(&pu->adopt, false);
    if (adopt_has_news(&pu->adopt))
        ask_all(pu);
}

static void ask_others(struct pump *pu)
{
    struct slice ids[OTHERS_MAX + 1], argv[3 + OTHERS_MAX] = {SLICE("HMGET"), SLICE(KEY_BEACON)};
    size_t n = adopt_others(&pu->adopt, ids, OTHERS_MAX);
    char fields[OTHERS_MAX + 1][WORKER_ID_MAX + 2];

    if (n == 0)
        return;
    ids[n++] = slice_of(pu->worker_id);
    for (size_t i = 0; i < n; i++) {
        memcpy(fields[i], "w:", 2);
        memcpy(fields[i] + 2, ids[i].p, ids[i].n);
        argv[2 + i] = (struct slice){fields[i], ids[i].n + 2};
    }
    pu->adopt_asked = true;
    redis_cmd(pu->home->redis, on_others, pu, (int)n + 2, argv);
}

static void on_pulse(struct ev_loop *loop, ev_timer *w, int events)
{
    struct pump *pu = w->data;

    (void)loop;
    (void)events;
    pu->pulses++;
    if (!pu->home->ready)
        return;
    beacon_pulse(pu);
    if (pu->adopt_asked)
        return;
    if (pu->watchful || pu->pulses % WHOLE_EACH == 0)
        ask_all(pu);
    else
        ask_others(pu);
}

/* ---- the spare source ---- */

static void on_nothing(void *arg, const struct source_id *ids, size_t n)
{
    (void)arg, (void)ids, (void)n;
}

static void doubt_adopted(struct part *p)
{
    if (p->adopted)
        part_doubt(p);
}

static void on_connection(void *arg, const char *text)
{
    (void)text; /* the group's handle says it, too */
    pump_each_part(arg, doubt_adopted);
}

static void on_failed(void *arg, const char *text)
{
    (void)arg;
    log_warn("no_adoption", " why=%s", log_value(slice_of(text)));
}

static const struct source_events *spare_events(void)
{
    static const struct source_events ev = {
        .assigned = on_nothing,
        .revoked = on_nothing,
        .record = part_on_record,
        .end = part_on_end,
        .turn = part_on_turn,
        .trouble = part_on_trouble,
        .connection = on_connection,
        .failed = on_failed,
    };

    return &ev;
}

static void on_spare(struct ev_loop *loop, ev_io *w, int events)
{
    (void)loop;
    (void)events;
    pump_source_round(w->data, false);
}

/* ---- life ---- */

void pump_adopt_init(struct pump *pu)
{
    adopt_init(&pu->adopt, pu->worker_id);
    ev_timer_init(&pu->pulse, on_pulse, PULSE_S, PULSE_S);
    ev_io_init(&pu->spare_io, on_spare, -1, EV_READ);
    pu->pulse.data = pu->spare_io.data = pu;
}

void pump_adopt_clear(struct pump *pu)
{
    adopt_clear(&pu->adopt);
    pu->adopt_asked = pu->watchful = false;
}

static void yield_leaving(struct part *p)
{
    part_yield(p, "leaving");
}

void pump_adopt_stop(struct pump *pu)
{
    ev_timer_stop(pu->loop, &pu->pulse);
    ev_io_stop(pu->loop, &pu->spare_io);
    pump_each_part(pu, yield_leaving);
    pump_adopt_clear(pu);
}
