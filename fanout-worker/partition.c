/* SPDX-License-Identifier: Apache-2.0 */
/*
 * partition.c: one partition's way to its stream; part_run.c is its way along it.
 *
 * attach: ask Redis for the last position, ask history for Kafka's side and the overlap check,
 * decide (attach.h), start the source there. Any doubt later (refusal, error, another last
 * position, a lost connection) drops what isn't confirmed and attaches again: progress is only what
 * Redis says. Invariant: the source reads the partition only in PART_RUN. @thread pump
 */
#include <errno.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/runtime/log.h"

#include "fanout-worker/pump_impl.h"

#define RETRY_MS 250

static void on_retry(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    part_attach(w->data);
}

static void name_keys(struct part *p)
{
    key_stream(p->stream, p->t->log.log, p->id.partition);
    key_side(p->side, p->t->log.log, p->id.partition);
    p->rules = (struct record_rules){
        .nss = p->pu->opts.nss,
        .ns = p->t->ns,
        .record_max = p->pu->opts.conf->record_max,
        .partition = p->id.partition,
        .partitions = p->t->log.partitions,
        .unmapped = p->t->unmapped,
        .earlier = p->t->earlier,
        .earlier_count = p->t->earlier_count,
    };
}

struct part *part_get(struct topic *t, int32_t partition)
{
    struct part *p;

    if (partition >= t->part_count) {
        t->parts = mem_realloc(t->parts, ((size_t)partition + 1) * sizeof(struct part *));
        while (t->part_count <= partition)
            t->parts[t->part_count++] = NULL;
    }
    if (t->parts[partition])
        return t->parts[partition];
    p = mem_zalloc(sizeof(*p));
    p->pu = t->pu;
    p->t = t;
    p->id = (struct source_id){t->index, partition};
    p->seen = p->guard = -1;
    part_append_init(p);
    ev_timer_init(&p->retry, on_retry, 0, 0);
    p->retry.data = p;
    name_keys(p);
    p->at = site_of(p->pu, t->log.log, partition);
    t->parts[partition] = p;
    return p;
}

void part_free(struct part *p)
{
    part_append_done(p);
    free(p);
}

void part_set_held(struct part *p, bool held)
{
    if (p->held != held)
        PUMP_METRIC(p->pu, paused, held ? 1 : -1);
    p->held = held;
}

void part_set_state(struct part *p, enum part_state state)
{
    PUMP_METRIC(p->pu, running, (state == PART_RUN) - (p->state == PART_RUN));
    p->state = state;
}

void part_detach(struct part *p)
{
    ev_timer_stop(p->pu->loop, &p->retry);
    if (p->state == PART_OUT)
        return;
    if (p->state == PART_RUN && p->pu->src)
        part_source(p)->ops->stop(part_source(p), p->id);
    if (p->state == PART_RUN && p->ap.has_fp && p->ap.acked > p->top.pos)
        p->top = (struct history_point){p->ap.acked, p->ap.acked_fp, true};
    p->token++;
    part_append_reset(p);
    part_set_held(p, false);
    part_set_state(p, PART_HOLD);
}

struct source *part_source(const struct part *p)
{
    return p->adopted ? p->pu->spare : p->pu->src;
}

void part_own(struct part *p)
{
    bool was_adopted = p->adopted;

    part_yield(p, "assigned");
    if (p->state != PART_OUT)
        return;
    p->pu->owned++;
    p->known = p->known && was_adopted; /* then its row goes on, and nobody takes it for left */
    p->fresh = true;
    p->beyond_since = 0;
    part_set_state(p, PART_HOLD);
}

void part_disown(struct part *p)
{
    if (p->state == PART_OUT || p->adopted)
        return;
    part_detach(p);
    p->pu->owned--;
    p->rebuild_until = 0;
    part_set_state(p, PART_OUT);
}

void part_retry(struct part *p, int64_t ms)
{
    part_detach(p);
    if (p->state == PART_OUT)
        return;
    ev_timer_set(&p->retry, (double)ms / 1000.0, 0);
    ev_timer_start(p->pu->loop, &p->retry);
}

