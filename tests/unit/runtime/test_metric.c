/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_metric.c: the text format, families, escapes, the process's own figures, the docs' table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/runtime/metric.h"

struct values {
    metric_value records, no_key, too_large, clients;
};

static const struct metric_spec specs[] = {
    {"t_records_total", "Records | read.", METRIC_COUNTER, offsetof(struct values, records)},
    {"t_refused_total{reason=\"no_key\"}", "Refused\nby \\ reason.", METRIC_COUNTER,
     offsetof(struct values, no_key)},
    {"t_refused_total{reason=\"too_large\"}", "Refused\nby \\ reason.", METRIC_COUNTER,
     offsetof(struct values, too_large)},
    {"t_clients", "Clients.", METRIC_GAUGE, offsetof(struct values, clients)},
    {NULL, NULL, METRIC_GAUGE, 0},
};

static double value_of(const struct buf *b, const char *name)
{
    char key[128];
    const char *p;

    (void)snprintf(key, sizeof(key), "\n%s ", name);
    p = strstr(b->p, key);
    assert_non_null(p);
    return strtod(p + strlen(key), NULL);
}

static void test_rows(void **state)
{
    struct values v = {0};
    struct buf out = BUF_INIT;
    static const char want[] = "# HELP t_records_total Records | read.\n"
                               "# TYPE t_records_total counter\n"
                               "t_records_total 9223372036854775807\n"
                               "# HELP t_refused_total Refused\\nby \\\\ reason.\n"
                               "# TYPE t_refused_total counter\n"
                               "t_refused_total{reason=\"no_key\"} 3\n"
                               "t_refused_total{reason=\"too_large\"} 0\n"
                               "# HELP t_clients Clients.\n"
                               "# TYPE t_clients gauge\n"
                               "t_clients -2\n";

    (void)state;
    metric_set(&v.records, INT64_MAX);
    metric_add(&v.no_key, 1);
    metric_add(&v.no_key, 2);
    metric_add(&v.clients, -2);
    assert_int_equal(metric_read(&v.no_key), 3);
    metric_print(&out, specs, &v);
    assert_true(out.n > sizeof(want) - 1);
    assert_memory_equal(out.p, want, sizeof(want) - 1);
    buf_done(&out);
}

static void test_process(void **state)
{
    struct values v = {0};
    struct buf out = BUF_INIT;
    struct rlimit lim;
    double fds, start, now = (double)clock_wall_ms() / 1000;
    FILE *f;

    (void)state;
    metric_print(&out, specs, &v);
    buf_byte(&out, 0);
    assert_true(value_of(&out, "process_cpu_seconds_total") >= 0);
    assert_true(value_of(&out, "process_resident_memory_bytes") > 1e5);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
    assert_true(value_of(&out, "process_max_fds") >= (double)lim.rlim_cur);
    start = value_of(&out, "process_start_time_seconds");
    assert_true(start <= now + 1 && start > now - 60);
    fds = value_of(&out, "process_open_fds");
    f = tmpfile();
    buf_clear(&out);
    metric_print(&out, specs, &v);
    buf_byte(&out, 0);
    (void)fclose(f);
    assert_int_equal((int)value_of(&out, "process_open_fds"), (int)fds + 1);
    buf_done(&out);
}

static void test_docs(void **state)
{
    struct buf out = BUF_INIT;

    (void)state;
    metric_print_docs(&out, specs);
    buf_byte(&out, 0);
    assert_non_null(strstr(out.p, "| `t_records_total` | counter | Records \\| read. |\n"));
    assert_non_null(strstr(out.p, "| `t_refused_total{reason=\"no_key\"}` | counter | Refused by"));
    assert_non_null(strstr(out.p, "| `t_clients` | gauge | Clients. |\n"));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_docs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
