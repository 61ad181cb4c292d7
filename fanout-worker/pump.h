/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pump.h: the thread that carries records: one loop over the source and Redis, no blocking call.
 *
 * Takes what boot found out; runs until pump_stop(). @thread main (the functions here)
 */
#pragma once

#include "fanout-worker/logs.h"
#include "fanout-worker/script.h"
#include "fanout-worker/worker_conf.h"
#include "fanout-worker/worker_metric.h"

struct history;
struct inbox;
struct pump;
struct source;
struct source_events;

/* What main shows to the outside. Written by pump, read by main. */
struct worker_status {
    _Atomic bool redis_up, joined, registry_read, failed;
};

struct pump_topic_boot {
    struct log_record log, before; /* before.n = 0: none */
    int32_t earlier[LOGS_EARLIER_MAX];
    size_t earlier_count;
    int32_t partitions; /* seen in metadata */
};

struct pump_opts {
    const struct worker_conf *conf;
    const struct namespaces *nss;
    const struct pump_topic_boot *topics; /* one a namespace, in order; copied */
    const struct scripts *scripts;        /* copied */
    const char *cluster;
    int64_t stream_bytes; /* bound of one stream */
    int64_t index_bytes;  /* bound of one last-position index, its forerunner included */
    /* A second source, in no group, for partitions of workers that died. NULL with why filled. */
    struct source *(*new_spare)(void *arg, const struct source_events *ev, void *ev_arg, char *why,
                                size_t why_size);
    void *new_spare_arg;
    struct worker_metrics *metrics;
    struct worker_status *status;
};

struct pump *pump_new(const struct pump_opts *opts);
struct inbox *pump_inbox(struct pump *pu);            /* where history answers */
extern const struct source_events pump_source_events; /* arg = the pump */
/* Starts the thread. changed(arg) is called from it whenever the status changed. */
void pump_start(struct pump *pu, struct source *take_src, struct history *h,
                void (*changed)(void *arg), void *arg);
void pump_stop(struct pump *pu); /* joins the thread; a few seconds at most */
/* Only when history has stopped too: it answers into the pump's inbox. */
void pump_free(struct pump *pu);
