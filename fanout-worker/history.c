/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history.c: questions to Kafka that may take a while, see history.h. Its calls block, bounded.
 *
 * Owns the reader's handle, its inbox, the registry. Invariant: each job taken is answered once.
 * @thread history
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/runtime/log.h"
#include "common/runtime/namespace.h"
#include "common/runtime/proc.h"

#include "fanout-worker/deep.h"
#include "fanout-worker/history_impl.h"
#include "fanout-worker/history_policy.h"
#include "fanout-worker/pump.h"
#include "fanout-worker/registry.h"
#include "fanout-worker/source_kafka.h"
#include "fanout-worker/worker_conf.h"

#define POLICY_BOOT_MS 2000
#define REFRESH_MS     5000
#define TICK_S         0.2
#define LEADERS_MAX    65536

static void ring(void *arg)
{
    struct history *h = arg;

    ev_async_send(h->loop, &h->bell);
}

bool history_stopping(const struct history *h)
{
    return atomic_load(&h->stop);
}

void history_answer(struct history *h, struct history_job *j)
{
    inbox_post(h->reply, &j->link);
}

/* ---- metadata ---- */

static void note_leaders(struct history *h, uint32_t topic,
                         const struct rd_kafka_metadata_topic *mt)
{
    struct history_topic *t = &h->topics[topic];

    if (mt->partition_cnt > t->leader_count && mt->partition_cnt <= LEADERS_MAX) {
        t->leaders = mem_realloc(t->leaders, (size_t)mt->partition_cnt * sizeof(*t->leaders));
        for (int32_t p = t->leader_count; p < mt->partition_cnt; p++)
            t->leaders[p] = -1;
        t->leader_count = mt->partition_cnt;
    }
    for (int i = 0; i < mt->partition_cnt; i++) {
        int32_t p = mt->partitions[i].id, leader = mt->partitions[i].leader;

        if (p < 0 || p >= t->leader_count || leader < 0 || t->leaders[p] == leader)
            continue;
        if (t->leaders[p] >= 0 && h->reply) {
            struct history_job *j = history_job_new(HISTORY_LEADER, topic);

            j->partition = p;
            history_answer(h, j);
        }
        t->leaders[p] = leader;
    }
}

/* Fills counts (0 = no such topic). */
static int ask_counts(struct history *h, int32_t *counts, char *why, size_t why_size)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_resp_err_t err = rd_kafka_metadata(h->rk, 0, NULL, &md, HISTORY_ASK_MS);

    if (err) {
        snprintf(why, why_size, "no answer from Kafka at %s: %s: is it running and reachable?",
                 conf_map_get(&h->conf->kafka, "bootstrap.servers"), rd_kafka_err2str(err));
        return -EIO;
    }
    for (uint32_t i = 0; i < h->nss->count; i++)
        counts[i] = 0;
    for (int k = 0; k < md->topic_cnt; k++) {
        for (uint32_t i = 0; i < h->nss->count; i++) {
            if (strcmp(md->topics[k].topic, h->nss->v[i].topic) != 0 || md->topics[k].err)
                continue;
            counts[i] = md->topics[k].partition_cnt;
            note_leaders(h, i, &md->topics[k]);
        }
    }
    rd_kafka_metadata_destroy(md);
    return 0;
}

int history_count(struct history *h, int32_t *ret_partitions, char *why, size_t why_size)
{
    if (ask_counts(h, ret_partitions, why, why_size) < 0)
        return -EIO;
    for (uint32_t i = 0; i < h->nss->count; i++) {
        if (ret_partitions[i] > 0)
            continue;
        snprintf(why, why_size,
                 "Kafka has no topic \"%s\" (namespace \"%s\"): create it, for example "
                 "kafka-topics.sh --create --topic %s --partitions 16 --bootstrap-server %s",
                 h->nss->v[i].topic, h->nss->v[i].name, h->nss->v[i].topic,
                 conf_map_get(&h->conf->kafka, "bootstrap.servers"));
        return -ENOENT;
    }
    return 0;
}

