/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage.c: see usage.h. /proc/<pid>/stat counts in clock ticks (10 ms), which is fine over seconds.
 */
#include "loadgen/usage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Field n >= 4 of the line, from 1. The name (2) may hold anything, so they are counted from its
 * last parenthesis. */
static int field(const char *text, int n, uint64_t *ret)
{
    const char *p = strrchr(text, ')');
    for (int i = 2; p && i < n; i++)
        p = strchr(p + 1, ' ');
    if (!p)
        return -EBADMSG;
    char *end;
    errno = 0;
    *ret = strtoull(p + 1, &end, 10);
    return errno || end == p + 1 ? -EBADMSG : 0;
}

int usage_read(pid_t pid, struct usage *ret)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? -ESRCH : -errno;
    size_t n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[n] = 0;
    uint64_t user, system, pages;
    if (field(text, 14, &user) || field(text, 15, &system) || field(text, 24, &pages))
        return -EBADMSG;
    uint64_t tick_ns = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
    *ret = (struct usage){(user + system) * tick_ns, pages * (uint64_t)sysconf(_SC_PAGESIZE)};
    return 0;
}
