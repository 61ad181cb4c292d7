/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history_policy.c: see history_policy.h. One question is under way at most; its answer comes
 * through a queue of its own, which is looked into at leisure. @thread boot, then history
 */
#include "fanout-worker/history_policy.h"

#include <stdlib.h>

#include "common/runtime/log.h"
#include "common/runtime/namespace.h"

#define ASK_MS 5000

struct policy {
    bool compacted;
    rd_kafka_resp_err_t said; /* why it isn't known, as last logged */
};

struct policies {
    rd_kafka_t *rk;
    rd_kafka_queue_t *answers;
    const struct namespaces *nss;
    struct policy *v; /* a namespace */
    bool asked;
};

struct policies *policy_new(rd_kafka_t *rk, const struct namespaces *nss)
{
    struct policies *po = mem_zalloc(sizeof(*po));

    po->rk = rk;
    po->nss = nss;
    po->answers = rd_kafka_queue_new(rk);
    po->v = mem_zalloc(nss->count * sizeof(*po->v));
    return po;
}

void policy_free(struct policies *po)
{
    if (!po)
        return;
    rd_kafka_queue_destroy(po->answers);
    free(po->v);
    free(po);
}

void policy_ask(struct policies *po)
{
    rd_kafka_AdminOptions_t *options;
    rd_kafka_ConfigResource_t **topics;
    char why[200];

    if (po->asked)
        return;
    po->asked = true;
    options = rd_kafka_AdminOptions_new(po->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    must(!rd_kafka_AdminOptions_set_request_timeout(options, ASK_MS, why, sizeof(why)));
    topics = mem_alloc(po->nss->count * sizeof(*topics));
    for (uint32_t i = 0; i < po->nss->count; i++)
        topics[i] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, po->nss->v[i].topic);
    rd_kafka_DescribeConfigs(po->rk, topics, po->nss->count, options, po->answers);
    rd_kafka_ConfigResource_destroy_array(topics, po->nss->count);
    free((void *)topics);
    rd_kafka_AdminOptions_destroy(options);
}

static void not_known(struct policies *po, uint32_t ns, rd_kafka_resp_err_t err)
{
    struct policy *p = &po->v[ns];

    if (err != p->said)
        log_warn("policy_unknown", " topic=%s why=%s mend=%s",
                 log_value(slice_of(po->nss->v[ns].topic)),
                 log_value(slice_of(rd_kafka_err2str(err))),
                 log_value(SLICE("allow DescribeConfigs on the topic, or see to it that it isn't "
                                 "compacted")));
    p->said = err;
}

/* "compact", "delete", or both with a comma. */
static bool has_compact(const rd_kafka_ConfigResource_t *topic)
{
    size_t n;
    const rd_kafka_ConfigEntry_t **v = rd_kafka_ConfigResource_configs(topic, &n);

    for (size_t i = 0; i < n; i++) {
        const char *value = rd_kafka_ConfigEntry_value(v[i]);
        if (!strcmp(rd_kafka_ConfigEntry_name(v[i]), "cleanup.policy") && value)
            return strstr(value, "compact") != NULL;
    }
    return false;
}

static void take_one(struct policies *po, const rd_kafka_ConfigResource_t *topic)
{
    const char *name = rd_kafka_ConfigResource_name(topic);
    rd_kafka_resp_err_t err = rd_kafka_ConfigResource_error(topic);

    for (uint32_t i = 0; i < po->nss->count; i++) {
        if (strcmp(po->nss->v[i].topic, name) != 0)
            continue;
        if (err) {
            not_known(po, i, err);
            continue;
        }
        po->v[i] = (struct policy){has_compact(topic), RD_KAFKA_RESP_ERR_NO_ERROR};
    }
}

void policy_take(struct policies *po, int ms)
{
    rd_kafka_event_t *answer = po->asked ? rd_kafka_queue_poll(po->answers, ms) : NULL;
    const rd_kafka_DescribeConfigs_result_t *result;
    const rd_kafka_ConfigResource_t **topics;
    size_t n;

    if (!answer)
        return;
    po->asked = false;
    result = rd_kafka_event_DescribeConfigs_result(answer);
    if (rd_kafka_event_error(answer) || !result) {
        for (uint32_t i = 0; i < po->nss->count; i++)
            not_known(po, i, rd_kafka_event_error(answer));
    } else {
        topics = rd_kafka_DescribeConfigs_result_resources(result, &n);
        for (size_t i = 0; i < n; i++)
            take_one(po, topics[i]);
    }
    rd_kafka_event_destroy(answer);
}

bool policy_compacted(const struct policies *po, uint32_t ns)
{
    return po->v[ns].compacted;
}

bool policy_refuse(const struct policies *po, uint32_t ns)
{
    const struct namespace_conf *c = po->nss->v[ns].conf;

    return po->v[ns].compacted && c->history != NS_HISTORY_LATEST &&
           c->partitioner != PARTITIONER_ANY;
}
