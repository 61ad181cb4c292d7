/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage.c: see usage.h. /proc/<pid>/stat counts in clock ticks (10 ms), which is fine over seconds.
 */
#include "loadgen/usage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

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
    /* The name may hold anything, so fields are counted from its last parenthesis: 3 is behind it. */
    const char *p = strrchr(text, ')');
    uint64_t user, system, pages;
    if (!p || sscanf(p + 1,
                     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
                     " %*d %*d %*d %*d %*d %*d %*u %*u %" SCNu64,
                     &user, &system, &pages) != 3)
        return -EBADMSG;
    uint64_t tick_ns = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
    *ret = (struct usage){(user + system) * tick_ns, pages * (uint64_t)sysconf(_SC_PAGESIZE)};
    return 0;
}
