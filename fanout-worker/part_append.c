/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_append.c: a partition's batches as script calls, and what the answers mean.
 *
 * The transport behind append.h. The bound of the stream in entries follows from its bound in bytes
 * and the moving mean of an entry. @thread pump
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/runtime/log.h"

#include "fanout-worker/pump_impl.h"

#define ENTRY_OVERHEAD 24 /* of an entry in a stream, about */
#define MAXLEN_MIN     100
#define OOM_WAIT_MS    100
#define FAIL_WAIT_MS   250
#define AHEAD_WAIT_MS  150 /* who adopted what is ours reads our row ten times a second */

static int64_t maxlen_of(struct part *p)
{
    int64_t n = p->pu->opts.stream_bytes / (p->ap.mean + ENTRY_OVERHEAD);

    if (n < MAXLEN_MIN)
        n = MAXLEN_MIN;
    if (p->cap > 0 && p->cap < n) {
        /* What a full Redis left us may grow again, by a thousandth a batch. */
        n = p->cap;
        p->cap += p->cap / 1000 + 1;
    }
    /* Never so few that a batch trims entries of itself or of those just before it: readers that
     * wait at the end would find a hole. */
    return n > p->ap.inflight_entries ? n : p->ap.inflight_entries;
}

static void room_again(struct part *p)
{
    if (!p->held || !append_has_room(&p->ap))
        return;
    part_set_held(p, false);
    part_source(p)->ops->resume(part_source(p), p->id);
    pump_kick(p->pu);
}

/* Who has adopted a partition gives way to whoever appends to it. A Redis that went back refuses an
 * append, too. */
static bool is_ahead(const struct part *p, struct slice reply)
{
    static const char word[] = "CASFAIL ";
    uint64_t last;

    return reply.n > sizeof(word) - 1 &&
           decimal_parse((struct slice){reply.p + sizeof(word) - 1, reply.n - (sizeof(word) - 1)},
                         UINT64_MAX, &last) &&
           last > p->ap.acked;
}

/* The batch and all behind it are lost to us; Redis says where to go on. An owner asks only when
 * whoever carried the partition on has given way: if not, it is refused once more, and has asked
 * Kafka for nothing. */
static void on_error(struct part *p, const struct redis_reply *reply)
{
    if (redis_is_error(reply, "CASFAIL")) {
        PUMP_METRIC(p->pu, cas_refusals, 1);
        log_warn("append_refused", " stream=%s expected=%llu reply=%s", p->stream,
                 (unsigned long long)p->ap.acked, log_value(redis_str(reply)));
        if (!is_ahead(p, redis_str(reply)))
            part_attach(p);
        else if (p->adopted)
            part_yield(p, "another_appends");
        else
            part_retry(p, AHEAD_WAIT_MS);
        return;
    }
    if (redis_is_error(reply, "OOM")) {
        PUMP_METRIC(p->pu, oom, 1);
        log_warn("redis_full", " stream=%s", p->stream);
        p->oom = true;
        part_retry(p, OOM_WAIT_MS);
        return;
    }
    PUMP_METRIC(p->pu, append_errors, 1);
    log_warn("append_failed", " stream=%s reply=%s", p->stream, log_value(redis_str(reply)));
    if (redis_is_error(reply, "NOSCRIPT"))
        site_load(p->at);
    /* Made a replica under a connection that stays: its address may lead to the primary by now. */
    if (redis_is_error(reply, "READONLY"))
        site_demoted(p->at);
    part_retry(p, redis_is_error(reply, "NOSCRIPT") ? 1 : FAIL_WAIT_MS);
}

static void on_append(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct append_batch *b = arg;
    struct part *p = b->owner;
    uint32_t count = b->count;

    (void)c;
    if (!reply || redis_type(reply) == REDIS_T_ERROR) {
        if (append_failed(&p->ap, b) && reply)
            on_error(p, reply);
        return;
    }
    if (b->gen == p->ap.gen && redis_type(reply) == REDIS_T_INT) {
        p->oom = false;
        p->cap = redis_int(reply) > 0 ? redis_int(reply) : 1;
    }
    if (!append_answered(&p->ap, b))
        return;
    p->moved_ms = clock_mono_ms();
    if (p->anchor.pos == 0) /* the stream was absent when the partition was attached */
        p->anchor = (struct history_point){p->ap.acked, p->ap.acked_fp, true};
    PUMP_METRIC(p->pu, entries, count);
    room_again(p);
}

static void send_batch(void *arg, struct append_batch *take_b, const struct append_load *load)
{
    struct part *p = arg;
    struct pump *pu = p->pu;
    size_t argc = 6 + (size_t)load->count * 2;
    char fixed[3][DECIMAL_MAX], *digits;
    struct slice *argv;

    if (pump_has_slept(pu)) {
        free(take_b); /* the append forgets it, too, when it is attached again */
        pump_kick(pu);
        return;
    }
    buf_clear(&pu->scratch);
    digits = buf_reserve(&pu->scratch, (size_t)load->count * DECIMAL_MAX);
    argv = pump_argv(pu, argc);
    argv[0] = SLICE("2");
    argv[1] = slice_of(p->stream);
    argv[2] = slice_of(p->side);
    argv[3] = decimal_slice(fixed[0], load->expected);
    argv[4] = decimal_slice(fixed[1], (uint64_t)maxlen_of(p));
    argv[5] = decimal_slice(fixed[2], load->last_fp);
    for (uint32_t i = 0; i < load->count; i++) {
        argv[6 + i * 2] = decimal_slice(digits + (size_t)i * DECIMAL_MAX, load->items[i].pos);
        argv[7 + i * 2] = (struct slice){load->data->p + load->items[i].at, load->items[i].n};
    }
    PUMP_METRIC(pu, appends, 1);
    PUMP_METRIC(pu, bytes, load->data->n);
    site_eval(p->at, p->oom ? SCRIPT_APPEND_OOM : SCRIPT_APPEND, on_append, take_b, (int)argc,
              argv);
    part_index_sent(p);
}

static void wait_answer(void *arg)
{
    struct part *p = arg;

    redis_hurry(p->at->redis);
}

static const struct append_io io = {.send = send_batch, .wait = wait_answer};

void part_append_init(struct part *p)
{
    append_init(&p->ap, &p->pu->limits, &io, p);
    index_init(&p->ix, &part_index_io, p);
}

void part_append_done(struct part *p)
{
    append_done(&p->ap);
    index_done(&p->ix);
}

void part_append_reset(struct part *p)
{
    append_reset(&p->ap);
    index_reset(&p->ix);
}

void part_append_begin(struct part *p, uint64_t chain)
{
    append_begin(&p->ap, p->last, chain);
    index_begin(&p->ix, chain);
}