void part_log_changed(struct part *p)
{
    part_yield(p, "another_log");
    part_detach(p);
    name_keys(p);
    p->at = site_of(p->pu, p->t->log.log, p->id.partition);
    p->seen = -1;
    p->top = p->anchor = (struct history_point){.pos = 0};
    p->committed = 0;
    p->low = p->end = p->rebuild_until = 0;
    p->end_ms = 0;
    p->known = false;
    p->beyond_since = 0;
    p->cap = 0;
    p->ap.acked = 0;
    part_attach(p);
}

/* ---- attach ---- */

void part_ask_last(struct part *p, redis_reply_fn *fn)
{
    struct part_ask *ask = mem_alloc(sizeof(*ask));
    struct slice argv[3] = {SLICE("2"), slice_of(p->stream), slice_of(p->side)};

    *ask = (struct part_ask){p, p->token, p->ap.acked};
    site_eval(p->at, SCRIPT_LAST, fn, ask, 3, argv);
}

struct history_job *part_job(const struct part *p, enum history_kind kind)
{
    struct history_job *j = history_job_new(kind, p->id.topic);

    j->partition = p->id.partition;
    j->token = p->token;
    j->late = p->late;
    return j;
}

/* The highest position that anybody knows is compared: a Redis that lost its newest entries, or all
 * of them, doesn't hide what clients have seen. */
static void ask_facts(struct part *p)
{
    struct history_job *j = part_job(p, HISTORY_FACTS);

    j->now = (struct history_point){p->last, p->last_fp, p->has_fp};
    if (p->top.pos > p->last)
        j->now = p->top;
    j->before = p->anchor;
    if (p->fresh || j->now.pos == 0)
        memcpy(j->log, p->t->log.log, sizeof(j->log));
    if (j->now.pos)
        PUMP_METRIC(p->pu, overlap_checks, 1);
    part_set_state(p, PART_FACTS);
    history_post(p->pu->history, j);
}

static void on_last(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    _cleanup_free_ struct part_ask *ask = arg;
    struct part *p = ask->p;
    uint64_t fp;

    (void)c;
    if (!reply || ask->token != p->token || p->state != PART_LAST)
        return; /* a lost connection attaches all again */
    if (redis_is_error(reply, "NOSCRIPT"))
        site_load(p->at);
    if (redis_type(reply) != REDIS_T_ARRAY || redis_len(reply) < 1 ||
        !decimal_parse(redis_str(redis_at(reply, 0)), UINT64_MAX, &p->last)) {
        log_warn("attach_failed", " stream=%s why=%s", p->stream, log_value(redis_str(reply)));
        part_retry(p, RETRY_MS);
        return;
    }
    p->has_fp = redis_len(reply) > 1 && redis_type(redis_at(reply, 1)) != REDIS_T_NIL &&
                decimal_parse(redis_str(redis_at(reply, 1)), UINT32_MAX, &fp);
    p->last_fp = p->has_fp ? (uint32_t)fp : 0;
    ask_facts(p);
}

/* It may have been there before, and what it left there hasn't ended yet; or a worker that is late
 * with the table, or knows the server by another URL, takes it for left. */
void part_stay(struct part *p)
{
    char key[KEY_MAX];
    const char *log = p->t->log.log;
    int32_t n = p->id.partition;
    const struct slice names[] = {slice_of(p->stream), slice_of(p->side)};

    if (!p->at || !p->at->ready)
        return;
    p->returns = false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        redis_cmd(p->at->redis, NULL, NULL, 2, (struct slice[]){SLICE("PERSIST"), names[i]});
    redis_cmd(p->at->redis, NULL, NULL, 2,
              (struct slice[]){SLICE("PERSIST"), {key, key_index(key, log, n)}});
    redis_cmd(p->at->redis, NULL, NULL, 2,
              (struct slice[]){SLICE("PERSIST"), {key, key_index_old(key, log, n)}});
}

