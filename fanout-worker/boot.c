/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.c: checks Redis, then Kafka, then the registry, in this order; see boot.h.
 *
 * Owns what it found until main takes it out of struct boot. @thread boot
 */
#include "fanout-worker/boot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/keys.h"
#include "common/base/stores.h"
#include "common/io/redis.h"
#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#include "fanout-worker/region.h"

#define STREAMS_BYTES MIB(256) /* all streams together where Redis has no bound either */
#define STREAM_MIN    KIB(256)
#define HISTORY_BYTES MIB(32)
#define INDEXES_BYTES MIB(32)
#define INDEX_MIN     KIB(64)

int64_t boot_info_number(struct slice info, const char *name)
{
    size_t n = strlen(name);
    const char *at = info.p, *end = info.p + info.n;
    char digits[24];
    size_t k;

    while (at && at < end) {
        if ((size_t)(end - at) > n && memcmp(at, name, n) == 0 && at[n] == ':') {
            at += n + 1;
            for (k = 0; k < sizeof(digits) - 1 && at + k < end && at[k] >= '0' && at[k] <= '9'; k++)
                digits[k] = at[k];
            digits[k] = '\0';
            return k ? strtoll(digits, NULL, 10) : -1;
        }
        at = memchr(at, '\n', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    return -1;
}

/* What one partition gets of a whole that all share. */
static int64_t each_of(int64_t all, int32_t partitions, int64_t least)
{
    int64_t each = all / (partitions > 0 ? partitions : 1);

    return each < least ? least : each;
}

int64_t boot_stream_bytes(int64_t configured, int64_t maxmemory, int32_t partitions)
{
    int64_t all = maxmemory > 0 ? maxmemory / 2 : (int64_t)STREAMS_BYTES;

    return configured > 0 ? configured : each_of(all, partitions, STREAM_MIN);
}

int64_t boot_index_bytes(int64_t configured, int64_t maxmemory, int32_t partitions)
{
    int64_t all = maxmemory > 0 ? maxmemory / 20 : (int64_t)INDEXES_BYTES;

    return configured > 0 ? configured : each_of(all, partitions, INDEX_MIN);
}

int64_t boot_history_bytes(int64_t configured, int64_t maxmemory)
{
    if (configured > 0)
        return configured;
    return maxmemory > 0 ? maxmemory / 20 : (int64_t)HISTORY_BYTES;
}

static int check_memory(struct boot *bt, struct redis_sync *rs, char why[BOOT_WHY])
{
    const struct redis_reply *r =
        redis_sync_cmd(rs, 2, (struct slice[]){SLICE("INFO"), SLICE("memory")});
    struct slice info = r ? redis_str(r) : (struct slice){NULL, 0};

    if (!r || redis_type(r) != REDIS_T_STRING) {
        snprintf(why, BOOT_WHY, "Redis doesn't answer INFO: %s",
                 r ? log_value(info) : redis_sync_why(rs));
        return -EIO;
    }
    if (region_evicts(r)) {
        snprintf(
            why, BOOT_WHY,
            "Redis at %s may evict streams: set maxmemory-policy noeviction (redis-cli CONFIG SET "
            "maxmemory-policy noeviction, or the managed service's parameter)",
            bt->where);
        return -EINVAL;
    }
    bt->maxmemory = boot_info_number(info, "maxmemory");
    return 0;
}

static int load_scripts(struct boot *bt, struct redis_sync *rs, char why[BOOT_WHY])
{
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        const struct redis_reply *r = redis_sync_cmd(
            rs, 3, (struct slice[]){SLICE("SCRIPT"), SLICE("LOAD"), script_text((enum script)i)});
        struct slice s = r ? redis_str(r) : (struct slice){NULL, 0};

        if (!r || redis_type(r) != REDIS_T_STRING || s.n != SCRIPT_SHA_LEN) {
            snprintf(
                why, BOOT_WHY,
                "Redis refuses the worker's scripts (%s): allow SCRIPT and EVALSHA to its user",
                r ? log_value(s) : redis_sync_why(rs));
            return -EIO;
        }
        memcpy(bt->scripts.sha[i], s.p, s.n);
        bt->scripts.sha[i][s.n] = '\0';
    }
    return 0;
}

/* NULL with why filled. */
static struct redis_sync *open_redis(struct boot *bt, char why[BOOT_WHY])
{
    const struct redis_opts opts = region_redis(bt->conf, STORE_HOME, "fanfare-worker-boot");
    char cause[400] = "";
    struct redis_sync *rs = redis_sync_open(&opts, cause, sizeof(cause));
    bool is_replica = !rs && errno == EROFS;

    redis_url_where(bt->conf->redis_url, bt->where);
    if (is_replica)
        snprintf(why, BOOT_WHY, "Redis at %s is a replica: set redis_url to the master", bt->where);
    else if (!rs)
        snprintf(why, BOOT_WHY, "no Redis at %s (%s): start it, or set redis_url", bt->where,
                 cause);
    return rs;
}

static int check_redis(struct boot *bt, char why[BOOT_WHY])
{
    struct redis_sync *rs = open_redis(bt, why);
    int rc;

    if (!rs)
        return -ECONNREFUSED;
    rc = check_memory(bt, rs, why);
    if (rc == 0)
        rc = load_scripts(bt, rs, why);
    redis_sync_close(rs);
    return rc;
}

static int find_topics(struct boot *bt, char why[BOOT_WHY])
{
    int32_t *counts = mem_zalloc(bt->nss.count * sizeof(*counts));
    int rc = history_count(bt->history, counts, why, BOOT_WHY);

    for (uint32_t i = 0; rc == 0 && i < bt->nss.count; i++) {
        bt->topics[i].partitions = counts[i];
        bt->partitions += counts[i];
    }
    free(counts);
    return rc;
}

static void take_log(struct boot *bt, struct pump_topic_boot *tb, const struct log_record *rec)
{
    const struct logs *ls = registry_logs(bt->registry);
    const struct log_record *before = rec->n > 1 ? logs_get(ls, rec->topic, rec->n - 1) : NULL;

    tb->log = *rec;
    if (before)
        tb->before = *before;
    tb->earlier_count = logs_earlier(ls, rec->topic, rec->n, tb->earlier);
}

static int find_log(struct boot *bt, uint32_t i, char why[BOOT_WHY])
{
    const struct namespace *ns = &bt->nss.v[i];
    struct pump_topic_boot *tb = &bt->topics[i];
    const struct log_record *newest = logs_newest(registry_logs(bt->registry), ns->topic);
    struct log_record want = {.n = newest ? newest->n + 1 : 1, .partitions = tb->partitions}, got;

    snprintf(want.topic, sizeof(want.topic), "%s", ns->topic);
    snprintf(want.cluster, sizeof(want.cluster), "%s", bt->cluster);
    if (ns->conf->log_id[0]) {
        snprintf(want.log, sizeof(want.log), "%s", ns->conf->log_id);
        want.n = 0;
        tb->log = want;
        return 0;
    }
    if (newest && logs_fits(newest, tb->partitions, bt->cluster) != LOGS_GROWN) {
        take_log(bt, tb, newest);
        return 0;
    }
    proc_random_id(want.log, LOG_ID_LEN);
    if (registry_register(bt->registry, &want, &got, why, BOOT_WHY) < 0)
        return -EIO;
    log_info("registered", " topic=%s log=%s n=%u partitions=%d", log_value(slice_of(got.topic)),
             got.log, got.n, got.partitions);
    take_log(bt, tb, &got);
    return 0;
}

static int check_kafka(struct boot *bt, char why[BOOT_WHY])
{
    bt->history = history_new(bt->conf, &bt->nss, why, BOOT_WHY);
    if (!bt->history)
        return -EINVAL;
    if (find_topics(bt, why) < 0)
        return -EIO;
    history_cluster(bt->history, bt->cluster, sizeof(bt->cluster));
    bt->registry = registry_open(bt->conf, why, BOOT_WHY);
    if (!bt->registry)
        return -EIO;
    if (history_policies(bt->history, why, BOOT_WHY) < 0)
        return -EINVAL;
    for (uint32_t i = 0; i < bt->nss.count; i++) {
        if (find_log(bt, i, why) < 0)
            return -EIO;
    }
    return 0;
}

/* A configured log has one partition count for ever: with another one keys lead elsewhere. */
static int check_configured(struct boot *bt, char why[BOOT_WHY])
{
    struct redis_sync *rs = open_redis(bt, why);
    int rc = rs ? 0 : -ECONNREFUSED;

    for (uint32_t i = 0; rc == 0 && i < bt->nss.count; i++) {
        const struct log_record *log = &bt->topics[i].log;
        char key[KEY_MAX], count[16];
        size_t key_n = key_topic(key, log->topic);
        const struct redis_reply *r;
        struct slice was;

        if (log->n > 0)
            continue;
        snprintf(count, sizeof(count), "%d", log->partitions);
        r = redis_sync_cmd(
            rs, 4,
            (struct slice[]){SLICE("HMGET"), {key, key_n}, SLICE("log"), SLICE("partitions")});
        if (!r || redis_type(r) != REDIS_T_ARRAY || redis_len(r) != 2 ||
            redis_type(redis_at(r, 1)) != REDIS_T_STRING ||
            !slice_eq(redis_str(redis_at(r, 0)), slice_of(log->log)))
            continue; /* not that log's; a Redis in trouble shows itself to the pump */
        was = redis_str(redis_at(r, 1));
        if (slice_eq(was, slice_of(count)))
            continue;
        snprintf(why, BOOT_WHY,
                 "namespace \"%s\": topic %s has %s partitions, and its log %s was begun with "
                 "%.*s: give the namespace another log_id, here and in the edges",
                 bt->nss.v[i].name, log->topic, count, log->log, (int)was.n, was.p);
        rc = -EINVAL;
    }
    if (rs)
        redis_sync_close(rs);
    return rc;
}

int boot_run(struct boot *bt, const struct worker_conf *conf, char why[BOOT_WHY])
{
    struct buf errors = BUF_INIT;
    int rc;

    *bt = (struct boot){.conf = conf};
    rc = namespaces_init(&bt->nss, &conf->namespaces, &errors);
    buf_done(&errors); /* conf_load() has shown them */
    if (rc < 0) {
        snprintf(why, BOOT_WHY, "namespaces: not usable");
        return rc;
    }
    bt->topics = mem_zalloc(bt->nss.count * sizeof(*bt->topics));
    rc = check_redis(bt, why);
    if (rc < 0)
        return rc;
    rc = check_kafka(bt, why);
    if (rc == 0)
        rc = check_configured(bt, why);
    if (rc < 0)
        return rc;
    bt->stream_bytes = boot_stream_bytes(conf->stream_bytes, bt->maxmemory, bt->partitions);
    log_info("stream_bound", " stream_bytes=%lld partitions=%d from=%s",
             (long long)bt->stream_bytes, bt->partitions,
             conf->stream_bytes  ? "stream_bytes"
             : bt->maxmemory > 0 ? "maxmemory"
                                 : "default");
    return 0;
}

void boot_done(struct boot *bt)
{
    if (bt->registry)
        registry_close(bt->registry);
    if (bt->history)
        history_stop(bt->history);
    free(bt->topics);
    if (bt->nss.v)
        namespaces_done(&bt->nss);
}
