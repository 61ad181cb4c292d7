/* SPDX-License-Identifier: Apache-2.0 */
/*
 * beacon.c: every 250 ms a row for each of this worker's partitions and one for itself (keys.h);
 * that one ten times a second, too.
 *
 * One HSET carries them all. A partition's row is written by its owner, or by the worker that has
 * adopted it. What a dead worker left is deleted by any living one.
 *
 * A row may wait, behind appends or on the way, and is no younger for that. So rows tell an age
 * only when those that told one before are there: who reads both knows that the second was made
 * after he hadn't the first one yet. @thread pump
 */
#include <stdio.h>

#include "common/base/clock.h"
#include "common/runtime/log.h"

#include "fanout-worker/pump_impl.h"

#define SWEEP_BEATS 20 /* 5 s */
#define VALUE_MAX   256
#define ROW_MAX     (KEY_MAX + VALUE_MAX)
#define SWEEP_ROWS  64 /* most that one call deletes; the others' time comes */

/* Rows into pu->argv: room for `argc` words. */
static void begin(struct pump *pu, size_t argc)
{
    struct slice *argv = pump_argv(pu, argc);

    buf_clear(&pu->scratch);
    argv[0] = SLICE("HSET");
    argv[1] = SLICE(KEY_BEACON);
}

/* Whoever carries on another's partition marks its rows: adopt.h. */
static void write_name(const struct part *p, char dst[WORKER_ID_MAX])
{
    size_t n = strlen(p->pu->worker_id);

    memcpy(dst, p->pu->worker_id, n + 1);
    if (p->adopted && n + 1 < WORKER_ID_MAX) {
        dst[n] = ADOPT_MARK;
        dst[n + 1] = '\0';
    }
}

static bool tells_age(const struct beacon_told *t)
{
    return !t->lost && t->answered >= t->aged;
}

static void on_rows(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct beacon_told *t = arg;

    (void)c;
    t->answered++;
    t->lost = !reply || redis_type(reply) == REDIS_T_ERROR; /* who knows what is there? */
}

static void send_rows(struct pump *pu, bool adopted, size_t argc)
{
    struct beacon_told *t = &pu->told[adopted];

    t->sent++;
    if (tells_age(t))
        t->aged = t->sent;
    redis_cmd(pu->home->redis, on_rows, t, (int)argc, pu->argv);
}

static size_t part_row(const struct part *p, char *field, char *value, size_t *ret_value_n)
{
    struct beacon_row row = {
        .partition = p->id.partition,
        .counter = p->adopted ? p->pu->pulses : p->pu->beat,
        .low = (uint64_t)p->low + 1,
        .end = (uint64_t)p->end,
        .last = p->ap.acked,
        .age_ms =
            tells_age(&p->pu->told[p->adopted]) ? clock_mono_ms() - p->end_ms : BEACON_AGE_UNKNOWN,
    };

    /* Kafka's end may have moved on without us: who has a cursor beyond ours must not be told that
     * it is of another log. */
    row.state = p->state != PART_RUN         ? BEACON_STALLED
                : p->rebuild_until           ? BEACON_REBUILD
                : p->pu->current[p->adopted] ? BEACON_LIVE
                                             : BEACON_STALLED;
    memcpy(row.log, p->t->log.log, sizeof(row.log));
    write_name(p, row.worker);
    *ret_value_n = beacon_print(value, &row);
    return beacon_field(field, p->t->log.log, p->id.partition);
}

static void on_swept(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    (void)c;
    if (reply && redis_is_error(reply, "NOSCRIPT"))
        site_load(((struct pump *)arg)->home);
    else if (reply && redis_int(reply) > 0)
        log_info("beacon_swept", " rows=%lld", (long long)redis_int(reply));
}

/* What was left by workers that are no more. reply: all rows, as pump_adopt.c reads them. */
void beacon_sweep(struct pump *pu, const struct redis_reply *reply)
{
    struct slice argv[2 + 2 * SWEEP_ROWS] = {SLICE("1"), SLICE(KEY_BEACON)};
    uint64_t now = clock_mono_ms();
    int argc = 2;

    if (pu->beat - pu->swept < SWEEP_BEATS)
        return;
    pu->swept = pu->beat;
    for (size_t i = 0; i + 1 < redis_len(reply); i += 2) {
        struct slice field = redis_str(redis_at(reply, i));
        struct slice value = redis_str(redis_at(reply, i + 1));

        if (sweep_row(&pu->sweep, field, value, now) && argc < 2 + 2 * SWEEP_ROWS) {
            argv[argc++] = field;
            argv[argc++] = value;
        }
    }
    sweep_end(&pu->sweep);
    if (argc > 2)
        site_eval(pu->home, SCRIPT_SWEEP, on_swept, pu, argc, argv);
}