void part_attach(struct part *p)
{
    part_detach(p);
    if (p->state == PART_OUT || !p->at || !p->at->ready || p->t->waiting_log || p->t->compacted)
        return;
    if (p->id.partition >= p->t->log.partitions) {
        /* Of a log not known yet, which the next metadata brings. */
        part_retry(p, 1000);
        return;
    }
    part_set_state(p, PART_LAST);
    if (p->returns)
        part_stay(p);
    part_ask_last(p, on_last);
}

static void run(struct part *p, const struct attach_plan *plan)
{
    int rc;

    part_append_begin(p, plan->chain);
    p->ap.acked_fp = p->last_fp;
    p->ap.has_fp = p->last && p->has_fp;
    p->next = plan->start;
    /* What was handed over before must come again before anything behind it does: if not, the
     * record is one the fetcher had read ahead from its earlier position. */
    p->guard = plan->start <= p->seen && p->low <= p->seen ? p->seen : -1;
    p->guard_hits = p->tries < PART_GUARD_HITS ? 0 : PART_GUARD_HITS;
    /* A rebuild that was broken off goes on: readers must not take its middle for the end. */
    if (plan->rebuild)
        p->rebuild_until = p->end;
    else if (plan->start >= p->rebuild_until)
        p->rebuild_until = 0;
    p->beyond_since = 0;
    p->moved_ms = clock_mono_ms();
    p->drained_ms = 0;
    p->looked = false;
    PUMP_METRIC(p->pu, reattaches, 1);
    PUMP_METRIC(p->pu, rebuilds, plan->rebuild);
    PUMP_METRIC(p->pu, gaps, plan->gap);
    part_set_state(p, PART_RUN);
    rc = part_source(p)->ops->start(part_source(p), p->id, plan->start, p);
    if (rc < 0) {
        part_retry(p, RETRY_MS);
        return;
    }
    log_info("attached", " stream=%s start=%lld last=%llu end=%lld%s%s", p->stream,
             (long long)plan->start, (unsigned long long)p->last, (long long)p->end,
             plan->rebuild ? " rebuild=1" : "", plan->gap ? " gap=1" : "");
    pump_kick(p->pu);
}

void part_is_other(struct part *p)
{
    PUMP_METRIC(p->pu, overlap_failures, 1);
    topic_need_newlog(p->t, "another_record_at_known_position");
}

static int64_t rebuild_share(const struct part *p)
{
    int64_t parts = p->pu->owned + p->pu->adopted;

    return p->pu->opts.conf->rebuild_records / (parts > 0 ? parts : 1);
}

static void decide(struct part *p, const struct history_job *j)
{
    struct attach_facts f = {
        .last = p->last,
        .low = j->low,
        .end = j->end,
        .check = j->check,
        .share = rebuild_share(p),
    };
    struct attach_plan plan = attach_decide(&f);

    if (plan.verdict == ATTACH_RUN) {
        p->anchor = (struct history_point){.pos = 0};
        if (j->check == CHECK_SAME)
            p->top = p->anchor = j->now;
        run(p, &plan);
    } else if (plan.verdict == ATTACH_NEWLOG) {
        part_is_other(p);
    } else if (attach_lasts(&p->beyond_since, true, clock_mono_ms(), ATTACH_BEYOND_MS)) {
        topic_need_newlog(p->t, "end_below_position");
    } else {
        part_retry(p, RETRY_MS);
    }
}

void part_on_facts(struct part *p, struct history_job *j)
{
    if (j->err != -EAGAIN)
        p->late = j->err < 0 ? p->late + 1 : 0;
    if (j->token != p->token)
        return;
    if (j->err == 0) {
        p->low = j->low;
        p->end = j->end;
        p->known = true;
        p->fresh = false;
        p->committed = j->commit > p->committed ? j->commit : p->committed;
    }
    if (p->state != PART_FACTS)
        return;
    if (j->err == -EAGAIN) { /* not asked: another partition's question took the round's time */
        part_retry(p, PART_AGAIN_MS);
        return;
    }
    if (j->err < 0) {
        log_warn("attach_failed", " stream=%s why=%s", p->stream, log_value(slice_of(j->why)));
        p->beyond_since = 0; /* what wasn't seen in between didn't last */
        part_retry(p, RETRY_MS);
        return;
    }
    decide(p, j);
}
