/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric.c: see metric.h; Prometheus text format 0.0.4.
 */
#include "common/runtime/metric.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/runtime/proc.h"

/* A family's name: the metric's up to its labels. */
static size_t family_len(const char *name)
{
    return strcspn(name, "{");
}

static void print_family(struct buf *out, const char *name, const char *help, enum metric_type type)
{
    size_t n = family_len(name);

    buf_printf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)n, name, help, (int)n, name,
               type == METRIC_COUNTER ? "counter" : "gauge");
}

static bool is_same_family(const char *a, const char *b)
{
    return family_len(a) == family_len(b) && memcmp(a, b, family_len(a)) == 0;
}

static int64_t open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int64_t n = 0;

    if (!dir)
        return 0;
    while (readdir(dir)) // NOLINT(concurrency-mt-unsafe): this stream is ours alone
        n++;
    closedir(dir);
    return n - 3; /* ".", ".." and the directory itself */
}

static int64_t resident_bytes(void)
{
    long pages = 0, ignored;
    FILE *f = fopen("/proc/self/statm", "re");

    if (!f)
        return 0;
    if (fscanf(f, "%ld %ld", &ignored, &pages) != 2)
        pages = 0;
    (void)fclose(f);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void)
{
    struct rusage ru;

    if (getrusage(RUSAGE_SELF, &ru) != 0)
        return 0;
    return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
           (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1e-6;
}

static double start_time(void)
{
    static _Atomic int64_t first; /* of the first look: close enough to the start */
    int64_t none = 0;

    atomic_compare_exchange_strong(&first, &none, clock_wall_ms());
    return (double)atomic_load(&first) / 1000;
}

static void print_process(struct buf *out)
{
    print_family(out, "process_cpu_seconds_total", "User and system CPU time.", METRIC_COUNTER);
    buf_printf(out, "process_cpu_seconds_total %.6f\n", cpu_seconds());
    print_family(out, "process_resident_memory_bytes", "Resident memory.", METRIC_GAUGE);
    buf_printf(out, "process_resident_memory_bytes %lld\n", (long long)resident_bytes());
    print_family(out, "process_open_fds", "Open file descriptors.", METRIC_GAUGE);
    buf_printf(out, "process_open_fds %lld\n", (long long)open_fds());
    print_family(out, "process_max_fds", "Limit of open file descriptors.", METRIC_GAUGE);
    buf_printf(out, "process_max_fds %llu\n", (unsigned long long)proc_fd_limit());
    print_family(out, "process_start_time_seconds", "Start, seconds since 1970.", METRIC_GAUGE);
    buf_printf(out, "process_start_time_seconds %.3f\n", start_time());
}

void metric_print(struct buf *out, const struct metric_spec *specs, const void *base)
{
    for (const struct metric_spec *m = specs; m->name; m++) {
        const metric_value *v = (const void *)((const char *)base + m->offset);
        if (m == specs || !is_same_family(m[-1].name, m->name))
            print_family(out, m->name, m->help, m->type);
        buf_printf(out, "%s %lld\n", m->name,
                   (long long)atomic_load_explicit(v, memory_order_relaxed));
    }
    print_process(out);
}

void metric_print_docs(struct buf *out, const struct metric_spec *specs)
{
    buf_lit(out, "| metric | type | what it tells |\n| --- | --- | --- |\n");
    for (const struct metric_spec *m = specs; m->name; m++)
        buf_printf(out, "| `%s` | %s | %s |\n", m->name,
                   m->type == METRIC_COUNTER ? "counter" : "gauge", m->help);
}