int history_policies(struct history *h, char *why, size_t why_size)
{
    policy_take(h->policies, POLICY_BOOT_MS); /* if it comes later, the topic stands still then */
    for (uint32_t i = 0; i < h->nss->count; i++) {
        if (!policy_refuse(h->policies, i))
            continue;
        snprintf(why, why_size,
                 "topic %s is compacted, so records of a channel's past go missing: set "
                 "namespaces.%s.history to latest, in workers and edges, or the topic's "
                 "cleanup.policy to delete",
                 h->nss->v[i].topic, h->nss->v[i].name);
        return -EINVAL;
    }
    return 0;
}

void history_cluster(struct history *h, char *dst, size_t size)
{
    char *id = rd_kafka_clusterid(h->rk, HISTORY_ASK_MS);

    snprintf(dst, size, "%s", id ? id : "");
    if (id)
        rd_kafka_mem_free(h->rk, id);
}

/* Tells the pump every topic's count. asked: someone waits for it. */
static void tell_counts(struct history *h, bool asked)
{
    int32_t *counts = mem_zalloc(h->nss->count * sizeof(*counts));
    char why[160];

    h->owed_counts = false;
    if (ask_counts(h, counts, why, sizeof(why)) == 0) {
        for (uint32_t i = 0; i < h->nss->count; i++) {
            struct history_job *j = history_job_new(HISTORY_TOPIC, i);

            j->partitions = counts[i];
            j->asked = asked;
            j->compacted = policy_refuse(h->policies, i);
            history_answer(h, j);
        }
    } else {
        h->owed_counts = asked; /* a partition may hold until this is answered */
        log_warn("metadata_failed", " why=%s", log_value(slice_of(why)));
    }
    free(counts);
}

/* ---- logs ---- */

static void know_log(struct history_topic *t, const struct log_record *rec, const int32_t *earlier,
                     size_t earlier_count)
{
    t->log = *rec;
    memcpy(t->earlier, earlier, earlier_count * sizeof(*earlier));
    t->earlier_count = earlier_count;
}

static void tell_log(struct history *h, struct history_job *j, const struct log_record *rec)
{
    j->kind = HISTORY_LOG;
    j->rec = *rec;
    j->earlier_count = logs_earlier(registry_logs(h->reg), rec->topic, rec->n, j->earlier);
    know_log(&h->topics[j->topic], rec, j->earlier, j->earlier_count);
    history_answer(h, j);
}

static void tell_newer_logs(struct history *h)
{
    for (uint32_t i = 0; i < h->nss->count; i++) {
        const struct log_record *rec = logs_newest(registry_logs(h->reg), h->nss->v[i].topic);

        if (rec && !h->nss->v[i].conf->log_id[0] && rec->n > h->topics[i].log.n)
            tell_log(h, history_job_new(HISTORY_LOG, i), rec);
    }
}

static void register_log(struct history *h, struct history_job *j)
{
    struct log_record rec;

    j->err = registry_register(h->reg, &j->rec, &rec, j->why, sizeof(j->why));
    if (j->err < 0)
        history_answer(h, j);
    else
        tell_log(h, j, &rec);
}

/* ---- the thread ---- */

static void serve_jobs(struct history *h)
{
    struct list jobs, facts, late, checks;
    struct history_job *j, *next;
    bool counts = false;

    list_init(&jobs);
    list_init(&facts);
    list_init(&late);
    list_init(&checks);
    inbox_take(&h->inbox, &jobs);
    list_for_each_safe(j, next, &jobs, link) {
        list_del(&j->link);
        if (j->kind == HISTORY_FACTS) {
            list_add_tail(j->late ? &late : &facts, &j->link);
        } else if (j->kind == HISTORY_CHECK) {
            list_add_tail(&checks, &j->link);
        } else if (j->kind == HISTORY_NEWLOG) {
            register_log(h, j);
        } else {
            counts = true;
            free(j);
        }
    }
    if (counts)
        tell_counts(h, true);
    if (!list_is_empty(&facts))
        history_answer_facts(h, &facts);
    if (!list_is_empty(&late)) /* nobody waits for these */
        history_answer_facts(h, &late);
    if (!list_is_empty(&checks))
        history_answer_checks(h, &checks);
}

