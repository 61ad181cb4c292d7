/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_run.c: a partition's records while it is attached: which are believed, what becomes of each,
 * and when to stop reading.
 *
 * Called by the source only in PART_RUN, between start and stop. @thread pump
 */
#include <stdio.h>

#include "common/base/clock.h"
#include "common/runtime/log.h"

#include "fanout-worker/pump_impl.h"

#define RETRY_MS 250

static void name_refusal(struct part *p, const struct source_record *r, enum refusal why)
{
    PUMP_METRIC(p->pu, refused[why], 1);
    log_warn("refused", " reason=%s topic=%s partition=%d offset=%lld", refusal_name(why),
             log_value(slice_of(p->t->log.topic)), p->id.partition, (long long)r->offset);
}

/* True: the record belongs to an earlier fetch position and must not be believed. */
static bool is_stale(struct part *p, const struct source_record *r)
{
    if (p->guard < 0)
        return false;
    if (r->offset <= p->guard || p->guard_hits >= PART_GUARD_HITS) {
        p->guard = -1;
        return false;
    }
    PUMP_METRIC(p->pu, stale_records, 1);
    return true;
}

static void ask_metadata(struct part *p, const struct source_record *r)
{
    log_warn("partitioner_mismatch", " topic=%s partition=%d offset=%lld partitions=%d",
             log_value(slice_of(p->t->log.topic)), p->id.partition, (long long)r->offset,
             p->t->log.partitions);
    part_detach(p);
    part_set_state(p, PART_GUARD);
    history_post(p->pu->history, history_job_new(HISTORY_TOPIC, p->id.topic));
}

/* False: the partition was detached. */
static bool carry(struct part *p, const struct source_record *r)
{
    struct entry e;
    struct record_result res = record_make(&p->pu->maker, &p->rules, r, &e);

    if (res.fate == RECORD_MISMATCH || res.mismatch)
        PUMP_METRIC(p->pu, mismatches, 1);
    if (res.fate == RECORD_MISMATCH) {
        ask_metadata(p, r);
        return false;
    }
    if (res.tags_left)
        PUMP_METRIC(p->pu, tags_left, res.tags_left);
    if (res.why != REFUSED_NOT)
        name_refusal(p, r, res.why);
    if (res.fate == RECORD_SKIP)
        return true;
    PUMP_METRIC(p->pu, markers, e.marker);
    e.pos = (uint64_t)r->offset + 1;
    must(p->ix.at == p->ap.chain);
    index_note(&p->ix, e.channel, e.pos); /* first: adding may send */
    append_add(&p->ap, &e);
    return true;
}

bool part_on_record(void *handle, const struct source_record *r)
{
    struct part *p = handle;

    if (p->state != PART_RUN)
        return false;
    p->pu->records++;
    p->drained_ms = 0;
    if (r->offset < p->next) /* read twice around a start: known */
        return append_has_room(&p->ap);
    if (is_stale(p, r)) {
        p->tries++;
        part_retry(p, 20);
        return false;
    }
    p->tries = 0;
    p->next = r->offset + 1;
    if (r->offset > p->seen)
        p->seen = r->offset;
    if (p->rebuild_until && r->offset + 1 >= p->rebuild_until)
        p->rebuild_until = 0;
    if (!carry(p, r))
        return false;
    if (append_has_room(&p->ap))
        return true;
    part_set_held(p, true);
    return false;
}

/* What Kafka still counts below rebuild_until is no record: control, aborted. An end that is told
 * before the guard is off may belong to an earlier fetch position. */
void part_on_end(void *handle)
{
    struct part *p = handle;

    if (p->state != PART_RUN || p->guard >= 0) /* or an end of an earlier fetch position */
        return;
    p->drained_ms = clock_mono_ms();
    p->rebuild_until = 0;
}

void part_on_turn(void *handle)
{
    struct part *p = handle;

    if (p->pu->records) {
        PUMP_METRIC(p->pu, records, p->pu->records);
        p->pu->records = 0;
    }
    if (p->state == PART_RUN)
        append_turn(&p->ap);
}

void part_on_trouble(void *handle, enum source_trouble what, const char *text)
{
    struct part *p = handle;

    PUMP_METRIC(p->pu, fetch_errors, 1);
    log_warn("fetch_error", " stream=%s kind=%s text=%s", p->stream,
             what == SOURCE_OUT_OF_RANGE ? "out_of_range" : "fetch", log_value(slice_of(text)));
    part_retry(p, what == SOURCE_OUT_OF_RANGE ? 20 : RETRY_MS);
}

bool part_commit(struct part *p, struct source_commit *ret)
{
    if (p->state != PART_RUN || p->adopted || !p->ap.has_fp || p->ap.acked <= p->committed)
        return false;
    p->committed = p->ap.acked;
    ret->id = p->id;
    ret->offset = (int64_t)p->ap.acked;
    snprintf(ret->metadata, sizeof(ret->metadata), "%s %x", p->t->log.log, p->ap.acked_fp);
    return true;
}