/* A partition of which nothing is known yet has no row: edges would take zeros, or the numbers of
 * an earlier log, for the truth. An adopted one has one only while it runs: if we can't, others
 * shall. */
static bool has_row(const struct part *p, bool adopted)
{
    return p && p->state != PART_OUT && p->adopted == adopted && p->known &&
           (!adopted || p->state == PART_RUN) && p->id.partition < p->t->log.partitions;
}

/* The rows of partitions, owned or adopted, into argv; returns argc. Slices into scratch are set
 * only when it has stopped growing: with room for one row more. */
static size_t put_rows(struct pump *pu, size_t most, bool adopted, size_t *ret_at)
{
    size_t argc = 2, at = 0;

    begin(pu, 4 + most * 2);
    buf_reserve(&pu->scratch, (most + 1) * ROW_MAX);
    for (uint32_t i = 0; i < pu->topic_count; i++) {
        for (int32_t k = 0; k < pu->topics[i].part_count; k++) {
            const struct part *p = pu->topics[i].parts[k];
            size_t field_n, value_n;

            if (!has_row(p, adopted) || argc >= 2 + most * 2)
                continue;
            field_n = part_row(p, pu->scratch.p + at, pu->scratch.p + at + KEY_MAX, &value_n);
            pu->argv[argc++] = (struct slice){pu->scratch.p + at, field_n};
            pu->argv[argc++] = (struct slice){pu->scratch.p + at + KEY_MAX, value_n};
            at += ROW_MAX;
        }
    }
    *ret_at = at;
    return argc;
}

static size_t put_worker(struct pump *pu, size_t argc, size_t at)
{
    char *field = pu->scratch.p + at, *value = field + KEY_MAX;

    pu->argv[argc].p = field;
    pu->argv[argc++].n = (size_t)snprintf(field, KEY_MAX, "w:%s", pu->worker_id);
    pu->argv[argc].p = value;
    pu->argv[argc++].n =
        (size_t)snprintf(value, VALUE_MAX, "%llu %d", (unsigned long long)pu->pulses, pu->owned);
    return argc;
}

void beacon_beat(struct pump *pu)
{
    size_t argc, at;

    if (!pu->home->ready)
        return;
    argc = put_rows(pu, (size_t)pu->owned, false, &at);
    send_rows(pu, false, put_worker(pu, argc, at));
}

/* Made a replica under a connection that stays: who appends nothing learns it here. */
static void on_pulse(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    (void)c;
    if (reply && redis_is_error(reply, "READONLY"))
        site_demoted(((struct pump *)arg)->home);
}

void beacon_pulse(struct pump *pu)
{
    begin(pu, 4);
    buf_reserve(&pu->scratch, ROW_MAX);
    redis_cmd(pu->home->redis, on_pulse, pu, (int)put_worker(pu, 2, 0), pu->argv);
}

void beacon_adopted(struct pump *pu)
{
    size_t at, argc;

    if (pu->adopted == 0)
        return;
    argc = put_rows(pu, (size_t)pu->adopted, true, &at);
    if (argc > 2)
        send_rows(pu, true, argc);
}

void beacon_drop_rows(struct pump *pu, const struct log_record *rec)
{
    char field[KEY_MAX];
    size_t n;

    for (int32_t p = 0; pu->home->ready && p < rec->partitions; p++) {
        n = beacon_field(field, rec->log, p);
        redis_cmd(pu->home->redis, NULL, NULL, 3,
                  (struct slice[]){SLICE("HDEL"), SLICE(KEY_BEACON), {field, n}});
    }
}

void beacon_leave(struct pump *pu, redis_reply_fn *fn)
{
    char field[KEY_MAX];
    int n = snprintf(field, sizeof(field), "w:%s", pu->worker_id);

    redis_cmd(pu->home->redis, fn, pu, 3,
              (struct slice[]){SLICE("HDEL"), SLICE(KEY_BEACON), {field, (size_t)n}});
}
