/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_conf.c: rows of worker_conf.def as a table, --help's text, and the checks across knobs.
 *
 * No state. @thread boot
 */
#include "fanout-worker/worker_conf.h"

#include <string.h>

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

static void check_kafka(const struct worker_conf *conf, struct buf *errors)
{
    const char *servers = conf_map_get(&conf->kafka, "bootstrap.servers");

    if (!servers || !servers[0])
        buf_str(errors, "kafka.bootstrap.servers: required (host:port, comma separated)\n");
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (conf_map_get(&conf->kafka, reserved[i]))
            buf_printf(errors, "kafka.%s: is set by the worker itself, take it out\n", reserved[i]);
    }
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
    if (conf->admin_listen[0] && listen_check(conf->admin_listen, why, sizeof(why)) < 0)
        buf_printf(errors, "admin_listen: %s\n", why);
    if (conf->region[0] == '\0')
        buf_str(errors, "region: expected a name\n");
    if (strlen(conf->registry_topic) == 0 || strlen(conf->registry_topic) > 249)
        buf_str(errors, "registry_topic: expected the name of a topic\n");
}

const struct conf_program worker_program = {
    .name = "fanfare-worker",
    .summary = "carries Kafka topics into a region's Redis Streams",
    .description =
        "Joins the region's consumer group and appends every record of the configured topics to "
        "one Redis stream per partition, each exactly once and in order. Its progress is what "
        "Redis says, so it may be killed at any time. Any number of workers share the partitions.",
    .examples = "fanfare-worker --set kafka.bootstrap.servers=127.0.0.1:9092 \\\n"
                "               --set namespaces.quakes.topic=quakes\n"
                "fanfare-worker --config /etc/fanfare/worker.json --check-config",
    .specs = worker_specs,
    .size = sizeof(struct worker_conf),
    .check = worker_check,
    .metrics = worker_metric_specs,
};
