/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric.c: prints a table of metrics, and the process's own, in Prometheus' text format 0.0.4.
 *
 * Owns nothing. Reads the process's figures from /proc at each call; what can't be read isn't
 * printed, so a figure is never a made-up 0. @thread any
 */
#include "common/runtime/metric.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/runtime/proc.h"

static const char *type_name(enum metric_type type)
{
    return type == METRIC_COUNTER ? "counter" : "gauge";
}

/* The name without its labels. */
static struct slice family_of(const char *name)
{
    return (struct slice){name, strcspn(name, "{")};
}

static void print_head(struct buf *out, struct slice family, enum metric_type type,
                       const char *help)
{
    buf_lit(out, "# HELP ");
    buf_slice(out, family);
    buf_byte(out, ' ');
    for (const char *p = help; *p; p++) {
        if (*p == '\n')
            buf_lit(out, "\\n");
        else if (*p == '\\')
            buf_lit(out, "\\\\");
        else
            buf_byte(out, (unsigned char)*p);
    }
    buf_lit(out, "\n# TYPE ");
    buf_slice(out, family);
    buf_printf(out, " %s\n", type_name(type));
}

/* Reads a small file of /proc as a string; false if it can't. */
static bool read_proc(const char *path, char *dst, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;

    if (fd >= 0) {
        n = read(fd, dst, size - 1);
        close(fd);
    }
    if (n <= 0)
        return false;
    dst[n] = 0;
    return true;
}

/* Field number i (from 3, as proc(5) counts) of /proc/self/stat; the name in field 2 may hold
 * anything, so counting begins behind its last parenthesis. */
static bool stat_field(const char *stat, int i, uint64_t *ret)
{
    const char *p = strrchr(stat, ')');

    for (int at = 2; p && at < i; at++)
        p = strchr(p + 1, ' ');
    if (!p)
        return false;
    *ret = strtoull(p + 1, NULL, 10);
    return true;
}

/* Time of boot in seconds since 1970, 0 if unknown: line btime of /proc/stat. */
static int64_t boot_time(void)
{
    FILE *f = fopen("/proc/stat", "re");
    char line[256];
    int64_t btime = 0;

    while (f && btime == 0 && fgets(line, sizeof(line), f)) {
        if (strncmp(line, "btime ", 6) == 0)
            btime = strtoll(line + 6, NULL, 10);
    }
    if (f)
        fclose(f);
    return btime;
}

static int64_t open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int64_t n = 0;

    if (!dir)
        return -1;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 3; /* "." and ".." and the directory itself */
}

static void print_process(struct buf *out)
{
    char stat[1024];
    uint64_t user, sys, start, pages, tick = (uint64_t)sysconf(_SC_CLK_TCK);
    int64_t fds = open_fds(), btime = boot_time();

    if (read_proc("/proc/self/stat", stat, sizeof(stat)) && stat_field(stat, 14, &user) &&
        stat_field(stat, 15, &sys) && stat_field(stat, 22, &start) &&
        stat_field(stat, 24, &pages)) {
        print_head(out, SLICE("process_cpu_seconds_total"), METRIC_COUNTER,
                   "User and system CPU time spent.");
        buf_printf(out, "process_cpu_seconds_total %.2f\n", (double)(user + sys) / (double)tick);
        print_head(out, SLICE("process_resident_memory_bytes"), METRIC_GAUGE,
                   "Resident memory size.");
        buf_printf(out, "process_resident_memory_bytes %" PRIu64 "\n",
                   pages * (uint64_t)sysconf(_SC_PAGESIZE));
        if (btime > 0) {
            print_head(out, SLICE("process_start_time_seconds"), METRIC_GAUGE,
                       "Start of the process in seconds since 1970.");
            buf_printf(out, "process_start_time_seconds %.2f\n",
                       (double)btime + (double)start / (double)tick);
        }
    }
    if (fds >= 0) {
        print_head(out, SLICE("process_open_fds"), METRIC_GAUGE, "Open file descriptors.");
        buf_printf(out, "process_open_fds %" PRId64 "\n", fds);
    }
    print_head(out, SLICE("process_max_fds"), METRIC_GAUGE, "Limit of open file descriptors.");
    buf_printf(out, "process_max_fds %" PRIu64 "\n", proc_fd_limit());
}

void metric_print(struct buf *out, const struct metric_spec *specs, const void *base)
{
    struct slice last = SLICE("");

    for (const struct metric_spec *m = specs; m->name; m++) {
        const metric_value *v = (const void *)((const char *)base + m->offset);
        struct slice family = family_of(m->name);

        if (!slice_eq(family, last))
            print_head(out, family, m->type, m->help);
        last = family;
        buf_printf(out, "%s %" PRId64 "\n", m->name,
                   (int64_t)atomic_load_explicit(v, memory_order_relaxed));
    }
    print_process(out);
}

/* Text in a cell of a Markdown table. */
static void print_cell(struct buf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '|')
            buf_byte(out, '\\');
        buf_byte(out, *p == '\n' ? ' ' : (unsigned char)*p);
    }
}

void metric_print_docs(struct buf *out, const struct metric_spec *specs)
{
    buf_lit(out, "| metric | type | what it tells |\n| --- | --- | --- |\n");
    for (const struct metric_spec *m = specs; m->name; m++) {
        buf_lit(out, "| `");
        print_cell(out, m->name);
        buf_printf(out, "` | %s | ", type_name(m->type));
        print_cell(out, m->help);
        buf_lit(out, " |\n");
    }
}
