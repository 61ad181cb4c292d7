/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_worker_conf.c: what --check-config of the worker finds.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout-worker/worker_conf.h"
#include "tests/unit/runtime/conf_run.h"

static struct worker_conf conf;

static struct conf_run check(const char *set)
{
    const char *const args[] = {"--check-config",
                                "-s",
                                "namespaces.q.topic=q",
                                "-s",
                                "kafka.bootstrap.servers=h:1",
                                "-s",
                                set,
                                NULL};

    return conf_run(&worker_program, &conf, args);
}

static void expect(const char *set, const char *line)
{
    struct conf_run r = check(set);

    if (r.rc != (line ? -EINVAL : 1))
        fail_msg("%s: %d, %s", set, r.rc, r.err.p);
    if (line && !strstr(r.err.p, line))
        fail_msg("%s: \"%s\" isn't in: %s", set, line, r.err.p);
    conf_run_done(&r);
}

static void test_what_is_good(void **state)
{
    (void)state;
    expect("region=eu", NULL);
    expect("kafka.linger.ms=5", NULL);
    expect("kafka.sasl.password_file=/dev/null", NULL);
    expect("admin_listen=", NULL);
}

static void test_properties_of_the_workers_own(void **state)
{
    static const char *const names[] = {
        "group.id",          "partition.assignment.strategy", "enable.auto.commit",
        "auto.offset.reset", "enable.auto.offset.store",      "isolation.level",
        "check.crcs",        "statistics.interval.ms",        "enable.partition.eof"};
    const struct conf_spec *kafka = worker_program.specs;
    char set[80], line[160];

    (void)state;
    while (strcmp(kafka->name, "kafka") != 0)
        kafka++;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(set, sizeof(set), "kafka.%s=1", names[i]);
        snprintf(line, sizeof(line),
                 "fanfare-worker: kafka.%s: is set by the worker itself, take it out\n", names[i]);
        expect(set, line);
        if (!strstr(kafka->doc, names[i]))
            fail_msg("the help text of kafka doesn't name %s", names[i]);
    }
}

/* With more, edges never hear in time that a cursor is none of the log: error 100, for ever. */
static void test_a_fetch_waits_for_half_a_second_at_most(void **state)
{
    (void)state;
    expect("kafka.fetch.wait.max.ms=500", NULL);
    expect("kafka.fetch.wait.max.ms=501", "fanfare-worker: kafka.fetch.wait.max.ms: at most 500: ");
}

/* Two settings. */
static void expect_both(const char *one, const char *two, const char *line)
{
    const char *const args[] = {"--check-config",
                                "-s",
                                "namespaces.q.topic=q",
                                "-s",
                                "kafka.bootstrap.servers=h:1",
                                "-s",
                                one,
                                "-s",
                                two,
                                NULL};
    struct conf_run r = conf_run(&worker_program, &conf, args);

    if (r.rc != (line ? -EINVAL : 1) || (line && !strstr(r.err.p, line)))
        fail_msg("%s %s: %d, %s", one, two, r.rc, r.err.p);
    conf_run_done(&r);
}

static void test_shards(void **state)
{
    const char *const version = "redis_shards_version=1";

    (void)state;
    expect_both("redis_shards.a=home", version, NULL);
    expect_both("redis_shards.b=sentinel://u@h/m", version, NULL);
    expect_both("redis_shards.b=redis://u:secret@h", version,
                "redis_shards.b: no password here: redis_password is used\n");
    expect_both("redis_shards.b=h:1", version, "redis_shards.b: expected redis://host:port");
    expect_both("redis_shards.b c=home", version, "redis_shards.b c: a name has 1 to 32 of ");
    expect("redis_shards.a=home", "redis_shards_version: redis_shards needs one");
    expect(version, "redis_shards_version: redis_shards needs one");
}

static void test_what_is_wrong(void **state)
{
    (void)state;
    expect("kafka.bootstrap.servers=",
           "kafka.bootstrap.servers: required (host:port, comma separated)\n");
    expect("redis_url=rediss://h:1", "redis_url: TLS to Redis (rediss://) is not supported\n");
    expect("admin_listen=9101", "admin_listen: \"9101\": expected host:port\n");
    expect("region=", "region: expected a name\n");
    expect("coordination=kubernetes", "coordination: kubernetes is for edges; a worker has none");
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(test_what_is_good),
        cmocka_unit_test(test_properties_of_the_workers_own),
        cmocka_unit_test(test_a_fetch_waits_for_half_a_second_at_most),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_what_is_wrong),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
