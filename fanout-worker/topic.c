/* SPDX-License-Identifier: Apache-2.0 */
/*
 * topic.c: one topic's current log: its hash for edges, its partition count, the way to a new log.
 *
 * Owns the topic's partitions. Invariant: while waiting_log is set all its partitions hold.
 * @thread pump
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#include "fanout-worker/pump_impl.h"

#define OLD_LOG_TTL   "3600000" /* ms */
#define MISSING_LOOKS 2         /* one may come from a broker that has just started */

void topic_init(struct topic *t, struct pump *pu, uint32_t index,
                const struct pump_topic_boot *boot)
{
    *t = (struct topic){
        .pu = pu,
        .index = index,
        .ns = &pu->opts.nss->v[index],
        .log = boot->log,
        .before = boot->before,
        .earlier_count = boot->earlier_count,
        .seen_partitions = boot->partitions,
        .configured = boot->log.n == 0,
    };
    memcpy(t->earlier, boot->earlier, sizeof(t->earlier));
}

void topic_done(struct topic *t)
{
    for (int32_t p = 0; p < t->part_count; p++) {
        if (t->parts[p])
            part_free(t->parts[p]);
    }
    free(t->parts);
}

/* The first write after a start is a fresh one: a restart is how an operator clears "unmapped". */
void topic_write(struct topic *t)
{
    char key[KEY_MAX], n[16], partitions[16];
    size_t key_n = key_topic(key, t->log.topic);
    struct slice argv[11];

    if (!t->pu->home->ready)
        return;
    snprintf(n, sizeof(n), "%u", t->log.n);
    snprintf(partitions, sizeof(partitions), "%d", t->log.partitions);
    argv[0] = SLICE("1");
    argv[1] = (struct slice){key, key_n};
    argv[2] = slice_of(n);
    argv[3] = slice_of(t->log.log);
    argv[4] = slice_of(partitions);
    argv[5] = slice_of(partitioner_name((enum partitioner)t->ns->conf->partitioner));
    argv[6] = t->compacted ? SLICE("compacted") : t->unmapped ? SLICE("unmapped") : SLICE("live");
    argv[7] = t->unmapped || !t->written ? SLICE("fresh") : SLICE("keep");
    argv[8] = slice_of(t->ns->name);
    argv[9] = slice_of(ns_key_name(t->ns->conf->key));
    argv[10] = slice_of(ns_promise_name(t->ns->conf->history));
    site_eval(t->pu->home, SCRIPT_TOPIC, NULL, NULL, 11, argv);
    t->written = true;
}

/* NX: several workers see the change, and a worker that starts may be the first to tell Redis. */
static void expire(struct site *at, const char *key, size_t n)
{
    redis_cmd(at->redis, NULL, NULL, 4,
              (struct slice[]){SLICE("PEXPIRE"), {key, n}, SLICE(OLD_LOG_TTL), SLICE("NX")});
}

static void expire_log(struct topic *t, const struct log_record *rec)
{
    char key[KEY_MAX];

    for (int32_t p = 0; p < rec->partitions; p++) {
        struct site *at = site_of(t->pu, rec->log, p);

        if (!at || !at->ready)
            continue;
        expire(at, key, key_stream(key, rec->log, p));
        expire(at, key, key_side(key, rec->log, p));
        expire(at, key, key_index(key, rec->log, p));
        expire(at, key, key_index_old(key, rec->log, p));
    }
    beacon_drop_rows(t->pu, rec);
}

void topic_on_redis(struct topic *t)
{
    topic_write(t);
    if (t->before.n)
        expire_log(t, &t->before);
}

void topic_need_newlog(struct topic *t, const char *reason)
{
    struct history_job *j;

    if (t->waiting_log)
        return;
    if (t->configured) {
        log_error("log_changed", " topic=%s log=%s reason=%s mend=%s",
                  log_value(slice_of(t->log.topic)), t->log.log, reason,
                  log_value(SLICE("change the namespace's log_id")));
        for (int32_t p = 0; p < t->part_count; p++) {
            if (t->parts[p] && t->parts[p]->state != PART_OUT)
                part_retry(t->parts[p], 5000);
        }
        return;
    }
    log_warn("log_changed", " topic=%s log=%s n=%u reason=%s", log_value(slice_of(t->log.topic)),
             t->log.log, t->log.n, reason);
    t->waiting_log = true;
    for (int32_t p = 0; p < t->part_count; p++) {
        if (t->parts[p])
            part_detach(t->parts[p]);
    }
    j = history_job_new(HISTORY_NEWLOG, t->index);
    j->rec = t->log;
    j->rec.n = t->log.n + 1;
    j->rec.partitions = t->seen_partitions;
    snprintf(j->rec.cluster, sizeof(j->rec.cluster), "%s", t->pu->cluster);
    proc_random_id(j->rec.log, LOG_ID_LEN);
    history_post(t->pu->history, j);
}

