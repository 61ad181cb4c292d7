/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_conf.c: rows of worker_conf.def as a table, --help's text, and the checks across knobs.
 *
 * No state. @thread boot
 */
#include "fanout-worker/worker_conf.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/stores.h"
#include "common/base/utf8.h"
#include "common/io/listen.h"
#include "common/io/redis.h"

#include "fanout-worker/worker_metric.h"

static const struct conf_spec worker_specs[] = {
#define KNOB(field, type, name, def, min, max, values, unit, doc) \
    CONF_ROW(struct worker_conf, field, type, name, def, min, max, values, unit, doc),
#define TABLE(field, name, rows, strct, doc)                                         \
    {name, CONF_TABLE,   offsetof(struct worker_conf, field), "", 0, 0, "", "", doc, \
     rows, sizeof(strct)},
#include "fanout-worker/worker_conf.def"
#undef KNOB
#undef TABLE
#define KNOB(field, type, name, def, min, max, values, unit, doc) \
    CONF_ROW(struct worker_conf, coord.field, type, name, def, min, max, values, unit, doc),
#include "common/io/coord_conf.def"
#undef KNOB
    {NULL, CONF_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL, NULL, 0},
};

/* What the worker's exactness rests on (source_kafka_conf.c sets it): nobody may set these. */
static const char *const reserved[] = {
    "group.id",
    "partition.assignment.strategy",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "isolation.level",
    "enable.partition.eof",
    "check.crcs",
    "statistics.interval.ms",
};

#define FETCH_WAIT_MAX 500 /* an idle broker's answer tells of the end that it waited with */

static void check_kafka(const struct worker_conf *conf, struct buf *errors)
{
    const char *servers = conf_map_get(&conf->kafka, "bootstrap.servers");
    const char *wait = conf_map_get(&conf->kafka, "fetch.wait.max.ms");

    if (!servers || !servers[0])
        buf_str(errors, "kafka.bootstrap.servers: required (host:port, comma separated)\n");
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (conf_map_get(&conf->kafka, reserved[i]))
            buf_printf(errors, "kafka.%s: is set by the worker itself, take it out\n", reserved[i]);
    }
    if (wait && strtoll(wait, NULL, 0) > FETCH_WAIT_MAX)
        buf_printf(
            errors,
            "kafka.fetch.wait.max.ms: at most %d: edges wait two seconds to hear where Kafka "
            "ends, and it comes with those answers\n",
            FETCH_WAIT_MAX);
}

static void check_shards(const struct worker_conf *conf, struct buf *errors)
{
    const struct conf_map *m = &conf->redis_shards;
    char why[300];

    if (m->n > STORES_MAX)
        buf_printf(errors, "redis_shards: more than %d\n", STORES_MAX);
    if ((m->n > 0) != (conf->redis_shards_version > 0))
        buf_str(
            errors,
            "redis_shards_version: redis_shards needs one, from 1 on, raised with each change\n");
    for (size_t i = 0; i < m->n; i++) {
        const char *name = m->v[i].name, *url = m->v[i].value;

        if (!store_name_is_valid(slice_of(name)))
            buf_printf(errors,
                       "redis_shards.%s: a name has 1 to %d of a-z, A-Z, 0-9, '-', '_', '.'\n",
                       name, STORE_NAME_MAX);
        if (strcmp(url, STORE_HOME) != 0 && redis_url_check(url, why, sizeof(why)) < 0)
            buf_printf(errors, "redis_shards.%s: %s\n", name, why);
        else if (redis_url_has_password(url))
            buf_printf(errors, "redis_shards.%s: no password here: redis_password is used\n", name);
    }
}

static void check_regions(const struct worker_conf *conf, struct buf *errors)
{
    if (conf->regions != REGIONS_ALL)
        return;
    if (conf->coord.coordination == COORDINATION_NONE)
        buf_str(errors, "regions: all needs coordination, which tells the regions\n");
    if (conf->group[0])
        buf_str(errors, "group: leave it out with regions: all; each region has its own\n");
}

static void worker_check(const void *conf_ptr, struct buf *errors)
{
    const struct worker_conf *conf = conf_ptr;
    struct namespaces nss;
    char why[300];

    check_kafka(conf, errors);
    if (conf->namespaces.n == 0)
        buf_str(errors, "namespaces: at least one is required\n");
    else if (namespaces_init(&nss, &conf->namespaces, errors) == 0)
        namespaces_done(&nss);
    if (redis_url_check(conf->redis_url, why, sizeof(why)) < 0)
        buf_printf(errors, "redis_url: %s\n", why);
    check_shards(conf, errors);
    if (conf->admin_listen[0] && listen_check(conf->admin_listen, why, sizeof(why)) < 0)
        buf_printf(errors, "admin_listen: %s\n", why);
    if (conf->coord.coordination == COORDINATION_KUBERNETES)
        buf_str(errors, "coordination: kubernetes is for edges; a worker has none, or consul\n");
    else
        coord_conf_check(&conf->coord, errors);
    if (!utf8_is_name(slice_of(conf->region)))
        buf_str(errors, "region: expected a name\n");
    if (conf->node[0] && !utf8_is_name(slice_of(conf->node)))
        buf_str(errors, "node: expected a name, or nothing\n");
    check_regions(conf, errors);
    if (strlen(conf->registry_topic) == 0 || strlen(conf->registry_topic) > 249)
        buf_str(errors, "registry_topic: expected the name of a topic\n");
}

const struct conf_program worker_program = {
    .name = "fanfare-worker",
    .summary = "carries Kafka topics into a region's Redis Streams",
    .description =
        "Joins the region's consumer group and appends every record of the configured topics to "
        "one Redis stream per partition, each exactly once and in order. Its progress is what "
        "Redis says, so it may be killed at any time. Any number of workers share the partitions.\n"
        "`fanfare-worker health` asks the worker that runs with the same configuration, by its "
        "admin listener, whether it is ready (`health live`: whether it can go on), prints the "
        "answer and exits with 0 or 1.",
    .examples = "fanfare-worker --set kafka.bootstrap.servers=127.0.0.1:9092 \\\n"
                "               --set namespaces.quakes.topic=quakes\n"
                "fanfare-worker --config /etc/fanfare/worker.json --check-config",
    .specs = worker_specs,
    .size = sizeof(struct worker_conf),
    .check = worker_check,
    .metrics = worker_metric_specs,
};
