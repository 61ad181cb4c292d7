/* SPDX-License-Identifier: Apache-2.0 */
/*
 * beacon.c: every 250 ms a row for this worker and one for each of its partitions (keys.h).
 *
 * One HSET carries them all. A partition's row is written by its owner only. What a dead worker
 * left is deleted by any living one. @thread pump
 */
#include <stdio.h>

#include "common/base/clock.h"
#include "common/runtime/log.h"

#include "fanout-worker/pump_impl.h"

#define SWEEP_BEATS 20 /* 5 s */
#define SWEEP_ROWS  64 /* most that one call deletes; the others' time comes */

static void begin(struct pump *pu, const char *command)
{
    buf_clear(&pu->scratch);
    pu->argv[0] = slice_of(command);
    pu->argv[1] = SLICE(KEY_BEACON);
}

static void argv_room(struct pump *pu, size_t n)
{
    if (pu->argv_cap >= n)
        return;
    pu->argv_cap = n * 2;
    pu->argv = mem_realloc(pu->argv, pu->argv_cap * sizeof(*pu->argv));
}

static size_t part_row(const struct part *p, char *field, char *value, size_t *ret_value_n)
{
    struct beacon_row row = {
        .partition = p->id.partition,
        .counter = p->pu->beat,
        .low = (uint64_t)p->low + 1,
        .end = (uint64_t)p->end,
        .last = p->ap.acked,
    };

    /* Kafka's end may have moved on without us: who has a cursor beyond ours must not be told that
     * it is of another log. */
    row.state = p->state != PART_RUN                      ? BEACON_STALLED
                : p->rebuild_until                        ? BEACON_REBUILD
                : p->pu->src->ops->is_current(p->pu->src) ? BEACON_LIVE
                                                          : BEACON_STALLED;
    memcpy(row.log, p->t->log.log, sizeof(row.log));
    memcpy(row.worker, p->pu->worker_id, sizeof(row.worker));
    *ret_value_n = beacon_print(value, &row);
    return beacon_field(field, p->t->log.log, p->id.partition);
}

static void on_swept(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    (void)c;
    if (reply && redis_is_error(reply, "NOSCRIPT"))
        pump_redis_load(arg);
    else if (reply && redis_int(reply) > 0)
        log_info("beacon_swept", " rows=%lld", (long long)redis_int(reply));
}

static void on_rows(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct slice argv[2 + 2 * SWEEP_ROWS] = {SLICE("1"), SLICE(KEY_BEACON)};
    struct pump *pu = arg;
    uint64_t now = clock_mono_ms();
    int argc = 2;

    (void)c;
    pu->sweep_asked = false;
    if (!reply || redis_type(reply) != REDIS_T_ARRAY) /* this user may not HGETALL */
        return;
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
        pump_eval(pu, SCRIPT_SWEEP, on_swept, pu, argc, argv);
}

/* What was left by workers that are no more. */
static void sweep(struct pump *pu)
{
    if (pu->sweep_asked)
        return;
    pu->sweep_asked = true;
    redis_cmd(pu->redis, on_rows, pu, 2, (struct slice[]){SLICE("HGETALL"), SLICE(KEY_BEACON)});
}

/* A partition of which nothing is known yet has no row: edges would take zeros, or the numbers of
 * an earlier log, for the truth. Slices into scratch are set only when it has stopped growing. */
void beacon_beat(struct pump *pu)
{
    size_t rows = (size_t)pu->owned + 1, argc = 2, at = 0;
    struct part *p;

    if (!pu->redis_ready)
        return;
    argv_room(pu, 2 + rows * 2);
    begin(pu, "HSET");
    buf_reserve(&pu->scratch, rows * (KEY_MAX + 256));
    for (uint32_t i = 0; i < pu->topic_count; i++) {
        for (int32_t k = 0; k < pu->topics[i].part_count; k++) {
            size_t field_n, value_n;

            p = pu->topics[i].parts[k];
            if (!p || p->state == PART_OUT || !p->known || argc + 4 > 2 + rows * 2 ||
                k >= p->t->log.partitions)
                continue;
            field_n = part_row(p, pu->scratch.p + at, pu->scratch.p + at + KEY_MAX, &value_n);
            pu->argv[argc++] = (struct slice){pu->scratch.p + at, field_n};
            pu->argv[argc++] = (struct slice){pu->scratch.p + at + KEY_MAX, value_n};
            at += KEY_MAX + 256;
        }
    }
    pu->argv[argc].p = pu->scratch.p + at;
    pu->argv[argc++].n = (size_t)snprintf(pu->scratch.p + at, KEY_MAX, "w:%s", pu->worker_id);
    pu->argv[argc].p = pu->scratch.p + at + KEY_MAX;
    pu->argv[argc++].n = (size_t)snprintf(pu->scratch.p + at + KEY_MAX, 256, "%llu %d",
                                          (unsigned long long)pu->beat, pu->owned);
    redis_cmd(pu->redis, NULL, NULL, (int)argc, pu->argv);
    if (pu->beat % SWEEP_BEATS == 0)
        sweep(pu);
}

void beacon_drop_rows(struct pump *pu, const struct log_record *rec)
{
    char field[KEY_MAX];
    size_t n;

    for (int32_t p = 0; pu->redis_ready && p < rec->partitions; p++) {
        n = beacon_field(field, rec->log, p);
        redis_cmd(pu->redis, NULL, NULL, 3,
                  (struct slice[]){SLICE("HDEL"), SLICE(KEY_BEACON), {field, n}});
    }
}

void beacon_leave(struct pump *pu, redis_reply_fn *fn)
{
    char field[KEY_MAX];
    int n = snprintf(field, sizeof(field), "w:%s", pu->worker_id);

    redis_cmd(pu->redis, fn, pu, 3,
              (struct slice[]){SLICE("HDEL"), SLICE(KEY_BEACON), {field, (size_t)n}});
}