static void settle_guards(struct topic *t)
{
    bool found = false;

    t->owed_count = false;
    for (int32_t p = 0; p < t->part_count; p++)
        found = found || (t->parts[p] && t->parts[p]->state == PART_GUARD);
    if (!found)
        return;
    t->unmapped = true;
    log_error("unmapped", " topic=%s partitioner=%s partitions=%d mend=%s",
              log_value(slice_of(t->log.topic)),
              partitioner_name((enum partitioner)t->ns->conf->partitioner), t->log.partitions,
              log_value(SLICE("producers place keys otherwise: set partitioner=murmur2_random in "
                              "librdkafka producers, or the namespace's partitioner to theirs")));
    topic_write(t);
    for (int32_t p = 0; p < t->part_count; p++) {
        if (!t->parts[p])
            continue;
        t->parts[p]->rules.unmapped = true;
        if (t->parts[p]->state == PART_GUARD)
            part_attach(t->parts[p]);
    }
}

/* While the topic is compacted, and its namespace promises more than that leaves, it stands still:
 * what compaction takes can't be told from what never was. */
static void set_compacted(struct topic *t, bool on)
{
    t->compacted = on;
    PUMP_METRIC(t->pu, compacted, on ? 1 : -1);
    if (on)
        log_error("compacted", " topic=%s mend=%s", log_value(slice_of(t->log.topic)),
                  log_value(SLICE("set the namespace's history to latest, in workers and edges, or "
                                  "the topic's cleanup.policy to delete")));
    else
        log_info("compacted_no_more", " topic=%s", log_value(slice_of(t->log.topic)));
    topic_write(t);
    for (int32_t p = 0; p < t->part_count; p++) {
        if (t->parts[p])
            part_attach(t->parts[p]); /* which detaches, and doesn't go on while compacted */
    }
}

bool topic_is_missing(const struct topic *t)
{
    return t->missing >= MISSING_LOOKS;
}

/* The group gives nobody a topic that was deleted, so no owner ends an adoption of it. */
static void on_missing(struct topic *t)
{
    log_warn("topic_missing", " topic=%s", log_value(slice_of(t->log.topic)));
    t->missing++;
    for (int32_t p = 0; p < t->part_count && topic_is_missing(t); p++) {
        if (t->parts[p])
            part_yield(t->parts[p], "topic_missing");
    }
}

void topic_on_count(struct topic *t, const struct history_job *j)
{
    enum logs_fit fit;

    if (j->compacted != t->compacted)
        set_compacted(t, j->compacted);
    t->owed_count = t->owed_count || j->asked;
    if (j->partitions == 0) {
        on_missing(t);
        return;
    }
    t->missing = 0;
    t->seen_partitions = j->partitions;
    fit = logs_fits(&t->log, j->partitions, "");
    if (attach_lasts(&t->smaller_since, fit == LOGS_SMALLER, clock_mono_ms(), ATTACH_SMALLER_MS))
        topic_need_newlog(t, "fewer_partitions");
    else if (fit == LOGS_GROWN)
        topic_need_newlog(t, "more_partitions");
    else if (fit == LOGS_FIT && t->owed_count)
        settle_guards(t);
}

void topic_on_log(struct topic *t, const struct history_job *j)
{
    struct log_record old = t->log;

    if (j->err < 0) {
        log_error("register_failed", " topic=%s why=%s", log_value(slice_of(t->log.topic)),
                  log_value(slice_of(j->why)));
        t->waiting_log = false; /* whoever asked sees it again and asks again */
        for (int32_t p = 0; p < t->part_count; p++) {
            if (t->parts[p])
                part_retry(t->parts[p], 1000);
        }
        return;
    }
    if (t->configured || j->rec.n <= t->log.n)
        return;
    t->log = j->rec;
    memcpy(t->earlier, j->earlier, sizeof(t->earlier));
    t->earlier_count = j->earlier_count;
    t->waiting_log = false;
    t->unmapped = t->owed_count = false;
    t->smaller_since = 0;
    t->written = false;
    PUMP_METRIC(t->pu, incarnations, 1);
    log_info("log", " topic=%s log=%s n=%u partitions=%d", log_value(slice_of(t->log.topic)),
             t->log.log, t->log.n, t->log.partitions);
    expire_log(t, &old);
    t->before = old;
    topic_write(t);
    for (int32_t p = 0; p < t->part_count; p++) {
        if (t->parts[p])
            part_log_changed(t->parts[p]);
    }
}
