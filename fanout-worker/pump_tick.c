/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pump_tick.c: what the pump does by the clock, every 250 ms or some of them; and whether it was
 * asleep: stopped, paused with its machine, starved.
 *
 * Whoever slept can't know what happened meanwhile: a topic may have been made anew, and librdkafka
 * fetches on from the same offset of the new one. So nothing that is read after a sleep is appended
 * before everything was attached again. @thread pump
 */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/runtime/log.h"

#include "fanout-worker/pump_impl.h"

#define SLEPT_MS 1000

void pump_each_part(struct pump *pu, void (*fn)(struct part *))
{
    for (uint32_t i = 0; i < pu->topic_count; i++) {
        for (int32_t k = 0; k < pu->topics[i].part_count; k++) {
            if (pu->topics[i].parts[k])
                fn(pu->topics[i].parts[k]);
        }
    }
}

bool pump_has_slept(struct pump *pu)
{
    if (clock_mono_ms() - pu->turned_ms > SLEPT_MS)
        pu->slept = true;
    return pu->slept;
}

/* First of all watchers in each round of the loop; a tick is the longest that one takes. */
void pump_on_turn(struct ev_loop *loop, ev_check *w, int events)
{
    struct pump *pu = w->data;
    bool slept = pump_has_slept(pu);
    uint64_t now = clock_mono_ms();

    (void)loop;
    (void)events;
    if (slept) {
        log_warn("slept", " ms=%llu", (unsigned long long)(now - pu->turned_ms));
        PUMP_METRIC(pu, sleeps, 1);
        pump_each_part(pu, part_doubt);
    }
    pu->slept = false;
    pu->turned_ms = now;
}

static void commit_all(struct pump *pu)
{
    struct source_commit *v = mem_alloc(((size_t)pu->owned + 1) * sizeof(*v));
    size_t n = 0;

    for (uint32_t i = 0; i < pu->topic_count; i++) {
        struct topic *t = &pu->topics[i];

        for (int32_t k = 0; k < t->part_count && n < (size_t)pu->owned; k++) {
            if (t->parts[k] && part_commit(t->parts[k], &v[n]))
                n++;
        }
    }
    if (n > 0)
        pu->src->ops->commit(pu->src, v, n);
    free(v);
}

/* How old is it? A partition whose queue is full isn't asked about, whatever its broker answers.
 * One that is drained is. One whose end has moved since it was looked at last was, by a question
 * that was answered since then, so it was asked no earlier than the last that had been answered by
 * then; of several the first may have told it, and have filled the queue. What the library knew
 * when the partition was started may be of any time. */
static void take_end(struct part *p, int64_t end, uint64_t known)
{
    if (p->looked && end > p->end && p->known_ms > p->end_ms)
        p->end_ms = p->known_ms;
    if (p->drained_ms && known >= p->drained_ms && known > p->end_ms)
        p->end_ms = known;
    p->looked = true;
    p->known_ms = known;
    p->end = end;
}

/* How old is what the sources know? Once a look, and first: their library's threads go on, and no
 * end must be older than that. */
static void look_at_sources(struct pump *pu, uint64_t known[2])
{
    const struct source *v[2] = {pu->src, pu->spare};
    uint64_t silent = 0;

    for (int i = 0; i < 2; i++) {
        uint64_t ms = v[i] ? v[i]->ops->silent_ms(v[i]) : 0;

        known[i] = v[i] ? v[i]->ops->known_ms(v[i]) : 0;
        pu->current[i] = v[i] && v[i]->ops->is_current(v[i]);
        silent = ms > silent ? ms : silent;
    }
    metric_set(&pu->opts.metrics->kafka_age, (int64_t)silent);
}

/* Kafka's ends, the lag, and the idle checks: four times a second, so that what an idle stream lost
 * is there again within one. */
static void look_at_parts(struct pump *pu)
{
    uint64_t known[2];
    int64_t lag = 0;

    look_at_sources(pu, known);
    for (uint32_t i = 0; i < pu->topic_count; i++) {
        for (int32_t k = 0; k < pu->topics[i].part_count; k++) {
            struct part *p = pu->topics[i].parts[k];
            int64_t low, end;

            if (!p || p->state == PART_OUT)
                continue;
            if (p->state == PART_RUN &&
                part_source(p)->ops->watermarks(part_source(p), p->id, &low, &end)) {
                p->low = low > p->low ? low : p->low;
                take_end(p, end, known[p->adopted]);
            }
            if (p->end > (int64_t)p->ap.acked)
                lag += p->end - (int64_t)p->ap.acked;
            if (p->at && p->at->ready)
                part_idle_check(p);
        }
    }
    metric_set(&pu->opts.metrics->lag, lag);
    metric_set(&pu->opts.metrics->inflight_bytes, pu->inflight_total);
}

void pump_on_tick(struct ev_loop *loop, ev_timer *w, int events)
{
    struct pump *pu = w->data;

    (void)loop;
    (void)events;
    pu->beat++;
    look_at_parts(pu);
    beacon_beat(pu);
    if (pu->beat % 4 == 0) {
        for (uint32_t i = 0; i < pu->topic_count; i++)
            topic_write(&pu->topics[i]);
        sites_tick(pu);
        pump_source_round(pu, true);
        pump_status(pu);
    }
    if (pu->beat % 20 == 0)
        commit_all(pu);
    pump_each_part(pu, part_check);
}