static void on_bell(struct ev_loop *loop, ev_async *w, int events)
{
    struct history *h = w->data;

    (void)events;
    if (h->stop)
        ev_break(loop, EVBREAK_ALL);
    else
        serve_jobs(h);
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int events)
{
    struct history *h = w->data;
    uint64_t now = clock_mono_ms();

    (void)loop;
    (void)events;
    if (registry_poll(h->reg) > 0)
        tell_newer_logs(h);
    if (now - h->refreshed_ms >= REFRESH_MS) {
        h->refreshed_ms = now;
        policy_take(h->policies, 0); /* the answer to the question of last time */
        policy_ask(h->policies);
        tell_counts(h, h->owed_counts);
    }
}

static void *history_main(void *arg)
{
    struct history *h = arg;

    proc_thread_role("history");
    h->refreshed_ms = clock_mono_ms();
    h->deep = deep_new(h);
    ev_timer_start(h->loop, &h->tick);
    ev_run(h->loop, 0);
    deep_free(h->deep);
    return NULL;
}

struct history *history_new(const struct worker_conf *conf, const struct namespaces *nss, char *why,
                            size_t why_size)
{
    struct history *h = mem_zalloc(sizeof(*h));
    rd_kafka_conf_t *rc = kafka_conf_new(conf, KAFKA_READER, why, why_size);

    h->conf = conf;
    h->nss = nss;
    h->topics = mem_zalloc(nss->count * sizeof(*h->topics));
    inbox_init(&h->inbox, ring, h);
    h->loop = ev_loop_new(EVFLAG_AUTO);
    must(h->loop);
    ev_async_init(&h->bell, on_bell);
    ev_async_start(h->loop, &h->bell);
    ev_timer_init(&h->tick, on_tick, TICK_S, TICK_S);
    h->bell.data = h->tick.data = h;
    if (rc)
        h->rk = rd_kafka_new(RD_KAFKA_CONSUMER, rc, why, why_size);
    if (!h->rk) {
        if (rc)
            rd_kafka_conf_destroy(rc);
        history_stop(h);
        return NULL;
    }
    rd_kafka_poll_set_consumer(h->rk);
    h->policies = policy_new(h->rk, nss);
    policy_ask(h->policies);
    for (uint32_t i = 0; i < nss->count; i++)
        h->topics[i].rkt = rd_kafka_topic_new(h->rk, nss->v[i].topic, NULL);
    return h;
}

void history_start(struct history *h, const struct history_opts *opts, struct registry *take_reg,
                   struct inbox *reply)
{
    h->opts = *opts;
    h->reg = take_reg;
    h->reply = reply;
    for (uint32_t i = 0; i < h->nss->count; i++) {
        const struct pump_topic_boot *tb = &opts->topics[i];

        know_log(&h->topics[i], &tb->log, tb->earlier, tb->earlier_count);
    }
    h->opts.topics = NULL; /* copied */
    must(pthread_create(&h->thread, NULL, history_main, h) == 0);
    h->started = true;
}

void history_post(struct history *h, struct history_job *take_job)
{
    inbox_post(&h->inbox, &take_job->link);
}

void history_stop(struct history *h)
{
    struct history_job *j, *next;

    if (h->started) {
        h->stop = true;
        ring(h);
        pthread_join(h->thread, NULL);
    }
    list_for_each_safe(j, next, &h->inbox.items, link)
        free(j);
    for (uint32_t i = 0; i < h->nss->count; i++) {
        if (h->topics[i].rkt)
            rd_kafka_topic_destroy(h->topics[i].rkt);
        free(h->topics[i].leaders);
    }
    free(h->topics);
    registry_close(h->reg);
    policy_free(h->policies);
    ev_loop_destroy(h->loop);
    if (h->rk)
        rd_kafka_destroy_flags(h->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    free(h);
}
